//! Reads one operator's blocks.

use super::Expected;
use crate::run::tracker::prefixes;
use squad_client::{BlockStream, Content, Endpoint, StreamError, Subscription};
use squad_primitives::Height;
use std::time::Duration;

/// What one operator delivered.
#[derive(Clone, Debug, Default)]
pub struct OperatorScan {
    /// Digest over block hash and ids, by height from the first one.
    pub blocks: Vec<[u8; 32]>,
    /// How often each expected transaction was ordered; stays at 255 beyond.
    pub counts: Vec<u8>,
    /// Transactions in the run's rollups that the run did not send.
    pub strangers: u64,
}

/// Reads an operator's blocks from `first` to `last`.
///
/// # Errors
/// Those of the stream: refused, given up after `patience`, or inconsistent.
pub async fn scan(
    endpoint: &Endpoint,
    first: Height,
    last: Height,
    expected: &Expected,
    patience: Duration,
) -> Result<OperatorScan, StreamError> {
    let subscription = Subscription {
        from: Some(first),
        rollup: None,
        content: Content::Ids,
        patience,
    };
    let mut stream = BlockStream::new([endpoint.clone()].into(), 0, subscription);
    let mut scanned = OperatorScan {
        counts: vec![0; expected.len()],
        ..OperatorScan::default()
    };
    loop {
        let block = stream.next().await?;
        let mut digest = blake3::Hasher::new();
        digest.update(&block.header.hash);
        // Operators may cut a rollup's ids into entries differently.
        let mut rollup = None;
        for entries in &block.entries {
            if rollup.replace(entries.rollup_id) != Some(entries.rollup_id) {
                digest.update(&entries.rollup_id.to_le_bytes());
            }
            digest.update(&entries.tx_ids);
            for prefix in prefixes(&entries.tx_ids) {
                match expected.find(prefix) {
                    Some(index) => {
                        scanned.counts[index] = scanned.counts[index].saturating_add(1);
                    }
                    None => scanned.strangers += u64::from(expected.covers(entries.rollup_id)),
                }
            }
        }
        scanned.blocks.push(*digest.finalize().as_bytes());
        if block.height >= last {
            return Ok(scanned);
        }
    }
}
