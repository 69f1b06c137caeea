//! The consistency check at the end of a run: the operators' chains are compared at the highest block
//! that all of them hold. A block's hash covers all blocks before it; the order root is compared beside
//! it, because the order is derived from the block and not part of its hash.

use super::state::NodeState;
use squad_client::{Endpoint, EndpointError, Refusal, v1};
use std::time::Duration;
use v1::get_block_request::Block as Which;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A check that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Height that was compared; 0 if there is no block yet.
    pub height: u64,
    /// Operators that were compared.
    pub operators: usize,
}

/// Why the check failed or could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// Two operators hold different blocks.
    #[error("operators {one} and {other} hold different blocks at height {height}")]
    Disagreement {
        /// An operator.
        one: usize,
        /// Another one.
        other: usize,
        /// The height.
        height: u64,
    },
    /// An operator did not answer.
    #[error("operator {operator}: {refusal}")]
    Refused {
        /// The operator.
        operator: usize,
        /// Its answer.
        refusal: Refusal,
    },
    /// An operator was too slow.
    #[error("operator {0} did not answer within {ANSWER_TIMEOUT:?}")]
    TimedOut(usize),
    /// An answer lacks its header.
    #[error("operator {0}: the answer lacks the block's header or result")]
    Malformed(usize),
    /// An address that is none.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

/// Compares the operators that are running.
///
/// # Errors
/// See [`AuditError`].
pub async fn audit(nodes: &[NodeState]) -> Result<Audit, AuditError> {
    let mut running = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        if node.running().is_some() {
            running.push((index, Endpoint::new(&node.endpoint())?));
        }
    }
    let mut height = u64::MAX;
    for (index, endpoint) in &running {
        let mut client = endpoint.operators();
        let status = answer(*index, client.get_status(v1::GetStatusRequest {})).await?;
        height = height.min(status.ordered_height);
    }
    let audit = Audit {
        height: if running.is_empty() { 0 } else { height },
        operators: running.len(),
    };
    if audit.height == 0 {
        return Ok(audit);
    }
    let mut first = None;
    for (index, endpoint) in &running {
        let request = v1::GetBlockRequest {
            block: Some(Which::Height(height)),
            view: v1::BlockView::Header.into(),
            ..Default::default()
        };
        let mut client = endpoint.blocks();
        let response = answer(*index, client.get_block(request)).await?;
        let block = response
            .header
            .and_then(|header| Some((header.hash, header.result?.order_root)))
            .ok_or(AuditError::Malformed(*index))?;
        match &first {
            None => first = Some((*index, block)),
            Some((one, expected)) if *expected != block => {
                return Err(AuditError::Disagreement {
                    one: *one,
                    other: *index,
                    height,
                });
            }
            Some(_) => {}
        }
    }
    Ok(audit)
}

async fn answer<T>(
    operator: usize,
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, AuditError> {
    match tokio::time::timeout(ANSWER_TIMEOUT, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(AuditError::Refused {
            operator,
            refusal: status.into(),
        }),
        Err(_) => Err(AuditError::TimedOut(operator)),
    }
}
