//! Watches the blocks of one operator for the run's transactions.

use super::tracker::Tracker;
use super::{Clock, lock};
use squad_client::{BlockStream, Content, Endpoint, StreamError, Subscription};
use squad_primitives::Height;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long the network may stand still before the run gives up following it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads blocks until the task is aborted or following becomes impossible.
pub(crate) async fn follow(
    endpoints: Arc<[Endpoint]>,
    from: Height,
    head: Arc<AtomicU64>,
    tracker: Arc<Mutex<Tracker>>,
    clock: Clock,
) -> StreamError {
    let subscription = Subscription {
        from: Some(from),
        rollup: None,
        content: Content::Ids,
        patience: PATIENCE,
    };
    let mut stream = BlockStream::new(endpoints, 0, subscription);
    loop {
        match stream.next().await {
            Ok(block) => {
                head.fetch_max(block.height.0, Ordering::Relaxed);
                let now_us = clock.now_us();
                let mut tracker = lock(&tracker);
                for entries in &block.entries {
                    tracker.on_ordered(block.height.0, &entries.tx_ids, now_us);
                }
            }
            Err(error) => return error,
        }
    }
}
