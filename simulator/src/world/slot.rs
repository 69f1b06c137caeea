//! A place for a node: its disk and clock outlive the process.

use crate::adversary::Adversary;
use crate::disk::Disk;
use crate::node::Node;
use squad_primitives::{Now, OperatorId, Time};

/// Wall clock at the start, in milliseconds.
pub(super) const WALL_START_MS: u64 = 1_700_000_000_000;
/// Monotonic time at the start: cores take zero for "never".
const TIME_START_US: u64 = 1_000_000;

/// A machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Rate, in thousandths of true time.
    pub rate: u64,
    /// Wall clock ahead of true time, plus half a day, in milliseconds.
    pub skew_ms: u64,
}

/// Added to every skew so that it is a plain number.
pub(super) const SKEW_ZERO_MS: u64 = 43_200_000;

impl Clock {
    /// What the machine reads at a true time, in microseconds.
    #[must_use]
    pub const fn read(&self, now: u64) -> Now {
        Now {
            time: Time(TIME_START_US + now * self.rate / 1_000),
            wall_ms: WALL_START_MS + now / 1_000 + self.skew_ms - SKEW_ZERO_MS,
        }
    }

    /// True time at which the machine first reads `time`.
    #[must_use]
    pub const fn when(&self, time: Time) -> u64 {
        (time.0.saturating_sub(TIME_START_US) * 1_000).div_ceil(self.rate)
    }
}

/// A place for a node.
#[derive(Debug)]
pub struct Slot {
    /// Who runs here. Twins share an operator.
    pub operator: OperatorId,
    /// Keeps to the protocol and keeps its disk.
    pub honest: bool,
    /// Its disk.
    pub disk: Disk,
    /// Its clocks.
    pub clock: Clock,
    /// Counts processes.
    pub life: u64,
    /// The running process.
    pub node: Option<Node>,
    /// Who changes what it says.
    pub adversary: Option<Box<dyn Adversary>>,
    /// Extra time for every message at its ends, in microseconds.
    pub slow_us: u64,
    /// How long one sync takes, in microseconds.
    pub sync_us: (u64, u64),
    /// Deadline for which a wake-up is scheduled.
    pub(super) wake_at: Option<u64>,
    /// Events since its bounds were checked.
    pub(super) unchecked: u32,
}
