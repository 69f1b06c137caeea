//! The thread that owns consensus and the lanes.
//!
//! ```text
//!  sockets ──▶ inbound ──▶ ┌───────────────────────────┐ ──▶ outbox ──▶ store ──▶ sockets
//!  batch maker ──────────▶ │ consensus core ⇄ lanes    │ ──▶ pipeline (ordered blocks)
//!  store (durable) ──────▶ └───────────────────────────┘ ──▶ fetcher (missing batches)
//! ```
//!
//! Both cores are pure; this is their only owner, so no lock is around them. Their inputs come over one
//! channel. It has no capacity of its own, because everything that a peer can put in holds a share of
//! that peer's receive budget until it has been dealt with, and everything else answers an own request.
//!
//! What must be durable before it leaves is handed to the store together with the messages that wait
//! for it: the store's writer sends them, so a signature can't overtake its record.

use super::clock::Clock;
use super::effects::Effects;
use squad_consensus::{Core, Input, Output};
use squad_mempool::{LaneInput, LaneOutput, Lanes};
use squad_network::data::Credit;
use squad_primitives::message::{ConsensusMessage, LaneMessage};
use squad_primitives::{
    Batch, CommittedBlock, Committee, Digest, Height, OperatorId, Poa, SignedHeader, Time, Tip,
};
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// What reaches the core thread.
#[derive(Debug)]
pub(crate) enum CoreInput {
    /// A consensus message from a peer.
    Consensus(OperatorId, ConsensusMessage, Credit),
    /// A lane message from a peer, without a body.
    Lane(OperatorId, LaneMessage, Credit),
    /// A batch whose body matches its header.
    Batch {
        /// Peer that sent it.
        from: OperatorId,
        /// The batch.
        batch: Batch,
        /// Proofs that came with it.
        poas: Vec<Poa>,
        /// Share of the receive budget; none if it was asked for.
        credit: Option<Credit>,
    },
    /// A request for a batch failed.
    FetchFailed(OperatorId, Digest),
    /// An own batch is durable.
    OwnBatch(SignedHeader),
    /// Consensus records up to this id are durable.
    ConsensusPersisted(squad_consensus::PersistId),
    /// Bodies and lane records up to this id are durable.
    LanesPersisted(squad_mempool::PersistId),
    /// The result of a block is durable.
    Processed(Height),
    /// A link is up.
    Connected(OperatorId),
    /// A link is down.
    Disconnected(OperatorId),
    /// Stop.
    Shutdown,
}

/// Sending side of the core thread.
pub(crate) type CoreSender = Sender<CoreInput>;

/// Longest wait when no core has a deadline; bounds the age of the status.
const IDLE_WAIT: Duration = Duration::from_millis(100);

/// Inputs taken between two looks at the clock's deadlines.
const BURST: usize = 64;

/// Cores and their effects.
#[derive(Debug)]
pub(crate) struct CoreLoop {
    consensus: Core,
    lanes: Lanes,
    committee: Committee,
    effects: Effects,
    clock: Clock,
    inputs: Receiver<CoreInput>,
    /// Committed blocks whose batches are not all here yet.
    waiting: BTreeMap<Height, CommittedBlock>,
    consensus_out: Vec<Output>,
    lanes_out: Vec<LaneOutput>,
    /// Leaders that the lanes were last told of.
    leaders: Option<[OperatorId; 2]>,
    status_at: Time,
}

impl CoreLoop {
    /// Joins the cores. `committee` is that of the recovered epoch.
    pub(crate) fn new(
        consensus: Core,
        lanes: Lanes,
        committee: Committee,
        effects: Effects,
        clock: Clock,
        inputs: Receiver<CoreInput>,
    ) -> Self {
        Self {
            consensus,
            lanes,
            committee,
            effects,
            clock,
            inputs,
            waiting: BTreeMap::new(),
            consensus_out: Vec::new(),
            lanes_out: Vec::new(),
            leaders: None,
            status_at: Time::ZERO,
        }
    }

    /// Runs until [`CoreInput::Shutdown`] or until all senders are gone.
    pub(crate) fn run(mut self) {
        self.step_consensus(Input::Start);
        loop {
            self.report();
            match self.inputs.recv_timeout(self.wait()) {
                Ok(CoreInput::Shutdown) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(input) => self.handle(input),
                Err(RecvTimeoutError::Timeout) => {}
            }
            for _ in 0..BURST {
                match self.inputs.try_recv() {
                    Ok(CoreInput::Shutdown) => return,
                    Ok(input) => self.handle(input),
                    Err(_) => break,
                }
            }
            self.tick();
        }
    }

    fn wait(&self) -> Duration {
        [self.consensus.next_deadline(), self.lanes.next_deadline()]
            .into_iter()
            .flatten()
            .map(|deadline| self.clock.until(deadline))
            .fold(IDLE_WAIT, Duration::min)
    }

    fn tick(&mut self) {
        let now = self.clock.now().time;
        if self.lanes.next_deadline().is_some_and(|at| at <= now) {
            self.step_lanes(LaneInput::Tick);
        }
        if self.consensus.next_deadline().is_some_and(|at| at <= now) {
            self.step_consensus(Input::Tick);
        }
    }

    fn handle(&mut self, input: CoreInput) {
        match input {
            CoreInput::Consensus(from, message, credit) => {
                self.step_consensus(Input::Message { from, message });
                drop(credit);
            }
            CoreInput::Lane(from, message, credit) => {
                self.step_lanes(LaneInput::Message { from, message });
                drop(credit);
            }
            CoreInput::Batch {
                from,
                batch,
                poas,
                credit,
            } => {
                self.receive_batch(from, batch, poas);
                drop(credit);
            }
            CoreInput::FetchFailed(from, digest) => {
                self.step_lanes(LaneInput::FetchFailed { from, digest });
            }
            CoreInput::OwnBatch(signed) => self.step_lanes(LaneInput::OwnBatch(signed)),
            CoreInput::ConsensusPersisted(id) => self.step_consensus(Input::Persisted(id)),
            CoreInput::LanesPersisted(id) => self.step_lanes(LaneInput::Persisted(id)),
            CoreInput::Processed(height) => {
                self.effects.processed(height);
                self.step_lanes(LaneInput::Processed(height));
            }
            CoreInput::Connected(peer) => {
                self.effects.link(peer, true);
                self.step_lanes(LaneInput::PeerConnected(peer));
            }
            CoreInput::Disconnected(peer) => {
                self.effects.link(peer, false);
                self.step_lanes(LaneInput::PeerDisconnected(peer));
            }
            CoreInput::Shutdown => {}
        }
    }

    /// The lanes judge the header first; only what they ask to store is kept.
    fn receive_batch(&mut self, from: OperatorId, batch: Batch, poas: Vec<Poa>) {
        let signed = *batch.signed();
        self.effects.offer(batch);
        self.step_lanes(LaneInput::Batch { from, signed, poas });
        self.effects.withdraw_offer();
    }

    fn step_consensus(&mut self, input: Input) {
        let now = self.clock.now();
        let mut out = std::mem::take(&mut self.consensus_out);
        self.consensus.step(now, input, &mut self.lanes, &mut out);
        self.effects.begin_step();
        let mut commits = Vec::new();
        let mut missing = Vec::new();
        let mut next_epoch = None;
        for output in out.drain(..) {
            match output {
                Output::Commit(block) => {
                    self.effects.committed(block.block.height);
                    commits.push(block);
                }
                Output::NeedData {
                    leader,
                    missing: tips,
                    ..
                } => missing.push((leader, tips)),
                Output::EpochEnd { epoch, .. } => next_epoch = Some(epoch.next()),
                // The lanes broadcast held proofs themselves while nothing commits.
                Output::ShareTips { .. } => {}
                other => self.effects.consensus(other),
            }
        }
        self.effects.end_step();
        self.consensus_out = out;
        for block in commits {
            self.commit(block);
        }
        for (proposer, tips) in missing {
            self.step_lanes(LaneInput::Missing { tips, proposer });
        }
        if let Some(epoch) = next_epoch {
            // Stake comes from genesis, so the next committee has the same members.
            let committee = self.committee.in_epoch(epoch);
            self.committee = committee.clone();
            self.effects.epoch(epoch);
            self.step_lanes(LaneInput::EpochReady(committee.clone()));
            self.step_consensus(Input::EpochReady(committee));
        }
        self.tell_leaders();
    }

    fn commit(&mut self, block: CommittedBlock) {
        let height = block.block.height;
        let cut = block.block.cut.clone();
        self.waiting.insert(height, block);
        self.step_lanes(LaneInput::Committed { height, cut });
    }

    fn tell_leaders(&mut self) {
        let leaders = self.consensus.leaders();
        if self.leaders != Some(leaders) {
            self.leaders = Some(leaders);
            self.step_lanes(LaneInput::LeadersChanged(leaders));
        }
    }

    fn step_lanes(&mut self, input: LaneInput) {
        let now = self.clock.now();
        let mut out = std::mem::take(&mut self.lanes_out);
        self.lanes.step(now, input, &mut out);
        let (mut tips_changed, mut data_arrived) = (false, false);
        self.effects.begin_step();
        for output in out.drain(..) {
            match output {
                LaneOutput::TipsChanged => tips_changed = true,
                LaneOutput::DataArrived => data_arrived = true,
                LaneOutput::BlockReady { height, batches } => self.ready(height, batches),
                other => self.effects.lanes(other),
            }
        }
        self.effects.end_step();
        self.effects.own_lane(&self.lanes);
        self.lanes_out = out;
        if tips_changed {
            self.step_consensus(Input::TipsChanged);
        }
        if data_arrived {
            self.step_consensus(Input::DataArrived);
        }
    }

    fn ready(&mut self, height: Height, batches: Vec<Tip>) {
        if let Some(block) = self.waiting.remove(&height) {
            self.effects.order(block, batches);
        }
    }

    fn report(&mut self) {
        let now = self.clock.now().time;
        if now.since(self.status_at) >= IDLE_WAIT / 2 {
            self.status_at = now;
            self.effects.report(&self.consensus, &self.lanes);
        }
    }
}
