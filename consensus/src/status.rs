//! A view of the core for metrics, health checks and operators.

use squad_primitives::{Height, OperatorId, ViewId};

/// What the core is doing. Cheap to make; nothing depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Current view.
    pub at: ViewId,
    /// Leader of the current view.
    pub leader: Option<OperatorId>,
    /// Whether the own operator is a member of the committee with its key.
    pub member: bool,
    /// Height of the last committed block.
    pub committed: Height,
    /// Height of the highest block seen with a certificate, if known; above `committed` while blocks
    /// are being certified or fetched.
    pub certified: Height,
    /// The epoch's last block is committed and the next committee is not known yet.
    pub epoch_ended: bool,
    /// Blocks or committed heights are being fetched.
    pub syncing: bool,
    /// Operators whose turns are skipped, because they have been silent.
    pub suspects: Vec<OperatorId>,
    /// Views left by a timeout certificate since the start, skipped turns included.
    pub views_timed_out: u64,
    /// Views of silent leaders that this replica timed out of without waiting.
    pub views_skipped: u64,
    /// Pieces of evidence given out since the start.
    pub evidence: u64,
    /// Peer faults given out since the start.
    pub peer_faults: u64,
    /// Length of the current view's timer in milliseconds.
    pub view_timeout_ms: u64,
}
