//! What an overload did, and what is asked of it.

use super::ms;
use crate::generator::Figures;
use crate::memory::rise;
use crate::verdict::Verdict;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// Least goodput under overload, as a share of the peak.
const GOODPUT_MIN: f64 = 0.9;
/// Largest 99th percentile of what was admitted, as a multiple of the calm one.
const P99_MAX: f64 = 2.0;
/// Least goodput of a rollup, as a share of what is fairly its own.
const SHARE_MIN: f64 = 0.9;
/// Most growth of an operator's memory over the second half, as a share of its size, and in bytes.
const RISE_MAX: f64 = 0.05;
const RISE_BYTES_MAX: f64 = (16 << 20) as f64;
/// Reasons with which a node may refuse for lack of room.
const REASONS: [&str; 4] = ["QUEUE_FULL", "ROLLUP_SHARE", "LANE_WINDOW", "RATE_LIMIT"];

/// One rollup's part of the overload.
#[derive(Clone, Debug, Serialize)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// Offered transactions per second.
    pub rate: u64,
    /// Ordered transactions per second, after the warm-up, until the load ends.
    pub goodput: f64,
    /// Admitted transactions.
    pub accepted: u64,
    /// Refused ones.
    pub refused: u64,
    /// Ones that found no connection with room.
    pub dropped: u64,
    /// Sent without an answer.
    pub unanswered: u64,
    /// Refusals by reason.
    pub errors: BTreeMap<String, u64>,
    /// Refused transactions with a delay.
    pub delayed: u64,
    /// Median and 99th percentile of those delays, in microseconds.
    pub delay_us: (u64, u64),
    /// Intended time to ordered of admitted ones, median and 99th percentile, in microseconds.
    pub ordered_us: (u64, u64),
    /// 99th percentile of the generator's own lateness, in microseconds.
    pub send_lag_p99_us: u64,
}

impl Phase {
    pub(super) fn new(name: &str, rate: u64, figures: &Figures, from: u64, to: u64) -> Self {
        let counts = &figures.counts;
        Self {
            name: name.to_owned(),
            rate,
            goodput: figures.goodput(from, to),
            accepted: counts.accepted,
            refused: counts.refused,
            dropped: counts.dropped,
            unanswered: counts.unanswered,
            errors: figures.errors.clone(),
            delayed: figures.retry_after.count,
            delay_us: (figures.retry_after.p50_us, figures.retry_after.p99_us),
            ordered_us: (figures.ordered.p50_us, figures.ordered.p99_us),
            send_lag_p99_us: figures.send_lag.p99_us,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<7} offered {:>6}/s, ordered {:>5.0}/s; accepted {}, refused {}, dropped {}, unanswered {}; \
             p50 {:.0} ms, p99 {:.0} ms; refused with {:?}, delays p50 {:.0} ms, p99 {:.0} ms; generator late by \
             {:.0} ms at p99",
            self.name,
            self.rate,
            self.goodput,
            self.accepted,
            self.refused,
            self.dropped,
            self.unanswered,
            ms(self.ordered_us.0),
            ms(self.ordered_us.1),
            self.errors,
            ms(self.delay_us.0),
            ms(self.delay_us.1),
            ms(self.send_lag_p99_us),
        )
    }
}

/// A whole run.
#[derive(Clone, Debug, Serialize)]
pub struct OverloadReport {
    /// Length of the overload.
    pub seconds: u64,
    /// Offered load over peak.
    pub factor: u64,
    /// Blocks per second with little load.
    pub block_rate: f64,
    /// Transactions per second that blocks of that rate hold.
    pub estimate: u64,
    /// Highest goodput of the search.
    pub peak: f64,
    /// Median at half of the peak, in microseconds.
    pub calm_p50_us: u64,
    /// 99th percentile at half of the peak, in microseconds.
    pub calm_p99_us: u64,
    /// Parts of the overload.
    pub phases: Vec<Phase>,
    /// Resident memory of each operator during the overload, in bytes, every half second.
    pub memory: Vec<Vec<u64>>,
    /// Accepted transactions of all phases.
    pub acknowledged: u64,
    /// Of these, ordered once on every operator.
    pub ordered: u64,
    /// Of these, expired with a reason.
    pub excused: u64,
    /// What the audits found wrong.
    pub findings: Vec<String>,
    /// Errors in logs, and operators that ended.
    pub errors: Vec<String>,
}

impl OverloadReport {
    /// Judges the run.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let mut verdict = Verdict::default();
        let goodput: f64 = self.phases.iter().map(|phase| phase.goodput).sum();
        let offered: u64 = self.phases.iter().map(|phase| phase.rate).sum();
        verdict.figure(
            format!(
                "goodput at {} times the peak, at least 90 % of it",
                self.factor
            ),
            goodput >= GOODPUT_MIN * self.peak,
            format!(
                "{goodput:.0} of {:.0} tx/s ({:.0} %), {offered} offered",
                self.peak,
                100.0 * goodput / self.peak
            ),
        );
        self.judge_latency(&mut verdict);
        self.judge_shares(goodput, &mut verdict);
        self.judge_refusals(&mut verdict);
        self.judge_memory(&mut verdict);
        verdict.rule(
            "audit: everything acknowledged ordered once everywhere",
            self.findings.is_empty() && self.acknowledged == self.ordered,
            format!(
                "{} acknowledged, {} ordered, {} expired; {:?}",
                self.acknowledged, self.ordered, self.excused, self.findings
            ),
        );
        verdict.rule(
            "no operator ended, panicked or logged an error",
            self.errors.is_empty(),
            format!("{:?}", self.errors),
        );
        verdict
    }

    fn judge_latency(&self, verdict: &mut Verdict) {
        for phase in &self.phases {
            let ratio = phase.ordered_us.1 as f64 / self.calm_p99_us.max(1) as f64;
            verdict.figure(
                format!(
                    "p99 of admitted ({}), at most twice the calm one",
                    phase.name
                ),
                ratio <= P99_MAX,
                format!(
                    "{:.0} ms, {ratio:.1} times {:.0} ms",
                    ms(phase.ordered_us.1),
                    ms(self.calm_p99_us)
                ),
            );
        }
    }

    fn judge_shares(&self, goodput: f64, verdict: &mut Verdict) {
        let demands: Vec<_> = self.phases.iter().map(|phase| phase.rate as f64).collect();
        for (phase, fair) in self
            .phases
            .iter()
            .zip(fair_shares(&demands, goodput))
            .skip(1)
        {
            verdict.figure(
                format!(
                    "share of the other rollups ({}), at least 90 % of the fair one",
                    phase.name
                ),
                phase.goodput >= SHARE_MIN * fair,
                format!("{:.0} of {fair:.0} tx/s", phase.goodput),
            );
        }
    }

    fn judge_refusals(&self, verdict: &mut Verdict) {
        let sum = |of: fn(&Phase) -> u64| self.phases.iter().map(of).sum::<u64>();
        let reasons: BTreeMap<&str, u64> = self.phases.iter().flat_map(|phase| &phase.errors).fold(
            BTreeMap::new(),
            |mut all, (reason, count)| {
                *all.entry(reason.as_str()).or_default() += count;
                all
            },
        );
        let named = reasons.keys().all(|reason| REASONS.contains(reason));
        let refused: u64 = reasons.values().sum();
        let delayed = sum(|phase| phase.delayed);
        verdict.rule(
            "who is refused is told why, and when to come back",
            named && delayed == refused && sum(|phase| phase.unanswered) == 0,
            format!(
                "{reasons:?}, {delayed} with a delay, {} unanswered, {} dropped by the generator",
                sum(|phase| phase.unanswered),
                sum(|phase| phase.dropped)
            ),
        );
    }

    fn judge_memory(&self, verdict: &mut Verdict) {
        let mib = |bytes: f64| bytes / f64::from(1 << 20);
        let mut seen = Vec::new();
        let mut flat = !self.memory.is_empty();
        for series in &self.memory {
            let last = series.last().copied().unwrap_or_default() as f64;
            let rise = rise(series);
            flat &= !series.is_empty() && rise <= RISE_BYTES_MAX.max(RISE_MAX * last);
            seen.push(format!("{:.0} MiB ({:+.1})", mib(last), mib(rise)));
        }
        verdict.figure(
            "memory of each operator flat: rise over the second half at most 5 % or 16 MiB",
            flat,
            seen.join(", "),
        );
    }
}

/// Divides capacity among demands so that nobody gets more than it asks for, and nobody who could use
/// more gets less than another (max-min fairness).
fn fair_shares(demands: &[f64], capacity: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..demands.len()).collect();
    order.sort_by(|a, b| demands[*a].total_cmp(&demands[*b]));
    let mut shares = vec![0.0; demands.len()];
    let (mut left, mut waiting) = (capacity, demands.len());
    for index in order {
        let share = demands[index].min(left / waiting as f64);
        shares[index] = share;
        left -= share;
        waiting -= 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_little_gets_it_and_the_rest_is_divided() {
        assert_eq!(fair_shares(&[90.0, 9.0, 1.0], 10.0), [4.5, 4.5, 1.0]);
        assert_eq!(fair_shares(&[90.0, 3.0, 1.0], 10.0), [6.0, 3.0, 1.0]);
        assert_eq!(fair_shares(&[1.0, 2.0], 10.0), [1.0, 2.0]);
        assert!(fair_shares(&[], 10.0).is_empty());
    }
}
