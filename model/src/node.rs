//! One honest operator: the real core, its disk, and a shell that keeps to the contract of
//! [`squad_consensus::Output`] (or breaks it on purpose, [`Shell`]).

use crate::drive::{ChainWrite, Drive};
use crate::lanes::Lanes;
use crate::scope::{Disk, Setup, Shell};
use squad_consensus::{Core, Input, Output, PersistId, Recovered, SafetyRecord};
use squad_primitives::message::{ConsensusMessage, SyncedBlock};
use squad_primitives::{
    CommittedBlock, Digest, Duration, Evidence, Height, NetworkId, Now, OperatorId, Time,
};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// Wall clock of all operators: it stands still while states are explored.
const WALL_MS: u64 = 1_700_000_000_000;
/// Time that passes in an [`Event::Pause`]; longer than every interval of the core.
const PAUSE: Duration = Duration::from_secs(100);

/// An honest operator was charged with a fault.
pub(crate) const CHARGED: u8 = 1;
/// Evidence was given out that proves nothing.
pub(crate) const ACCUSED: u8 = 2;
/// A core saw finality contradicted.
pub(crate) const CONFLICT: u8 = 4;
/// Valid evidence against an honest operator. Either it contradicted itself, which the network shows
/// ([`crate::net::CONTRADICTED`]), or the core that stands for this state holds a vote of another
/// history, where the operator did otherwise.
pub(crate) const CROSSED: u8 = 8;

/// What can happen to an operator.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// Messages arrive, one after the other.
    Messages(Vec<(OperatorId, ConsensusMessage)>),
    /// So much time passes that every timer runs out.
    Pause,
    /// The oldest records that wait become durable.
    Flush,
    /// The oldest committed block that waits becomes durable.
    Store,
    /// The process dies and starts again from what is durable.
    Crash,
    /// The committee of the next epoch is known.
    Epoch,
}

/// What an event led to outside the operator.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// Messages that left, with the receiver if there is only one.
    pub(crate) sent: Vec<(Option<OperatorId>, ConsensusMessage)>,
    pub(crate) commits: Vec<(Height, Digest)>,
    /// Bits of [`CHARGED`] and its like.
    pub(crate) alarms: u8,
}

/// An operator at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) operator: OperatorId,
    pub(crate) core: Core,
    drive: Drive,
    /// Messages that wait for their records.
    held: Vec<(PersistId, Option<OperatorId>, ConsensusMessage)>,
    pub(crate) now: Now,
}

impl Node {
    /// A node that never ran, and what it does first.
    pub(crate) fn first(setup: &Setup, operator: OperatorId) -> (Self, Effects) {
        Self::boot(setup, operator, Drive::default(), Time::ZERO)
    }

    fn boot(setup: &Setup, operator: OperatorId, drive: Drive, time: Time) -> (Self, Effects) {
        let committed = drive.chain.last().map(|block| (**block).clone());
        let height = committed.as_ref().map_or(0, |block| block.block.height.0);
        let records = drive.records.values().map(|record| (**record).clone());
        let kept = records.filter(|record| {
            setup.scope.shell != Shell::Forgetful || !matches!(record, SafetyRecord::State(_))
        });
        let signer = Arc::clone(&setup.keys.signers[operator.0 as usize]);
        let core = Core::new(
            setup.config.clone(),
            Some((operator, signer)),
            Arc::clone(&setup.keys.verifier),
            setup.committee(setup.epoch_after(height)),
            Recovered::from_records(kept, committed),
        );
        let mut node = Self {
            operator,
            core,
            drive,
            held: Vec::new(),
            now: Now {
                time,
                wall_ms: WALL_MS,
            },
        };
        let mut effects = Effects::default();
        node.feed(setup, Input::Start, &mut effects);
        (node, effects)
    }

    /// The node after an event.
    pub(crate) fn after(&self, setup: &Setup, event: Event) -> (Self, Effects) {
        if let Event::Crash = event {
            return Self::boot(setup, self.operator, self.drive.survivor(), self.now.time);
        }
        let (mut node, mut effects) = (self.clone(), Effects::default());
        match event {
            Event::Messages(messages) => {
                for (from, message) in messages {
                    node.feed(setup, Input::Message { from, message }, &mut effects);
                }
            }
            Event::Pause => {
                node.now.time = node.now.time.after(PAUSE);
                node.feed(setup, Input::Tick, &mut effects);
            }
            Event::Flush => node.flush(setup, &mut effects),
            Event::Store => node.drive.store(),
            Event::Epoch => {
                let next = node.core.essence().at.epoch.next();
                let input = Input::EpochReady(setup.committee(next));
                node.feed(setup, input, &mut effects);
            }
            Event::Crash => {}
        }
        (node, effects)
    }

    /// One step of the core, and what the shell does about it.
    pub(crate) fn feed(&mut self, setup: &Setup, input: Input, effects: &mut Effects) {
        let mut out = Vec::new();
        let mut lanes = Lanes(self.operator);
        self.core.step(self.now, input, &mut lanes, &mut out);
        for output in out {
            self.carry_out(setup, output, effects);
        }
        if setup.scope.disk == Disk::Immediate {
            self.flush(setup, effects);
            while !self.drive.chain_queue.is_empty() {
                self.drive.store();
            }
        }
    }

    fn carry_out(&mut self, setup: &Setup, output: Output, effects: &mut Effects) {
        match output {
            Output::Persist { id, records } => {
                let records = records.into_iter().map(Arc::new).collect();
                self.drive.records_queue.push_back((id, records));
            }
            Output::Broadcast { message, after } => {
                self.send(setup, None, message, after, effects);
            }
            Output::Send { to, message, after } => {
                self.send(setup, Some(to), message, after, effects);
            }
            Output::Commit(block) => {
                effects.commits.push((block.block.height, block.hash));
                let write = ChainWrite::Block(Arc::new(block));
                self.drive.chain_queue.push_back(write);
            }
            Output::Forget(ranges) => {
                let write = ChainWrite::Forget(ranges);
                self.drive.chain_queue.push_back(write);
            }
            Output::ServeBlocks { to, from } => {
                let blocks = self
                    .chain()
                    .iter()
                    .filter(|block| block.block.height >= from);
                let blocks = blocks.map(|block| synced(block)).collect();
                effects
                    .sent
                    .push((Some(to), ConsensusMessage::Sync(blocks)));
            }
            Output::ServeBlock { to, hash } => {
                let stored = self.chain().iter().find(|block| block.hash == hash);
                let message = stored.map(|it| ConsensusMessage::Block(Box::new(it.block.clone())));
                effects
                    .sent
                    .extend(message.map(|message| (Some(to), message)));
            }
            Output::Evidence(evidence) => {
                let Evidence::Votes(first, _) = &evidence else {
                    effects.alarms |= ACCUSED;
                    return;
                };
                let committee = setup.committee(first.statement.at.epoch);
                let (network, verifier) = (&setup.config.network, &*setup.keys.verifier);
                if !evidence.verify(network, &committee, verifier) {
                    effects.alarms |= ACCUSED;
                } else if !setup.lies(first.signer) {
                    effects.alarms |= CROSSED;
                }
            }
            Output::PeerFault { from, .. } if setup.lies(from) => {}
            Output::PeerFault { .. } => effects.alarms |= CHARGED,
            Output::Conflict(_) => effects.alarms |= CONFLICT,
            // The committee comes by `Event::Epoch`; nothing else is ever missing or shared here.
            _ => {}
        }
    }

    fn send(
        &mut self,
        setup: &Setup,
        to: Option<OperatorId>,
        message: ConsensusMessage,
        after: Option<PersistId>,
        effects: &mut Effects,
    ) {
        match after.filter(|id| *id > self.drive.durable) {
            Some(id) if setup.scope.shell != Shell::Hasty => self.held.push((id, to, message)),
            _ => effects.sent.push((to, message)),
        }
    }

    /// One input, with its effects.
    pub(crate) fn run(&mut self, setup: &Setup, input: Input) -> Effects {
        let mut effects = Effects::default();
        self.feed(setup, input, &mut effects);
        effects
    }

    /// Makes everything durable that waits.
    pub(crate) fn settle(&mut self, setup: &Setup) -> Effects {
        let mut effects = Effects::default();
        while !self.drive.records_queue.is_empty() {
            self.flush(setup, &mut effects);
        }
        while !self.drive.chain_queue.is_empty() {
            self.drive.store();
        }
        effects
    }

    /// Sets the clocks; the wall clock by what has passed since the exploration stopped.
    pub(crate) const fn set_clock(&mut self, time: Time, passed_ms: u64) {
        self.now = Now {
            time,
            wall_ms: WALL_MS + passed_ms,
        };
    }

    /// Makes the oldest records durable; without a queue, all.
    fn flush(&mut self, setup: &Setup, effects: &mut Effects) {
        let Some(id) = self.drive.flush() else {
            return;
        };
        let held = std::mem::take(&mut self.held);
        for (after, to, message) in held {
            self.send(setup, to, message, Some(after), effects);
        }
        self.feed(setup, Input::Persisted(id), effects);
    }

    /// Committed blocks that are durable, from height 1 on.
    pub(crate) fn chain(&self) -> &[Arc<CommittedBlock>] {
        &self.drive.chain
    }

    /// Writes that wait: of records, of committed blocks.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let drive = &self.drive;
        (drive.records_queue.len(), drive.chain_queue.len())
    }

    /// Hash of everything that the future depends on: the core's [`squad_consensus::Essence`], the
    /// disk, and what waits for it. Numbers of writes count from the last durable one.
    pub(crate) fn fingerprint(&self, network: &NetworkId) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.operator.hash(&mut hasher);
        self.core.essence().hash(&mut hasher);
        self.drive.hash(&mut hasher);
        for (after, _, message) in &self.held {
            (after.0 - self.drive.durable.0).hash(&mut hasher);
            match message {
                ConsensusMessage::Vote(vote) => vote.statement.hash(&mut hasher),
                ConsensusMessage::Proposal(it) => it.vote(network).statement.hash(&mut hasher),
                _ => {}
            }
        }
        hasher.finish()
    }
}

/// A committed block as it is synced.
pub(crate) fn synced(block: &CommittedBlock) -> SyncedBlock {
    SyncedBlock {
        block: block.block.clone(),
        proof: (*block.proof).clone(),
    }
}
