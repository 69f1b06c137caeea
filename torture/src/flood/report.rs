//! What a flood did, and what is asked of it.

use super::{Kind, Options, Phase};
use crate::verdict::Verdict;
use serde::Serialize;
use std::collections::BTreeMap;

const MIB: u64 = 1 << 20;

/// Least goodput, as a share of the calm one.
const GOODPUT_MIN: f64 = 0.9;
/// Largest p99 of the time to ordered, as a multiple of the calm one.
const P99_MAX: f64 = 2.0;
/// Most processor time for repeated messages, as a share of one core.
const CPU_MAX: f64 = 0.05;

/// Figures of one phase.
#[derive(Clone, Debug, Serialize)]
pub struct PhaseReport {
    /// Ordered transactions.
    pub ordered: u64,
    /// Intended ones.
    pub intended: u64,
    /// Intended time to ordered, median and 99th percentile, in microseconds.
    pub ordered_us: (u64, u64),
    /// Processor time of each honest operator, as a share of one core.
    pub cpu: Vec<f64>,
    /// Memory of each honest operator before and after, in bytes.
    pub memory: Vec<(u64, u64)>,
    /// Counters of the data plane that grew.
    pub counters: BTreeMap<String, u64>,
}

/// A flood.
#[derive(Clone, Debug, Serialize)]
pub struct FloodReport {
    #[serde(skip)]
    kind: Kind,
    /// Length of each phase.
    pub seconds: u64,
    /// Without the flood.
    pub calm: PhaseReport,
    /// With it.
    pub flood: PhaseReport,
    /// Messages, handshakes or streams of the flood.
    pub sent: u64,
    /// What else the flood saw.
    pub notes: Vec<String>,
    /// Whether the operators did what their rules say.
    pub as_ruled: bool,
    /// What audits found wrong, errors in logs, operators that ended.
    pub problems: Vec<String>,
}

impl FloodReport {
    pub(super) fn new(
        options: &Options,
        calm: &Phase,
        flood: &Phase,
        mut problems: Vec<String>,
    ) -> Self {
        problems.extend(calm.findings.iter().chain(&flood.findings).cloned());
        let phase = |phase: &Phase| PhaseReport {
            ordered: phase.figures.counts.ordered,
            intended: phase.figures.counts.intended,
            ordered_us: (phase.figures.ordered.p50_us, phase.figures.ordered.p99_us),
            cpu: phase
                .cpu
                .iter()
                .map(|time| time.as_secs_f64() / options.seconds as f64)
                .collect(),
            memory: phase
                .before
                .iter()
                .copied()
                .zip(phase.after.iter().copied())
                .collect(),
            counters: phase.counters.clone(),
        };
        Self {
            kind: options.kind,
            seconds: options.seconds,
            calm: phase(calm),
            flood: phase(flood),
            sent: flood.sent.count,
            notes: flood.sent.notes.clone(),
            as_ruled: flood.sent.as_ruled,
            problems,
        }
    }

    /// Judges the run.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let mut verdict = Verdict::default();
        match self.kind {
            Kind::Handshakes => {
                self.judge_goodput(&mut verdict);
                self.judge_memory(64, &mut verdict);
            }
            Kind::Forged => {
                self.judge_latency(&mut verdict);
                self.judge_memory(64, &mut verdict);
            }
            Kind::Repeated => self.judge_cpu(&mut verdict),
            Kind::Asks => {
                self.judge_goodput(&mut verdict);
                self.judge_memory(64, &mut verdict);
            }
            Kind::Share => {
                self.judge_goodput(&mut verdict);
                self.judge_latency(&mut verdict);
                self.judge_memory(64, &mut verdict);
            }
            Kind::Clients => {
                self.judge_goodput(&mut verdict);
                self.judge_memory(128, &mut verdict);
            }
        }
        verdict.rule(
            "the flood is met by rule",
            self.as_ruled,
            format!(
                "{} sent in {} s; {}; {:?}",
                self.sent,
                self.seconds,
                self.notes.join("; "),
                self.flood.counters
            ),
        );
        verdict.rule(
            "audits clean, no operator ended, panicked or logged an error",
            self.problems.is_empty(),
            format!("{:?}", self.problems),
        );
        verdict
    }

    fn judge_goodput(&self, verdict: &mut Verdict) {
        let share = |phase: &PhaseReport| phase.ordered as f64 / phase.intended.max(1) as f64;
        let ratio = share(&self.flood) / share(&self.calm).max(f64::MIN_POSITIVE);
        verdict.figure(
            "honest goodput, at least 90 % of calm",
            ratio >= GOODPUT_MIN,
            format!(
                "{} of {} against {} of {}; p99 {:.0} against {:.0} ms",
                self.flood.ordered,
                self.flood.intended,
                self.calm.ordered,
                self.calm.intended,
                self.flood.ordered_us.1 as f64 / 1e3,
                self.calm.ordered_us.1 as f64 / 1e3,
            ),
        );
    }

    fn judge_latency(&self, verdict: &mut Verdict) {
        let (calm, flood) = (self.calm.ordered_us, self.flood.ordered_us);
        let ratio = flood.1 as f64 / calm.1.max(1) as f64;
        verdict.figure(
            "time to ordered at p99, at most twice calm",
            ratio <= P99_MAX,
            format!(
                "{:.0} ms, {ratio:.2} times {:.0} ms (p50 {:.0} and {:.0} ms)",
                flood.1 as f64 / 1e3,
                calm.1 as f64 / 1e3,
                flood.0 as f64 / 1e3,
                calm.0 as f64 / 1e3
            ),
        );
    }

    fn judge_memory(&self, mib_max: u64, verdict: &mut Verdict) {
        let grown = |phase: &PhaseReport| -> Vec<i64> {
            let pairs = phase.memory.iter();
            pairs
                .map(|(before, after)| after.cast_signed() - before.cast_signed())
                .collect()
        };
        let (calm, flood) = (grown(&self.calm), grown(&self.flood));
        let most = flood.iter().copied().max().unwrap_or_default();
        let mib = |all: &[i64]| -> Vec<i64> { all.iter().map(|b| b / MIB.cast_signed()).collect() };
        verdict.rule(
            format!("memory of each operator at most {mib_max} MiB up"),
            most <= (mib_max * MIB).cast_signed(),
            format!(
                "{:?} MiB, in the calm phase {:?} MiB",
                mib(&flood),
                mib(&calm)
            ),
        );
    }

    fn judge_cpu(&self, verdict: &mut Verdict) {
        let more: Vec<f64> = self
            .flood
            .cpu
            .iter()
            .zip(&self.calm.cpu)
            .map(|(f, c)| f - c)
            .collect();
        let most = more.iter().copied().fold(0.0, f64::max);
        let percent = |all: &[f64]| -> Vec<String> {
            all.iter()
                .map(|share| format!("{:.1} %", share * 100.0))
                .collect()
        };
        verdict.figure(
            "processor time of each operator at most 5 % of a core up",
            most <= CPU_MAX,
            format!(
                "{} over {}",
                percent(&more).join(", "),
                percent(&self.calm.cpu).join(", ")
            ),
        );
    }
}
