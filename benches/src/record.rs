//! What happened when, and the figures that follow from it.
//!
//! The latency of a block at a replica is the time from the leader's handing the proposal to the
//! network (after signing, encoding and the durable record) until the replica's commit of that block
//! is in its store. The latency of a block is the median over the replicas observed. Percentiles are
//! over blocks proposed inside the window that were committed at all.

use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Hash of a block, of whatever engine.
pub type BlockHash = [u8; 32];

/// Events of one replica, in time order. Times count from the start of the run.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Proposals handed to the network: time, view, block.
    pub proposals: Vec<(Duration, u64, BlockHash)>,
    /// Blocks committed.
    pub commits: Vec<(Duration, BlockHash)>,
}

/// Logs that many threads write in real time.
#[derive(Debug)]
pub struct Recorder {
    start: Instant,
    logs: Vec<Mutex<Log>>,
}

impl Recorder {
    /// Empty logs; time starts now.
    #[must_use]
    pub fn new(replicas: usize) -> Self {
        Self {
            start: Instant::now(),
            logs: (0..replicas).map(|_| Mutex::default()).collect(),
        }
    }

    /// Time since the start.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn log(&self, replica: usize) -> MutexGuard<'_, Log> {
        let log = self.logs[replica].lock();
        log.unwrap_or_else(PoisonError::into_inner)
    }

    /// A replica hands a proposal to the network.
    pub fn proposed(&self, replica: usize, view: u64, block: BlockHash) {
        let now = self.now();
        self.log(replica).proposals.push((now, view, block));
    }

    /// A replica has committed a block.
    pub fn committed(&self, replica: usize, block: BlockHash) {
        let now = self.now();
        self.log(replica).commits.push((now, block));
    }

    /// The logs so far.
    #[must_use]
    pub fn logs(&self) -> Vec<Log> {
        let replicas = 0..self.logs.len();
        replicas.map(|replica| self.log(replica).clone()).collect()
    }
}

/// A span of a run, `[from, to)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Start.
    pub from: Duration,
    /// End.
    pub to: Duration,
}

impl Window {
    /// Whether a time lies inside.
    #[must_use]
    pub fn contains(&self, time: Duration) -> bool {
        self.from <= time && time < self.to
    }

    /// Length in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        (self.to - self.from).as_secs_f64()
    }
}

/// Figures of one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Blocks committed by the median replica.
    pub commits: usize,
    /// The same per second.
    pub commits_per_s: f64,
    /// Views in which something was proposed, and those between them.
    pub views: u64,
    /// Median proposal-to-commit latency; 0 without commits.
    pub latency_p50_ms: f64,
    /// 99th percentile of it; 0 without commits.
    pub latency_p99_ms: f64,
    /// Longest time without a commit at the replica that had the longest.
    pub longest_gap_ms: f64,
    /// Time from the end of the last commit to the end of the window, at the replica where it is
    /// shortest. If this is as long as the window, nothing was committed in it by anybody.
    pub silent_at_end_ms: f64,
}

/// Figures of a window, as seen by the replicas `observed`.
#[must_use]
pub fn figures(logs: &[Log], observed: &[usize], window: Window) -> Figures {
    let mut proposed: BTreeMap<BlockHash, Duration> = BTreeMap::new();
    let mut views: Option<(u64, u64)> = None;
    let proposals = logs.iter().flat_map(|log| &log.proposals);
    for (at, view, block) in proposals.filter(|(at, ..)| window.contains(*at)) {
        let first = proposed.entry(*block).or_insert(*at);
        *first = (*first).min(*at);
        let (low, high) = views.unwrap_or((*view, *view));
        views = Some((low.min(*view), high.max(*view)));
    }
    let mut latencies: BTreeMap<BlockHash, Vec<f64>> = BTreeMap::new();
    let mut counts = Vec::new();
    let mut longest_gap = Duration::ZERO;
    let mut silent_at_end = Duration::MAX;
    for replica in observed {
        let commits = &logs[*replica].commits;
        for (at, block) in commits {
            if let Some(from) = proposed.get(block) {
                let latency = millis(at.saturating_sub(*from));
                latencies.entry(*block).or_default().push(latency);
            }
        }
        let inside = commits.iter().filter(|(at, _)| window.contains(*at));
        counts.push(inside.clone().count() as f64);
        let mut last = window.from;
        for (at, _) in inside {
            longest_gap = longest_gap.max(*at - last);
            last = *at;
        }
        longest_gap = longest_gap.max(window.to - last);
        silent_at_end = silent_at_end.min(window.to - last);
    }
    let of_blocks: Vec<f64> = latencies.into_values().map(median).collect();
    let commits = median(counts);
    Figures {
        commits: commits as usize,
        commits_per_s: commits / window.seconds(),
        views: views.map_or(0, |(low, high)| high - low + 1),
        latency_p50_ms: percentile(of_blocks.clone(), 0.50),
        latency_p99_ms: percentile(of_blocks, 0.99),
        longest_gap_ms: millis(longest_gap),
        silent_at_end_ms: millis(silent_at_end.min(window.to - window.from)),
    }
}

/// Time from `from` to the first commit after it, at the first and at the last of the replicas;
/// `None` for replicas that never commit again.
#[must_use]
pub fn resumed(logs: &[Log], observed: &[usize], from: Duration) -> [Option<Duration>; 2] {
    let firsts = observed.iter().map(|replica| {
        let mut commits = logs[*replica].commits.iter();
        commits
            .find(|(at, _)| *at >= from)
            .map(|(at, _)| *at - from)
    });
    let firsts: Vec<_> = firsts.collect();
    let first = firsts.iter().flatten().min().copied();
    let all: Option<Vec<_>> = firsts.into_iter().collect();
    [first, all.and_then(|all| all.into_iter().max())]
}

/// A duration in milliseconds.
#[must_use]
pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Middle value, the lower one of an even number; 0 of none.
#[must_use]
pub fn median(values: Vec<f64>) -> f64 {
    percentile(values, 0.50)
}

/// Nearest-rank percentile; 0 of none.
fn percentile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let rank = (share * values.len() as f64).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Four replicas that commit block i, proposed at 100 i, after 10, 20, 30 and 40 ms.
    fn logs(blocks: u8) -> Vec<Log> {
        let mut logs = vec![Log::default(); 4];
        for block in 0..blocks {
            let at = ms(100 * u64::from(block));
            logs[usize::from(block) % 4]
                .proposals
                .push((at, u64::from(block) + 5, [block; 32]));
            for (log, delay) in logs.iter_mut().zip([10, 20, 30, 40]) {
                log.commits.push((at + ms(delay), [block; 32]));
            }
        }
        logs
    }

    #[test]
    fn latency_is_the_median_over_replicas() {
        let window = Window {
            from: ms(200),
            to: ms(1_000),
        };
        let figures = figures(&logs(10), &[0, 1, 2, 3], window);
        assert!((figures.latency_p50_ms - 20.0).abs() < 1e-9);
        assert_eq!((figures.commits, figures.views), (8, 8));
        assert!((figures.commits_per_s - 10.0).abs() < 1e-9);
        // The last commit comes at 910 to 940 ms; between two lie 100 ms.
        assert!((figures.longest_gap_ms - 100.0).abs() < 1e-9);
        assert!((figures.silent_at_end_ms - 60.0).abs() < 1e-9);
    }

    #[test]
    fn silence_counts_up_to_the_end_of_the_window() {
        let window = Window {
            from: ms(500),
            to: ms(5_000),
        };
        let figures = figures(&logs(10), &[0, 1], window);
        assert!((figures.longest_gap_ms - 4_090.0).abs() < 1e-9);
        assert_eq!(resumed(&logs(10), &[0, 3], ms(815))[0], Some(ms(25)));
        assert_eq!(resumed(&logs(10), &[0, 3], ms(815))[1], Some(ms(95)));
        assert_eq!(resumed(&logs(10), &[0, 3], ms(915)), [Some(ms(25)), None]);
    }
}
