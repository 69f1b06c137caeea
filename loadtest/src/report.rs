//! The report of a run: JSON for programs, a few lines for people.

mod text;

use crate::audit::AuditReport;
use crate::measure::Summary;
use crate::process::Machine;
use crate::run::{Plan, Row, Session, lock};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Share of the schedule that must really be sent, on time, for a run to count.
pub const ACHIEVED_MIN: f64 = 0.99;

/// Largest 99th percentile of the generator's own delay for a run to count, in microseconds: beyond it
/// the figures describe the generator.
pub const SEND_LAG_US_MAX: u64 = 50_000;

/// Everything that is known about a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Whether the figures may be used: no entry in `problems`.
    pub valid: bool,
    /// Why they may not.
    pub problems: Vec<String>,
    /// What was asked for.
    pub load: Load,
    /// Where it ran.
    pub environment: Environment,
    /// Mean rate that the schedule asks for, per second.
    pub asked_rate: f64,
    /// Rate that was really sent, per second.
    pub achieved_rate: f64,
    /// Ordered transactions per second, from the start until nothing was under way any more.
    pub goodput: f64,
    /// Transactions by fate.
    pub counts: FateCounts,
    /// Refusals and broken connections by reason.
    pub errors: BTreeMap<String, u64>,
    /// Intended time to acceptance.
    pub accepted: Summary,
    /// Intended time to ordered.
    pub ordered: Summary,
    /// Actual sending to ordered.
    pub service: Summary,
    /// Times until final, if they were measured.
    #[serde(default)]
    pub finality: Option<FinalityTimes>,
    /// Intended time to actual sending.
    pub send_lag: Summary,
    /// Delays that refusals named; its count is that of refused transactions with a delay.
    #[serde(default)]
    pub retry_after: Summary,
    /// Distribution of `ordered`: percentile, microseconds.
    pub curve: Vec<(f64, u64)>,
    /// Processor time and memory.
    pub cost: Cost,
    /// What the audit found; absent if there was none.
    pub audit: Option<AuditReport>,
    /// One row per second.
    pub seconds: Vec<Row>,
}

/// Times until a certificate covered the transactions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalityTimes {
    /// Certificates that arrived during the run.
    pub certificates: u64,
    /// Ordered transactions without one at the end.
    pub not_final: u64,
    /// Intended time to final.
    pub total: Summary,
    /// Ordered to final.
    pub after_order: Summary,
}

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// `opaque`, `evm` or `file`.
    pub workload: String,
    /// Shape of the schedule, in the words of the command line.
    pub schedule: String,
    /// Sizes of opaque payloads.
    pub sizes: String,
    /// Rollups and their skew.
    pub rollups: String,
    /// Length of the schedule in seconds.
    pub duration_s: f64,
    /// Connections to each operator.
    pub connections: usize,
    /// Most unanswered transactions per connection.
    pub window: usize,
    /// Operators that got a copy of each transaction.
    pub copies: usize,
    /// Seed of everything random.
    pub seed: u64,
}

/// Where a run took place.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Network of the operators.
    pub network_id: String,
    /// Number of operators.
    pub operators: usize,
    /// When the run ended, milliseconds since the Unix epoch.
    pub ended_at_ms: u64,
    /// Version of the generator.
    pub version: String,
    /// Commit of the working directory, if it is a repository; with `+dirty` if it holds changes.
    pub commit: Option<String>,
    /// The machine of the generator.
    pub machine: Machine,
    /// Facts that the caller added, such as how the operators sync their storage.
    pub notes: BTreeMap<String, String>,
}

/// Transactions by fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FateCounts {
    /// In the schedule.
    pub intended: u64,
    /// Given to a connection.
    pub sent: u64,
    /// Due while no connection had room.
    pub dropped: u64,
    /// Accepted by an operator.
    pub accepted: u64,
    /// Refused.
    pub refused: u64,
    /// Sent without an answer.
    pub unanswered: u64,
    /// Seen in a block of the followed operator.
    pub ordered: u64,
}

/// Processor time and memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Generator, microseconds of processor time.
    pub own_cpu_us: u64,
    /// All measured operators, microseconds of processor time; absent without process ids.
    pub operators_cpu_us: Option<u64>,
    /// Generator, per ordered transaction.
    pub own_cpu_us_per_tx: f64,
    /// Operators and generator together, per ordered transaction.
    pub all_cpu_us_per_tx: Option<f64>,
    /// Operators alone, per ordered transaction.
    pub operators_cpu_us_per_tx: Option<f64>,
    /// Largest resident set of the generator, in bytes.
    pub own_rss_bytes_max: u64,
    /// Largest resident set of each operator process, in bytes, in the order of the process ids.
    pub operators_rss_bytes_max: Vec<u64>,
    /// Operator processes that ended during the run.
    pub operators_gone: usize,
}

impl Report {
    /// Sums a run up.
    #[must_use]
    pub fn new(
        plan: &Plan,
        session: &Session,
        load: Load,
        notes: BTreeMap<String, String>,
        audit: Option<AuditReport>,
    ) -> Self {
        let tracker = lock(&session.tracker);
        let counts = tracker.counts();
        let duration = plan.schedule.duration().as_secs_f64();
        // A pacer that fell behind needed longer than the schedule.
        let sending = (session.sending_us as f64 / 1e6).max(duration);
        let total = (session.total_us as f64 / 1e6).max(duration);
        let mut report = Self {
            valid: false,
            problems: Vec::new(),
            load,
            environment: Environment {
                network_id: session.network.to_string(),
                operators: session.endpoints.len(),
                ended_at_ms: unix_ms(),
                version: env!("CARGO_PKG_VERSION").into(),
                commit: commit(),
                machine: Machine::here(),
                notes,
            },
            asked_rate: plan.schedule.rate(),
            achieved_rate: counts.sent as f64 / sending,
            goodput: counts.ordered as f64 / total,
            counts: FateCounts {
                intended: plan.schedule.len() as u64,
                sent: counts.sent,
                dropped: counts.dropped,
                accepted: counts.accepted,
                refused: counts.refused,
                unanswered: counts.unanswered(),
                ordered: counts.ordered,
            },
            errors: counts.errors.clone(),
            accepted: tracker.accepted.summary(),
            ordered: tracker.ordered.summary(),
            service: tracker.service.summary(),
            finality: tracker.finality.as_ref().map(|finality| FinalityTimes {
                certificates: finality.certificates(),
                not_final: finality.waiting() as u64,
                total: finality.total.summary(),
                after_order: finality.after_order.summary(),
            }),
            send_lag: tracker.send_lag.summary(),
            retry_after: tracker.retry_after.summary(),
            curve: tracker.ordered.curve(),
            cost: cost(session, counts.ordered),
            audit,
            seconds: session.rows.clone(),
        };
        report.problems = report.find_problems();
        report.valid = report.problems.is_empty();
        report
    }

    /// Why the figures may not be used.
    #[must_use]
    pub fn find_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let share = self.achieved_rate / self.asked_rate;
        if share.is_nan() || share < ACHIEVED_MIN {
            problems.push(format!(
                "sent {:.0} of {:.0} transactions per second ({:.1} %): below {:.0} % of the schedule",
                self.achieved_rate,
                self.asked_rate,
                share * 100.0,
                ACHIEVED_MIN * 100.0
            ));
        }
        if self.send_lag.p99_us > SEND_LAG_US_MAX {
            problems.push(format!(
                "the generator was late by {:.1} ms at p99: it was itself saturated",
                self.send_lag.p99_us as f64 / 1e3
            ));
        }
        if self.counts.ordered < self.counts.accepted {
            problems.push(format!(
                "{} accepted transactions were not seen in a block before the run ended",
                self.counts.accepted - self.counts.ordered
            ));
        }
        if let Some(times) = self.finality.filter(|times| times.not_final > 0) {
            problems.push(format!(
                "{} ordered transactions were not final before the run ended",
                times.not_final
            ));
        }
        match &self.audit {
            None => problems.push("no audit was made".into()),
            Some(audit) => problems.extend(audit.findings.iter().map(|f| format!("audit: {f}"))),
        }
        problems
    }
}

fn cost(session: &Session, ordered: u64) -> Cost {
    let per_tx = |cpu_us: u64| match ordered {
        0 => 0.0,
        _ => cpu_us as f64 / ordered as f64,
    };
    let read: Vec<_> = session.operators.iter().filter_map(|(_, u)| *u).collect();
    let operators_cpu_us = (!read.is_empty()).then(|| read.iter().map(|u| u.cpu_us).sum());
    let own = session.own.cpu_us;
    Cost {
        own_cpu_us: own,
        operators_cpu_us,
        own_cpu_us_per_tx: per_tx(own),
        all_cpu_us_per_tx: operators_cpu_us.map(|cpu: u64| per_tx(cpu + own)),
        operators_cpu_us_per_tx: operators_cpu_us.map(per_tx),
        own_rss_bytes_max: session.own.rss_bytes_max,
        operators_rss_bytes_max: read.iter().map(|usage| usage.rss_bytes_max).collect(),
        operators_gone: session.operators.len() - read.len(),
    }
}

fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

/// Asks git about the working directory; without git or a repository there is no answer.
fn commit() -> Option<String> {
    let git = |args: &[&str]| {
        let output = std::process::Command::new("git").args(args).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let hash = git(&["rev-parse", "HEAD"])?;
    let dirty = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if dirty.is_empty() {
        hash
    } else {
        hash + "+dirty"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Report {
        Report {
            asked_rate: 1_000.0,
            achieved_rate: 1_000.0,
            counts: FateCounts {
                accepted: 5,
                ordered: 5,
                ..FateCounts::default()
            },
            audit: Some(AuditReport::default()),
            ..Report::default()
        }
    }

    #[test]
    fn each_reason_to_distrust_a_run_is_named() {
        assert_eq!(good().find_problems(), Vec::<String>::new());
        let problems = |change: fn(&mut Report)| {
            let mut report = good();
            change(&mut report);
            report.find_problems().join("; ")
        };
        assert_eq!(problems(|r| r.achieved_rate = 990.1), "");
        assert!(problems(|r| r.achieved_rate = 989.0).contains("below 99 %"));
        assert!(problems(|r| r.send_lag.p99_us = 50_001).contains("saturated"));
        assert!(problems(|r| r.counts.ordered = 3).contains("2 accepted"));
        assert!(problems(|r| r.audit = None).contains("no audit"));
        let bad = problems(|r| r.audit.as_mut().unwrap().findings.push("x".into()));
        assert_eq!(bad, "audit: x");
    }

    #[test]
    fn a_report_survives_json() {
        let report = good();
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    }
}
