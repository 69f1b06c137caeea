//! What observers and those who serve them say: requests with one answer each, and the announcement
//! of a committed block by gossip.
//!
//! An observer checks everything itself: the commit proof with the committee, the chain of headers
//! from the parent's cut to the block's, bodies against headers, and the result by ordering the block.

use super::limits::{self, HEADERS_PER_BLOCK_MAX};
use super::{DecodeError, decode_checked, message, v1};
use crate::convert::{ConvertError, digest, digest_bytes, list, optional, required};
use bytes::Bytes;
use prost::Message as _;
use squad_primitives::committee::COMMITTEE_SIZE_MAX;
use squad_primitives::message::{BLOCKS_PER_PAGE, SyncedBlock};
use squad_primitives::order::OrderResult;
use squad_primitives::{BatchSeq, Digest, Height, OperatorId, Poa, Signature, SignedHeader, Tip};

/// Most headers that come with a block; those of further lanes are asked for.
pub const FOLLOWED_HEADERS_MAX: usize = HEADERS_PER_BLOCK_MAX;

/// A committed block with what an observer needs to follow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowedBlock {
    /// Block and commit proof.
    pub synced: SyncedBlock,
    /// Headers of the batches between the parent's cut and the block's, by lane, then ascending; at
    /// most [`FOLLOWED_HEADERS_MAX`], whole lanes only.
    pub headers: Vec<SignedHeader>,
    /// The sender's result, if it has ordered the block.
    pub result: Option<OrderResult>,
    /// Signatures of operators over `result`.
    pub attestations: Vec<(OperatorId, Signature)>,
}

/// What an observer asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Committed blocks from a height on.
    Blocks {
        /// First height wanted.
        from: Height,
    },
    /// Headers of `tip.lane` in `(after, tip.seq]`, along the branch that ends in `tip`.
    Headers {
        /// Highest position that is held.
        after: BatchSeq,
        /// Tip of the branch.
        tip: Tip,
    },
    /// A batch with its body.
    Batch(Digest),
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// At most [`BLOCKS_PER_PAGE`] blocks in height order.
    Blocks(Vec<FollowedBlock>),
    /// Headers of one lane, ascending without gaps.
    Headers {
        /// Lane of the headers.
        lane: OperatorId,
        /// At most [`HEADERS_PER_PAGE`](squad_primitives::message::HEADERS_PER_PAGE).
        headers: Vec<SignedHeader>,
        /// For the last of them or a later one.
        poa: Option<Box<Poa>>,
    },
    /// A batch.
    Batch {
        /// Header with the owner's signature.
        signed: SignedHeader,
        /// Offset table and transactions; shares the memory of the input.
        body: Bytes,
    },
    /// The sender does not hold what was asked for.
    Missing {
        /// Oldest height that it can serve.
        earliest: Height,
        /// Height of its last committed block.
        head: Height,
    },
}

/// Encodes a request.
#[must_use]
pub fn encode_request(request: &Request) -> Bytes {
    use v1::observer_request::Request as Form;
    let form = match request {
        Request::Blocks { from } => Form::Blocks(v1::SyncRequest {
            from_height: from.0,
        }),
        Request::Headers { after, tip } => Form::Headers(v1::HeadersRequest {
            after: after.0,
            tip: Some(tip.into()),
        }),
        Request::Batch(wanted) => Form::Batch(v1::BatchRequest {
            digest: digest_bytes(wanted),
        }),
    };
    let request = v1::ObserverRequest {
        request: Some(form),
    };
    request.encode_to_vec().into()
}

/// Decodes a request that fills `bytes`.
///
/// # Errors
/// [`DecodeError`]. Never panics.
pub fn decode_request(bytes: Bytes) -> Result<Request, DecodeError> {
    use v1::observer_request::Request as Form;
    let message: v1::ObserverRequest = decode_checked(&limits::OBSERVER_REQUEST, bytes)?;
    Ok(match message.request.ok_or(DecodeError::Unknown)? {
        Form::Blocks(m) => Request::Blocks {
            from: Height(m.from_height),
        },
        Form::Headers(m) => Request::Headers {
            after: BatchSeq(m.after),
            tip: required("tip", &m.tip)?,
        },
        Form::Batch(m) => Request::Batch(digest("digest", &m.digest)?),
    })
}

/// Encodes a response.
#[must_use]
pub fn encode_response(response: &Response) -> Bytes {
    use v1::observer_response::Response as Form;
    let form = match response {
        Response::Blocks(blocks) => Form::Blocks(v1::FollowedBlocks {
            blocks: blocks.iter().map(Into::into).collect(),
        }),
        Response::Headers { lane, headers, poa } => Form::Headers(v1::Headers {
            lane: lane.0,
            headers: headers.iter().map(Into::into).collect(),
            poa: poa.as_ref().map(|poa| (&**poa).into()),
        }),
        Response::Batch { signed, body } => Form::Batch(v1::Batch {
            signed: Some(signed.into()),
            body: body.clone(),
            poas: Vec::new(),
        }),
        Response::Missing { earliest, head } => Form::Missing(v1::Missing {
            earliest_height: earliest.0,
            head_height: head.0,
        }),
    };
    let response = v1::ObserverResponse {
        response: Some(form),
    };
    response.encode_to_vec().into()
}

/// Decodes a response that fills `bytes`. A body in the result shares their memory.
///
/// # Errors
/// [`DecodeError`]. Never panics, and allocates at most a small multiple of the input's length.
pub fn decode_response(bytes: Bytes) -> Result<Response, DecodeError> {
    use v1::observer_response::Response as Form;
    let message: v1::ObserverResponse = decode_checked(&limits::OBSERVER_RESPONSE, bytes)?;
    Ok(match message.response.ok_or(DecodeError::Unknown)? {
        Form::Blocks(m) => Response::Blocks(list("blocks", BLOCKS_PER_PAGE, &m.blocks)?),
        Form::Headers(m) => {
            let (lane, headers, poa) = message::headers(&m)?;
            Response::Headers { lane, headers, poa }
        }
        Form::Batch(m) => Response::Batch {
            signed: required("signed", &m.signed)?,
            body: m.body,
        },
        Form::Missing(m) => Response::Missing {
            earliest: Height(m.earliest_height),
            head: Height(m.head_height),
        },
    })
}

/// Encodes a block for gossip.
#[must_use]
pub fn encode_block(block: &FollowedBlock) -> Bytes {
    v1::FollowedBlock::from(block).encode_to_vec().into()
}

/// Decodes a block from gossip.
///
/// # Errors
/// [`DecodeError`]. Never panics, and allocates at most a small multiple of the input's length.
pub fn decode_block(bytes: Bytes) -> Result<FollowedBlock, DecodeError> {
    let message: v1::FollowedBlock = decode_checked(&limits::FOLLOWED_BLOCK, bytes)?;
    Ok(FollowedBlock::try_from(&message)?)
}

impl From<&FollowedBlock> for v1::FollowedBlock {
    fn from(block: &FollowedBlock) -> Self {
        Self {
            synced: Some((&block.synced).into()),
            headers: block.headers.iter().map(Into::into).collect(),
            result: block.result.as_ref().map(Into::into),
            attestations: block.attestations.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<&v1::FollowedBlock> for FollowedBlock {
    type Error = ConvertError;

    fn try_from(message: &v1::FollowedBlock) -> Result<Self, ConvertError> {
        Ok(Self {
            synced: required("synced", &message.synced)?,
            headers: list("headers", FOLLOWED_HEADERS_MAX, &message.headers)?,
            result: optional(&message.result)?,
            attestations: list("attestations", COMMITTEE_SIZE_MAX, &message.attestations)?,
        })
    }
}
