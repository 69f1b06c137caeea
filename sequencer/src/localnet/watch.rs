//! What is seen of a running local network: heights, rates, latency, and whether all operators agree.
//!
//! Every operator's stream of block headers is followed at once. Latency is the time from a block's
//! timestamp, set by its leader, to its arrival here: all processes share one clock.

use squad_client::v1;
use squad_primitives::{Digest, Height};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// Rates and latencies are those of the last seconds.
const WINDOW: Duration = Duration::from_secs(5);
/// Heights kept for comparison: an operator further behind is compared by the audit at the end.
const HEIGHTS_MAX: usize = 65_536;
/// Samples kept per operator.
const SAMPLES_MAX: usize = 4_096;

/// Blocks of all operators as they arrive.
#[derive(Debug, Default)]
pub struct Watch {
    nodes: Vec<NodeWatch>,
    /// Block hash and order root by height, as first seen.
    blocks: BTreeMap<u64, (Digest, Digest)>,
    transactions: u64,
    counted_to: u64,
    disagreement: Option<Height>,
    latencies_ms: Histogram,
}

#[derive(Debug, Default)]
struct NodeWatch {
    height: u64,
    samples: VecDeque<Sample>,
    status: Option<v1::GetStatusResponse>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    transactions: u32,
    latency_ms: u64,
}

/// A block header as it arrived from one operator.
#[derive(Clone, Copy, Debug)]
pub struct SeenBlock {
    /// Its height.
    pub height: u64,
    /// Its hash.
    pub hash: Digest,
    /// Root of its order.
    pub order_root: Digest,
    /// Its transactions.
    pub transactions: u32,
    /// Time since its timestamp; `None` if it was replayed from history.
    pub latency_ms: Option<u64>,
}

/// One operator as the table shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// Height of its last block.
    pub height: u64,
    /// Blocks behind the furthest operator.
    pub lag: u64,
    /// Blocks that it has and that are not final; `None` without certificates.
    pub final_lag: Option<u64>,
    /// Transactions per second.
    pub rate: u64,
    /// Median latency of its blocks; `None` without blocks.
    pub p50_ms: Option<u64>,
    /// 99th percentile.
    pub p99_ms: Option<u64>,
    /// Other operators connected to it.
    pub peers: Option<usize>,
    /// Transactions waiting in its queue.
    pub queued: u64,
    /// Whether it is catching up.
    pub syncing: bool,
    /// Whether it answers.
    pub answers: bool,
}

/// The run as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchSummary {
    /// Height of the last block.
    pub height: u64,
    /// Transactions ordered, counted once.
    pub transactions: u64,
    /// Median latency of blocks with transactions, over all operators.
    pub p50_ms: Option<u64>,
    /// 99th percentile.
    pub p99_ms: Option<u64>,
    /// First height at which two operators differed.
    pub disagreement: Option<Height>,
}

impl Watch {
    /// Watches this many operators.
    #[must_use]
    pub fn new(nodes: usize) -> Self {
        Self {
            nodes: (0..nodes).map(|_| NodeWatch::default()).collect(),
            ..Self::default()
        }
    }

    /// Takes a block of an operator.
    pub fn block(&mut self, node: usize, now: Instant, block: &SeenBlock) {
        let seen = (block.hash, block.order_root);
        let first = *self.blocks.entry(block.height).or_insert(seen);
        if first != seen && self.disagreement.is_none() {
            self.disagreement = Some(Height(block.height));
        }
        while self.blocks.len() > HEIGHTS_MAX {
            self.blocks.pop_first();
        }
        if block.height > self.counted_to {
            self.counted_to = block.height;
            self.transactions += u64::from(block.transactions);
        }
        let Some(node) = self.nodes.get_mut(node) else {
            return;
        };
        node.height = node.height.max(block.height);
        let Some(latency_ms) = block.latency_ms else {
            return;
        };
        if block.transactions > 0 {
            self.latencies_ms.record(latency_ms);
        }
        node.samples.push_back(Sample {
            at: now,
            transactions: block.transactions,
            latency_ms,
        });
        if node.samples.len() > SAMPLES_MAX {
            node.samples.pop_front();
        }
    }

    /// Takes an operator's status; `None` if it did not answer.
    pub fn status(&mut self, node: usize, status: Option<v1::GetStatusResponse>) {
        if let Some(node) = self.nodes.get_mut(node) {
            if let Some(status) = &status {
                node.height = node.height.max(status.ordered_height);
            }
            node.status = status;
        }
    }

    /// All operators.
    pub fn views(&mut self, now: Instant) -> Vec<NodeView> {
        let highest = self.nodes.iter().map(|node| node.height).max().unwrap_or(0);
        self.nodes
            .iter_mut()
            .map(|node| node.view(now, highest))
            .collect()
    }

    /// The run so far.
    #[must_use]
    pub fn summary(&self) -> WatchSummary {
        WatchSummary {
            height: self.counted_to,
            transactions: self.transactions,
            p50_ms: self.latencies_ms.quantile(0.5),
            p99_ms: self.latencies_ms.quantile(0.99),
            disagreement: self.disagreement,
        }
    }
}

impl NodeWatch {
    fn view(&mut self, now: Instant, highest: u64) -> NodeView {
        while self
            .samples
            .front()
            .is_some_and(|sample| now.duration_since(sample.at) > WINDOW)
        {
            self.samples.pop_front();
        }
        let transactions: u64 = self.samples.iter().map(|s| u64::from(s.transactions)).sum();
        let mut latencies: Vec<_> = self.samples.iter().map(|s| s.latency_ms).collect();
        latencies.sort_unstable();
        let quantile = |share: f64| {
            let index = (latencies.len() as f64 * share) as usize;
            latencies
                .get(index.min(latencies.len().saturating_sub(1)))
                .copied()
        };
        let status = self.status.as_ref();
        NodeView {
            height: self.height,
            lag: highest - self.height,
            final_lag: status.and_then(|status| {
                Some(status.ordered_height.saturating_sub(status.final_height?))
            }),
            rate: transactions / WINDOW.as_secs(),
            p50_ms: quantile(0.5),
            p99_ms: quantile(0.99),
            peers: status.map(|status| status.peers.iter().filter(|peer| peer.connected).count()),
            queued: status
                .and_then(|status| status.lane.as_ref())
                .map_or(0, |lane| lane.queued_transactions),
            syncing: status.is_some_and(|status| status.syncing),
            answers: status.is_some(),
        }
    }
}

/// Counts per millisecond up to ten seconds; the last bucket takes the rest.
#[derive(Debug)]
struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

const BUCKETS: usize = 10_001;

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            total: 0,
        }
    }
}

impl Histogram {
    fn record(&mut self, value_ms: u64) {
        let bucket = usize::try_from(value_ms)
            .unwrap_or(usize::MAX)
            .min(BUCKETS - 1);
        self.counts[bucket] += 1;
        self.total += 1;
    }

    fn quantile(&self, share: f64) -> Option<u64> {
        let target = (self.total as f64 * share) as u64;
        let mut below = 0;
        self.counts
            .iter()
            .position(|count| {
                below += count;
                below > target
            })
            .map(|bucket| bucket as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(height: u64, hash: u8, transactions: u32, latency_ms: u64) -> SeenBlock {
        SeenBlock {
            height,
            hash: Digest([hash; 32]),
            order_root: Digest([9; 32]),
            transactions,
            latency_ms: Some(latency_ms),
        }
    }

    #[test]
    fn transactions_count_once_and_rates_forget_old_blocks() {
        let mut watch = Watch::new(2);
        let start = Instant::now();
        for height in 1..=10 {
            for node in 0..2 {
                watch.block(node, start, &block(height, 1, 100, 20 + height));
            }
        }
        let views = watch.views(start);
        assert_eq!(
            (views[0].rate, views[0].p50_ms, views[0].p99_ms),
            (200, Some(26), Some(30))
        );
        assert_eq!(watch.summary().transactions, 1_000);
        watch.block(0, start, &block(11, 1, 0, 1));
        assert_eq!(watch.views(start)[1].lag, 1);
        let later = start + WINDOW + Duration::from_millis(1);
        assert_eq!(
            (watch.views(later)[0].rate, watch.views(later)[0].p50_ms),
            (0, None)
        );
        assert_eq!(watch.summary().disagreement, None);
    }

    #[test]
    fn the_first_height_with_two_hashes_is_reported() {
        let mut watch = Watch::new(2);
        let now = Instant::now();
        for (node, height, hash) in [
            (0, 1, 1),
            (1, 1, 1),
            (0, 2, 1),
            (1, 2, 2),
            (1, 3, 3),
            (0, 3, 1),
        ] {
            watch.block(node, now, &block(height, hash, 1, 1));
        }
        assert_eq!(watch.summary().disagreement, Some(Height(2)));
    }
}
