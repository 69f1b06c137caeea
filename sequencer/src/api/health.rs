//! How well the node is, for load balancers, service managers and rollup conductors.
//!
//! | state | `/healthz` | `/readyz` | gRPC health |
//! |---|---|---|---|
//! | healthy | 200 | 200 | SERVING |
//! | degraded: works with less margin, or serves reads that are somewhat old | 206 | 503 while syncing, else 200 | as `/readyz` |
//! | out of service: not connected to a quorum, stalled, stopping | 503 | 503 | NOT_SERVING |

use crate::node::handle::{NodeHandle, NodeStatus};
use squad_mempool::admission::Intake;
use squad_primitives::Height;

/// Committed blocks that are not ordered yet, above which the node is degraded: about a second.
const LAG_BLOCKS_MAX: u64 = 100;
/// Silence of the core thread after which it counts as stalled. Its loop turns several times a second.
const STALL_MS_MAX: u64 = 10_000;

/// A verdict with its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// Nothing to say.
    Healthy,
    /// Blocks are being fetched.
    Syncing,
    /// Ordering is behind consensus.
    Lagging,
    /// Some operators are not connected; a quorum is.
    PeersAway,
    /// No quorum is connected: nothing can be committed.
    NoQuorum,
    /// The core does not turn.
    Stalled,
    /// The node is shutting down.
    Stopping,
}

impl Health {
    /// Stable name of the reason.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Healthy => "HEALTHY",
            Self::Syncing => "SYNCING",
            Self::Lagging => "LAGGING",
            Self::PeersAway => "PEERS_AWAY",
            Self::NoQuorum => "NO_QUORUM",
            Self::Stalled => "STALLED",
            Self::Stopping => "SHUTTING_DOWN",
        }
    }

    /// Status of `/healthz`: 200, 206 or 503.
    pub(crate) const fn status(self) -> u16 {
        match self {
            Self::Healthy => 200,
            Self::Syncing | Self::Lagging | Self::PeersAway => 206,
            Self::NoQuorum | Self::Stalled | Self::Stopping => 503,
        }
    }

    /// Whether clients should be sent here.
    pub(crate) const fn is_ready(self) -> bool {
        matches!(self, Self::Healthy | Self::Lagging | Self::PeersAway)
    }

    /// Whether the process does anything at all; if not, it should be restarted.
    pub(crate) const fn is_alive(self) -> bool {
        !matches!(self, Self::Stalled)
    }
}

/// Judges a node now.
pub(crate) fn of(node: &NodeHandle, wall_ms: u64) -> Health {
    let intake = node.ingress.as_ref().map(|ingress| ingress.view().intake);
    if intake == Some(Intake::ShuttingDown) {
        return Health::Stopping;
    }
    let health = judge(
        &node.status.borrow(),
        node.hub.head(),
        node.me.is_some(),
        wall_ms,
    );
    // Nobody is sent here whose transactions would be refused.
    match intake {
        Some(Intake::NoQuorum) if health.is_ready() => Health::NoQuorum,
        Some(Intake::Syncing) if health.is_ready() => Health::Syncing,
        _ => health,
    }
}

fn judge(status: &NodeStatus, ordered: Height, operator: bool, wall_ms: u64) -> Health {
    // Observers have no core; they may report turns of what follows blocks instead.
    let measured = operator || status.core_turn_ms > 0;
    let turned_ms = status.started_at_ms.saturating_add(status.core_turn_ms);
    if measured && wall_ms.saturating_sub(turned_ms) > STALL_MS_MAX {
        Health::Stalled
    } else if operator && !status.quorum_connected {
        Health::NoQuorum
    } else if status.syncing {
        Health::Syncing
    } else if status.committed.0.saturating_sub(ordered.0) > LAG_BLOCKS_MAX {
        Health::Lagging
    } else if operator && status.peers.iter().any(|peer| !peer.connected) {
        Health::PeersAway
    } else {
        Health::Healthy
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::handle::PeerStatus;
    use squad_primitives::{BatchSeq, OperatorId};

    const START: u64 = 1_000_000;

    fn status() -> NodeStatus {
        NodeStatus {
            quorum_connected: true,
            started_at_ms: START,
            core_turn_ms: 500,
            committed: Height(1_000),
            ..NodeStatus::default()
        }
    }

    fn judged(change: impl FnOnce(&mut NodeStatus)) -> Health {
        let mut status = status();
        change(&mut status);
        judge(&status, Height(990), true, START + 700)
    }

    #[test]
    fn each_state_has_its_reason_and_the_worst_wins() {
        assert_eq!(judged(|_| ()), Health::Healthy);
        let away = PeerStatus {
            operator: OperatorId(1),
            connected: false,
            rtt_us: 0,
            lane_seq: BatchSeq(0),
            acked_seq: BatchSeq(0),
        };
        assert_eq!(judged(|s| s.peers.push(away)), Health::PeersAway);
        assert_eq!(judged(|s| s.committed = Height(1_091)), Health::Lagging);
        assert_eq!(judged(|s| s.syncing = true), Health::Syncing);
        let both = |s: &mut NodeStatus| {
            s.syncing = true;
            s.quorum_connected = false;
        };
        assert_eq!(judged(both), Health::NoQuorum);
        let late = START + 500 + STALL_MS_MAX + 1;
        assert_eq!(judge(&status(), Height(1_000), true, late), Health::Stalled);
    }

    #[test]
    fn observers_need_no_quorum() {
        let mut status = status();
        status.quorum_connected = false;
        let health = judge(&status, Height(1_000), false, START + 700);
        assert_eq!(health, Health::Healthy);
    }
}
