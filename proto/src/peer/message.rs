//! Frames from messages and messages from frames.

use super::v1::{self, frame::Message};
use super::{DecodeError, PeerMessage, PeerMessageRef};
use crate::convert::{
    ConvertError, Problem, digest, digest_bytes, list, optional, required, signature,
    signature_bytes,
};
use bytes::Bytes;
use squad_primitives::cut::CUT_LANES_MAX;
use squad_primitives::message::{
    BLOCKS_PER_PAGE, CERTIFICATES_PER_PAGE, ConsensusMessage, FINALITY_BYTES_MAX, FinalityMessage,
    HEADERS_PER_PAGE, LaneMessage, POAS_PER_BATCH, SyncedBlock,
};
use squad_primitives::{
    Ack, BatchSeq, Epoch, Height, OperatorId, Poa, Proposal, SignedHeader, Vote,
};

pub(super) fn to_frame(message: PeerMessageRef<'_>) -> v1::Frame {
    let message = match message {
        PeerMessageRef::Consensus(message) => from_consensus(message),
        PeerMessageRef::Lane(message) => from_lane(message),
        PeerMessageRef::Finality(message) => from_finality(message),
    };
    v1::Frame {
        message: Some(message),
    }
}

fn from_consensus(message: &ConsensusMessage) -> Message {
    match message {
        ConsensusMessage::Proposal(proposal) => Message::Proposal((&**proposal).into()),
        ConsensusMessage::Vote(vote) => Message::Vote(vote.into()),
        ConsensusMessage::Certificate(certificate) => Message::Certificate((&**certificate).into()),
        ConsensusMessage::CertificatesRequest { after, up_to } => {
            Message::CertificatesRequest(v1::CertificatesRequest {
                after: Some(after.into()),
                up_to: Some(up_to.into()),
            })
        }
        ConsensusMessage::Certificates(certificates) => Message::Certificates(v1::Certificates {
            certificates: certificates.iter().map(Into::into).collect(),
        }),
        ConsensusMessage::BlockRequest(hash) => Message::BlockRequest(v1::BlockRequest {
            hash: digest_bytes(hash),
        }),
        ConsensusMessage::Block(block) => Message::Block((&**block).into()),
        ConsensusMessage::SyncRequest(height) => Message::SyncRequest(v1::SyncRequest {
            from_height: height.0,
        }),
        ConsensusMessage::Sync(blocks) => Message::Sync(v1::Sync {
            blocks: blocks.iter().map(Into::into).collect(),
        }),
    }
}

fn from_lane(message: &LaneMessage) -> Message {
    match message {
        LaneMessage::Batch { signed, body, poas } => Message::Batch(v1::Batch {
            signed: Some(signed.into()),
            body: body.clone(),
            poas: poas.iter().map(Into::into).collect(),
        }),
        LaneMessage::Ack(ack) => Message::Ack(ack.into()),
        LaneMessage::Poa(poa) => Message::Poa((&**poa).into()),
        LaneMessage::Status(tips) => Message::LaneStatus(v1::LaneStatus {
            tips: tips.iter().map(Into::into).collect(),
        }),
        LaneMessage::HeadersRequest { after, tip } => Message::HeadersRequest(v1::HeadersRequest {
            after: after.0,
            tip: Some(tip.into()),
        }),
        LaneMessage::Headers { lane, headers, poa } => Message::Headers(v1::Headers {
            lane: lane.0,
            headers: headers.iter().map(Into::into).collect(),
            poa: poa.as_ref().map(|poa| (&**poa).into()),
        }),
        LaneMessage::BatchRequest(wanted) => Message::BatchRequest(v1::BatchRequest {
            digest: digest_bytes(wanted),
        }),
    }
}

fn from_finality(message: &FinalityMessage) -> Message {
    match message {
        FinalityMessage::Attestation(encoded) => {
            Message::FinalityAttestation(v1::FinalityAttestation {
                encoded: encoded.clone(),
            })
        }
        FinalityMessage::Certificate(encoded) => {
            Message::FinalityCertificate(v1::FinalityCertificate {
                encoded: encoded.clone(),
            })
        }
    }
}

fn finality(encoded: &Bytes) -> Result<Bytes, ConvertError> {
    match encoded.len() {
        0..=FINALITY_BYTES_MAX => Ok(encoded.clone()),
        found => Err(ConvertError {
            field: "encoded",
            problem: Problem::TooMany {
                found,
                limit: FINALITY_BYTES_MAX,
            },
        }),
    }
}

pub(super) fn from_frame(message: &Message) -> Result<PeerMessage, DecodeError> {
    use PeerMessage::{Consensus, Finality, Lane};
    Ok(match message {
        Message::Proposal(m) => Consensus(ConsensusMessage::Proposal(Box::new(m.try_into()?))),
        Message::Vote(m) => Consensus(ConsensusMessage::Vote(m.try_into()?)),
        Message::Certificate(m) => {
            Consensus(ConsensusMessage::Certificate(Box::new(m.try_into()?)))
        }
        Message::CertificatesRequest(m) => Consensus(ConsensusMessage::CertificatesRequest {
            after: required("after", &m.after)?,
            up_to: required("up_to", &m.up_to)?,
        }),
        Message::Certificates(m) => Consensus(ConsensusMessage::Certificates(list(
            "certificates",
            CERTIFICATES_PER_PAGE,
            &m.certificates,
        )?)),
        Message::BlockRequest(m) => {
            Consensus(ConsensusMessage::BlockRequest(digest("hash", &m.hash)?))
        }
        Message::Block(m) => Consensus(ConsensusMessage::Block(Box::new(m.try_into()?))),
        Message::SyncRequest(m) => Consensus(ConsensusMessage::SyncRequest(Height(m.from_height))),
        Message::Sync(m) => Consensus(ConsensusMessage::Sync(list(
            "blocks",
            BLOCKS_PER_PAGE,
            &m.blocks,
        )?)),
        Message::Batch(m) => Lane(LaneMessage::Batch {
            signed: required("signed", &m.signed)?,
            body: m.body.clone(),
            poas: list("poas", POAS_PER_BATCH, &m.poas)?,
        }),
        Message::Ack(m) => Lane(LaneMessage::Ack(m.try_into()?)),
        Message::Poa(m) => Lane(LaneMessage::Poa(Box::new(m.try_into()?))),
        Message::LaneStatus(m) => Lane(LaneMessage::Status(list("tips", CUT_LANES_MAX, &m.tips)?)),
        Message::HeadersRequest(m) => Lane(LaneMessage::HeadersRequest {
            after: BatchSeq(m.after),
            tip: required("tip", &m.tip)?,
        }),
        Message::Headers(m) => {
            let (lane, headers, poa) = headers(m)?;
            Lane(LaneMessage::Headers { lane, headers, poa })
        }
        Message::BatchRequest(m) => Lane(LaneMessage::BatchRequest(digest("digest", &m.digest)?)),
        Message::FinalityAttestation(m) => {
            Finality(FinalityMessage::Attestation(finality(&m.encoded)?))
        }
        Message::FinalityCertificate(m) => {
            Finality(FinalityMessage::Certificate(finality(&m.encoded)?))
        }
    })
}

type Headers = (OperatorId, Vec<SignedHeader>, Option<Box<Poa>>);

pub(super) fn headers(message: &v1::Headers) -> Result<Headers, ConvertError> {
    Ok((
        OperatorId(message.lane),
        list("headers", HEADERS_PER_PAGE, &message.headers)?,
        optional(&message.poa)?.map(Box::new),
    ))
}

impl From<&Proposal> for v1::Proposal {
    fn from(proposal: &Proposal) -> Self {
        Self {
            at: Some((&proposal.at).into()),
            block: Some((&proposal.block).into()),
            leader: proposal.leader.0,
            signature: signature_bytes(&proposal.signature),
            justify: proposal.justify.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<&v1::Proposal> for Proposal {
    type Error = ConvertError;

    fn try_from(message: &v1::Proposal) -> Result<Self, ConvertError> {
        Ok(Self {
            at: required("at", &message.at)?,
            block: required("block", &message.block)?,
            leader: OperatorId(message.leader),
            signature: signature("signature", &message.signature)?,
            justify: optional(&message.justify)?,
        })
    }
}

impl From<&Vote> for v1::Vote {
    fn from(vote: &Vote) -> Self {
        Self {
            statement: Some((&vote.statement).into()),
            signer: vote.signer.0,
            signature: signature_bytes(&vote.signature),
        }
    }
}

impl TryFrom<&v1::Vote> for Vote {
    type Error = ConvertError;

    fn try_from(message: &v1::Vote) -> Result<Self, ConvertError> {
        Ok(Self {
            statement: required("statement", &message.statement)?,
            signer: OperatorId(message.signer),
            signature: signature("signature", &message.signature)?,
        })
    }
}

impl From<&Ack> for v1::Ack {
    fn from(ack: &Ack) -> Self {
        Self {
            epoch: ack.epoch.0,
            tip: Some((&ack.tip).into()),
            signer: ack.signer.0,
            signature: signature_bytes(&ack.signature),
        }
    }
}

impl TryFrom<&v1::Ack> for Ack {
    type Error = ConvertError;

    fn try_from(message: &v1::Ack) -> Result<Self, ConvertError> {
        Ok(Self {
            epoch: Epoch(message.epoch),
            tip: required("tip", &message.tip)?,
            signer: OperatorId(message.signer),
            signature: signature("signature", &message.signature)?,
        })
    }
}

impl From<&SyncedBlock> for v1::SyncedBlock {
    fn from(synced: &SyncedBlock) -> Self {
        Self {
            block: Some((&synced.block).into()),
            proof: Some((&synced.proof).into()),
        }
    }
}

impl TryFrom<&v1::SyncedBlock> for SyncedBlock {
    type Error = ConvertError;

    fn try_from(message: &v1::SyncedBlock) -> Result<Self, ConvertError> {
        Ok(Self {
            block: required("block", &message.block)?,
            proof: required("proof", &message.proof)?,
        })
    }
}
