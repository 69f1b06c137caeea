//! The state machine: its parts, its one entry, and where messages go.

use crate::certificate_sync::CertificateChase;
use crate::certificates::Certificates;
use crate::context::Context;
use crate::early::Early;
use crate::fetch::Fetcher;
use crate::height_sync::HeightSync;
use crate::judge::Judge;
use crate::leader::Schedule;
use crate::own::Own;
use crate::pacemaker::Pacemaker;
use crate::peers::Peers;
use crate::silence::Silence;
use crate::tree::Tree;
use crate::voter::Candidate;
use crate::votes::Collector;
use crate::{Config, Input, LaneView, Output, PeerFault, Recovered, SafetyState, Status};
use squad_primitives::message::ConsensusMessage;
use squad_primitives::{
    Certificate, Committee, Evidence, Now, OperatorId, Signer, Time, Verifier, View, ViewId,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Views ahead of the current one for which votes and proposals are kept.
pub(crate) const VIEWS_AHEAD: u64 = 64;
/// Views behind the current one for which votes are kept, to notice contradictions.
pub(crate) const VIEWS_BEHIND: u64 = 16;

/// One replica of the ordering core. See the crate documentation for the protocol.
#[derive(Clone, Debug)]
pub struct Core {
    pub(crate) config: Config,
    pub(crate) identity: Option<(OperatorId, Arc<dyn Signer>)>,
    /// The own operator, while it is a member of the committee with its key.
    pub(crate) me: Option<OperatorId>,
    pub(crate) judge: Judge,
    pub(crate) schedule: Schedule,

    /// Current view. Differs from `state.at` only while a replica that lost committed blocks in a
    /// crash walks again through an epoch that it had left; it signs nothing then.
    pub(crate) at: ViewId,
    pub(crate) state: SafetyState,
    pub(crate) tree: Tree,
    /// Certificate of the last committed block itself, if one is known.
    pub(crate) root_proof: Option<Certificate>,
    /// Commit certificate that ended the previous epoch.
    pub(crate) epoch_proof: Option<Certificate>,
    pub(crate) certificates: Certificates,
    /// Recovered certificates of an epoch that is not reached again yet.
    pub(crate) later: Vec<Certificate>,
    pub(crate) collector: Collector,
    /// First valid proposal of each view from the current one on.
    pub(crate) candidates: BTreeMap<View, Candidate>,

    pub(crate) own: Own,
    pub(crate) pacemaker: Pacemaker,
    pub(crate) silence: Silence,
    pub(crate) peers: Peers,
    pub(crate) fetcher: Fetcher,
    pub(crate) sync: HeightSync,
    pub(crate) certificate_chase: CertificateChase,
    pub(crate) early: Early,

    pub(crate) started: bool,
    /// The epoch's last block is committed.
    pub(crate) epoch_over: bool,
    /// Finality was contradicted; nothing is signed or committed any more.
    pub(crate) halted: bool,
    pub(crate) deadline: Option<Time>,
    pub(crate) counters: Status,
}

impl Core {
    /// A replica in the state that `recovered` describes. `committee` is that of the epoch to which the
    /// block after the last committed one belongs: `recovered.committed` height divided by
    /// `config.epoch_blocks`. Without `identity`, or while the operator is no member, the replica
    /// follows and serves but signs nothing.
    ///
    /// # Panics
    /// If the committee is that of another epoch, or `config.epoch_blocks` is zero.
    #[must_use]
    pub fn new(
        config: Config,
        identity: Option<(OperatorId, Arc<dyn Signer>)>,
        verifier: Arc<dyn Verifier>,
        committee: Committee,
        recovered: Recovered,
    ) -> Self {
        assert!(config.epoch_blocks > 0, "an epoch has at least one block");
        let mut core = Self {
            me: None,
            schedule: Schedule::new(&committee),
            at: ViewId::new(committee.epoch(), View(1)),
            state: SafetyState::default(),
            tree: Tree::new(config.network, recovered.committed.as_ref()),
            root_proof: None,
            epoch_proof: None,
            certificates: Certificates::default(),
            later: Vec::new(),
            collector: Collector::default(),
            candidates: BTreeMap::new(),
            own: Own::default(),
            pacemaker: Pacemaker::default(),
            silence: Silence::default(),
            peers: Peers::default(),
            fetcher: Fetcher::default(),
            sync: HeightSync::default(),
            certificate_chase: CertificateChase::default(),
            early: Early::default(),
            started: false,
            epoch_over: false,
            halted: false,
            deadline: None,
            counters: Status::default(),
            judge: Judge {
                network: config.network,
                committee,
                verifier,
            },
            config,
            identity,
        };
        core.me = core.membership();
        core.restore(recovered);
        core
    }

    /// Handles one event. Outputs are appended to `out` in the order in which the shell must carry
    /// them out. Never blocks; its work is bounded by the committee's size and the limits of messages.
    pub fn step(
        &mut self,
        now: Now,
        input: Input,
        lanes: &mut dyn LaneView,
        out: &mut Vec<Output>,
    ) {
        let mut cx = Context {
            now,
            lanes,
            out,
            deadline: None,
        };
        if self.halted {
            self.deadline = None;
            return;
        }
        match input {
            Input::Start => self.start(&mut cx),
            Input::Tick => {}
            Input::Message { from, message } => self.handle_message(from, message, &mut cx),
            Input::TipsChanged | Input::DataArrived => self.on_lanes_changed(),
            Input::Persisted(id) => self.on_persisted(id, &mut cx),
            Input::EpochReady(committee) => self.on_epoch_ready(committee, &mut cx),
            Input::Synced(blocks) => self.on_synced(None, blocks, &mut cx),
        }
        if self.started && !self.halted {
            self.settle(&mut cx);
        }
        self.deadline = cx.deadline;
    }

    /// When to give the next [`Input::Tick`] if nothing else happens first.
    #[must_use]
    pub const fn next_deadline(&self) -> Option<Time> {
        self.deadline
    }

    /// Leaders of the current view and of the next one.
    #[must_use]
    pub fn leaders(&self) -> [OperatorId; 2] {
        [self.at.view, self.at.view.next()].map(|view| self.schedule.leader(view))
    }

    /// What the replica is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        let mut certified = self.certificates.certified();
        Status {
            at: self.at,
            leader: Some(self.schedule.leader(self.at.view)),
            member: self.me.is_some(),
            committed: self.tree.root().height,
            certified: certified
                .find_map(|certificate| self.tree.height(&certificate.statement.block))
                .unwrap_or_default()
                .max(self.tree.root().height),
            epoch_ended: self.epoch_over,
            syncing: self.sync.is_active() || !self.fetcher.is_idle(),
            suspects: self.silence.suspects(&self.judge.committee),
            view_timeout_ms: u64::try_from(self.pacemaker.timeout(&self.config).as_millis())
                .unwrap_or(u64::MAX),
            ..self.counters.clone()
        }
    }

    /// Everything that may have become possible, in the order in which one thing enables the next.
    fn settle(&mut self, cx: &mut Context<'_>) {
        self.try_commit(cx);
        if self.halted {
            return;
        }
        self.try_vote(cx);
        self.try_propose(cx);
        self.run_view_timer(cx);
        self.run_fetches(cx);
        self.run_rebroadcast(cx);
    }

    pub(crate) fn handle_message(
        &mut self,
        from: OperatorId,
        message: ConsensusMessage,
        cx: &mut Context<'_>,
    ) {
        if self.identity.as_ref().is_some_and(|(me, _)| *me == from) {
            return;
        }
        self.silence.heard(from);
        match message {
            ConsensusMessage::Proposal(proposal) => self.on_proposal(from, *proposal, cx),
            ConsensusMessage::Vote(vote) => self.on_vote(from, vote, cx),
            ConsensusMessage::Certificate(certificate) => {
                self.on_certificate(from, *certificate, cx);
            }
            ConsensusMessage::CertificatesRequest { after, up_to } => {
                self.on_certificates_request(from, after, up_to, cx);
            }
            ConsensusMessage::Certificates(page) => self.on_certificates(from, page, cx),
            ConsensusMessage::BlockRequest(hash) => self.on_block_request(from, hash, cx),
            ConsensusMessage::Block(block) => self.on_block(*block),
            ConsensusMessage::SyncRequest(height) => self.on_sync_request(from, height, cx),
            ConsensusMessage::Sync(blocks) => self.on_synced(Some(from), blocks, cx),
        }
    }

    /// The own operator, if it is a member under the key that it holds.
    pub(crate) fn membership(&self) -> Option<OperatorId> {
        let (operator, signer) = self.identity.as_ref()?;
        let member = self.judge.committee.member(*operator)?;
        (member.key == signer.public_key()).then_some(*operator)
    }

    /// The own operator, if it may sign in the current view.
    pub(crate) fn voter(&self) -> Option<OperatorId> {
        let free = !self.epoch_over && !self.halted && self.state.at <= self.at;
        self.me.filter(|_| free)
    }

    /// View of the last committed block; 0 if that belongs to an earlier epoch.
    pub(crate) fn root_view(&self) -> View {
        let at = self.tree.root().reference.at;
        if at.epoch == self.at.epoch {
            at.view
        } else {
            View::ZERO
        }
    }

    pub(crate) fn fault(&mut self, from: OperatorId, fault: PeerFault, cx: &mut Context<'_>) {
        self.counters.peer_faults += 1;
        cx.out.push(Output::PeerFault { from, fault });
    }

    pub(crate) fn accuse(&mut self, evidence: Evidence, cx: &mut Context<'_>) {
        self.counters.evidence += 1;
        cx.out.push(Output::Evidence(evidence));
    }
}
