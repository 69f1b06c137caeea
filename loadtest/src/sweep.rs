//! The search for the knee: the highest rate that the network keeps up with.

use crate::measure::Summary;
use crate::plot::{Chart, Line, page};
use crate::report::Report;
use serde::{Deserialize, Serialize};

/// The search ends when the bounds are this close.
const RESOLUTION: f64 = 1.05;

/// Share of the asked rate that must come out ordered for a rate to count as kept up with.
pub const GOODPUT_MIN: f64 = 0.98;

/// Doubles the rate until it fails, then halves the distance between the best good and the lowest bad
/// rate.
#[derive(Clone, Debug)]
pub struct KneeSearch {
    next: u64,
    ceiling: u64,
    good: u64,
    bad: Option<u64>,
}

impl KneeSearch {
    /// Starts at a rate and never asks for more than `ceiling`.
    #[must_use]
    pub fn new(from: u64, ceiling: u64) -> Self {
        Self {
            next: from.clamp(1, ceiling.max(1)),
            ceiling: ceiling.max(1),
            good: 0,
            bad: None,
        }
    }

    /// The rate to try next, or `None` at the end of the search.
    #[must_use]
    pub fn next_rate(&self) -> Option<u64> {
        let over = match self.bad {
            Some(bad) => bad as f64 <= self.good as f64 * RESOLUTION || bad <= self.good + 1,
            None => self.good >= self.ceiling,
        };
        (!over).then_some(self.next)
    }

    /// Records whether the network kept up with the rate of [`KneeSearch::next_rate`].
    pub fn record(&mut self, kept_up: bool) {
        match kept_up {
            true => self.good = self.next,
            false => self.bad = Some(self.next),
        }
        self.next = match self.bad {
            Some(bad) => self.good + (bad - self.good) / 2,
            None => self.good.saturating_mul(2).min(self.ceiling),
        };
    }

    /// The highest rate that was kept up with; 0 if there was none.
    #[must_use]
    pub fn knee(&self) -> u64 {
        self.good
    }
}

/// Whether the network kept up: goodput near the asked rate, latency within the bound, all sent, and
/// nothing lost.
#[must_use]
pub fn kept_up(report: &Report, p99_us_max: u64) -> bool {
    report.valid
        && report.counts.refused == 0
        && report.goodput >= report.asked_rate * GOODPUT_MIN
        && report.ordered.p99_us <= p99_us_max
}

/// One run of a sweep.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// `search`, `hold` or `overload`.
    pub phase: String,
    /// Whether the network kept up.
    pub kept_up: bool,
    /// Asked rate.
    pub asked_rate: f64,
    /// Sent per second.
    pub achieved_rate: f64,
    /// Ordered per second.
    pub goodput: f64,
    /// Intended time to ordered.
    pub ordered: Summary,
    /// Processor time of all processes per ordered transaction.
    pub all_cpu_us_per_tx: Option<f64>,
    /// Largest memory of an operator, in bytes.
    pub operator_rss_bytes_max: Option<u64>,
    /// Refused transactions.
    pub refused: u64,
    /// Dropped transactions.
    pub dropped: u64,
    /// Problems of the run.
    pub problems: Vec<String>,
}

impl Point {
    /// Sums a run of a phase up.
    #[must_use]
    pub fn new(phase: &str, report: &Report, p99_us_max: u64) -> Self {
        Self {
            phase: phase.into(),
            kept_up: kept_up(report, p99_us_max),
            asked_rate: report.asked_rate,
            achieved_rate: report.achieved_rate,
            goodput: report.goodput,
            ordered: report.ordered,
            all_cpu_us_per_tx: report.cost.all_cpu_us_per_tx,
            operator_rss_bytes_max: report.cost.operators_rss_bytes_max.iter().copied().max(),
            refused: report.counts.refused,
            dropped: report.counts.dropped,
            problems: report.problems.clone(),
        }
    }

    /// One line for people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let verdict = if self.kept_up {
            "kept up"
        } else {
            "fell behind"
        };
        let cpu = self.all_cpu_us_per_tx;
        format!(
            "{:<9} asked {:>7.0}/s  sent {:>7.0}/s  ordered {:>7.0}/s  p50 {:>7.1}  p99 {:>8.1} ms  \
             CPU {:>6} µs/tx  refused {} dropped {}  {verdict}\n",
            self.phase,
            self.asked_rate,
            self.achieved_rate,
            self.goodput,
            self.ordered.p50_us as f64 / 1e3,
            self.ordered.p99_us as f64 / 1e3,
            cpu.map_or_else(|| "-".into(), |cpu| format!("{cpu:.1}")),
            self.refused,
            self.dropped,
        )
    }
}

/// The whole sweep.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SweepReport {
    /// Highest rate that was kept up with.
    pub knee: u64,
    /// Bound on the 99th percentile, in microseconds.
    pub p99_us_max: u64,
    /// All runs, in the order they were made.
    pub points: Vec<Point>,
}

impl SweepReport {
    /// One line per run.
    #[must_use]
    pub fn to_text(&self) -> String {
        let lines: String = self.points.iter().map(Point::to_text).collect();
        format!("{lines}knee: {} transactions per second\n", self.knee)
    }

    /// The page with the curves over the rate.
    #[must_use]
    pub fn to_page(&self) -> String {
        let mut points: Vec<&Point> = self.points.iter().collect();
        points.sort_by(|a, b| a.asked_rate.total_cmp(&b.asked_rate));
        let line = |name, value: fn(&Point) -> f64| Line {
            name,
            points: points.iter().map(|p| (p.asked_rate, value(p))).collect(),
        };
        let charts = [
            Chart {
                title: "Goodput".into(),
                x: "asked rate, per second",
                y: "per second",
                lines: vec![
                    line("asked", |p| p.asked_rate),
                    line("ordered", |p| p.goodput),
                ],
            },
            Chart {
                title: "Latency from intended time to ordered".into(),
                x: "asked rate, per second",
                y: "ms",
                lines: vec![
                    line("p50", |p| p.ordered.p50_us as f64 / 1e3),
                    line("p99", |p| p.ordered.p99_us as f64 / 1e3),
                ],
            },
            Chart {
                title: "Processor time per transaction, all processes".into(),
                x: "asked rate, per second",
                y: "µs",
                lines: vec![line("CPU", |p| p.all_cpu_us_per_tx.unwrap_or_default())],
            },
        ];
        page("Sweep", &self.to_text(), &charts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(capacity: u64, from: u64, ceiling: u64) -> (u64, usize) {
        let mut search = KneeSearch::new(from, ceiling);
        let mut runs = 0;
        while let Some(rate) = search.next_rate() {
            assert!(rate <= ceiling && rate > 0);
            search.record(rate <= capacity);
            runs += 1;
            assert!(runs < 40, "the search does not end");
        }
        (search.knee(), runs)
    }

    #[test]
    fn the_knee_is_found_to_five_percent() {
        for capacity in [1, 3, 1_000, 4_999, 5_000, 77_777, 100_000] {
            let (knee, runs) = search(capacity, 5_000, 1_000_000);
            assert!(knee <= capacity, "{capacity}: {knee}");
            assert!(
                knee as f64 * 1.05 >= (capacity - 1) as f64,
                "{capacity}: {knee}"
            );
            assert!(runs <= 20, "{capacity}: {runs} runs");
        }
    }

    #[test]
    fn the_ceiling_ends_the_search() {
        assert_eq!(search(u64::MAX, 5_000, 60_000).0, 60_000);
        assert_eq!(search(0, 5_000, 60_000).0, 0);
    }

    #[test]
    fn keeping_up_needs_goodput_latency_and_no_refusal() {
        let mut report = Report {
            valid: true,
            asked_rate: 1_000.0,
            goodput: 985.0,
            ..Report::default()
        };
        report.ordered.p99_us = 150_000;
        assert!(kept_up(&report, 150_000));
        assert!(!kept_up(&report, 149_999));
        report.goodput = 979.0;
        assert!(!kept_up(&report, 150_000));
        report.goodput = 1_000.0;
        report.counts.refused = 1;
        assert!(!kept_up(&report, 150_000));
    }
}
