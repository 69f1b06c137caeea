//! The light client: from one trusted committee to every certificate, rollup block and transaction.
//!
//! Everything is a function over bytes, so it works from files, without a connection.
//!
//! ```text
//! anchor (committee of e, possessions proved)
//!   └─ Handover: certificate of e ─ result_root ─ ledger_root ─ "committee/<e+1>" ─ members of e + 1
//!        └─ certificate of e + 1 ─ result_root ─ rollups_root ─ rollup leaf (─ older leaves) ─ transaction
//! ```
//!
//! An anchor older than the unbonding period is refused unless forced: those who signed for it may have
//! taken their stake back and lose nothing by signing another history (weak subjectivity).
//!
//! Of two valid certificates for one height with different statements the client makes evidence instead
//! of believing either.

mod error;
mod proofs;

pub use error::LightError;
pub use proofs::{Anchor, Handover, OLDER_LEAVES_MAX, RollupProof, TransactionProof};

use crate::ledger::committee_key;
use crate::{Certificate, Evidence, MachCommittee, RollupState, Root};
use squad_primitives::{Digest, Height, NetworkId, RollupId};
use std::collections::BTreeMap;

/// Verified certificates whose statements the client remembers, to notice a contradiction.
pub const REMEMBERED_MAX: usize = 1_024;

/// See the module head.
#[derive(Clone, Debug)]
pub struct LightClient {
    network: NetworkId,
    /// Committees of the last epoch and the one before.
    committee: MachCommittee,
    previous: Option<MachCommittee>,
    highest: Height,
    seen: BTreeMap<Height, Certificate>,
}

impl LightClient {
    /// Starts from an anchor after checking its age and every possession. `now_ms` is the wall clock,
    /// `unbonding_ms` the network's unbonding period; `None` forces an anchor of any age.
    ///
    /// # Errors
    /// [`LightError::AnchorTooOld`], [`LightError::Committee`].
    pub fn start(
        anchor: Anchor,
        now_ms: u64,
        unbonding_ms: Option<u64>,
    ) -> Result<Self, LightError> {
        let age_ms = now_ms.saturating_sub(anchor.taken_ms);
        if let Some(limit_ms) = unbonding_ms
            && age_ms > limit_ms
        {
            return Err(LightError::AnchorTooOld { age_ms, limit_ms });
        }
        let committee = MachCommittee::admit(anchor.epoch, anchor.members)?;
        Ok(Self::trusting(anchor.network, committee))
    }

    /// Starts from a committee that the caller trusts already.
    #[must_use]
    pub const fn trusting(network: NetworkId, committee: MachCommittee) -> Self {
        Self {
            network,
            committee,
            previous: None,
            highest: Height::ZERO,
            seen: BTreeMap::new(),
        }
    }

    /// The last known committee.
    #[must_use]
    pub const fn committee(&self) -> &MachCommittee {
        &self.committee
    }

    /// Highest height with a verified certificate.
    #[must_use]
    pub const fn highest(&self) -> Height {
        self.highest
    }

    /// Verifies a certificate of the last known epoch or the one before it.
    ///
    /// # Errors
    /// [`LightError::UnknownEpoch`], [`LightError::Certificate`], [`LightError::Conflict`].
    pub fn verify_certificate(&mut self, certificate: &Certificate) -> Result<(), LightError> {
        let found = certificate.statement.epoch;
        let committee = [Some(&self.committee), self.previous.as_ref()]
            .into_iter()
            .flatten()
            .find(|committee| committee.epoch() == found)
            .ok_or(LightError::UnknownEpoch {
                found,
                known: self.committee.epoch(),
            })?;
        certificate.verify(&self.network, committee)?;
        let height = certificate.statement.height;
        match self.seen.get(&height) {
            Some(seen) if seen.statement != certificate.statement => {
                return Err(LightError::Conflict {
                    height,
                    evidence: Box::new(Evidence::ConflictingCertificates(Box::new([
                        seen.clone(),
                        certificate.clone(),
                    ]))),
                });
            }
            Some(_) => {}
            None => {
                self.seen.insert(height, certificate.clone());
                if self.seen.len() > REMEMBERED_MAX {
                    self.seen.pop_first();
                }
            }
        }
        self.highest = self.highest.max(height);
        Ok(())
    }

    /// Learns the committee of the next epoch.
    ///
    /// # Errors
    /// See [`LightError`]; on an error nothing has changed but the highest height.
    pub fn follow(&mut self, handover: Handover) -> Result<(), LightError> {
        let found = handover.certificate.statement.epoch;
        let expected = self.committee.epoch();
        if found != expected {
            return Err(LightError::HandoverEpoch { found, expected });
        }
        self.verify_certificate(&handover.certificate)?;
        let certified = handover.certificate.statement.result_root;
        if handover.ledger.result_root(Root::Ledger) != Some(certified) {
            return Err(LightError::ResultPath);
        }
        let next = expected.next();
        if handover.entry.root(&committee_key(next)) != Some(handover.ledger.value) {
            return Err(LightError::LedgerPath);
        }
        let root = Digest::try_from(handover.entry.value.as_slice())
            .map_err(|_| LightError::LedgerValue)?;
        let committee = MachCommittee::with_root(next, handover.members, &root)?;
        self.previous = Some(std::mem::replace(&mut self.committee, committee));
        Ok(())
    }

    /// Verifies a rollup's block. The answer says what is certain: its height (`last_height`), number,
    /// list root and count.
    ///
    /// # Errors
    /// See [`LightError`].
    pub fn verify_rollup(
        &mut self,
        proof: &RollupProof,
        rollup: RollupId,
    ) -> Result<RollupState, LightError> {
        self.verify_certificate(&proof.certificate)?;
        if proof.leaf.rollup != rollup {
            return Err(LightError::Rollup {
                found: proof.leaf.rollup,
                expected: rollup,
            });
        }
        let certified = proof.certificate.statement.result_root;
        if proof.rollups.result_root(Root::Rollups) != Some(certified) {
            return Err(LightError::ResultPath);
        }
        if proof.path.root(&proof.leaf.digest()) != Some(proof.rollups.value) {
            return Err(LightError::RollupPath);
        }
        let mut above = &proof.leaf;
        for (index, leaf) in proof.older.iter().enumerate() {
            if leaf.digest() != above.previous {
                return Err(LightError::OlderLeaf(index));
            }
            above = leaf;
        }
        Ok(*above)
    }

    /// Verifies that a transaction stands in a rollup's block, which is returned.
    ///
    /// # Errors
    /// See [`LightError`].
    pub fn verify_transaction(
        &mut self,
        proof: &TransactionProof,
        rollup: RollupId,
    ) -> Result<RollupState, LightError> {
        let block = self.verify_rollup(&proof.rollup, rollup)?;
        let leads = proof.path.count == block.tx_count
            && proof.path.root(&proof.id) == Some(block.list_root);
        if leads {
            Ok(block)
        } else {
            Err(LightError::TransactionPath(block.number))
        }
    }
}
