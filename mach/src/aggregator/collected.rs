//! The attestations of one height.

use crate::bls::Sum;
use crate::{Attestation, Certificate, Evidence, MachCommittee, Signers, Statement};
use squad_primitives::{Epoch, OperatorId, Stake};
use std::collections::BTreeMap;

/// A member's attestation for this height.
#[derive(Debug)]
struct Slot {
    attestation: Attestation,
    /// Part of [`Collected::sum`].
    summed: bool,
    /// The signature alone was found valid.
    valid: bool,
    /// A second statement was checked already; there is no third check.
    disputed: bool,
}

/// What became of an attestation.
#[derive(Debug)]
pub(super) enum Added {
    /// It repeats a known one, or the member has had its check.
    Known,
    /// It took the member's empty place.
    New,
    /// It contradicts the one before, and both are really signed.
    Equivocation(Box<Evidence>),
    /// It contradicts the one before, which was forged, and took its place.
    Replaced,
    /// It contradicts the one before, and is forged itself.
    Forged,
}

#[derive(Debug, Default)]
pub(super) struct Collected {
    slots: BTreeMap<u16, Slot>,
    /// Signatures that were verified for `sum_of`, added up.
    sum: Sum,
    sum_of: Option<Statement>,
}

impl Collected {
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(super) fn add(
        &mut self,
        committee: &MachCommittee,
        attestation: Attestation,
        valid: bool,
    ) -> Added {
        let Some(slot) = self.slots.get_mut(&attestation.member) else {
            self.slots.insert(
                attestation.member,
                Slot {
                    attestation,
                    summed: false,
                    valid,
                    disputed: false,
                },
            );
            return Added::New;
        };
        if slot.attestation.statement == attestation.statement || slot.disputed {
            return Added::Known;
        }
        slot.disputed = true;
        let second = valid || attestation.is_valid(committee);
        slot.valid = slot.valid || slot.attestation.is_valid(committee);
        match (slot.valid, second) {
            (true, true) => Added::Equivocation(Box::new(Evidence::DoubleAttestation(Box::new([
                slot.attestation,
                attestation,
            ])))),
            (false, true) => {
                slot.attestation = attestation;
                slot.valid = true;
                slot.summed = false;
                Added::Replaced
            }
            _ => Added::Forged,
        }
    }

    /// Drops an operator's attestation.
    pub(super) fn forget(
        &mut self,
        operator: OperatorId,
        committees: &BTreeMap<Epoch, MachCommittee>,
    ) {
        self.slots.retain(|member, slot| {
            committees
                .get(&slot.attestation.statement.epoch)
                .and_then(|committee| committee.at(*member))
                .is_some_and(|member| member.operator != operator)
        });
    }

    /// Drops this attestation, whose signature is bad. Its place stays taken, so that a member has one
    /// try per height.
    pub(super) fn remove(&mut self, attestation: &Attestation) {
        if let Some(slot) = self.slots.get_mut(&attestation.member)
            && slot.attestation == *attestation
        {
            slot.disputed = true;
            slot.valid = false;
        }
    }

    /// Attestations of other results than `own`.
    pub(super) fn others(&self, own: &Statement) -> Vec<Attestation> {
        self.slots
            .values()
            .map(|slot| slot.attestation)
            .filter(|attestation| attestation.statement != *own)
            .collect()
    }

    pub(super) fn has_attested(&self, member: u16, own: &Statement) -> bool {
        self.slots
            .get(&member)
            .is_some_and(|slot| slot.attestation.statement == *own)
    }

    /// Whether every member attested `own`.
    pub(super) fn is_complete(&self, own: &Statement, committee: &MachCommittee) -> bool {
        (0..committee.size()).all(|member| self.has_attested(member, own))
    }

    /// Stake of those who claim `own`, checked or not.
    pub(super) fn power(&self, own: &Statement, committee: &MachCommittee) -> Stake {
        let mut signers = Signers::none(committee.size());
        for (member, slot) in &self.slots {
            if slot.attestation.statement == *own {
                signers.insert(*member);
            }
        }
        signers.power(committee)
    }

    /// Checks what is not in the sum yet, adds what is valid, drops the rest and returns its members.
    pub(super) fn check(&mut self, own: &Statement, committee: &MachCommittee) -> Vec<u16> {
        if self.sum_of != Some(*own) {
            self.sum = Sum::default();
            self.sum_of = Some(*own);
        }
        let mut bad = Vec::new();
        let mut terms = Vec::new();
        for (member, slot) in &self.slots {
            if slot.summed || slot.attestation.statement != *own {
                continue;
            }
            let key = committee.at(*member).map(|member| &member.key);
            match (key, slot.attestation.signature.decode()) {
                (Some(key), Ok(signature)) => {
                    let mut sum = Sum::default();
                    sum.add(key, &signature);
                    terms.push((*member, sum));
                }
                _ => bad.push(*member),
            }
        }
        let mut good = Vec::new();
        split(&own.message(), &terms, &mut good, &mut bad);
        for (member, term) in good {
            self.sum = self.sum.plus(&term);
            if let Some(slot) = self.slots.get_mut(&member) {
                slot.summed = true;
            }
        }
        for member in &bad {
            self.slots.remove(member);
        }
        bad
    }

    /// The certificate of what [`Collected::check`] found valid, if it is a quorum.
    pub(super) fn certificate(
        &self,
        own: &Statement,
        committee: &MachCommittee,
    ) -> Option<Certificate> {
        let mut signers = Signers::none(committee.size());
        for (member, slot) in &self.slots {
            if slot.summed {
                signers.insert(*member);
            }
        }
        (self.sum_of == Some(*own) && committee.is_quorum(signers.power(committee))).then(|| {
            Certificate {
                statement: *own,
                signers,
                signature: self.sum.signature(),
            }
        })
    }
}

/// Rule 2: one pairing equation for all; if it fails, each half alone. At most twice as many checks as
/// terms, and 2 · log2(n) for a single bad one.
fn split(message: &[u8], terms: &[(u16, Sum)], good: &mut Vec<(u16, Sum)>, bad: &mut Vec<u16>) {
    let Some((first, rest)) = terms.split_first() else {
        return;
    };
    let sum = rest.iter().fold(first.1, |sum, (_, term)| sum.plus(term));
    if sum.verify(message) {
        good.extend_from_slice(terms);
    } else if rest.is_empty() {
        bad.push(first.0);
    } else {
        let (left, right) = terms.split_at(terms.len() / 2);
        split(message, left, good, bad);
        split(message, right, good, bad);
    }
}
