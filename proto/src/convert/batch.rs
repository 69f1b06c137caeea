//! Batch headers and proofs of availability.

use super::certificate::{signatures, signers};
use super::{
    ConvertError, digest, digest_bytes, required, signature, signature_bytes, signatures_packed,
};
use crate::v1;
use bytes::Bytes;
use squad_primitives::{BatchHeader, BatchSeq, Epoch, OperatorId, Poa, SignedHeader};

impl From<&BatchHeader> for v1::BatchHeader {
    fn from(header: &BatchHeader) -> Self {
        Self {
            epoch: header.epoch.0,
            lane: header.lane.0,
            seq: header.seq.0,
            parent: digest_bytes(&header.parent),
            body_root: digest_bytes(&header.body_root),
            body_bytes: header.body_bytes,
            tx_count: header.tx_count,
        }
    }
}

impl TryFrom<&v1::BatchHeader> for BatchHeader {
    type Error = ConvertError;

    fn try_from(message: &v1::BatchHeader) -> Result<Self, ConvertError> {
        Ok(Self {
            epoch: Epoch(message.epoch),
            lane: OperatorId(message.lane),
            seq: BatchSeq(message.seq),
            parent: digest("parent", &message.parent)?,
            body_root: digest("body_root", &message.body_root)?,
            body_bytes: message.body_bytes,
            tx_count: message.tx_count,
        })
    }
}

impl From<&SignedHeader> for v1::SignedHeader {
    fn from(signed: &SignedHeader) -> Self {
        Self {
            header: Some((&signed.header).into()),
            signature: signature_bytes(&signed.signature),
        }
    }
}

impl TryFrom<&v1::SignedHeader> for SignedHeader {
    type Error = ConvertError;

    fn try_from(message: &v1::SignedHeader) -> Result<Self, ConvertError> {
        Ok(Self {
            header: required("header", &message.header)?,
            signature: signature("signature", &message.signature)?,
        })
    }
}

impl From<&Poa> for v1::Poa {
    fn from(poa: &Poa) -> Self {
        Self {
            epoch: poa.epoch.0,
            tip: Some((&poa.tip).into()),
            signers: Bytes::copy_from_slice(poa.signers.as_bytes()),
            signatures: signatures_packed(&poa.signatures),
        }
    }
}

impl TryFrom<&v1::Poa> for Poa {
    type Error = ConvertError;

    fn try_from(message: &v1::Poa) -> Result<Self, ConvertError> {
        Ok(Self {
            epoch: Epoch(message.epoch),
            tip: required("tip", &message.tip)?,
            signers: signers(&message.signers)?,
            signatures: signatures(&message.signatures)?,
        })
    }
}
