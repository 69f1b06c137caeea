//! That a transaction is in a final block, and where it stands among its rollup's.

use super::attestation::{AttestationError, Attestations};
use super::header::part;
use super::receipt::digest;
use crate::{TrustedNetwork, v1};
use squad_primitives::certificate::{CommitProof, CommitProofError};
use squad_primitives::order::{LeafProof, OrderResult};
use squad_primitives::{BatchHeader, Block, Digest, Height, RollupId, TxId, merkle::Path};
use squad_proto::convert::ConvertError;

/// A transaction's place, proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedInclusion {
    /// The transaction.
    pub tx_id: TxId,
    /// Height of its block.
    pub height: Height,
    /// Hash of its block.
    pub block: Digest,
    /// Its rollup.
    pub rollup: RollupId,
    /// Number of the rollup's block.
    pub number: u64,
    /// Its position among the rollup's transactions in the block, from 0.
    pub position: u32,
}

/// Why a proof of inclusion proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InclusionError {
    /// A field is missing or malformed.
    #[error("inclusion proof: {0}")]
    Malformed(#[from] ConvertError),
    /// It is for another transaction.
    #[error("inclusion proof: for another transaction")]
    OtherTransaction,
    /// The block is not shown to be final.
    #[error("inclusion proof: {0}")]
    Commit(#[from] CommitProofError),
    /// The transaction is not under the root of the first batch.
    #[error("inclusion proof: the transaction is not in the batch")]
    NotInBatch,
    /// The batches don't chain up to the block's cut.
    #[error("inclusion proof: batch header {index} does not lead to the block's cut")]
    BrokenLane {
        /// Index of the header whose successor is not what it should be.
        index: usize,
    },
    /// The result is that of another block than the one proven final.
    #[error("inclusion proof: the result is of another block")]
    OtherBlock,
    /// Too little stake attests the result, or an attestation is bad.
    #[error("inclusion proof: {0}")]
    Attestation(#[from] AttestationError),
    /// The rollup's list is not under the result's root.
    #[error("inclusion proof: the rollup's list is not under the order root")]
    NotInResult,
    /// The transaction is not at that position of the list.
    #[error("inclusion proof: the transaction is not at this position of the list")]
    NotInList,
}

/// A transaction's place as an operator shows it. The block is final and holds the transaction; the place
/// inside the block is as good as the operators that attest it.
#[derive(Clone, Debug)]
pub struct InclusionClaim {
    place: VerifiedInclusion,
    attestations: Attestations,
}

impl InclusionClaim {
    /// Who attests the result that the place is part of.
    #[must_use]
    pub const fn attestations(&self) -> &Attestations {
        &self.attestations
    }

    /// The place, if one of those who attest it must be honest.
    ///
    /// # Errors
    /// [`AttestationError::NotEnough`].
    pub fn check(&self) -> Result<VerifiedInclusion, AttestationError> {
        self.attestations.check().map(|()| self.place)
    }

    /// The place on the word of those who attest it, however few they are: for those who run such an
    /// operator themselves.
    #[must_use]
    pub fn trusted(self) -> VerifiedInclusion {
        self.place
    }
}

/// Claims of several operators about one transaction, until enough stake stands behind one of them.
/// Operators that show different results don't count together, so a liar can't spoil what others show.
#[derive(Clone, Debug, Default)]
pub struct InclusionClaims(Vec<InclusionClaim>);

impl InclusionClaims {
    /// Adds what one operator showed about the transaction.
    ///
    /// # Errors
    /// [`AttestationError::NotEnough`] with the stake that stands behind this result by now.
    pub fn add(&mut self, claim: InclusionClaim) -> Result<VerifiedInclusion, AttestationError> {
        // Which list holds the transaction, and where, follows from the result: see `check_inclusion`.
        let same = |known: &&mut InclusionClaim| {
            known.place == claim.place && known.attestations.result() == claim.attestations.result()
        };
        match self.0.iter_mut().find(same) {
            Some(known) => {
                known.attestations.merge(&claim.attestations);
                known.check()
            }
            None => {
                let checked = claim.check();
                self.0.push(claim);
                checked
            }
        }
    }

    /// The claim with the most stake behind it.
    #[must_use]
    pub fn into_best(self) -> Option<InclusionClaim> {
        self.0
            .into_iter()
            .max_by_key(|claim| claim.attestations.stake())
    }
}

impl TrustedNetwork {
    /// Checks that a transaction is in a final block, from the commit certificate alone. Returns the
    /// block.
    ///
    /// # Errors
    /// See [`InclusionError`].
    pub fn verify_availability(
        &self,
        proof: &v1::AvailabilityProof,
        tx_id: TxId,
    ) -> Result<Block, InclusionError> {
        let block: Block = part("block", &proof.block)?;
        let commit: CommitProof = part("commit", &proof.commit)?;
        self.verify_commit(&block, &commit)?;
        let path: Path = part("path", &proof.path)?;
        let headers = proof.headers.iter().map(BatchHeader::try_from);
        let headers: Vec<BatchHeader> = headers.collect::<Result<_, _>>()?;
        let first = headers.first().ok_or(InclusionError::NotInBatch)?;
        if path.root(&tx_id) != Some(first.body_root) || path.count != first.tx_count {
            return Err(InclusionError::NotInBatch);
        }
        for (index, header) in headers.iter().enumerate() {
            let tip = header.tip(&self.id());
            let holds = match headers.get(index + 1) {
                Some(next) => {
                    next.parent == tip.digest && next.lane == tip.lane && next.seq == tip.seq.next()
                }
                None => block.cut.tip(tip.lane) == Some(&tip),
            };
            if !holds {
                return Err(InclusionError::BrokenLane { index });
            }
        }
        Ok(block)
    }

    /// Checks a transaction's place: the answer of `GetInclusionProof`, which must hold attestations
    /// enough. An operator attests for itself only, so one answer seldom does: see [`InclusionClaims`].
    ///
    /// # Errors
    /// See [`InclusionError`].
    pub fn verify_inclusion(
        &self,
        answer: &v1::GetInclusionProofResponse,
        tx_id: TxId,
    ) -> Result<VerifiedInclusion, InclusionError> {
        Ok(self.check_inclusion(answer, tx_id)?.check()?)
    }

    /// Checks everything in an answer of `GetInclusionProof` except that its attestations are enough.
    ///
    /// # Errors
    /// See [`InclusionError`].
    pub fn check_inclusion(
        &self,
        answer: &v1::GetInclusionProofResponse,
        tx_id: TxId,
    ) -> Result<InclusionClaim, InclusionError> {
        if digest("tx_id", &answer.tx_id)? != tx_id {
            return Err(InclusionError::OtherTransaction);
        }
        let missing = |field| ConvertError {
            field,
            problem: squad_proto::convert::Problem::Missing,
        };
        let availability = answer.availability.as_ref();
        let availability = availability.ok_or_else(|| missing("availability"))?;
        let block = self.verify_availability(availability, tx_id)?;
        let order = answer.order.as_ref().ok_or_else(|| missing("order"))?;
        let result: OrderResult = part("result", &order.result)?;
        if result.block != block.hash(&self.id())
            || result.height != block.height
            || result.epoch != block.at.epoch
        {
            return Err(InclusionError::OtherBlock);
        }
        let mut attestations = Attestations::new(self, result);
        for attestation in &order.attestations {
            let (operator, signature) = attestation.try_into()?;
            attestations.add(operator, &signature)?;
        }
        let leaf: LeafProof = part("leaf", &order.leaf)?;
        let leaf_digest = leaf.leaf.digest(&self.id());
        if leaf.path.root(&leaf_digest) != Some(result.order_root)
            || leaf.path.count != result.rollup_count
        {
            return Err(InclusionError::NotInResult);
        }
        let position: Path = part("position", &order.position)?;
        if position.root(&tx_id) != Some(leaf.leaf.list_root)
            || position.count != leaf.leaf.tx_count
        {
            return Err(InclusionError::NotInList);
        }
        Ok(InclusionClaim {
            place: VerifiedInclusion {
                tx_id,
                height: result.height,
                block: result.block,
                rollup: leaf.leaf.rollup,
                number: leaf.leaf.number,
                position: position.index,
            },
            attestations,
        })
    }
}
