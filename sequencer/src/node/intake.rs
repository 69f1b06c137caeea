//! Whether transactions are taken: what stands in the way, and which of it a client is told.
//!
//! An operator that can't promise anything sensible says so at once, so that its clients turn to
//! another one instead of waiting for their transactions to expire:
//!
//! - `SYNCING`: what it has ordered lies more than [`LAG_MAX`] blocks behind what it knows to be
//!   certified, until less than [`LAG_CAUGHT_UP`] are left. It would judge expiries by an old head. The same
//!   holds after a start, before it has heard from a quorum.
//! - `NO_QUORUM`: operators of more than two thirds of stake have not been connected for
//!   [`DISCONNECTED_MAX`], or nothing was committed for [`COMMIT_SILENCE_MAX`] (or ten heartbeats of the network,
//!   if that is longer). Shorter gaps belong to ordinary leader changes.
//! - `LANE_WINDOW`: the own lane runs too far ahead of what is ordered.
//!
//! What was accepted before stays accepted.

use squad_mempool::admission::Intake;
use squad_primitives::{Duration, Height, Time};

/// Blocks behind at which a node stops taking transactions: five seconds at the highest block rate, and
/// far less than what the default expiry leaves to the longest one allowed.
const LAG_MAX: u64 = 500;
/// Blocks behind at which it takes them again.
const LAG_CAUGHT_UP: u64 = 50;
/// Longest time without a connected quorum.
const DISCONNECTED_MAX: Duration = Duration::from_secs(3);
/// Longest time without a commit: above the longest view timer by default.
const COMMIT_SILENCE_MAX: Duration = Duration::from_secs(15);
/// Heartbeats that may fail to come.
const HEARTBEATS_MAX: u32 = 10;

/// What a node knows of its place in the network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bearings {
    /// Height of the last committed block.
    pub(crate) committed: Height,
    /// Height of the highest block that is known to exist.
    pub(crate) target: Height,
    /// Whether operators of more than two thirds of stake are connected.
    pub(crate) quorum_connected: bool,
}

/// What stands in the way of transactions.
#[derive(Debug)]
pub(crate) struct Doorkeeper {
    stopping: bool,
    lane_full: bool,
    syncing: bool,
    no_quorum: bool,
    silence_max: Duration,
    /// Last commit that was seen, and when.
    committed: (Height, Time),
    /// When a quorum was connected last; the start if it never was.
    connected_at: Time,
}

impl Doorkeeper {
    /// Takes transactions at once; for a node that is a quorum alone, and for tests.
    #[cfg(test)]
    pub(crate) fn open(heartbeat: Duration) -> Self {
        Self {
            syncing: false,
            ..Self::starting(heartbeat, Time::ZERO)
        }
    }

    /// Takes none before a quorum has been heard of. `heartbeat` is the longest time between blocks of
    /// an idle network.
    pub(crate) fn starting(heartbeat: Duration, now: Time) -> Self {
        Self {
            stopping: false,
            lane_full: false,
            syncing: true,
            no_quorum: false,
            silence_max: COMMIT_SILENCE_MAX.max(heartbeat.saturating_mul(HEARTBEATS_MAX)),
            committed: (Height::ZERO, now),
            connected_at: now,
        }
    }

    /// The worst of what stands in the way.
    pub(crate) const fn intake(&self) -> Intake {
        if self.stopping {
            Intake::ShuttingDown
        } else if self.no_quorum {
            Intake::NoQuorum
        } else if self.syncing {
            Intake::Syncing
        } else if self.lane_full {
            Intake::LaneWindow
        } else {
            Intake::Open
        }
    }

    /// The node stops, for good.
    pub(crate) const fn stop(&mut self) {
        self.stopping = true;
    }

    /// The own lane has reached its window, or is below it again.
    pub(crate) const fn lane_full(&mut self, full: bool) {
        self.lane_full = full;
    }

    /// Looks at the node's place; `ordered` is its last ordered block. Called several times a second.
    pub(crate) fn observe(&mut self, now: Time, ordered: Height, at: &Bearings) {
        if at.committed > self.committed.0 {
            self.committed = (at.committed, now);
        }
        if at.quorum_connected {
            self.connected_at = now;
        }
        self.no_quorum = now.since(self.connected_at) >= DISCONNECTED_MAX
            || now.since(self.committed.1) >= self.silence_max;
        let lag = at.target.0.saturating_sub(ordered.0);
        self.syncing = match self.syncing {
            false => lag > LAG_MAX,
            true => lag >= LAG_CAUGHT_UP || !at.quorum_connected,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEARTBEAT: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Time {
        Time(seconds * 1_000_000)
    }

    fn bearings(committed: u64, target: u64, quorum_connected: bool) -> Bearings {
        Bearings {
            committed: Height(committed),
            target: Height(target),
            quorum_connected,
        }
    }

    #[test]
    fn a_start_waits_for_a_quorum_and_for_the_blocks_it_missed() {
        let mut door = Doorkeeper::starting(HEARTBEAT, at(0));
        assert_eq!(door.intake(), Intake::Syncing);
        door.observe(at(1), Height(10), &bearings(10, 10, false));
        assert_eq!(door.intake(), Intake::Syncing, "nobody was heard yet");
        door.observe(at(2), Height(10), &bearings(10, 70, true));
        assert_eq!(door.intake(), Intake::Syncing, "60 blocks are missing");
        door.observe(at(3), Height(30), &bearings(70, 70, true));
        assert_eq!(door.intake(), Intake::Open);
        door.observe(at(4), Height(30), &bearings(70, 530, true));
        assert_eq!(door.intake(), Intake::Open, "a lag that passes by itself");
        door.observe(at(5), Height(30), &bearings(70, 531, true));
        assert_eq!(door.intake(), Intake::Syncing);
    }

    #[test]
    fn a_lost_quorum_is_told_after_a_moment_and_forgotten_at_once() {
        let mut door = Doorkeeper::open(HEARTBEAT);
        door.observe(at(10), Height(1), &bearings(1, 1, true));
        door.observe(at(12), Height(1), &bearings(1, 1, false));
        assert_eq!(door.intake(), Intake::Open, "links flap");
        door.observe(at(13), Height(1), &bearings(1, 1, false));
        assert_eq!(door.intake(), Intake::NoQuorum);
        door.observe(at(14), Height(1), &bearings(1, 1, true));
        assert_eq!(door.intake(), Intake::Open);
    }

    #[test]
    fn silence_counts_from_the_last_commit_and_in_heartbeats_of_slow_networks() {
        let mut door = Doorkeeper::open(HEARTBEAT);
        door.observe(at(10), Height(1), &bearings(1, 1, true));
        door.observe(at(24), Height(1), &bearings(1, 1, true));
        assert_eq!(door.intake(), Intake::Open);
        door.observe(at(25), Height(1), &bearings(1, 1, true));
        assert_eq!(door.intake(), Intake::NoQuorum);
        door.observe(at(26), Height(2), &bearings(2, 2, true));
        assert_eq!(door.intake(), Intake::Open);

        let mut slow = Doorkeeper::open(Duration::from_secs(5));
        slow.observe(at(0), Height(1), &bearings(1, 1, true));
        slow.observe(at(49), Height(1), &bearings(1, 1, true));
        assert_eq!(slow.intake(), Intake::Open);
        slow.observe(at(50), Height(1), &bearings(1, 1, true));
        assert_eq!(slow.intake(), Intake::NoQuorum);
    }

    #[test]
    fn the_worst_reason_is_told() {
        let mut door = Doorkeeper::starting(HEARTBEAT, at(0));
        door.lane_full(true);
        assert_eq!(door.intake(), Intake::Syncing);
        door.observe(at(1), Height(1), &bearings(1, 1, true));
        assert_eq!(door.intake(), Intake::LaneWindow);
        door.observe(at(9), Height(1), &bearings(1, 1, false));
        assert_eq!(door.intake(), Intake::NoQuorum);
        door.stop();
        assert_eq!(door.intake(), Intake::ShuttingDown);
    }
}
