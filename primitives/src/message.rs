//! What operators say to each other, independent of how it travels. Protobuf forms are in `proto`.

use crate::certificate::CommitProof;
use crate::{
    Ack, BatchSeq, Block, Certificate, Digest, Height, OperatorId, Poa, Proposal, SignedHeader,
    Tip, ViewId, Vote,
};
use bytes::Bytes;

/// Most certificates in one answer to a request for a gap.
pub const CERTIFICATES_PER_PAGE: usize = 16;
/// Most blocks in one sync answer.
pub const BLOCKS_PER_PAGE: usize = 64;
/// Most headers in one answer to a request for a part of a lane.
pub const HEADERS_PER_PAGE: usize = 256;
/// Most proofs of availability that travel with one batch.
pub const POAS_PER_BATCH: usize = 4;

/// Longest encoding in a [`FinalityMessage`]: a certificate of the largest committee has 243 bytes.
pub const FINALITY_BYTES_MAX: usize = 256;

/// Messages about finality. Their content is encoded by `squad-mach`, which this crate does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FinalityMessage {
    /// The sender's signature over the result of a block; at most [`FINALITY_BYTES_MAX`].
    Attestation(Bytes),
    /// A certificate over the result of a block; at most [`FINALITY_BYTES_MAX`].
    Certificate(Bytes),
}

/// A committed block as it is synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncedBlock {
    /// The block.
    pub block: Block,
    /// Why it is final.
    pub proof: CommitProof,
}

/// Messages of the ordering core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsensusMessage {
    /// A leader's proposal.
    Proposal(Box<Proposal>),
    /// A vote, timeout or commit vote.
    Vote(Vote),
    /// A QC, TC or CC.
    Certificate(Box<Certificate>),
    /// Asks for the QCs and TCs of views in `(after, up_to)`; answered by at most
    /// [`CERTIFICATES_PER_PAGE`], highest views first.
    CertificatesRequest {
        /// Highest view (exclusive) that needs no certificate.
        after: ViewId,
        /// View (exclusive) below which certificates are asked for.
        up_to: ViewId,
    },
    /// Answer to [`ConsensusMessage::CertificatesRequest`].
    Certificates(Vec<Certificate>),
    /// Asks for an uncommitted or recent block by hash.
    BlockRequest(Digest),
    /// Answer to [`ConsensusMessage::BlockRequest`].
    Block(Box<Block>),
    /// Asks for committed blocks from a height on.
    SyncRequest(Height),
    /// Answer: at most [`BLOCKS_PER_PAGE`] blocks in height order.
    Sync(Vec<SyncedBlock>),
}

/// Messages about lanes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaneMessage {
    /// A batch of the sender's or, on request, of anybody's lane.
    Batch {
        /// Header with the owner's signature.
        signed: SignedHeader,
        /// Offset table and transactions.
        body: Bytes,
        /// Proofs for earlier batches of the same lane, at most [`POAS_PER_BATCH`].
        poas: Vec<Poa>,
    },
    /// "I hold this lane up to here."
    Ack(Ack),
    /// A proof of availability by itself.
    Poa(Box<Poa>),
    /// How far the sender holds each lane; exchanged on connect and while something is missing.
    Status(Vec<Tip>),
    /// Asks for headers of `lane` in `(after, tip.seq]`, along the branch that ends in `tip`.
    HeadersRequest {
        /// Highest position that the asker holds (exclusive).
        after: BatchSeq,
        /// Tip of the branch.
        tip: Tip,
    },
    /// Answer: headers in ascending order, at most [`HEADERS_PER_PAGE`], and the tip's proof if held.
    Headers {
        /// Lane of the headers.
        lane: OperatorId,
        /// Headers, ascending without gaps.
        headers: Vec<SignedHeader>,
        /// Proof of availability for the last of them or a later one.
        poa: Option<Box<Poa>>,
    },
    /// Asks for a batch with its body.
    BatchRequest(Digest),
}
