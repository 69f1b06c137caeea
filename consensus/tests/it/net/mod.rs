//! A network of cores in virtual time: seeded delays and losses, crashes that keep only what was
//! durable, partitions, and an observer of everything that checks safety all the time.

mod keys;
mod lanes;
mod node;
mod oracle;
mod rng;

pub(crate) use keys::{TestKey, TestVerifier, committee, public_key};
pub(crate) use lanes::{TestLanes, tip};
use node::{ChainWrite, Node};
use oracle::Oracle;
use rng::Rng;
use squad_consensus::{Config, Input, Output};
use squad_primitives::message::{BLOCKS_PER_PAGE, ConsensusMessage, SyncedBlock};
use squad_primitives::{
    Committee, Digest, Duration, Epoch, Evidence, Now, OperatorId, Proposal, Time, Tip,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(crate) const WALL_START_MS: u64 = 1_700_000_000_000;

/// How a world behaves.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) seed: u64,
    pub(crate) config: Config,
    /// Members and stake per epoch; the last entry serves all later epochs.
    pub(crate) committees: Vec<Vec<(usize, u64)>>,
    /// Nodes without a key, after the members.
    pub(crate) observers: usize,
    /// One-way delay in microseconds.
    pub(crate) delay_us: (u64, u64),
    /// Chance that a message is lost.
    pub(crate) loss_percent: u64,
    /// Time of a durable write of records in microseconds.
    pub(crate) disk_us: (u64, u64),
    /// Time of a durable write of a committed block.
    pub(crate) chain_us: (u64, u64),
    /// Interval between new batches of one lane; zero for an idle network.
    pub(crate) batch_interval: Duration,
}

impl Setup {
    pub(crate) fn new(seed: u64, members: usize) -> Self {
        Self {
            seed,
            config: Config::new(Digest([9; 32]), 1_000_000),
            committees: vec![(0..members).map(|index| (index, 1)).collect()],
            observers: 0,
            delay_us: (2_000, 8_000),
            loss_percent: 0,
            disk_us: (100, 1_000),
            chain_us: (100, 1_000),
            batch_interval: Duration::from_millis(10),
        }
    }

    fn members(&self) -> usize {
        let all = self.committees.iter().flatten();
        all.map(|(index, _)| index + 1).max().unwrap()
    }
}

#[derive(Debug)]
enum Event {
    Deliver {
        to: usize,
        from: usize,
        message: ConsensusMessage,
    },
    Durable {
        node: usize,
        life: u64,
        chain: bool,
    },
    Tick {
        node: usize,
        life: u64,
    },
    Batch {
        lane: usize,
        seq: u64,
    },
    Learn {
        node: usize,
        tip: Tip,
        fetched: bool,
    },
}

/// Messages sent since the last reset, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) proposals: usize,
    pub(crate) votes: usize,
    pub(crate) others: usize,
}

/// The network.
pub(crate) struct World {
    pub(crate) setup: Setup,
    pub(crate) nodes: Vec<Node>,
    pub(crate) now: Time,
    pub(crate) oracle: Oracle,
    pub(crate) evidence: Vec<(usize, Evidence)>,
    pub(crate) sent: Sent,
    /// From proposal to commit, for each block and node.
    pub(crate) latencies_ms: Vec<u64>,
    /// Groups that can't hear each other; a node in no group hears all.
    pub(crate) partition: Vec<BTreeSet<usize>>,
    /// Leaders that propose two blocks, one to each half of the others.
    pub(crate) equivocators: BTreeSet<usize>,
    /// Messages to drop: (from, to, message) as judged by the test.
    pub(crate) filter: Option<Filter>,
    events: BTreeMap<(Time, u64), Event>,
    sequence: u64,
    rng: Rng,
}

pub(crate) type Filter = Box<dyn FnMut(usize, usize, &ConsensusMessage) -> bool>;

impl World {
    /// All nodes running from genesis.
    pub(crate) fn start(setup: Setup) -> Self {
        let mut world = Self::stopped(setup);
        for index in 0..world.nodes.len() {
            world.boot(index);
        }
        world
    }

    /// All nodes down.
    pub(crate) fn stopped(setup: Setup) -> Self {
        let members = setup.members();
        let nodes = (0..members + setup.observers).map(|index| Node::new(index, index < members));
        let mut world = Self {
            nodes: nodes.collect(),
            now: Time(1_000_000),
            oracle: Oracle::new(setup.config.network),
            evidence: Vec::new(),
            sent: Sent::default(),
            latencies_ms: Vec::new(),
            partition: Vec::new(),
            equivocators: BTreeSet::new(),
            filter: None,
            events: BTreeMap::new(),
            sequence: 0,
            rng: Rng(setup.seed),
            setup,
        };
        if !world.setup.batch_interval.is_zero() {
            for lane in 0..members {
                world.schedule(Duration::ZERO, Event::Batch { lane, seq: 1 });
            }
        }
        world
    }

    pub(crate) fn committee(&self, epoch: Epoch) -> Committee {
        let committees = &self.setup.committees;
        let index = usize::try_from(epoch.0).unwrap().min(committees.len() - 1);
        committee(epoch, &committees[index])
    }

    fn clock(&self) -> Now {
        Now {
            time: self.now,
            wall_ms: WALL_START_MS + self.now.0 / 1_000,
        }
    }

    fn schedule(&mut self, delay: Duration, event: Event) {
        self.sequence += 1;
        let key = (self.now.after(delay), self.sequence);
        self.events.insert(key, event);
    }

    /// (Re)starts a node from what is on its disk.
    pub(crate) fn boot(&mut self, index: usize) {
        let committed = self.nodes[index].disk.chain.last();
        let height = committed.map_or(0, |block| block.block.height.0);
        let epoch = Epoch(height / self.setup.config.epoch_blocks);
        let committee = self.committee(epoch);
        self.nodes[index].boot(self.setup.config.clone(), committee);
        self.step(index, Input::Start);
    }

    /// Stops a node at once; what was not durable is gone.
    pub(crate) fn crash(&mut self, index: usize) {
        self.nodes[index].crash();
    }

    pub(crate) fn step(&mut self, index: usize, input: Input) {
        let now = self.clock();
        let mut out = Vec::new();
        let node = &mut self.nodes[index];
        let Some(core) = &mut node.core else {
            return;
        };
        core.step(now, input, &mut node.lanes, &mut out);
        let deadline = core.next_deadline();
        let life = node.life;
        for output in out {
            self.execute(index, output);
        }
        if let Some(deadline) = deadline {
            assert!(
                deadline > self.now,
                "a deadline that is due was not handled"
            );
            let delay = deadline.since(self.now);
            let node = &mut self.nodes[index];
            if node.alarm != Some(deadline) {
                node.alarm = Some(deadline);
                self.schedule(delay, Event::Tick { node: index, life });
            }
        }
    }

    fn execute(&mut self, index: usize, output: Output) {
        match output {
            Output::Persist { id, records } => {
                self.nodes[index]
                    .disk
                    .records_queue
                    .push_back((id, records));
                self.write(index, self.setup.disk_us, false);
            }
            Output::Commit(block) => {
                let committee = self.committee(block.block.at.epoch);
                self.oracle.on_commit(index, &block, &committee);
                self.nodes[index].committed = block.block.height;
                let age_ms = self.clock().wall_ms - block.block.timestamp_ms;
                self.latencies_ms.push(age_ms);
                let write = ChainWrite::Block(Box::new(block));
                self.nodes[index].disk.chain_queue.push_back(write);
                self.write(index, self.setup.chain_us, true);
            }
            Output::Forget(ranges) => {
                let write = ChainWrite::Forget(ranges);
                self.nodes[index].disk.chain_queue.push_back(write);
                self.write(index, self.setup.chain_us, true);
            }
            Output::Broadcast { message, after } => {
                for to in 0..self.nodes.len() {
                    if to != index {
                        self.send(index, to, message.clone(), after);
                    }
                }
            }
            Output::Send { to, message, after } => {
                let to = usize::try_from(to.0).unwrap();
                assert_ne!(to, index, "a message to itself");
                self.send(index, to, message, after);
            }
            Output::NeedData { missing, .. } => {
                for tip in missing {
                    let delay = self.delay() * 2;
                    let event = Event::Learn {
                        node: index,
                        tip,
                        fetched: true,
                    };
                    self.schedule(delay, event);
                }
            }
            Output::ServeBlocks { to, from } => {
                let chain = &self.nodes[index].disk.chain;
                let first = usize::try_from(from.0.saturating_sub(1)).unwrap();
                let page = chain.iter().skip(first).take(BLOCKS_PER_PAGE);
                let page = page.map(|block| SyncedBlock {
                    block: block.block.clone(),
                    proof: (*block.proof).clone(),
                });
                let message = ConsensusMessage::Sync(page.collect());
                self.send(index, usize::try_from(to.0).unwrap(), message, None);
            }
            Output::ServeBlock { to, hash } => {
                let chain = &self.nodes[index].disk.chain;
                if let Some(block) = chain.iter().rev().find(|block| block.hash == hash) {
                    let message = ConsensusMessage::Block(Box::new(block.block.clone()));
                    self.send(index, usize::try_from(to.0).unwrap(), message, None);
                }
            }
            Output::EpochEnd { epoch, .. } => {
                let committee = self.committee(epoch.next());
                self.step(index, Input::EpochReady(committee));
            }
            Output::Evidence(evidence) => self.evidence.push((index, evidence)),
            Output::ShareTips { above } => self.share_tips(index, &above),
            Output::PeerFault { .. } => self.nodes[index].faults += 1,
            Output::Conflict(_) => panic!("seed {}: node {index} saw a fork", self.setup.seed),
            other => panic!("unhandled output {other:?}"),
        }
    }

    fn share_tips(&mut self, index: usize, above: &squad_primitives::Cut) {
        let tips = self.nodes[index].lanes_above(above);
        for to in 0..self.nodes.len() {
            for tip in &tips {
                if to != index && self.connected(index, to) {
                    let delay = self.delay();
                    let event = Event::Learn {
                        node: to,
                        tip: *tip,
                        fetched: false,
                    };
                    self.schedule(delay, event);
                }
            }
        }
    }

    fn write(&mut self, index: usize, (low, high): (u64, u64), chain: bool) {
        let delay = Duration::from_micros(self.rng.between(low, high));
        let life = self.nodes[index].life;
        let event = Event::Durable {
            node: index,
            life,
            chain,
        };
        self.schedule(delay, event);
    }

    fn send(
        &mut self,
        from: usize,
        to: usize,
        message: ConsensusMessage,
        after: Option<squad_consensus::PersistId>,
    ) {
        let node = &mut self.nodes[from];
        if after.is_some_and(|id| id > node.disk.durable) {
            node.held.push((after.unwrap(), to, message));
            return;
        }
        self.transmit(from, to, message);
    }

    fn transmit(&mut self, from: usize, to: usize, message: ConsensusMessage) {
        let mut message = message;
        if self.equivocators.contains(&from) {
            if let ConsensusMessage::Proposal(proposal) = &message
                && to.is_multiple_of(2)
            {
                message = self.other_proposal(from, proposal);
            }
        } else {
            self.oracle.on_sent(from, &message);
        }
        match &message {
            ConsensusMessage::Proposal(_) => self.sent.proposals += 1,
            ConsensusMessage::Vote(_) => self.sent.votes += 1,
            _ => self.sent.others += 1,
        }
        let dropped = match &mut self.filter {
            Some(filter) => filter(from, to, &message),
            None => false,
        };
        let percent = self.setup.loss_percent;
        if dropped || self.rng.chance(percent) || !self.connected(from, to) {
            return;
        }
        let delay = self.delay();
        self.schedule(delay, Event::Deliver { to, from, message });
    }

    fn other_proposal(&self, from: usize, proposal: &Proposal) -> ConsensusMessage {
        let mut block = proposal.block.clone();
        block.timestamp_ms += 1;
        let leader = OperatorId(u32::try_from(from).unwrap());
        let key = TestKey(public_key(from));
        let network = self.setup.config.network;
        let justify = proposal.justify.clone();
        ConsensusMessage::Proposal(Box::new(Proposal::sign(
            &network,
            proposal.at,
            block,
            leader,
            justify,
            &key,
        )))
    }

    fn connected(&self, from: usize, to: usize) -> bool {
        let group = |node| {
            self.partition
                .iter()
                .position(|group| group.contains(&node))
        };
        match (group(from), group(to)) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        }
    }

    fn delay(&mut self) -> Duration {
        let (low, high) = self.setup.delay_us;
        Duration::from_micros(self.rng.between(low, high))
    }

    /// Handles the next event.
    fn advance(&mut self) {
        let ((time, _), event) = self.events.pop_first().expect("a world never ends");
        self.now = time;
        match event {
            Event::Deliver { to, from, message } => {
                let from = OperatorId(u32::try_from(from).unwrap());
                self.step(to, Input::Message { from, message });
            }
            Event::Durable { node, life, chain } => {
                if self.nodes[node].life == life {
                    if chain {
                        self.nodes[node].disk.sync_chain();
                    } else {
                        self.on_durable(node);
                    }
                }
            }
            Event::Tick { node, life } => {
                let owner = &mut self.nodes[node];
                if owner.life == life && owner.alarm == Some(time) {
                    owner.alarm = None;
                    self.step(node, Input::Tick);
                }
            }
            Event::Batch { lane, seq } => {
                for node in 0..self.nodes.len() {
                    let delay = self.delay();
                    let tip = tip(OperatorId(u32::try_from(lane).unwrap()), seq);
                    let event = Event::Learn {
                        node,
                        tip,
                        fetched: false,
                    };
                    self.schedule(delay, event);
                }
                let interval = self.setup.batch_interval;
                self.schedule(interval, Event::Batch { lane, seq: seq + 1 });
            }
            Event::Learn { node, tip, fetched } => {
                let now = self.now;
                let input = if fetched {
                    Input::DataArrived
                } else {
                    Input::TipsChanged
                };
                if self.nodes[node].core.is_some() {
                    self.nodes[node].lanes.learn(&tip, now);
                    self.step(node, input);
                }
            }
        }
    }

    fn on_durable(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let Some(id) = node.disk.sync_records() else {
            return;
        };
        let (ready, held) = std::mem::take(&mut node.held)
            .into_iter()
            .partition(|(after, _, _)| *after <= id);
        node.held = held;
        let ready: Vec<(squad_consensus::PersistId, usize, ConsensusMessage)> = ready;
        for (_, to, message) in ready {
            self.transmit(index, to, message);
        }
        self.step(index, Input::Persisted(id));
    }

    pub(crate) fn run_for(&mut self, duration: Duration) {
        let end = self.now.after(duration);
        while self
            .events
            .first_key_value()
            .is_some_and(|((time, _), _)| *time <= end)
        {
            self.advance();
        }
        self.now = end;
    }

    /// Runs until a condition holds; fails after `limit`. Returns how long it took.
    pub(crate) fn run_until(
        &mut self,
        what: &str,
        limit: Duration,
        mut condition: impl FnMut(&Self) -> bool,
    ) -> Duration {
        let start = self.now;
        while !condition(self) {
            assert!(
                self.now.since(start) <= limit,
                "seed {}: not within {limit:?}: {what}\n{}",
                self.setup.seed,
                self.describe()
            );
            self.advance();
        }
        self.now.since(start)
    }

    /// Runs until all running nodes have committed a height.
    pub(crate) fn run_to_height(&mut self, height: u64, limit: Duration) -> Duration {
        self.run_until(&format!("height {height}"), limit, |world| {
            let running = world.nodes.iter().filter(|node| node.core.is_some());
            running
                .map(|node| node.committed.0)
                .all(|committed| committed >= height)
        })
    }

    pub(crate) fn height(&self, index: usize) -> u64 {
        self.nodes[index].committed.0
    }

    pub(crate) fn height_max(&self) -> u64 {
        let heights = self.nodes.iter().map(|node| node.committed.0);
        heights.max().unwrap()
    }

    fn describe(&self) -> String {
        let lines = self.nodes.iter().map(|node| match &node.core {
            Some(core) => format!("  {:?}", core.status()),
            None => "  down".to_owned(),
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

pub(crate) fn verifier() -> Arc<TestVerifier> {
    Arc::new(TestVerifier)
}
