//! The classes of faults that a seed may draw, and how often each happened.

use std::collections::BTreeMap;

/// One class of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Messages take a varying time.
    Jitter,
    /// Messages get lost.
    Loss,
    /// Messages arrive twice.
    Duplicate,
    /// Messages overtake each other.
    Reorder,
    /// A link holds everything for a while, then lets go at once.
    Hold,
    /// Links are cut: halves, one node, one direction, rotating.
    Partition,
    /// Wall clocks differ, and jump.
    Skew,
    /// Clocks run at different rates.
    Drift,
    /// Processes stop at any instant, also between record and send, and start again.
    Crash,
    /// A write or sync fails, which ends the process.
    FailedWrite,
    /// What was written and not synced is lost in part, with a torn record at its end.
    LostSuffix,
    /// Disks take long.
    SlowDisk,
    /// A node takes long for every message.
    SlowNode,
    /// An operator loses its whole disk; it counts as Byzantine.
    Wipe,
    /// Operators of less than a third of stake don't follow the protocol.
    Byzantine,
    /// Transactions come in bursts.
    Burst,
    /// Transactions are submitted again, through several operators.
    Resubmit,
    /// Transactions expire soon.
    Expiring,
}

impl Fault {
    /// All classes.
    pub const ALL: [Self; 18] = [
        Self::Jitter,
        Self::Loss,
        Self::Duplicate,
        Self::Reorder,
        Self::Hold,
        Self::Partition,
        Self::Skew,
        Self::Drift,
        Self::Crash,
        Self::FailedWrite,
        Self::LostSuffix,
        Self::SlowDisk,
        Self::SlowNode,
        Self::Wipe,
        Self::Byzantine,
        Self::Burst,
        Self::Resubmit,
        Self::Expiring,
    ];

    /// Name on the command line and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jitter => "jitter",
            Self::Loss => "loss",
            Self::Duplicate => "duplicate",
            Self::Reorder => "reorder",
            Self::Hold => "hold",
            Self::Partition => "partition",
            Self::Skew => "skew",
            Self::Drift => "drift",
            Self::Crash => "crash",
            Self::FailedWrite => "failed-write",
            Self::LostSuffix => "lost-suffix",
            Self::SlowDisk => "slow-disk",
            Self::SlowNode => "slow-node",
            Self::Wipe => "wipe",
            Self::Byzantine => "byzantine",
            Self::Burst => "burst",
            Self::Resubmit => "resubmit",
            Self::Expiring => "expiring",
        }
    }

    /// The class of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.name() == name)
    }
}

/// How often things happened, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage(pub BTreeMap<&'static str, u64>);

impl Coverage {
    /// Something happened.
    pub fn count(&mut self, what: &'static str) {
        self.add(what, 1);
    }

    /// Something happened so many times.
    pub fn add(&mut self, what: &'static str, times: u64) {
        *self.0.entry(what).or_default() += times;
    }

    /// How often something happened.
    #[must_use]
    pub fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }

    /// Adds another run's counts.
    pub fn merge(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            self.add(what, *times);
        }
    }
}
