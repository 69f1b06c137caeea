//! What the lanes ask of the shell.

use super::{LaneRecord, PersistId};
use squad_primitives::message::LaneMessage;
use squad_primitives::{BatchSeq, Digest, Evidence, Height, OperatorId, Poa, Tip};

/// One effect. Nothing that needs durability is put out before the shell has reported it: an
/// acknowledgement is only signed when [`Persisted`](super::LaneInput::Persisted) covers the bodies and
/// the record behind it, so no message here has to wait.
#[derive(Clone, Debug, PartialEq)]
pub enum LaneOutput {
    /// Write header and body of the batch given in this very step. Writes of `Store` and `Persist`
    /// become durable in the order of their ids or together, never a later one first.
    Store {
        /// Number to answer with.
        id: PersistId,
        /// The batch.
        tip: Tip,
    },
    /// Write a record: [`LaneRecord::key`] to its canonical encoding, replacing the older value.
    Persist(PersistId, LaneRecord),
    /// Send a message to one operator. May be lost; what matters is sent again.
    Send {
        /// Receiver.
        to: OperatorId,
        /// The message.
        message: LaneMessage,
    },
    /// Send a message to all other operators of the committee. May be lost.
    Broadcast(LaneMessage),
    /// Send an own batch with its body to all other operators of the committee.
    BroadcastBatch {
        /// The batch.
        tip: Tip,
        /// Proofs for earlier batches, to travel with it.
        poas: Vec<Poa>,
    },
    /// Send an own batch again to one operator that lacks it; the shell loads the body.
    Resend {
        /// Receiver.
        to: OperatorId,
        /// The batch.
        tip: Tip,
    },
    /// Ask one operator for a batch with its body. The answer is given as
    /// [`Batch`](super::LaneInput::Batch) or [`FetchFailed`](super::LaneInput::FetchFailed). Other
    /// operators are asked by further outputs, when this one takes too long.
    FetchBatch {
        /// Whom to ask.
        from: OperatorId,
        /// The batch.
        tip: Tip,
    },
    /// Answer a request for headers that are forgotten here, with at most
    /// [`HEADERS_PER_PAGE`](squad_primitives::message::HEADERS_PER_PAGE) from storage, along the
    /// committed branch: those in `(after, tip.seq]`, ascending.
    ServeHeaders {
        /// Who asks.
        to: OperatorId,
        /// Position behind which the headers start.
        after: BatchSeq,
        /// Tip of the branch asked for.
        tip: Tip,
    },
    /// Tell consensus: a certified tip is new.
    TipsChanged,
    /// Tell consensus: data for tips named in [`Missing`](super::LaneInput::Missing) arrived.
    DataArrived,
    /// All batches of a committed block are held durably. Blocks become ready in height order.
    BlockReady {
        /// Height of the block.
        height: Height,
        /// Its batches: lanes ascending, in each lane by position.
        batches: Vec<Tip>,
    },
    /// An operator contradicted itself.
    Evidence(Evidence),
    /// An operator sent something that no honest one sends. For its score; nothing was kept.
    Fault {
        /// Who sent it.
        peer: OperatorId,
        /// What was wrong.
        fault: LaneFault,
    },
    /// A batch of an own lane was seen that this node did not make: its key is used elsewhere, or its
    /// store was rolled back. The shell stops making batches and says so loudly.
    ForeignOwnBatch(Digest),
}

/// What a peer did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LaneFault {
    /// A header that its lane's owner did not sign.
    #[error("batch header: bad signature of its owner")]
    HeaderSignature,
    /// An acknowledgement with a bad signature.
    #[error("ack: bad signature")]
    AckSignature,
    /// An acknowledgement in somebody else's name, or for a batch that does not exist.
    #[error("ack: signer is not the sender, or the batch does not exist")]
    Ack,
    /// A proof that is malformed, below the threshold, or has a bad signature.
    #[error("proof of availability: malformed, below the threshold, or a bad signature")]
    Poa,
    /// Headers that do not form a chain, or a request for none.
    #[error("headers: no chain, or a request for none")]
    Headers,
    /// A message that names an operator without a lane, or more entries than there are lanes.
    #[error("lane message: unknown lane or too many entries")]
    UnknownLane,
}
