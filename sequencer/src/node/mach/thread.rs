//! The thread: feeds the two cores and carries out what they ask for. The rules are in the module head.

use super::alerts::{AlertKind, Occurrence};
use super::evidence::Keeper;
use super::inbox::{MachInput, MachReceiver, MachSender};
use super::metrics::MachMetrics;
use super::recover::RECORD_KEY;
use super::view::Finality;
use crate::node::clock::Clock;
use crate::node::fatal;
use bytes::Bytes;
use squad_mach::aggregator::{Fault, Input as Collect, Output as Collected};
use squad_mach::attester::{Input as Attest, Output as Attested};
use squad_mach::{
    Aggregator, Alert, Attestation, Attester, BlsSecretKey, Certificate, Evidence, Permit, Refusal,
    Statement,
};
use squad_network::data::{Class, DataPlane, Offence};
use squad_primitives::message::FinalityMessage;
use squad_primitives::{Epoch, Height, NetworkId, OperatorId, Time};
use squad_proto::peer;
use squad_storage::{Changes, Database, StorageError, Store, Table};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

/// Longest wait when no core has a deadline.
const IDLE_WAIT: Duration = Duration::from_millis(500);
/// Inputs taken between two looks at the deadlines.
const BURST: usize = 64;
/// Executed blocks whose way to a certificate is timed; older ones are not counted.
const TIMED_MAX: usize = 4_096;

/// The world outside the cores.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) network: NetworkId,
    pub(crate) me: OperatorId,
    pub(crate) key: BlsSecretKey,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) links: DataPlane,
    pub(crate) finality: Arc<Finality>,
    pub(crate) metrics: MachMetrics,
    pub(crate) clock: Clock,
    /// Back to this thread.
    pub(crate) sender: MachSender,
    /// Test of alarms: what is attested is not what was computed.
    pub(crate) corrupt_results: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct MachLoop {
    world: World,
    keeper: Keeper,
    attester: Attester,
    aggregator: Aggregator,
    inputs: MachReceiver,
    /// Epoch of the last executed block; committees up to the next one are known to the aggregator.
    epoch: Epoch,
    executed: Height,
    /// Highest height that each operator attested to this node.
    heard: BTreeMap<OperatorId, Height>,
    timed: VecDeque<(Height, Time)>,
    /// Who sent the message that is being handled.
    from: Option<OperatorId>,
    attested: Vec<Attested>,
    collected: Vec<Collected>,
}

impl MachLoop {
    /// Joins the cores; `epoch` is that of the next block.
    pub(crate) fn new(
        world: World,
        attester: Attester,
        mut aggregator: Aggregator,
        inputs: MachReceiver,
        epoch: Epoch,
    ) -> Self {
        aggregator.add_committee(world.finality.committee(epoch.next()));
        let certified = aggregator.certified();
        let mut this = Self {
            keeper: Keeper::new(world.store.clone()),
            world,
            attester,
            aggregator,
            inputs,
            epoch,
            executed: Height::ZERO,
            heard: BTreeMap::new(),
            timed: VecDeque::new(),
            from: None,
            attested: Vec::new(),
            collected: Vec::new(),
        };
        this.attest(Attest::Certified(certified));
        this
    }

    /// Runs until [`MachInput::Shutdown`] or until all senders are gone.
    pub(crate) fn run(mut self) {
        loop {
            match self.inputs.recv_timeout(self.wait()) {
                Ok(MachInput::Shutdown) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(input) => self.handle(input),
                Err(RecvTimeoutError::Timeout) => {}
            }
            for _ in 0..BURST {
                match self.inputs.try_recv() {
                    Ok(MachInput::Shutdown) => return,
                    Ok(input) => self.handle(input),
                    Err(_) => break,
                }
            }
            self.tick();
        }
    }

    fn now(&self) -> Time {
        self.world.clock.now().time
    }

    fn wait(&self) -> Duration {
        [
            self.attester.next_deadline(),
            self.aggregator.next_deadline(),
        ]
        .into_iter()
        .flatten()
        .map(|deadline| self.world.clock.until(deadline))
        .fold(IDLE_WAIT, Duration::min)
    }

    fn tick(&mut self) {
        let now = self.now();
        if self.attester.next_deadline().is_some_and(|at| at <= now) {
            let mut out = std::mem::take(&mut self.attested);
            self.attester.handle_timeout(now, &mut out);
            self.carry_out(out);
        }
        if self.aggregator.next_deadline().is_some_and(|at| at <= now) {
            let mut out = std::mem::take(&mut self.collected);
            self.aggregator.handle_timeout(now, &mut out);
            self.take_collected(out);
        }
    }

    fn handle(&mut self, input: MachInput) {
        match input {
            MachInput::Executed {
                statement,
                timestamp_ms,
            } => self.on_executed(statement, timestamp_ms),
            MachInput::Attestation(from, attestation, credit) => {
                self.on_attestation(from, attestation);
                drop(credit);
            }
            MachInput::Certificate(from, certificate, credit) => {
                self.from = Some(from);
                self.on_certificate(from, certificate);
                self.from = None;
                drop(credit);
            }
            MachInput::Durable(ticket) => self.attest(Attest::Durable { ticket }),
            MachInput::Connected(peer) => self.send_last(peer),
            MachInput::Shutdown => {}
        }
    }

    fn on_executed(&mut self, mut statement: Statement, timestamp_ms: u64) {
        if statement.epoch > self.epoch {
            self.epoch = statement.epoch;
            for epoch in [self.epoch, self.epoch.next()] {
                let committee = self.world.finality.committee(epoch);
                self.aggregator.add_committee(committee);
            }
        }
        if self.world.corrupt_results {
            statement.result_root.0[0] ^= 1;
        }
        self.executed = self.executed.max(statement.height);
        if statement.height > self.aggregator.certified() {
            self.timed.push_back((statement.height, self.now()));
            if self.timed.len() > TIMED_MAX {
                self.timed.pop_front();
            }
        }
        self.collect(Collect::Executed(statement));
        let committee = self.world.finality.committee(statement.epoch);
        let member = committee.index(self.world.me);
        self.attest(Attest::Executed {
            statement,
            member,
            timestamp_ms,
        });
        let certified = self.aggregator.certified();
        self.world.metrics.observe(self.executed, certified);
    }

    fn on_attestation(&mut self, from: OperatorId, attestation: Box<Attestation>) {
        let Statement { epoch, height, .. } = attestation.statement;
        let Some(member) = self.world.finality.committee(epoch).index(from) else {
            return;
        };
        let heard = self.heard.entry(from).or_default();
        let repeated = *heard >= height;
        *heard = height.max(*heard);
        if repeated && height <= self.aggregator.certified() {
            self.send_last(from);
            return;
        }
        self.collect(Collect::Attestation {
            from: member,
            attestation,
        });
    }

    /// A certificate of an epoch that the aggregator doesn't know yet comes while this node catches up. It
    /// is verified first: a committee that is made known displaces another.
    fn on_certificate(&mut self, from: OperatorId, certificate: Box<Certificate>) {
        let Statement { epoch, height, .. } = certificate.statement;
        if height <= self.aggregator.certified() && epoch != self.epoch {
            return;
        }
        if epoch > self.epoch.next() {
            let committee = self.world.finality.committee(epoch);
            if let Err(error) = certificate.verify(&self.world.network, &committee) {
                self.refuse(from, &error);
                return;
            }
            self.aggregator.add_committee(committee);
        }
        self.collect(Collect::Certificate(certificate));
    }

    fn collect(&mut self, input: Collect) {
        let mut out = std::mem::take(&mut self.collected);
        let now = self.now();
        self.aggregator.step(now, input, &mut out);
        self.take_collected(out);
    }

    fn take_collected(&mut self, mut out: Vec<Collected>) {
        for output in out.drain(..) {
            match output {
                Collected::Certificate { certificate, wider } => {
                    self.on_certified(*certificate, wider);
                }
                Collected::Evidence(evidence) => self.on_evidence(&evidence),
                Collected::Alert(alert) => self.on_alert(alert),
                Collected::Fault { operator, fault } => self.on_fault(operator, fault),
                Collected::Refused(error) => {
                    if let Some(from) = self.from {
                        self.refuse(from, &error);
                    }
                }
            }
        }
        // Steps inside may have left a buffer of their own; either will do.
        self.collected = out;
    }

    fn attest(&mut self, input: Attest) {
        let mut out = std::mem::take(&mut self.attested);
        let now = self.now();
        self.attester.step(now, input, &mut out);
        self.carry_out(out);
    }

    fn carry_out(&mut self, mut out: Vec<Attested>) {
        for output in out.drain(..) {
            match output {
                Attested::Persist { ticket, record } => {
                    let mut changes = Changes::new(Database::Safety);
                    changes.put(Table::SafetyMach, RECORD_KEY, record);
                    let sender = self.world.sender.clone();
                    self.world.store.commit(
                        changes,
                        Box::new(move || sender.tell(MachInput::Durable(ticket))),
                    );
                }
                Attested::Attest(permit) => {
                    self.world.metrics.attested.inc();
                    let attestation = self.sign(&permit);
                    self.collect(Collect::Attestation {
                        from: permit.member(),
                        attestation: Box::new(attestation),
                    });
                }
                Attested::Repeat(permit) => {
                    let _ = self.sign(&permit);
                }
                Attested::Refused(refusal) => self.on_refusal(refusal),
            }
        }
        self.attested = out;
    }

    /// Signs and sends to all members.
    fn sign(&self, permit: &Permit) -> Attestation {
        let attestation = self.world.key.attest(permit);
        let bytes = Bytes::from(attestation.to_bytes());
        let frame = peer::encode(&FinalityMessage::Attestation(bytes));
        let _ = self.world.links.broadcast(Class::Acks, frame);
        attestation
    }

    fn on_certified(&mut self, certificate: Certificate, wider: bool) {
        let height = certificate.statement.height;
        self.attest(Attest::Certified(height));
        let committee = self.world.finality.committee(certificate.statement.epoch);
        let signed = certificate.signers.power(&committee).0 as f64 / committee.total().0 as f64;
        if !wider {
            self.world.metrics.certified(height, signed);
            let now = self.now();
            while let Some((_, at)) = self.timed.pop_front_if(|(timed, _)| *timed <= height) {
                self.world.metrics.covered(now.since(at));
            }
            self.world.metrics.observe(self.executed, height);
        }
        let size = u64::from(committee.size());
        let turn = committee
            .index(self.world.me)
            .is_some_and(|index| height.0 % size == u64::from(index));
        if self.from.is_none() && !wider && turn {
            let frame = frame_of(&certificate);
            let _ = self.world.links.broadcast(Class::Acks, frame);
        }
        let mut changes = Changes::new(Database::Main);
        changes.put(
            Table::Certificates,
            height.0.to_be_bytes(),
            certificate.to_bytes(),
        );
        let finality = self.world.finality.clone();
        // Not synced: peers have it, too.
        self.world.store.commit(
            changes.without_sync(),
            Box::new(move || finality.publish(certificate)),
        );
    }

    /// Sends the last certificate to one peer.
    fn send_last(&self, peer: OperatorId) {
        if let Some(certificate) = self.world.finality.last() {
            let frame = frame_of(&certificate);
            let _ = self.world.links.send(peer, Class::Acks, frame);
        }
    }

    fn on_evidence(&mut self, evidence: &Evidence) {
        let (statement, kind) = match evidence {
            Evidence::DoubleAttestation(pair) => (pair[0].statement, AlertKind::Equivocation),
            Evidence::Contradicted(pair) => (pair.0.statement, AlertKind::Mismatch),
            Evidence::ConflictingCertificates(pair) => {
                (pair[0].statement, AlertKind::ConflictingCertificates)
            }
            _ => return,
        };
        let committee = self.world.finality.committee(statement.epoch);
        let guilty = evidence
            .verify(&self.world.network, &committee)
            .unwrap_or_default();
        let bytes = or_fatal(self.keeper.keep(evidence, &guilty, statement.height));
        let operator = match guilty.as_slice() {
            [one] => Some(*one),
            _ => None,
        };
        self.alert(kind, operator, statement.height, Some(bytes));
    }

    fn on_alert(&mut self, alert: Alert) {
        match alert {
            Alert::Mismatch { operator, ours, .. } => {
                self.alert(AlertKind::Mismatch, Some(operator), ours.height, None);
            }
            Alert::Outvoted { certificate, ours } => {
                self.world.finality.diverge(ours.height);
                if !self.attester.is_halted() {
                    or_fatal(self.keeper.keep_divergence(&certificate, &ours));
                    self.attester.halt();
                    self.world.metrics.halt();
                    tracing::error!(
                        height = %ours.height,
                        ours = %ours.result_root,
                        certified = %certificate.statement.result_root,
                        "a quorum certified another result than this node computed: it signs nothing more"
                    );
                }
                self.alert(AlertKind::Outvoted, None, ours.height, None);
            }
            Alert::ConflictingCertificates(height) => {
                self.alert(AlertKind::ConflictingCertificates, None, height, None);
            }
            Alert::QuorumLost {
                executed,
                certified,
                missing,
            } => {
                tracing::warn!(%executed, %certified, ?missing, "blocks are not certified any more");
                self.alert(AlertKind::QuorumLost, None, certified, None);
            }
            Alert::QuorumRestored(height) => {
                self.alert(AlertKind::QuorumRestored, None, height, None);
            }
            other => tracing::error!(?other, "unknown alert"),
        }
    }

    fn on_refusal(&mut self, refusal: Refusal) {
        self.world.metrics.refused.inc();
        match refusal {
            Refusal::Contradiction(height) => {
                self.alert(AlertKind::Contradiction, None, height, None);
            }
            other => tracing::debug!(%other, "result not signed"),
        }
    }

    /// Counts, shows, and logs the first of a kind; repeated ones are in the figures.
    fn alert(
        &self,
        kind: AlertKind,
        operator: Option<OperatorId>,
        height: Height,
        evidence: Option<Bytes>,
    ) {
        self.world.metrics.alert(kind);
        let first = self.world.finality.alert(Occurrence {
            kind,
            operator,
            height,
            evidence,
        });
        if !first {
            return;
        }
        let operator = operator.map(tracing::field::display);
        let kind_name = kind.name();
        match kind {
            AlertKind::QuorumRestored => {
                tracing::info!(kind = kind_name, %height, "finality alert");
            }
            // Others are away, or this node is cut off: nothing is wrong with anybody's results.
            AlertKind::QuorumLost => {
                tracing::warn!(kind = kind_name, %height, "finality alert");
            }
            _ => tracing::error!(kind = kind_name, operator, %height, "finality alert"),
        }
    }

    fn on_fault(&self, operator: OperatorId, fault: Fault) {
        let offence = match fault {
            Fault::Signature => {
                self.world.metrics.bad_signatures.inc();
                Offence::BadSignature
            }
            _ => Offence::Illegal,
        };
        tracing::debug!(peer = %operator, ?fault, "bad attestation");
        self.world.links.penalize(operator, offence);
    }

    fn refuse(&self, from: OperatorId, error: &squad_mach::CertificateError) {
        self.world.metrics.bad_signatures.inc();
        tracing::debug!(peer = %from, %error, "certificate refused");
        self.world.links.penalize(from, Offence::BadSignature);
    }
}

fn frame_of(certificate: &Certificate) -> Bytes {
    let bytes = Bytes::from(certificate.to_bytes());
    peer::encode(&FinalityMessage::Certificate(bytes))
}

fn or_fatal<T>(result: Result<T, StorageError>) -> T {
    result.unwrap_or_else(|error| fatal(&error))
}
