//! `RollupService`: the registry of rollups, which is that of the genesis.

use crate::api::context::{Context, Shared, blocking};
use crate::api::errors::Failure;
use squad_primitives::RollupId;
use squad_primitives::genesis::{ExecutorKind, GenesisRollup};
use squad_proto::reason::Reason;
use squad_proto::v1;
use squad_proto::v1::rollup_service_server::RollupService;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// Rollups of a page when the request names no number.
const PAGE_SIZE_DEFAULT: usize = 100;
/// Most rollups of a page.
const PAGE_SIZE_MAX: usize = 200;

/// The service.
#[derive(Debug)]
pub(super) struct Service(pub(super) Shared);

#[tonic::async_trait]
impl RollupService for Service {
    async fn list_rollups(
        &self,
        request: Request<v1::ListRollupsRequest>,
    ) -> Result<Response<v1::ListRollupsResponse>, Status> {
        let ctx = Arc::clone(&self.0);
        let request = request.into_inner();
        Ok(Response::new(
            blocking(move || list_rollups(&ctx, &request)).await?,
        ))
    }

    async fn get_rollup(
        &self,
        request: Request<v1::GetRollupRequest>,
    ) -> Result<Response<v1::GetRollupResponse>, Status> {
        let ctx = Arc::clone(&self.0);
        let request = request.into_inner();
        Ok(Response::new(
            blocking(move || get_rollup(&ctx, &request)).await?,
        ))
    }
}

fn rollup(ctx: &Context, entry: &GenesisRollup) -> Result<v1::Rollup, Failure> {
    let (number, height) = ctx
        .node
        .reader
        .rollup_block(entry.id, u64::MAX)?
        .map_or((0, 0), |(number, height)| (number, height.0));
    let executor = match entry.executor {
        ExecutorKind::Evm => "evm",
        ExecutorKind::Kv => "kv",
        ExecutorKind::External => "external",
        ExecutorKind::Opaque => "opaque",
    };
    Ok(v1::Rollup {
        rollup_id: entry.id.0,
        name: entry.name.clone(),
        executor: executor.to_owned(),
        chain_id: entry.chain_id.unwrap_or(0),
        head: Some(v1::RollupHead {
            height,
            rollup_block_number: number,
        }),
    })
}

fn list_rollups(
    ctx: &Context,
    request: &v1::ListRollupsRequest,
) -> Result<v1::ListRollupsResponse, Failure> {
    let size = match request.page_size as usize {
        0 => PAGE_SIZE_DEFAULT,
        size if size > PAGE_SIZE_MAX => {
            return Err(Failure::too_large("page_size", size, PAGE_SIZE_MAX));
        }
        size => size,
    };
    // The token is the last id given out.
    let after = match request.page_token.as_ref() {
        [] => None,
        token => {
            let id = token.try_into().map(u64::from_be_bytes);
            Some(RollupId(id.map_err(|_| Failure::bad_cursor("page_token"))?))
        }
    };
    let mut entries: Vec<_> = ctx
        .node
        .genesis
        .rollups
        .iter()
        .filter(|entry| after.is_none_or(|after| entry.id > after))
        .collect();
    entries.sort_unstable_by_key(|entry| entry.id);
    let more = entries.len() > size;
    entries.truncate(size);
    let last = entries.last().filter(|_| more);
    Ok(v1::ListRollupsResponse {
        next_page_token: last.map_or_else(bytes::Bytes::new, |entry| {
            bytes::Bytes::copy_from_slice(&entry.id.0.to_be_bytes())
        }),
        rollups: entries
            .into_iter()
            .map(|entry| rollup(ctx, entry))
            .collect::<Result<_, _>>()?,
    })
}

fn get_rollup(
    ctx: &Context,
    request: &v1::GetRollupRequest,
) -> Result<v1::GetRollupResponse, Failure> {
    use v1::get_rollup_request::Rollup;
    let genesis = &ctx.node.genesis;
    let (found, message) = match &request.rollup {
        None => return Err(Failure::field("rollup", "missing")),
        Some(Rollup::RollupId(id)) => (
            genesis.rollup(RollupId(*id)),
            format!("rollup {id} is not registered"),
        ),
        // The name is not repeated: it is the client's text.
        Some(Rollup::Name(name)) => (
            genesis.rollups.iter().find(|entry| entry.name == *name),
            "no rollup has this name".to_owned(),
        ),
    };
    let entry = found.ok_or_else(|| Failure::new(Reason::UnknownRollup, message))?;
    Ok(v1::GetRollupResponse {
        rollup: Some(rollup(ctx, entry)?),
    })
}
