//! What the shell tells the core.

use crate::PersistId;
use squad_primitives::message::{ConsensusMessage, SyncedBlock};
use squad_primitives::{Committee, OperatorId};

/// One event. Every input may be repeated or arrive late without harm.
#[derive(Clone, Debug)]
pub enum Input {
    /// The shell is ready: resume the recovered view. Sent once, first.
    Start,
    /// [`Core::next_deadline`](crate::Core::next_deadline) has passed. Any other input does as well.
    Tick,
    /// A message that arrived over a link authenticated as `from`. Signatures are not yet checked.
    Message {
        /// Operator at the other end of the link.
        from: OperatorId,
        /// What it sent.
        message: ConsensusMessage,
    },
    /// The certified tips that [`LaneView`](crate::LaneView) answers from have changed.
    TipsChanged,
    /// Headers, batches or proofs named in an [`Output::NeedData`](crate::Output::NeedData) arrived.
    DataArrived,
    /// All records up to and including this one are durable.
    Persisted(PersistId),
    /// The committee of the epoch after the one that [`Output::EpochEnd`](crate::Output::EpochEnd)
    /// named. Committees of other epochs are ignored.
    EpochReady(Committee),
    /// Committed blocks from a source other than an operator's link, in height order; each is
    /// verified. An observer lives on these.
    Synced(Vec<SyncedBlock>),
}
