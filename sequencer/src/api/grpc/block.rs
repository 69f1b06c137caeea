//! `BlockService`: final blocks, batches and proofs.

use super::block_stream::Blocks;
use super::{Items, client};
use crate::api::blocks::{Located, Lookup};
use crate::api::context::{Context, Shared, blocking};
use crate::api::cursor::{CursorForm, Position, Stage};
use crate::api::entries::{Selection, page};
use crate::api::errors::{Failure, LaneSeq};
use crate::api::feed::feed;
use crate::api::{proofs, status};
use crate::node::record::OrderedBlock;
use squad_primitives::{Batch, BatchSeq, Digest, Height, OperatorId, RollupId, TxId};
use squad_proto::reason::Reason;
use squad_proto::v1;
use squad_proto::v1::block_service_server::BlockService;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// Entries of one answer, in bytes.
const PAGE_BYTES: usize = 2 << 20;

/// The service.
#[derive(Debug)]
pub(super) struct Service(pub(super) Shared);

#[tonic::async_trait]
impl BlockService for Service {
    async fn get_block(
        &self,
        request: Request<v1::GetBlockRequest>,
    ) -> Result<Response<v1::GetBlockResponse>, Status> {
        let ctx = Arc::clone(&self.0);
        let request = request.into_inner();
        let height = height_of(&self.0, &request);
        let work = move || get_block(&ctx, &request);
        Ok(Response::new(self.0.read_at(height, work).await?))
    }

    type SubscribeBlocksStream = Items<v1::SubscribeBlocksResponse>;

    async fn subscribe_blocks(
        &self,
        request: Request<v1::SubscribeBlocksRequest>,
    ) -> Result<Response<Self::SubscribeBlocksStream>, Status> {
        let slot = self.0.open_stream(&client(&request)?)?;
        let (source, form) = Blocks::open(&self.0, request.get_ref())?;
        let items = feed(Arc::clone(&self.0), source, form, slot);
        Ok(Response::new(items))
    }

    async fn get_inclusion_proof(
        &self,
        request: Request<v1::GetInclusionProofRequest>,
    ) -> Result<Response<v1::GetInclusionProofResponse>, Status> {
        let ctx = Arc::clone(&self.0);
        let request = request.into_inner();
        Ok(Response::new(
            blocking(move || get_inclusion_proof(&ctx, &request)).await?,
        ))
    }

    async fn get_batch(
        &self,
        request: Request<v1::GetBatchRequest>,
    ) -> Result<Response<v1::GetBatchResponse>, Status> {
        let ctx = Arc::clone(&self.0);
        let request = request.into_inner();
        let work = move || get_batch(&ctx, &request);
        Ok(Response::new(self.0.read_history(work).await?))
    }
}

/// Reads a digest of a request.
pub(super) fn digest(field: &'static str, bytes: &[u8]) -> Result<Digest, Failure> {
    bytes.try_into().map(Digest).map_err(|_| {
        let problem = format_args!("{} bytes, must be 32", bytes.len()).to_string();
        Failure::field(field, problem)
    })
}

/// The height that a request is about, if it says so; else that of genesis, which is history.
fn height_of(ctx: &Context, request: &v1::GetBlockRequest) -> Height {
    use v1::get_block_request::Block;
    match request.block {
        // A token may name another block.
        _ if !request.page_token.is_empty() => Height::ZERO,
        Some(Block::Height(height)) => Height(height),
        Some(Block::Latest(_)) => ctx.head(),
        Some(Block::Hash(_)) | None => Height::ZERO,
    }
}

fn find_block(ctx: &Context, request: &v1::GetBlockRequest) -> Result<Arc<OrderedBlock>, Failure> {
    use v1::get_block_request::Block;
    match &request.block {
        None => Err(Failure::field("block", "missing")),
        Some(Block::Height(0)) => Err(Failure::field("height", "0 is genesis, which has no block")),
        Some(Block::Height(height)) => ctx.block_at(Height(*height)),
        Some(Block::Hash(hash)) => {
            let hash = digest("hash", hash)?;
            let unknown =
                || Failure::new(Reason::UnknownBlock, format!("no block has hash {hash}"));
            let height = ctx.node.reader.height_of(&hash)?;
            // A block may be stored a moment before it is published.
            let height = height.filter(|height| *height <= ctx.head());
            ctx.block_at(height.ok_or_else(unknown)?)
        }
        Some(Block::Latest(true)) => match ctx.head() {
            Height::ZERO => Err(Failure::future(Height(1), Height::ZERO)),
            head => ctx.block_at(head),
        },
        Some(Block::Latest(false)) => Err(Failure::field("latest", "must be true")),
    }
}

fn get_block(
    ctx: &Context,
    request: &v1::GetBlockRequest,
) -> Result<v1::GetBlockResponse, Failure> {
    let view = match v1::BlockView::try_from(request.view) {
        Ok(v1::BlockView::Unspecified) => v1::BlockView::Ids,
        Ok(view) => view,
        Err(_) => {
            let problem = format!("unknown value {}", request.view);
            return Err(Failure::field("view", problem));
        }
    };
    let rollup = request.rollup_id.map(RollupId);
    let id = request.rollup_id.map(u64::to_be_bytes);
    let form = CursorForm::new(
        &ctx.node.network,
        "squad/page/block/v1",
        &[id.as_ref().map_or(&[], |id| id.as_slice()), &[view as u8]],
    );
    let (block, from) = if request.page_token.is_empty() {
        (find_block(ctx, request)?, 0)
    } else {
        // `latest` may have moved on since the first page: the token names the block.
        let at = form.decode("page_token", &request.page_token)?;
        (ctx.block_at(at.height)?, at.index)
    };
    let mut response = v1::GetBlockResponse::default();
    if from == 0 {
        response.header = Some(proofs::header(ctx, &block, rollup));
    }
    if view == v1::BlockView::Header {
        return Ok(response);
    }
    let selection = Selection {
        rollup,
        payload: view == v1::BlockView::Full,
    };
    let load = |index| ctx.bodies.of_block(&ctx.node, &block, index);
    let page = page(&block, selection, load, from, PAGE_BYTES)?;
    response.entries = page.entries;
    if let Some(index) = page.next {
        response.next_page_token = form.encode(Position {
            height: block.height(),
            stage: Stage::Ordered,
            index,
        });
    }
    Ok(response)
}

/// Why there is no proof for a transaction that is in no kept block.
fn not_ordered(ctx: &Context, id: &TxId) -> Result<Failure, Failure> {
    let Some((status, _)) = status::find(ctx, id)? else {
        return Ok(ctx.unknown_tx(id));
    };
    let message = format!("transaction {id} is not ordered");
    Ok(Failure::new(Reason::NotOrdered, message).with("status", status.status().as_str_name()))
}

fn find_transaction(
    ctx: &Context,
    request: &v1::GetInclusionProofRequest,
) -> Result<Located, Failure> {
    use v1::get_inclusion_proof_request::Transaction;
    match &request.transaction {
        None => Err(Failure::field("transaction", "missing")),
        Some(Transaction::TxId(id)) => {
            let id = digest("tx_id", id)?;
            match ctx.locate(&id)? {
                Lookup::Found(found) => Ok(found),
                Lookup::Pruned(height) => Err(Failure::pruned(height, ctx.node.reader.earliest())),
                Lookup::Unknown => Err(not_ordered(ctx, &id)?),
            }
        }
        Some(Transaction::Position(at)) => {
            let block = ctx.block_at(Height(at.height))?;
            let found = Located::at(block, RollupId(at.rollup_id), at.position);
            found.ok_or_else(|| {
                let message = format!(
                    "block {} holds no transaction {} of rollup {}",
                    at.height, at.position, at.rollup_id
                );
                Failure::new(Reason::UnknownTx, message)
            })
        }
    }
}

fn get_inclusion_proof(
    ctx: &Context,
    request: &v1::GetInclusionProofRequest,
) -> Result<v1::GetInclusionProofResponse, Failure> {
    let found = find_transaction(ctx, request)?;
    Ok(v1::GetInclusionProofResponse {
        tx_id: proofs::bytes_of(&found.id()),
        position: Some(v1::Position {
            height: found.block.height().0,
            rollup_id: found.part().leaf.rollup.0,
            position: u32::try_from(found.position()).unwrap_or(u32::MAX),
        }),
        availability: Some(proofs::availability_proof(ctx, &found)?),
        order: Some(proofs::order_proof(ctx, &found)?),
    })
}

fn find_batch(ctx: &Context, request: &v1::GetBatchRequest) -> Result<Batch, Failure> {
    use v1::get_batch_request::Batch;
    let held = |digest: &Digest| ctx.node.reader.batch(digest).map_err(Failure::from);
    match &request.batch {
        None => Err(Failure::field("batch", "missing")),
        Some(Batch::Digest(bytes)) => {
            let digest = digest("digest", bytes)?;
            held(&digest)?.ok_or_else(|| Failure::unknown_batch(digest))
        }
        Some(Batch::Position(at)) => {
            let (lane, seq) = (OperatorId(at.lane), BatchSeq(at.seq));
            let unknown = || Failure::unknown_batch(LaneSeq(lane, seq));
            if seq == BatchSeq::ZERO {
                return Err(Failure::field("position.seq", "batches count from 1"));
            }
            let own = ctx.own.as_ref().filter(|own| own.lane() == lane);
            if let Some(batch) = own.and_then(|own| own.get(seq)) {
                return Ok(batch);
            }
            let (block, index) = ctx.block_of_batch(lane, seq)?.ok_or_else(unknown)?;
            let signed = block.headers.get(index).ok_or_else(unknown)?;
            held(&signed.header.digest(&ctx.node.network))?.ok_or_else(unknown)
        }
    }
}

fn get_batch(
    ctx: &Context,
    request: &v1::GetBatchRequest,
) -> Result<v1::GetBatchResponse, Failure> {
    let batch = find_batch(ctx, request)?;
    let transactions = (0..batch.ids().len()).filter_map(|index| batch.encoded(index));
    Ok(v1::GetBatchResponse {
        digest: proofs::bytes_of(&batch.digest()),
        header: Some(batch.signed().into()),
        tx_ids: proofs::ids_of(&batch),
        transactions: transactions.collect(),
    })
}
