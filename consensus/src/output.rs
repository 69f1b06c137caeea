//! What the core asks the shell to do.

use crate::SafetyRecord;
use squad_primitives::message::ConsensusMessage;
use squad_primitives::{
    Certificate, CommittedBlock, Cut, Digest, Epoch, Evidence, Height, OperatorId, Tip,
};

/// Number of a durable write. Ascends by one; starts at 1 in each run of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersistId(pub u64);

/// Half-open range of record keys, `[start, end)` in byte order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// First key of the range.
    pub start: Vec<u8>,
    /// First key after the range.
    pub end: Vec<u8>,
}

/// One effect. The shell executes outputs in order; where `after` names a record, the message may
/// leave only when that record and all before it are durable.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Output {
    /// Write the records atomically, in the order of ids, and answer with
    /// [`Input::Persisted`](crate::Input::Persisted). Several writes may share one sync.
    Persist {
        /// Number to answer with.
        id: PersistId,
        /// What to write: [`SafetyRecord::key`] to [`SafetyRecord::value`], replacing older values.
        records: Vec<SafetyRecord>,
    },
    /// Send to every other operator of the current committee.
    Broadcast {
        /// What to send.
        message: ConsensusMessage,
        /// Record that must be durable first.
        after: Option<PersistId>,
    },
    /// Send to one operator.
    Send {
        /// Receiver; always the peer of an authenticated link, never the own operator.
        to: OperatorId,
        /// What to send.
        message: ConsensusMessage,
        /// Record that must be durable first.
        after: Option<PersistId>,
    },
    /// A block is final. Heights ascend by one without gaps; after a crash, blocks that the shell had
    /// not stored durably are given out again.
    Commit(CommittedBlock),
    /// The records in these ranges are no longer needed. Delete them only after every
    /// [`Output::Commit`] before this output is stored durably; deleting late or never is harmless.
    Forget(Vec<KeyRange>),
    /// Headers, batches or proofs are missing before a proposal can be voted for. Fetch them, then
    /// give [`Input::DataArrived`](crate::Input::DataArrived). Repeated only when the set changes.
    NeedData {
        /// Leader that proposed the cut, and so has a proof for it: ask it first.
        leader: OperatorId,
        /// Cut of the parent.
        parent: Cut,
        /// Tips of the proposed cut that can't be judged yet.
        missing: Vec<Tip>,
    },
    /// The view timer runs because of certified tips above this cut: send their proofs of
    /// availability to all, so that work known to one becomes known to all. At most once per
    /// `rebroadcast`.
    ShareTips {
        /// Cut of the highest certified block.
        above: Cut,
    },
    /// Answer `to` with committed blocks from a height on (`ConsensusMessage::Sync`).
    ServeBlocks {
        /// Who asked.
        to: OperatorId,
        /// First height wanted.
        from: Height,
    },
    /// Answer `to` with a committed block (`ConsensusMessage::Block`), if it is stored.
    ServeBlock {
        /// Who asked.
        to: OperatorId,
        /// Hash of the block.
        hash: Digest,
    },
    /// The last block of an epoch was committed (its [`Output::Commit`] precedes this). The core waits
    /// for [`Input::EpochReady`](crate::Input::EpochReady) with the committee of `epoch + 1`.
    EpochEnd {
        /// Epoch that ended.
        epoch: Epoch,
        /// Height of its last block.
        last: Height,
    },
    /// An operator contradicted itself. Verified and self-contained; given once per operator and view.
    Evidence(Evidence),
    /// A peer broke the protocol in a way that proves nothing to others: lower its score.
    PeerFault {
        /// The peer.
        from: OperatorId,
        /// What it did.
        fault: PeerFault,
    },
    /// A valid commit certificate contradicts a committed block: at least a third of stake is faulty.
    /// The core stops; the shell must stop the process and keep this certificate.
    Conflict(Box<Certificate>),
}

/// What a peer did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerFault {
    /// A vote or proposal that names another operator than the link does, or no member at all.
    #[error("signer is not the sender, or is no member of the committee")]
    Stranger,
    /// A signature that doesn't verify.
    #[error("bad signature")]
    BadSignature,
    /// A certificate that doesn't verify.
    #[error("bad certificate")]
    BadCertificate,
    /// A proposal of an operator that doesn't lead the view.
    #[error("proposal of an operator that does not lead the view")]
    NotLeader,
    /// A proposal whose height, timestamp, parent or cut breaks a rule.
    #[error("proposal breaks a rule")]
    IllegalProposal,
    /// A committed block that doesn't extend the chain or isn't proven.
    #[error("synced block does not extend the chain, or its proof is bad")]
    BadSync,
    /// More items in one message than its limit.
    #[error("message holds more items than its limit")]
    Oversized,
}
