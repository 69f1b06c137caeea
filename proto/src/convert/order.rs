//! Results of ordering and the proofs made of them.

use super::{
    ConvertError, Problem, digest, digest_bytes, digests_packed, optional, packed, required,
    signature, signature_bytes,
};
use crate::v1;
use squad_primitives::merkle::{PATH_LENGTH_MAX, Path};
use squad_primitives::order::{LeafProof, OrderResult, RollupLeaf, RollupProof};
use squad_primitives::{Digest, Epoch, Height, OperatorId, RollupId, Signature};

impl From<&Path> for v1::MerklePath {
    fn from(path: &Path) -> Self {
        Self {
            index: path.index,
            count: path.count,
            siblings: digests_packed(&path.siblings),
        }
    }
}

impl TryFrom<&v1::MerklePath> for Path {
    type Error = ConvertError;

    fn try_from(message: &v1::MerklePath) -> Result<Self, ConvertError> {
        Ok(Self {
            index: message.index,
            count: message.count,
            siblings: packed("siblings", PATH_LENGTH_MAX, &message.siblings)?
                .map(Digest)
                .collect(),
        })
    }
}

impl From<&RollupLeaf> for v1::RollupLeaf {
    fn from(leaf: &RollupLeaf) -> Self {
        Self {
            rollup_id: leaf.rollup.0,
            number: leaf.number,
            tx_count: leaf.tx_count,
            list_root: digest_bytes(&leaf.list_root),
        }
    }
}

impl TryFrom<&v1::RollupLeaf> for RollupLeaf {
    type Error = ConvertError;

    fn try_from(message: &v1::RollupLeaf) -> Result<Self, ConvertError> {
        Ok(Self {
            rollup: RollupId(message.rollup_id),
            number: message.number,
            tx_count: message.tx_count,
            list_root: digest("list_root", &message.list_root)?,
        })
    }
}

impl From<&OrderResult> for v1::OrderResult {
    fn from(result: &OrderResult) -> Self {
        Self {
            epoch: result.epoch.0,
            height: result.height.0,
            block: digest_bytes(&result.block),
            order_root: digest_bytes(&result.order_root),
            rollup_count: result.rollup_count,
            tx_count: result.tx_count,
        }
    }
}

impl TryFrom<&v1::OrderResult> for OrderResult {
    type Error = ConvertError;

    fn try_from(message: &v1::OrderResult) -> Result<Self, ConvertError> {
        Ok(Self {
            epoch: Epoch(message.epoch),
            height: Height(message.height),
            block: digest("block", &message.block)?,
            order_root: digest("order_root", &message.order_root)?,
            rollup_count: message.rollup_count,
            tx_count: message.tx_count,
        })
    }
}

/// An operator and its signature over an [`OrderResult`].
impl From<&(OperatorId, Signature)> for v1::Attestation {
    fn from((operator, signature): &(OperatorId, Signature)) -> Self {
        Self {
            operator_id: operator.0,
            signature: signature_bytes(signature),
        }
    }
}

impl TryFrom<&v1::Attestation> for (OperatorId, Signature) {
    type Error = ConvertError;

    fn try_from(message: &v1::Attestation) -> Result<Self, ConvertError> {
        Ok((
            OperatorId(message.operator_id),
            signature("signature", &message.signature)?,
        ))
    }
}

impl From<&LeafProof> for v1::LeafProof {
    fn from(proof: &LeafProof) -> Self {
        Self {
            leaf: Some((&proof.leaf).into()),
            path: Some((&proof.path).into()),
        }
    }
}

impl TryFrom<&v1::LeafProof> for LeafProof {
    type Error = ConvertError;

    fn try_from(message: &v1::LeafProof) -> Result<Self, ConvertError> {
        Ok(Self {
            leaf: required("leaf", &message.leaf)?,
            path: required("path", &message.path)?,
        })
    }
}

impl From<&RollupProof> for v1::RollupProof {
    fn from(proof: &RollupProof) -> Self {
        use v1::rollup_proof::{Absence, Proof};
        let proof = match proof {
            RollupProof::Present(proof) => Proof::Present(proof.into()),
            RollupProof::Absent { before, after } => Proof::Absent(Absence {
                before: before.as_ref().map(v1::LeafProof::from),
                after: after.as_ref().map(v1::LeafProof::from),
            }),
        };
        Self { proof: Some(proof) }
    }
}

impl TryFrom<&v1::RollupProof> for RollupProof {
    type Error = ConvertError;

    fn try_from(message: &v1::RollupProof) -> Result<Self, ConvertError> {
        use v1::rollup_proof::Proof;
        match &message.proof {
            Some(Proof::Present(proof)) => Ok(Self::Present(proof.try_into()?)),
            Some(Proof::Absent(absence)) => Ok(Self::Absent {
                before: optional(&absence.before)?,
                after: optional(&absence.after)?,
            }),
            None => Err(ConvertError::new("proof", Problem::Missing)),
        }
    }
}
