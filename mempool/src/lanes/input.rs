//! What the shell tells the lanes.

use super::PersistId;
use squad_primitives::message::LaneMessage;
use squad_primitives::{Committee, Cut, Digest, Height, OperatorId, Poa, SignedHeader, Tip};

/// One event. Every input may be repeated or arrive late without harm.
#[derive(Clone, Debug)]
pub enum LaneInput {
    /// [`Lanes::next_deadline`](super::Lanes::next_deadline) has passed. Any other input does as well.
    Tick,
    /// An own batch, sealed on [`Lanes::own_tip`](super::Lanes::own_tip) or on a batch given before it,
    /// is durable, header and body. Own batches are given in order.
    OwnBatch(SignedHeader),
    /// A batch whose body belongs to its header
    /// ([`Batch::parse`](squad_primitives::Batch::parse)); the owner's signature is not yet checked.
    /// If the outputs of this step have no [`Store`](super::LaneOutput::Store) for its digest, the
    /// shell drops the body.
    Batch {
        /// Operator at the other end of the link; not always the owner.
        from: OperatorId,
        /// Header with the owner's signature.
        signed: SignedHeader,
        /// Proofs that came with it.
        poas: Vec<Poa>,
    },
    /// A message that arrived over a link authenticated as `from`. Signatures are not yet checked.
    /// [`LaneMessage::Batch`] and [`LaneMessage::BatchRequest`] are for the shell and ignored here.
    Message {
        /// Operator at the other end of the link.
        from: OperatorId,
        /// What it sent.
        message: LaneMessage,
    },
    /// Everything up to and including this id is durable: bodies of
    /// [`Store`](super::LaneOutput::Store) and records of [`Persist`](super::LaneOutput::Persist) share
    /// one numbering. Sent once per group commit.
    Persisted(PersistId),
    /// `from` answered that it does not have the batch, or the request failed.
    FetchFailed {
        /// Operator that was asked.
        from: OperatorId,
        /// Batch that was asked for.
        digest: Digest,
    },
    /// A link to this operator was established, or established again.
    PeerConnected(OperatorId),
    /// The link is gone; the operator is not asked for anything until it is back.
    PeerDisconnected(OperatorId),
    /// Leaders of the current and of the next view: an own new proof goes to them at once.
    LeadersChanged([OperatorId; 2]),
    /// Consensus can't judge a proposed cut before headers, bodies or proofs up to these tips arrive;
    /// the proposer must have them.
    Missing {
        /// Tips from `CutCheck::Missing`.
        tips: Vec<Tip>,
        /// Who proposed them.
        proposer: OperatorId,
    },
    /// A block is final. Given for each height in order; after a restart again for each height above
    /// the processed one. Answered, in order, by [`BlockReady`](super::LaneOutput::BlockReady).
    Committed {
        /// Height of the block.
        height: Height,
        /// Its cut.
        cut: Cut,
    },
    /// The block's result is durable: headers up to its cut may be forgotten here (peers are then
    /// served from storage).
    Processed(Height),
    /// An epoch starts with this committee.
    EpochReady(Committee),
}
