//! What was seen.

use crate::plan::Fault;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// One episode.
#[derive(Clone, Debug, Serialize)]
pub struct EpisodeReport {
    /// Its number in the run.
    pub number: usize,
    /// What was done.
    pub fault: Fault,
    /// Processes ended by `kill -9`.
    pub kills: u64,
    /// Processes ended otherwise.
    pub restarts: u64,
    /// Times that links were cut.
    pub partitions: u64,
    /// Blocks that were committed between the fault and its end.
    pub blocks: u64,
    /// Longest time without a commit from the fault to its end, in milliseconds.
    pub longest_gap_ms: u64,
    /// From the end of the fault until all operators were in step, in milliseconds.
    pub recovery_ms: u64,
    /// Transactions that an operator accepted.
    pub acknowledged: u64,
    /// Of these, ordered once on every operator.
    pub ordered: u64,
    /// Of these, expired with a reason.
    pub excused: u64,
    /// Sent without an answer, and ordered all the same.
    pub unanswered_ordered: u64,
    /// What happened, where it depends on more than the seed.
    pub notes: Vec<String>,
    /// What must not happen and did.
    pub violations: Vec<String>,
}

impl EpisodeReport {
    /// An episode in which nothing happened yet.
    #[must_use]
    pub const fn new(number: usize, fault: Fault) -> Self {
        Self {
            number,
            fault,
            kills: 0,
            restarts: 0,
            partitions: 0,
            blocks: 0,
            longest_gap_ms: 0,
            recovery_ms: 0,
            acknowledged: 0,
            ordered: 0,
            excused: 0,
            unanswered_ordered: 0,
            notes: Vec::new(),
            violations: Vec::new(),
        }
    }

    /// Notes something.
    pub fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    /// Notes something that must not happen.
    pub fn violation(&mut self, text: String) {
        self.violations.push(text);
    }

    /// One line.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = format!(
            "{:>4}  {:<16} gap {:>6} ms  in step {:>6} ms  acknowledged {:>6}  ordered {:>6}  expired {}",
            self.number,
            self.fault.name(),
            self.longest_gap_ms,
            self.recovery_ms,
            self.acknowledged,
            self.ordered,
            self.excused
        );
        for note in &self.notes {
            let _ = write!(line, "\n        {note}");
        }
        for violation in &self.violations {
            let _ = write!(line, "\n        VIOLATION {violation}");
        }
        line
    }
}

/// A run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Seed of the plan.
    pub seed: u64,
    /// Operators.
    pub nodes: usize,
    /// Transactions per second.
    pub rate: u64,
    /// The episodes.
    pub episodes: Vec<EpisodeReport>,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.episodes
            .iter()
            .all(|episode| episode.violations.is_empty())
    }

    /// A table by kind of fault, and the sums.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut kinds: BTreeMap<&str, Vec<&EpisodeReport>> = BTreeMap::new();
        for episode in &self.episodes {
            kinds.entry(episode.fault.name()).or_default().push(episode);
        }
        let mut text = String::from(
            "fault            episodes  gap p50/max ms  in step p50/max ms  violations\n",
        );
        for (kind, episodes) in kinds {
            let (gap, recovery) = (
                spread(episodes.iter().map(|episode| episode.longest_gap_ms)),
                spread(episodes.iter().map(|episode| episode.recovery_ms)),
            );
            let violations: usize = episodes
                .iter()
                .map(|episode| episode.violations.len())
                .sum();
            let count = episodes.len();
            let _ = writeln!(
                text,
                "{kind:<16} {count:>8}  {gap:>14}  {recovery:>18}  {violations:>10}"
            );
        }
        let sum = |of: fn(&EpisodeReport) -> u64| self.episodes.iter().map(of).sum::<u64>();
        let _ = writeln!(
            text,
            "{} episodes: {} kills, {} restarts, {} partitions; {} acknowledged, {} ordered once everywhere, {} expired with a reason, {} unanswered ones ordered",
            self.episodes.len(),
            sum(|episode| episode.kills),
            sum(|episode| episode.restarts),
            sum(|episode| episode.partitions),
            sum(|episode| episode.acknowledged),
            sum(|episode| episode.ordered),
            sum(|episode| episode.excused),
            sum(|episode| episode.unanswered_ordered),
        );
        text
    }
}

fn spread(values: impl Iterator<Item = u64>) -> String {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    let middle = values.get(values.len() / 2).copied().unwrap_or_default();
    format!("{middle} / {}", values.last().copied().unwrap_or_default())
}
