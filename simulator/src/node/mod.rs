//! One running node: the cores, and a shell with the contract of the real one
//! (`sequencer/src/node`), in one thread of virtual time.
//!
//! | real shell | here |
//! |---|---|
//! | core thread, `effects` | [`Shell`] as [`squad_consensus::Host`] |
//! | `maker`, pool, admission | `maker` |
//! | `pipeline`, `Orderer` | `order` |
//! | `recover` | `boot` |
//! | store and its writers | [`crate::disk`] |
//! | data plane, fetches | [`crate::net`], [`Action`] |
//!
//! A node only says what it wants ([`Action`]); the world carries it out.

mod boot;
mod maker;
mod order;
mod shell;
mod store;

pub use boot::{BootConfig, Identity, ROLLUPS};
pub use order::{Dropped, OrderedBlock};
pub use shell::Shell;

use crate::disk::{File, Write};
use crate::observe::Seen;
use squad_consensus::{Input, Replica};
use squad_mempool::{LaneInput, Refusal};
use squad_primitives::message::{ConsensusMessage, LaneMessage};
use squad_primitives::{Batch, Digest, Height, Now, OperatorId, Poa, Time, Transaction};
use std::sync::Arc;

/// What travels.
#[derive(Clone, Debug)]
pub enum Packet {
    /// A consensus message.
    Consensus(Arc<ConsensusMessage>),
    /// A lane message without a body.
    Lane(Arc<LaneMessage>),
    /// A batch.
    Batch {
        /// Header and body.
        batch: Batch,
        /// Proofs with it.
        poas: Vec<Poa>,
    },
    /// Asks for a batch.
    Fetch(Digest),
    /// Answer: the batch, if it is there.
    Fetched(Digest, Option<Batch>),
}

/// What a durable write sets off.
#[derive(Debug)]
pub enum Done {
    /// Messages leave, and consensus hears of its record.
    Consensus {
        /// Messages that waited.
        held: Vec<(Option<OperatorId>, Packet)>,
        /// The record.
        id: Option<squad_consensus::PersistId>,
    },
    /// Lane writes are durable.
    Lanes(Vec<squad_mempool::PersistId>),
    /// An own batch is durable.
    OwnBatch(Batch),
    /// An ordered block is written; synced if the flag says so.
    Block(Arc<OrderedBlock>, bool),
    /// Ordered blocks up to a height are synced.
    Synced(Height),
    /// Nothing waits.
    Nothing,
}

/// What a node asks of the world.
#[derive(Debug)]
pub enum Action {
    /// Send to one operator, or to all others.
    Send(Option<OperatorId>, Packet),
    /// Write.
    Write(File, Box<Write>),
    /// A fetch was sent; if no answer comes in time, it fails.
    AwaitFetch(OperatorId, Digest),
    /// Tell the observers.
    Saw(Seen),
    /// The process can't go on.
    Stop(&'static str),
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    replica: Replica,
    shell: Shell,
}

impl Node {
    /// What the node asks for since the last time.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.shell.actions)
    }

    /// The cores.
    #[must_use]
    pub const fn replica(&self) -> &Replica {
        &self.replica
    }

    /// The shell.
    #[must_use]
    pub const fn shell(&self) -> &Shell {
        &self.shell
    }

    /// The process runs: cores begin.
    pub fn start(&mut self, now: Now) {
        self.replica
            .step_consensus(now, Input::Start, &mut self.shell);
    }

    /// When to call [`Node::tick`] if nothing else happens first.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        [
            self.replica.next_deadline(),
            self.shell.maker_due,
            self.shell.sync_due,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// What the shell does by itself after each event.
    fn settle(&mut self, now: Now) {
        self.shell.make_batches(now);
        self.shell.sync_blocks(now.time);
    }

    /// Timers.
    pub fn tick(&mut self, now: Now) {
        self.replica.tick(now, &mut self.shell);
        self.settle(now);
    }

    /// A packet arrived.
    pub fn receive(&mut self, now: Now, from: OperatorId, packet: Packet) {
        match packet {
            Packet::Consensus(message) => {
                let message = (*message).clone();
                let input = Input::Message { from, message };
                self.replica.step_consensus(now, input, &mut self.shell);
            }
            Packet::Lane(message) => {
                let message = (*message).clone();
                let input = LaneInput::Message { from, message };
                self.replica.step_lanes(now, input, &mut self.shell);
            }
            Packet::Batch { batch, poas } => self.receive_batch(now, from, batch, poas),
            Packet::Fetch(digest) => self.shell.answer_fetch(from, digest),
            Packet::Fetched(digest, batch) => {
                if !self.shell.fetches.remove(&(from, digest)) {
                    return;
                }
                match batch.filter(|batch| batch.digest() == digest) {
                    Some(batch) => self.receive_batch(now, from, batch, Vec::new()),
                    None => self.fetch_failed(now, from, digest),
                }
            }
        }
        self.settle(now);
    }

    /// The lanes judge the header first; only what they ask to store is kept.
    fn receive_batch(&mut self, now: Now, from: OperatorId, batch: Batch, poas: Vec<Poa>) {
        let signed = *batch.signed();
        self.shell.offered = Some(batch);
        let input = LaneInput::Batch { from, signed, poas };
        self.replica.step_lanes(now, input, &mut self.shell);
        self.shell.offered = None;
    }

    fn fetch_failed(&mut self, now: Now, from: OperatorId, digest: Digest) {
        let input = LaneInput::FetchFailed { from, digest };
        self.replica.step_lanes(now, input, &mut self.shell);
    }

    /// No answer came in time.
    pub fn fetch_timeout(&mut self, now: Now, from: OperatorId, digest: Digest) {
        if self.shell.fetches.remove(&(from, digest)) {
            self.fetch_failed(now, from, digest);
        }
    }

    /// A client submits a transaction.
    ///
    /// # Errors
    /// It is refused.
    pub fn submit(&mut self, now: Now, transaction: Transaction) -> Result<(), Refusal> {
        let taken = self.shell.take(now, transaction);
        self.settle(now);
        taken
    }

    /// A link went up or down.
    pub fn link(&mut self, now: Now, peer: OperatorId, up: bool) {
        let input = if up {
            LaneInput::PeerConnected(peer)
        } else {
            LaneInput::PeerDisconnected(peer)
        };
        self.replica.step_lanes(now, input, &mut self.shell);
    }

    /// A write ended.
    pub fn written(&mut self, now: Now, done: Done) {
        match done {
            Done::Consensus { held, id } => {
                for (to, packet) in held {
                    self.shell.actions.push(Action::Send(to, packet));
                }
                if let Some(id) = id {
                    self.replica
                        .step_consensus(now, Input::Persisted(id), &mut self.shell);
                }
            }
            Done::Lanes(ids) => {
                if let Some(durable) = self.shell.watermark.finish(&ids) {
                    self.replica
                        .step_lanes(now, LaneInput::Persisted(durable), &mut self.shell);
                }
            }
            Done::OwnBatch(batch) => {
                let signed = *batch.signed();
                self.replica
                    .step_lanes(now, LaneInput::OwnBatch(signed), &mut self.shell);
                self.shell.actions.push(Action::Saw(Seen::Accepted(batch)));
            }
            Done::Block(block, synced) => {
                let height = block.height();
                self.shell.published(block);
                if synced {
                    self.processed(now, height);
                }
            }
            Done::Synced(height) => self.processed(now, height),
            Done::Nothing => {}
        }
        self.repeated_blocks(now);
        self.settle(now);
    }

    fn processed(&mut self, now: Now, height: Height) {
        self.shell.processed(height);
        self.replica
            .step_lanes(now, LaneInput::Processed(height), &mut self.shell);
    }

    /// Blocks that consensus gave out again after a restart are stored already.
    fn repeated_blocks(&mut self, now: Now) {
        while let Some(height) = self.shell.repeated.pop_front() {
            self.processed(now, height);
        }
    }
}
