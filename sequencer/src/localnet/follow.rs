//! Feeding a [`Watch`] from the operators' APIs.

use super::state::NodeState;
use super::watch::{SeenBlock, Watch};
use squad_client::{Endpoint, EndpointError, v1};
use squad_primitives::Digest;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use v1::subscribe_blocks_request::From;
use v1::subscribe_blocks_response::Item;

/// Wait before a broken stream is opened again.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// How often an operator's status is asked for.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);
/// Longest wait for a status.
const STATUS_TIMEOUT: Duration = Duration::from_secs(2);

/// A watch that tasks share.
pub type SharedWatch = Arc<Mutex<Watch>>;

/// The watch, for a moment.
pub fn locked(watch: &SharedWatch) -> MutexGuard<'_, Watch> {
    // Nothing in it can be left half done: a panic would have ended the process.
    watch.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Follows all operators until `stop`.
///
/// # Errors
/// An address that is none.
pub fn follow(nodes: &[NodeState], stop: &CancellationToken) -> Result<SharedWatch, EndpointError> {
    let watch: SharedWatch = Arc::new(Mutex::new(Watch::new(nodes.len())));
    for (index, node) in nodes.iter().enumerate() {
        let endpoint = Endpoint::new(&node.endpoint())?;
        let (blocks, statuses) = (watch.clone(), watch.clone());
        let stream = follow_blocks(index, endpoint.clone(), blocks);
        let status = follow_status(index, endpoint, statuses);
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = stream => {}
                () = status => {}
            }
        });
    }
    Ok(watch)
}

async fn follow_status(index: usize, endpoint: Endpoint, watch: SharedWatch) {
    let mut client = endpoint.operators();
    loop {
        let call = client.get_status(v1::GetStatusRequest {});
        let status = match tokio::time::timeout(STATUS_TIMEOUT, call).await {
            Ok(Ok(response)) => Some(response.into_inner()),
            _ => None,
        };
        locked(&watch).status(index, status);
        tokio::time::sleep(STATUS_INTERVAL).await;
    }
}

async fn follow_blocks(index: usize, endpoint: Endpoint, watch: SharedWatch) {
    let mut client = endpoint.blocks();
    // Live at first. After a break the missed blocks are replayed, so that all are compared.
    let mut next = 0;
    loop {
        let request = v1::SubscribeBlocksRequest {
            from: Some(From::FromHeight(next)),
            headers_only: true,
            ..Default::default()
        };
        if let Ok(response) = client.subscribe_blocks(request).await {
            let mut stream = response.into_inner();
            let mut replayed_to = 0;
            while let Ok(Some(message)) = stream.message().await {
                match message.item {
                    Some(Item::Hello(hello)) => replayed_to = hello.head_height,
                    Some(Item::Block(part)) => {
                        if let Some(block) = seen(&part, replayed_to) {
                            next = block.height + 1;
                            locked(&watch).block(index, Instant::now(), &block);
                        }
                    }
                    Some(Item::Heartbeat(_)) | None => {}
                }
            }
        }
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
}

fn seen(part: &v1::BlockPart, replayed_to: u64) -> Option<SeenBlock> {
    let header = part.header.as_ref()?;
    let result = header.result.as_ref()?;
    let timestamp_ms = header.block.as_ref()?.timestamp_ms;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let latency_ms = u64::try_from(now.as_millis())
        .ok()?
        .saturating_sub(timestamp_ms);
    Some(SeenBlock {
        height: part.height,
        hash: Digest::try_from(&header.hash[..]).ok()?,
        order_root: Digest::try_from(&result.order_root[..]).ok()?,
        transactions: result.tx_count,
        latency_ms: (part.height > replayed_to).then_some(latency_ms),
    })
}
