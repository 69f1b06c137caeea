//! Statements, certificates and commit proofs.

use super::{
    ConvertError, Problem, digest, digest_bytes, list, packed, required, signatures_packed,
};
use crate::v1;
use bytes::Bytes;
use squad_primitives::certificate::{CommitProof, DESCENDANTS_MAX};
use squad_primitives::committee::COMMITTEE_SIZE_MAX;
use squad_primitives::{Certificate, Signature, SignerSet, Statement, StatementKind};

impl From<StatementKind> for v1::StatementKind {
    fn from(kind: StatementKind) -> Self {
        match kind {
            StatementKind::Vote => Self::Vote,
            StatementKind::Timeout => Self::Timeout,
            StatementKind::CommitVote => Self::CommitVote,
        }
    }
}

fn statement_kind(value: i32) -> Result<StatementKind, ConvertError> {
    match v1::StatementKind::try_from(value) {
        Ok(v1::StatementKind::Vote) => Ok(StatementKind::Vote),
        Ok(v1::StatementKind::Timeout) => Ok(StatementKind::Timeout),
        Ok(v1::StatementKind::CommitVote) => Ok(StatementKind::CommitVote),
        Ok(v1::StatementKind::Unspecified) | Err(_) => {
            Err(ConvertError::new("kind", Problem::UnknownValue(value)))
        }
    }
}

impl From<&Statement> for v1::Statement {
    fn from(statement: &Statement) -> Self {
        Self {
            kind: v1::StatementKind::from(statement.kind).into(),
            at: Some((&statement.at).into()),
            block: digest_bytes(&statement.block),
        }
    }
}

impl TryFrom<&v1::Statement> for Statement {
    type Error = ConvertError;

    fn try_from(message: &v1::Statement) -> Result<Self, ConvertError> {
        let statement = Self {
            kind: statement_kind(message.kind)?,
            at: required("at", &message.at)?,
            block: digest("block", &message.block)?,
        };
        // A timeout names no block, the others always do.
        if (statement.kind == StatementKind::Timeout) == statement.block.is_zero() {
            Ok(statement)
        } else {
            Err(ConvertError::not_canonical("block"))
        }
    }
}

pub(super) fn signers(bytes: &[u8]) -> Result<SignerSet, ConvertError> {
    SignerSet::from_bytes(bytes).map_err(|_| ConvertError::not_canonical("signers"))
}

pub(super) fn signatures(bytes: &[u8]) -> Result<Vec<Signature>, ConvertError> {
    Ok(packed("signatures", COMMITTEE_SIZE_MAX, bytes)?
        .map(Signature)
        .collect())
}

impl From<&Certificate> for v1::Certificate {
    fn from(certificate: &Certificate) -> Self {
        Self {
            statement: Some((&certificate.statement).into()),
            signers: Bytes::copy_from_slice(certificate.signers.as_bytes()),
            signatures: signatures_packed(&certificate.signatures),
        }
    }
}

impl TryFrom<&v1::Certificate> for Certificate {
    type Error = ConvertError;

    fn try_from(message: &v1::Certificate) -> Result<Self, ConvertError> {
        Ok(Self {
            statement: required("statement", &message.statement)?,
            signers: signers(&message.signers)?,
            signatures: signatures(&message.signatures)?,
        })
    }
}

impl From<&CommitProof> for v1::CommitProof {
    fn from(proof: &CommitProof) -> Self {
        Self {
            certificate: Some((&proof.certificate).into()),
            descendants: proof.descendants.iter().map(v1::Block::from).collect(),
        }
    }
}

impl TryFrom<&v1::CommitProof> for CommitProof {
    type Error = ConvertError;

    fn try_from(message: &v1::CommitProof) -> Result<Self, ConvertError> {
        Ok(Self {
            certificate: required("certificate", &message.certificate)?,
            descendants: list("descendants", DESCENDANTS_MAX, &message.descendants)?,
        })
    }
}
