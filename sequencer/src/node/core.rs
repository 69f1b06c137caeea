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
use squad_consensus::{Input, Replica};
use squad_mempool::LaneInput;
use squad_network::data::Credit;
use squad_primitives::message::{ConsensusMessage, LaneMessage};
use squad_primitives::{Batch, Digest, Height, OperatorId, Poa, SignedHeader, Time};
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
    replica: Replica,
    effects: Effects,
    clock: Clock,
    inputs: Receiver<CoreInput>,
    status_at: Time,
}

impl CoreLoop {
    /// Gives the cores their effects.
    pub(crate) const fn new(
        replica: Replica,
        effects: Effects,
        clock: Clock,
        inputs: Receiver<CoreInput>,
    ) -> Self {
        Self {
            replica,
            effects,
            clock,
            inputs,
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
        let deadline = self.replica.next_deadline();
        deadline.map_or(IDLE_WAIT, |at| self.clock.until(at).min(IDLE_WAIT))
    }

    fn tick(&mut self) {
        self.replica.tick(self.clock.now(), &mut self.effects);
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
        self.replica.step_consensus(now, input, &mut self.effects);
    }

    fn step_lanes(&mut self, input: LaneInput) {
        let now = self.clock.now();
        self.replica.step_lanes(now, input, &mut self.effects);
    }

    fn report(&mut self) {
        let now = self.clock.now().time;
        if now.since(self.status_at) >= IDLE_WAIT / 2 {
            self.status_at = now;
            let (consensus, lanes) = (self.replica.consensus(), self.replica.lanes());
            self.effects.report(consensus, lanes);
        }
    }
}
