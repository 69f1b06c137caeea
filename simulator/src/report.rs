//! Figures over runs, and how a failure is told.

use crate::fault::Coverage;
use crate::plan::Options;
use crate::world::{Failure, Outcome};
use std::fmt;

/// Sums over runs.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Runs.
    pub seeds: u64,
    /// Runs in which a rule was broken.
    pub failures: u64,
    /// Events.
    pub events: u64,
    /// Virtual time, in microseconds.
    pub virtual_us: u64,
    /// Views with faults.
    pub views: u64,
    /// Committed blocks.
    pub blocks: u64,
    /// Packets.
    pub sent: u64,
    /// Transactions.
    pub submitted: u64,
    /// What happened, and how often.
    pub coverage: Coverage,
}

impl Report {
    /// Adds a run.
    pub fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.failures += u64::from(outcome.failure.is_some());
        self.events += outcome.events;
        self.virtual_us += outcome.virtual_us;
        self.views += outcome.views;
        self.blocks += outcome.blocks;
        self.sent += outcome.sent;
        self.submitted += outcome.submitted;
        self.coverage.merge(&outcome.coverage);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} seeds, {} failed: {} events, {} views with faults, {} blocks, {} packets, {} transactions, {:.1} simulated hours",
            self.seeds,
            self.failures,
            self.events,
            self.views,
            self.blocks,
            self.sent,
            self.submitted,
            self.virtual_us as f64 / 3.6e9
        )?;
        for (what, times) in &self.coverage.0 {
            writeln!(f, "  {what:<22} {times:>10}")?;
        }
        Ok(())
    }
}

impl Failure {
    /// The failure, and the command that repeats it.
    #[must_use]
    pub fn with_command(&self, options: &Options) -> String {
        format!(
            "seed {}: {} at {:.6} s: {}\n  cargo run --release -p squad-simulator -- run --seed {}{}",
            self.seed,
            self.violation.invariant,
            self.at_us as f64 / 1e6,
            self.violation.what,
            self.seed,
            options.arguments()
        )
    }
}

impl Options {
    /// As they are written on the command line, with a space before each.
    #[must_use]
    pub fn arguments(&self) -> String {
        let mut text = String::new();
        let mut add = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                text += &format!(" --{name} {value}");
            }
        };
        add("views", self.views.map(|views| views.to_string()));
        add("members", self.members.map(|members| members.to_string()));
        let without: Vec<_> = self.without.iter().map(|fault| fault.name()).collect();
        add("without", (!without.is_empty()).then(|| without.join(",")));
        add(
            "behaviour",
            self.behaviour.map(|behaviour| behaviour.name().to_owned()),
        );
        add(
            "excess-twins",
            (self.excess_twins > 0).then(|| self.excess_twins.to_string()),
        );
        text
    }
}
