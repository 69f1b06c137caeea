//! That an honest operator computed a result.
//!
//! A commit certificate fixes which batches a block holds; the order of their transactions is computed
//! from them. Whoever does not recompute it relies on operators that did: among signers of more than one
//! third of stake at least one is honest.

use crate::TrustedNetwork;
use squad_primitives::{
    Committee, Ed25519Verifier, NetworkId, OperatorId, Signature, Stake, order::OrderResult,
};
use std::collections::BTreeSet;

/// Collects attestations of one result.
#[derive(Clone, Debug)]
pub struct Attestations {
    network: NetworkId,
    committee: Committee,
    result: OrderResult,
    signers: BTreeSet<OperatorId>,
}

/// Why an attestation does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttestationError {
    /// The signer is not in the committee.
    #[error("attestation: operator {0} is not in the committee")]
    Stranger(OperatorId),
    /// The signature is not the operator's over this result.
    #[error("attestation: bad signature of operator {0}")]
    BadSignature(OperatorId),
    /// All that came are not enough.
    #[error("attestation: stake {found} of {total} is not more than one third")]
    NotEnough {
        /// Stake that attested.
        found: Stake,
        /// Stake of the committee.
        total: Stake,
    },
}

impl Attestations {
    /// Starts without any.
    #[must_use]
    pub fn new(trusted: &TrustedNetwork, result: OrderResult) -> Self {
        Self {
            network: trusted.id(),
            committee: trusted.committee(result.epoch),
            result,
            signers: BTreeSet::new(),
        }
    }

    /// The result in question.
    #[must_use]
    pub const fn result(&self) -> &OrderResult {
        &self.result
    }

    /// Counts an operator's signature; one operator counts once.
    ///
    /// # Errors
    /// A stranger, or a bad signature.
    pub fn add(
        &mut self,
        operator: OperatorId,
        signature: &Signature,
    ) -> Result<(), AttestationError> {
        if self.committee.member(operator).is_none() {
            return Err(AttestationError::Stranger(operator));
        }
        if self.signers.contains(&operator) {
            return Ok(());
        }
        let valid = self.result.verify_attestation(
            &self.network,
            &self.committee,
            operator,
            signature,
            &Ed25519Verifier,
        );
        match valid {
            true => {
                self.signers.insert(operator);
                Ok(())
            }
            false => Err(AttestationError::BadSignature(operator)),
        }
    }

    /// Counts the signers of the same result that were collected elsewhere; those of another one don't
    /// count.
    pub fn merge(&mut self, other: &Self) {
        if self.network == other.network && self.result == other.result {
            self.signers.extend(&other.signers);
        }
    }

    /// Stake of the signers.
    #[must_use]
    pub fn stake(&self) -> Stake {
        self.committee.stake_of(&self.signers)
    }

    /// Stake of the committee.
    #[must_use]
    pub fn total(&self) -> Stake {
        self.committee.total()
    }

    /// Whether one of the signers must be honest.
    ///
    /// # Errors
    /// [`AttestationError::NotEnough`].
    pub fn check(&self) -> Result<(), AttestationError> {
        let found = self.stake();
        match self.committee.is_one_honest(found) {
            true => Ok(()),
            false => Err(AttestationError::NotEnough {
                found,
                total: self.total(),
            }),
        }
    }
}
