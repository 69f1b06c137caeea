//! A block's header: that it is final, and that the result beside it speaks of it.

use crate::{TrustedNetwork, v1};
use squad_primitives::certificate::{CommitProof, CommitProofError};
use squad_primitives::{
    Block, BlockRef, Cut, Digest, Ed25519Verifier, Height, OperatorId, Signature,
    order::OrderResult,
};
use squad_proto::convert::{self, ConvertError};

/// A final block. Its result is only claimed until [`super::attestation`] says otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedHeader {
    reference: BlockRef,
    block: Block,
    parent_cut: Cut,
    result: OrderResult,
    attestations: Vec<(OperatorId, Signature)>,
    rollup_proof: Option<v1::RollupProof>,
}

/// Why a header proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// A field is missing or malformed.
    #[error("header: {0}")]
    Malformed(#[from] ConvertError),
    /// The named hash is not that of the block.
    #[error("header: the block's hash is {found}, it claims {claimed}")]
    Hash {
        /// Hash in the header.
        claimed: Digest,
        /// Hash of the block.
        found: Digest,
    },
    /// The block is not shown to be final.
    #[error("header: {0}")]
    Commit(#[from] CommitProofError),
    /// The result is that of another block.
    #[error("header: {field} of the result is not the block's")]
    OtherResult {
        /// Field that differs.
        field: &'static str,
    },
}

impl TrustedNetwork {
    /// Checks that a block is final.
    ///
    /// # Errors
    /// See [`HeaderError`].
    pub fn verify_header(&self, header: &v1::BlockHeader) -> Result<VerifiedHeader, HeaderError> {
        let block: Block = part("block", &header.block)?;
        let commit: CommitProof = part("commit", &header.commit)?;
        let result: OrderResult = part("result", &header.result)?;
        let found = block.hash(&self.id());
        if header.hash[..] != found.0 {
            let claimed = Digest::try_from(&header.hash[..]).unwrap_or_default();
            return Err(HeaderError::Hash { claimed, found });
        }
        self.verify_commit(&block, &commit)?;
        for (same, field) in [
            (result.block == found, "block"),
            (result.height == block.height, "height"),
            (result.epoch == block.at.epoch, "epoch"),
        ] {
            if !same {
                return Err(HeaderError::OtherResult { field });
            }
        }
        let attestations = header.attestations.iter().map(TryFrom::try_from);
        Ok(VerifiedHeader {
            reference: block.reference(&self.id()),
            parent_cut: convert::cut("parent_cut", &header.parent_cut)?,
            result,
            attestations: attestations.collect::<Result<_, _>>()?,
            rollup_proof: header.rollup_proof.clone(),
            block,
        })
    }

    /// Checks a commit proof with the committee of its certificate's epoch.
    pub(crate) fn verify_commit(
        &self,
        block: &Block,
        commit: &CommitProof,
    ) -> Result<(), CommitProofError> {
        let committee = self.committee(commit.certificate.statement.at.epoch);
        commit.verify(&self.id(), block, &committee, &Ed25519Verifier)
    }
}

/// Converts a part of a message that must be there.
pub(crate) fn part<'a, M, T>(field: &'static str, message: &'a Option<M>) -> Result<T, ConvertError>
where
    T: TryFrom<&'a M, Error = ConvertError>,
{
    let missing = ConvertError {
        field,
        problem: convert::Problem::Missing,
    };
    message.as_ref().ok_or(missing)?.try_into()
}

impl VerifiedHeader {
    /// Hash and view of the block.
    #[must_use]
    pub const fn reference(&self) -> BlockRef {
        self.reference
    }

    /// The block.
    #[must_use]
    pub const fn block(&self) -> &Block {
        &self.block
    }

    /// Height of the block.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.block.height
    }

    /// Cut of the parent as the operator claims it; [`super::chain`] checks it.
    #[must_use]
    pub const fn parent_cut(&self) -> &Cut {
        &self.parent_cut
    }

    /// The result as the operator claims it.
    #[must_use]
    pub const fn result(&self) -> &OrderResult {
        &self.result
    }

    /// Signatures over the result, not yet checked.
    #[must_use]
    pub fn attestations(&self) -> &[(OperatorId, Signature)] {
        &self.attestations
    }

    /// Proof about the rollup that was asked for, not yet checked.
    pub(crate) const fn rollup_proof(&self) -> Option<&v1::RollupProof> {
        self.rollup_proof.as_ref()
    }
}
