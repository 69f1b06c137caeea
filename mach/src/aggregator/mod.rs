//! Attestations in; certificates, evidence and alerts out. One owner drives it, on a thread of its own,
//! since a step may cost a few pairings (about a millisecond each).
//!
//! Rules:
//!
//! 1. **Own result first.** Attestations count only toward the result that this operator computed itself.
//!    Those for heights that it has not executed wait, at most [`WAITING_MAX`] per member; a member's
//!    lowest one gives way, since a certificate for a higher block covers the lower.
//! 2. **Optimistic.** Signatures are not looked at until those for the own result pass two thirds of
//!    stake. Then the new ones are added up and checked with one pairing equation. If it fails, halves are
//!    checked, until the bad ones are found; they are dropped and reported. A member that once sent a bad
//!    signature is checked singly from then on, so it can spoil a sum only once.
//! 3. **Widening.** For `widen` after the quorum more signatures are collected; then the wider
//!    certificate comes out, once. Signatures that come later are dropped.
//! 4. **Mismatch.** A valid attestation of another result for an executed height is an alert. A valid
//!    *certificate* of another result means that this operator is wrong: [`Alert::Outvoted`], on which
//!    the shell halts its [`crate::Attester`].
//! 5. **Equivocation.** Two valid attestations of one member for one height are evidence. Each member gets
//!    one such check per height, so forged ones cost at most two verifications.
//! 6. **Links are authenticated**: the shell says from which member a message came, and only the member's
//!    own attestations are taken from it. So nobody can fill another's place.
//!
//! Bounds: [`OWN_MAX`] executed heights, [`WAITING_MAX`] others per member, [`RECENT_MAX`] certificates.

mod collected;
mod types;

pub use types::{AggregatorConfig, Alert, Fault, Input, Output};

use crate::{Attestation, Certificate, Evidence, MachCommittee, Statement};
use collected::{Added, Collected};
use squad_primitives::{Epoch, Height, NetworkId, OperatorId, Time};
use std::collections::{BTreeMap, BTreeSet};

/// Most heights not executed yet for which attestations of one member wait.
pub const WAITING_MAX: usize = 64;
/// Most executed heights whose statements are kept; attestations for older ones are late.
pub const OWN_MAX: usize = 256;
/// Most certificates kept in memory, to answer peers and to notice contradictions.
pub const RECENT_MAX: usize = 64;
/// Most epochs whose committees are kept: the last, the current and the next.
const COMMITTEES_MAX: usize = 3;

#[derive(Debug)]
struct Recent {
    certificate: Certificate,
    widen_at: Option<Time>,
}

/// See the module head.
#[derive(Debug)]
pub struct Aggregator {
    network: NetworkId,
    config: AggregatorConfig,
    committees: BTreeMap<Epoch, MachCommittee>,
    own: BTreeMap<Height, Statement>,
    collected: BTreeMap<Height, Collected>,
    /// Heights not executed yet for which an operator's attestation waits.
    waiting: BTreeMap<OperatorId, BTreeSet<Height>>,
    recent: BTreeMap<Height, Recent>,
    distrusted: BTreeSet<OperatorId>,
    executed: Height,
    certified: Height,
    uncertified_since: Option<Time>,
    quorum_lost: bool,
}

impl Aggregator {
    /// An aggregator that knows one committee; `certified` is the highest height whose certificate is
    /// stored.
    #[must_use]
    pub fn new(
        config: AggregatorConfig,
        network: NetworkId,
        committee: MachCommittee,
        certified: Height,
    ) -> Self {
        Self {
            network,
            config,
            committees: BTreeMap::from([(committee.epoch(), committee)]),
            own: BTreeMap::new(),
            collected: BTreeMap::new(),
            waiting: BTreeMap::new(),
            recent: BTreeMap::new(),
            distrusted: BTreeSet::new(),
            executed: certified,
            certified,
            uncertified_since: None,
            quorum_lost: false,
        }
    }

    /// Makes the committee of another epoch known; the oldest of more than three is forgotten.
    pub fn add_committee(&mut self, committee: MachCommittee) {
        self.committees.insert(committee.epoch(), committee);
        if self.committees.len() > COMMITTEES_MAX {
            self.committees.pop_first();
        }
    }

    /// Highest certified height. Everything at or below it is final.
    #[must_use]
    pub const fn certified(&self) -> Height {
        self.certified
    }

    /// The certificate of a height, if it is one of the last [`RECENT_MAX`].
    #[must_use]
    pub fn certificate(&self, height: Height) -> Option<&Certificate> {
        self.recent.get(&height).map(|recent| &recent.certificate)
    }

    /// When [`Aggregator::handle_timeout`] wants to be called.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let stall = self
            .uncertified_since
            .filter(|_| !self.quorum_lost)
            .map(|since| since.after(self.config.stall_after));
        let widen = self.recent.values().filter_map(|recent| recent.widen_at);
        widen.chain(stall).min()
    }

    /// Takes one input.
    pub fn step(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Executed(statement) => self.on_executed(now, statement, out),
            Input::Attestation { from, attestation } => {
                self.on_attestation(now, from, *attestation, out);
            }
            Input::Certificate(certificate) => self.on_certificate(now, *certificate, out),
        }
    }

    /// Acts on deadlines that have passed.
    pub fn handle_timeout(&mut self, now: Time, out: &mut Vec<Output>) {
        let due: Vec<Height> = self
            .recent
            .iter()
            .filter(|(_, recent)| recent.widen_at.is_some_and(|at| at <= now))
            .map(|(height, _)| *height)
            .collect();
        for height in due {
            self.widen(height, out);
        }
        if !self.quorum_lost
            && let Some(since) = self.uncertified_since
            && since.after(self.config.stall_after) <= now
        {
            self.quorum_lost = true;
            out.push(Output::Alert(Alert::QuorumLost {
                executed: self.executed,
                certified: self.certified,
                missing: self.missing(),
            }));
        }
    }

    fn on_executed(&mut self, now: Time, statement: Statement, out: &mut Vec<Output>) {
        let height = statement.height;
        if statement.network != self.network || height <= self.executed {
            return;
        }
        self.executed = height;
        if height > self.certified && self.uncertified_since.is_none() {
            self.uncertified_since = Some(now);
        }
        self.own.insert(height, statement);
        if self.own.len() > OWN_MAX
            && let Some((dropped, _)) = self.own.pop_first()
        {
            self.collected.remove(&dropped);
        }
        for heights in self.waiting.values_mut() {
            heights.remove(&height);
        }
        // A certificate may have come before the execution.
        if let Some(recent) = self.recent.get(&height) {
            let certificate = recent.certificate.clone();
            self.compare(&certificate, out);
        }
        let others = self
            .collected
            .get(&height)
            .map_or_else(Vec::new, |collected| collected.others(&statement));
        for attestation in others {
            self.on_mismatch(&statement, attestation, out);
        }
        self.try_certify(now, height, out);
    }

    fn on_attestation(
        &mut self,
        now: Time,
        from: u16,
        attestation: Attestation,
        out: &mut Vec<Output>,
    ) {
        let statement = attestation.statement;
        let height = statement.height;
        let Some(committee) = self.committees.get(&statement.epoch) else {
            return;
        };
        let Some(member) = committee.at(from) else {
            return;
        };
        let operator = member.operator;
        if attestation.member != from || statement.network != self.network {
            out.push(Output::Fault {
                operator,
                fault: Fault::NotItsOwn,
            });
            return;
        }
        let own = self.own.get(&height).copied();
        if height < self.oldest() || (own.is_none() && height <= self.executed) {
            return; // late
        }
        let distrusted = self.distrusted.contains(&operator);
        if distrusted && !attestation.is_valid(committee) {
            out.push(Output::Fault {
                operator,
                fault: Fault::Signature,
            });
            return;
        }
        let collected = self.collected.entry(height).or_default();
        match collected.add(committee, attestation, distrusted) {
            Added::Known => return,
            Added::New => {}
            Added::Equivocation(evidence) => {
                out.push(Output::Evidence(evidence));
                out.push(Output::Fault {
                    operator,
                    fault: Fault::Equivocation,
                });
            }
            Added::Replaced => self.on_bad_signature(operator, out),
            Added::Forged => {
                self.on_bad_signature(operator, out);
                return;
            }
        }
        match own {
            None => self.wait(operator, height),
            Some(own) => {
                if statement != own {
                    self.on_mismatch(&own, attestation, out);
                }
                self.try_certify(now, height, out);
            }
        }
    }

    /// Rule 1: keeps the heights for which attestations of an operator wait within their limit.
    fn wait(&mut self, operator: OperatorId, height: Height) {
        let heights = self.waiting.entry(operator).or_default();
        heights.insert(height);
        if heights.len() <= WAITING_MAX {
            return;
        }
        let Some(lowest) = heights.pop_first() else {
            return;
        };
        let empty = self.collected.get_mut(&lowest).is_some_and(|collected| {
            collected.forget(operator, &self.committees);
            collected.is_empty()
        });
        if empty {
            self.collected.remove(&lowest);
        }
    }

    fn on_mismatch(&mut self, own: &Statement, theirs: Attestation, out: &mut Vec<Output>) {
        let Some(committee) = self.committees.get(&theirs.statement.epoch) else {
            return;
        };
        let Some(operator) = committee.at(theirs.member).map(|member| member.operator) else {
            return;
        };
        if !theirs.is_valid(committee) {
            if let Some(collected) = self.collected.get_mut(&own.height) {
                collected.remove(&theirs);
            }
            self.on_bad_signature(operator, out);
            return;
        }
        out.push(Output::Alert(Alert::Mismatch {
            operator,
            theirs: Box::new(theirs),
            ours: Box::new(*own),
        }));
        // It may contradict a certificate that is known already.
        if let Some(recent) = self.recent.get(&own.height)
            && theirs.statement.same_height(&recent.certificate.statement)
            && theirs.statement != recent.certificate.statement
        {
            out.push(Output::Evidence(Box::new(Evidence::Contradicted(
                Box::new((theirs, recent.certificate.clone())),
            ))));
        }
    }

    fn on_bad_signature(&mut self, operator: OperatorId, out: &mut Vec<Output>) {
        self.distrusted.insert(operator);
        out.push(Output::Fault {
            operator,
            fault: Fault::Signature,
        });
    }

    /// Rule 2, for a height that has no certificate yet.
    fn try_certify(&mut self, now: Time, height: Height, out: &mut Vec<Output>) {
        if self.recent.contains_key(&height) {
            // Every signature is there: no reason to wait for the end of the widening.
            let complete = self
                .collected
                .get(&height)
                .zip(self.own.get(&height))
                .is_some_and(|(collected, own)| {
                    self.committees
                        .get(&own.epoch)
                        .is_some_and(|committee| collected.is_complete(own, committee))
                });
            if complete {
                self.widen(height, out);
            }
            return;
        }
        let Some(certificate) = self.absorb(height, out) else {
            return;
        };
        let signers = &certificate.signers;
        let widen_at = (signers.count() < signers.size()).then(|| now.after(self.config.widen));
        self.accept(now, certificate, widen_at, out);
    }

    /// Checks what was collected for the own result and builds the certificate if it is a quorum.
    fn absorb(&mut self, height: Height, out: &mut Vec<Output>) -> Option<Certificate> {
        let own = *self.own.get(&height)?;
        let committee = self.committees.get(&own.epoch)?;
        let collected = self.collected.get_mut(&height)?;
        if !committee.is_quorum(collected.power(&own, committee)) {
            return None;
        }
        let bad = collected.check(&own, committee);
        let certificate = collected.certificate(&own, committee);
        let operators: Vec<_> = bad
            .iter()
            .filter_map(|member| Some(committee.at(*member)?.operator))
            .collect();
        for operator in operators {
            self.on_bad_signature(operator, out);
        }
        certificate
    }

    /// Rule 3: ends the widening of a height.
    fn widen(&mut self, height: Height, out: &mut Vec<Output>) {
        let Some(recent) = self.recent.get_mut(&height) else {
            return;
        };
        if recent.widen_at.take().is_none() {
            return;
        }
        let Some(certificate) = self.absorb(height, out) else {
            return;
        };
        let Some(recent) = self.recent.get_mut(&height) else {
            return;
        };
        if certificate.statement == recent.certificate.statement
            && certificate.signers.count() > recent.certificate.signers.count()
        {
            recent.certificate = certificate.clone();
            out.push(Output::Certificate {
                certificate: Box::new(certificate),
                wider: true,
            });
        }
    }

    fn on_certificate(&mut self, now: Time, certificate: Certificate, out: &mut Vec<Output>) {
        let height = certificate.statement.height;
        let known = self.recent.get(&height).map(|recent| &recent.certificate);
        let repeated = known.is_some_and(|known| known.statement == certificate.statement);
        // Older ones than those in memory are in the store, or were covered long ago.
        let old = height <= self.certified && known.is_none();
        if repeated || (old && self.recent.len() >= RECENT_MAX) {
            return;
        }
        let Some(committee) = self.committees.get(&certificate.statement.epoch) else {
            return;
        };
        if let Err(error) = certificate.verify(&self.network, committee) {
            out.push(Output::Refused(error));
            return;
        }
        if let Some(known) = known {
            out.push(Output::Alert(Alert::ConflictingCertificates(height)));
            out.push(Output::Evidence(Box::new(
                Evidence::ConflictingCertificates(Box::new([known.clone(), certificate])),
            )));
            return;
        }
        self.compare(&certificate, out);
        self.accept(now, certificate, None, out);
    }

    /// Rule 4: compares a verified certificate with the own result.
    fn compare(&self, certificate: &Certificate, out: &mut Vec<Output>) {
        let height = certificate.statement.height;
        if let Some(own) = self.own.get(&height)
            && *own != certificate.statement
        {
            out.push(Output::Alert(Alert::Outvoted {
                certificate: Box::new(certificate.clone()),
                ours: Box::new(*own),
            }));
        }
    }

    fn accept(
        &mut self,
        now: Time,
        certificate: Certificate,
        widen_at: Option<Time>,
        out: &mut Vec<Output>,
    ) {
        let height = certificate.statement.height;
        self.recent.insert(
            height,
            Recent {
                certificate: certificate.clone(),
                widen_at,
            },
        );
        out.push(Output::Certificate {
            certificate: Box::new(certificate),
            wider: false,
        });
        if self.recent.len() > RECENT_MAX {
            self.recent.pop_first();
        }
        if height <= self.certified {
            return;
        }
        self.certified = height;
        self.uncertified_since = (self.executed > height).then_some(now);
        if std::mem::take(&mut self.quorum_lost) {
            out.push(Output::Alert(Alert::QuorumRestored(height)));
        }
        let oldest = self.oldest();
        self.collected = self.collected.split_off(&oldest);
        for heights in self.waiting.values_mut() {
            *heights = heights.split_off(&oldest);
        }
    }

    /// Lowest height of interest: what lies below is covered by a certificate, and was long ago. At most
    /// as many heights as certificates are kept, so none is certified twice.
    fn oldest(&self) -> Height {
        Height(self.certified.0.saturating_sub(RECENT_MAX as u64 - 1))
    }

    fn missing(&self) -> Vec<OperatorId> {
        let attested = self
            .collected
            .iter()
            .rev()
            .find_map(|(height, collected)| Some((self.own.get(height)?, collected)));
        let own = attested.map(|(own, _)| own).or_else(|| {
            let (_, own) = self.own.last_key_value()?;
            Some(own)
        });
        let Some((own, committee)) =
            own.and_then(|own| Some((own, self.committees.get(&own.epoch)?)))
        else {
            return Vec::new();
        };
        (0..committee.size())
            .filter(|member| {
                attested.is_none_or(|(_, collected)| !collected.has_attested(*member, own))
            })
            .filter_map(|member| Some(committee.at(member)?.operator))
            .collect()
    }
}
