//! Latency histograms and their summaries.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Smallest and largest latency that is told apart: 1 µs to 60 s, three digits. Longer ones count as
/// 60 s, which no bound accepts.
const LATENCY_US_MAX: u64 = 60_000_000;

/// Latencies in microseconds.
#[derive(Clone, Debug)]
pub struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

impl Latency {
    /// An empty histogram.
    #[must_use]
    pub fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3);
        Self(histogram.expect("the bounds are constants that the crate accepts"))
    }

    /// Counts one latency.
    pub fn record(&mut self, latency_us: u64) {
        self.0
            .saturating_record(latency_us.clamp(1, LATENCY_US_MAX));
    }

    /// Counts `count` equal latencies.
    pub fn record_n(&mut self, latency_us: u64, count: u64) {
        self.0
            .saturating_record_n(latency_us.clamp(1, LATENCY_US_MAX), count);
    }

    /// Adds another histogram's counts.
    pub fn add(&mut self, other: &Self) {
        self.0
            .add(&other.0)
            .expect("all histograms have the same bounds");
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Number of latencies.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency that a share of all does not exceed, in microseconds; 0 if nothing was recorded.
    #[must_use]
    pub fn quantile(&self, share: f64) -> u64 {
        self.0.value_at_quantile(share)
    }

    /// The usual figures.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary {
            count: self.count(),
            mean_us: self.0.mean() as u64,
            p50_us: self.quantile(0.5),
            p90_us: self.quantile(0.9),
            p99_us: self.quantile(0.99),
            p999_us: self.quantile(0.999),
            max_us: self.0.max(),
        }
    }

    /// Points of the distribution for a plot: (percentile, microseconds), denser towards the end.
    #[must_use]
    pub fn curve(&self) -> Vec<(f64, u64)> {
        if self.0.is_empty() {
            return Vec::new();
        }
        self.0
            .iter_quantiles(4)
            .map(|step| (step.percentile(), step.value_iterated_to()))
            .collect()
    }
}

/// A histogram in seven figures; times in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Number of latencies.
    pub count: u64,
    /// Arithmetic mean.
    pub mean_us: u64,
    /// Median.
    pub p50_us: u64,
    /// 90th percentile.
    pub p90_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// 99.9th percentile.
    pub p999_us: u64,
    /// Largest.
    pub max_us: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_exact_to_three_digits() {
        let mut latency = Latency::new();
        for value in 1..=100_000 {
            latency.record(value);
        }
        let summary = latency.summary();
        assert_eq!(summary.count, 100_000);
        for (found, exact) in [
            (summary.p50_us, 50_000_f64),
            (summary.p90_us, 90_000.0),
            (summary.p99_us, 99_000.0),
            (summary.p999_us, 99_900.0),
            (summary.max_us, 100_000.0),
        ] {
            assert!(
                (found as f64 / exact - 1.0).abs() < 0.001,
                "{found} {exact}"
            );
        }
    }

    #[test]
    fn latencies_outside_the_range_still_count() {
        let mut latency = Latency::new();
        latency.record(0);
        latency.record(u64::MAX);
        assert_eq!(latency.count(), 2);
        assert_eq!(latency.quantile(0.0), 1);
        assert!(latency.summary().max_us >= 60_000_000);
    }

    #[test]
    fn adding_equals_recording_together() {
        let (mut a, mut b, mut both) = (Latency::new(), Latency::new(), Latency::new());
        for value in 1..1_000_u64 {
            let target = if value % 3 == 0 { &mut a } else { &mut b };
            target.record(value * 17);
            both.record(value * 17);
        }
        a.add(&b);
        assert_eq!(a.summary(), both.summary());
    }
}
