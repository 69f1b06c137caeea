//! Several operators' lanes under virtual time, with a network that loses, repeats and delays, disks
//! that lose what was not synced, and a stand-in for consensus that commits what enough of them accept.

mod alone;
mod make;

pub(crate) use alone::Alone;
pub(crate) use make::{
    MS, NETWORK, Random, ack, acks_in, at, batch, batch_in, chain, id, persist_id, poa, tip,
};

use crate::keys::{CountingVerifier, committee, key_of};
use squad_mempool::lanes::CutCheck;
use squad_mempool::{LaneInput, LaneOutput, LaneRecord, Lanes, LanesConfig, PersistId, Recovered};
use squad_primitives::message::LaneMessage;
use squad_primitives::{
    Committee, Cut, Digest, Epoch, Evidence, Height, OperatorId, Poa, SignedHeader, Stake, Tip,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// What travels.
#[derive(Clone, Debug)]
enum Packet {
    Batch(SignedHeader, Vec<Poa>),
    Lane(LaneMessage),
    Fetch(Digest),
    NotFound(Digest),
}

/// A write in the order of its id.
#[derive(Clone, Debug)]
enum Pending {
    Body(SignedHeader),
    Record(LaneRecord),
    Own(SignedHeader),
}

#[derive(Debug, Default)]
struct Disk {
    batches: BTreeMap<Digest, SignedHeader>,
    records: BTreeMap<OperatorId, LaneRecord>,
    processed: Height,
    cut: Cut,
}

struct Node {
    lanes: Lanes,
    disk: Disk,
    writes: VecDeque<(Option<PersistId>, Pending)>,
    /// Own batches that were sealed, whether durable or not.
    sealed: Option<Tip>,
    committed: usize,
    alive: bool,
    ready: BTreeMap<Height, Vec<Tip>>,
    evidence: Vec<Evidence>,
    faults: usize,
}

/// How bad the network is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    pub(crate) loss_percent: u64,
    pub(crate) repeat_percent: u64,
    pub(crate) delay_us_max: u64,
}

pub(crate) const CALM: Weather = Weather {
    loss_percent: 0,
    repeat_percent: 0,
    delay_us_max: 500,
};

pub(crate) struct World {
    pub(crate) committee: Committee,
    pub(crate) random: Random,
    pub(crate) now: u64,
    pub(crate) weather: Weather,
    nodes: Vec<Node>,
    packets: BTreeMap<(u64, u64), (u32, u32, Packet)>,
    packet_count: u64,
    /// Committed cuts by height; index 0 is genesis.
    pub(crate) cuts: Vec<Cut>,
    /// Every header that ever existed.
    pub(crate) headers: BTreeMap<Digest, SignedHeader>,
    /// What each operator has acknowledged at each position, for ever.
    promised: BTreeMap<(OperatorId, OperatorId, u64), Digest>,
    /// Links that carry nothing.
    pub(crate) cut_off: BTreeSet<(u32, u32)>,
    /// Blocks per epoch.
    pub(crate) epoch_blocks: usize,
    /// Window of lanes that start from now on, in batches.
    pub(crate) window_batches: u64,
}

impl World {
    pub(crate) fn new(seed: u64, stakes: &[u64], weather: Weather) -> Self {
        let committee = committee(0, stakes);
        let mut world = Self {
            nodes: Vec::new(),
            random: Random(seed),
            now: 0,
            weather,
            packets: BTreeMap::new(),
            packet_count: 0,
            cuts: vec![Cut::default()],
            headers: BTreeMap::new(),
            promised: BTreeMap::new(),
            cut_off: BTreeSet::new(),
            epoch_blocks: usize::MAX,
            window_batches: LanesConfig::new(NETWORK, None).window_batches,
            committee,
        };
        for me in 0..stakes.len() as u32 {
            let lanes = world.recover(me, &Disk::default());
            world.nodes.push(Node {
                lanes,
                disk: Disk::default(),
                writes: VecDeque::new(),
                sealed: None,
                committed: 0,
                alive: true,
                ready: BTreeMap::new(),
                evidence: Vec::new(),
                faults: 0,
            });
        }
        for me in 0..stakes.len() as u32 {
            world.connect(me);
        }
        world
    }

    pub(crate) fn len(&self) -> u32 {
        self.nodes.len() as u32
    }

    /// Epoch of the block that follows a height.
    fn epoch_after(&self, height: usize) -> Epoch {
        Epoch((height / self.epoch_blocks) as u64)
    }

    fn recover(&self, me: u32, disk: &Disk) -> Lanes {
        let above = |signed: &&SignedHeader| signed.header.seq > disk.cut.seq(signed.header.lane);
        let recovered = Recovered {
            processed: disk.processed,
            cut: disk.cut.clone(),
            records: disk.records.values().copied().collect(),
            headers: disk.batches.values().filter(above).copied().collect(),
        };
        let config = LanesConfig {
            window_batches: self.window_batches,
            ..LanesConfig::new(NETWORK, Some(id(me)))
        };
        Lanes::recover(
            config,
            self.committee
                .in_epoch(self.epoch_after(disk.processed.0 as usize)),
            Some(Arc::new(key_of(me))),
            Arc::new(CountingVerifier::default()),
            recovered,
        )
    }

    fn connect(&mut self, me: u32) {
        for peer in 0..self.len() {
            if peer != me && self.nodes[peer as usize].alive {
                self.input(me, LaneInput::PeerConnected(id(peer)));
                self.input(peer, LaneInput::PeerConnected(id(me)));
            }
        }
    }

    /// Loses everything that is not on disk.
    pub(crate) fn crash(&mut self, me: u32) {
        let node = &mut self.nodes[me as usize];
        node.alive = false;
        // A torn group commit: some prefix of what was queued made it. Bodies and records may lie in
        // different files, so each has a prefix of its own.
        let queued = node.writes.len() as u64 + 1;
        let (bodies, records) = (self.random.below(queued), self.random.below(queued));
        for (place, (_, write)) in (0..).zip(std::mem::take(&mut node.writes)) {
            let kept = match write {
                Pending::Record(_) => records,
                Pending::Body(_) | Pending::Own(_) => bodies,
            };
            if place < kept {
                node.disk.write(write);
            }
        }
        for peer in 0..self.len() {
            if peer != me && self.nodes[peer as usize].alive {
                self.input(peer, LaneInput::PeerDisconnected(id(me)));
            }
        }
    }

    pub(crate) fn restart(&mut self, me: u32) {
        let disk = std::mem::take(&mut self.nodes[me as usize].disk);
        let lanes = self.recover(me, &disk);
        let node = &mut self.nodes[me as usize];
        node.lanes = lanes;
        node.committed = disk.processed.0 as usize;
        node.disk = disk;
        node.sealed = node.lanes.own_tip();
        node.alive = true;
        self.connect(me);
    }

    /// Seals a batch; it is sent once it is durable.
    pub(crate) fn seal(&mut self, me: u32) {
        let salt = self.random.next();
        let parent = self.nodes[me as usize].sealed;
        let epoch = self.epoch_after(self.nodes[me as usize].committed);
        let signed = batch_in(epoch, me, parent, salt, 100);
        self.headers.insert(tip(&signed).digest, signed);
        let node = &mut self.nodes[me as usize];
        node.sealed = Some(tip(&signed));
        node.writes.push_back((None, Pending::Own(signed)));
    }

    /// Sends a header of a faulty owner to some operators, outside of its own lanes.
    pub(crate) fn send_batch(&mut self, from: u32, to: &[u32], signed: SignedHeader) {
        self.headers.insert(tip(&signed).digest, signed);
        for to in to {
            self.send(from, *to, Packet::Batch(signed, Vec::new()));
        }
    }

    pub(crate) fn input(&mut self, me: u32, input: LaneInput) {
        if !self.nodes[me as usize].alive {
            return;
        }
        let mut out = Vec::new();
        let now = at(self.now);
        let offered = match &input {
            LaneInput::Batch { signed, .. } => Some(*signed),
            _ => None,
        };
        self.nodes[me as usize].lanes.step(now, input, &mut out);
        for output in out {
            self.effect(me, output, offered);
        }
    }

    fn effect(&mut self, me: u32, output: LaneOutput, offered: Option<SignedHeader>) {
        let node = &mut self.nodes[me as usize];
        match output {
            LaneOutput::Store { id, tip: stored } => {
                let signed = offered.expect("a batch is stored in the step that gives it");
                assert_eq!(tip(&signed), stored);
                node.writes.push_back((Some(id), Pending::Body(signed)));
            }
            LaneOutput::Persist(id, record) => {
                node.writes.push_back((Some(id), Pending::Record(record)));
            }
            LaneOutput::Send { to, message } => {
                self.check_promise(me, &message);
                self.send(me, to.0, Packet::Lane(message));
            }
            LaneOutput::Broadcast(message) => {
                for to in (0..self.len()).filter(|to| *to != me) {
                    self.send(me, to, Packet::Lane(message.clone()));
                }
            }
            LaneOutput::BroadcastBatch { tip, poas } => {
                let signed = node.disk.batches[&tip.digest];
                for to in (0..self.len()).filter(|to| *to != me) {
                    self.send(me, to, Packet::Batch(signed, poas.clone()));
                }
            }
            LaneOutput::Resend { to, tip } => {
                let signed = node.disk.batches[&tip.digest];
                self.send(me, to.0, Packet::Batch(signed, Vec::new()));
            }
            LaneOutput::FetchBatch { from, tip } => {
                self.send(me, from.0, Packet::Fetch(tip.digest));
            }
            LaneOutput::ServeHeaders { to, after, tip } => self.serve(me, to, after.0, tip),
            LaneOutput::BlockReady { height, batches } => {
                for tip in &batches {
                    assert!(
                        node.disk.batches.contains_key(&tip.digest),
                        "ready is durable"
                    );
                }
                node.ready.insert(height, batches);
                node.disk.processed = height;
                node.disk.cut = self.cuts[height.0 as usize].clone();
                self.input(me, LaneInput::Processed(height));
            }
            LaneOutput::Evidence(evidence) => {
                assert!(evidence.verify(&NETWORK, &self.committee, &CountingVerifier::default()));
                node.evidence.push(evidence);
            }
            LaneOutput::Fault { .. } => node.faults += 1,
            LaneOutput::ForeignOwnBatch(digest) => panic!("{me}: foreign own batch {digest}"),
            LaneOutput::TipsChanged | LaneOutput::DataArrived => {}
        }
    }

    fn serve(&mut self, me: u32, to: OperatorId, after: u64, tip: Tip) {
        let disk = &self.nodes[me as usize].disk;
        let mut headers = Vec::new();
        let mut digest = tip.digest;
        while let Some(signed) = disk.batches.get(&digest) {
            if signed.header.seq.0 <= after {
                break;
            }
            headers.push(*signed);
            digest = signed.header.parent;
        }
        headers.reverse();
        headers.truncate(256);
        let message = LaneMessage::Headers {
            lane: tip.lane,
            headers,
            poa: None,
        };
        self.send(me, to.0, Packet::Lane(message));
    }

    /// Nobody ever acknowledges two batches for one position; an acknowledgement covers all positions
    /// above the operator's committed tip.
    fn check_promise(&mut self, me: u32, message: &LaneMessage) {
        let LaneMessage::Ack(ack) = message else {
            return;
        };
        let node = &self.nodes[me as usize];
        let durable = node.disk.records.get(&ack.tip.lane).map(|r| r.acked);
        assert!(
            durable.is_some_and(|acked| acked.seq >= ack.tip.seq),
            "the record is durable before the acknowledgement leaves"
        );
        let committed = self.cuts[node.committed].seq(ack.tip.lane);
        let mut digest = ack.tip.digest;
        while let Some(signed) = self.headers.get(&digest) {
            let seq = signed.header.seq;
            if seq <= committed {
                break;
            }
            assert!(node.disk.batches.contains_key(&digest), "bodies too");
            let first = self
                .promised
                .entry((id(me), ack.tip.lane, seq.0))
                .or_insert(digest);
            assert_eq!(*first, digest, "{me} contradicts itself at {seq}");
            digest = signed.header.parent;
        }
    }

    fn send(&mut self, from: u32, to: u32, packet: Packet) {
        let dead = self.cut_off.contains(&(from, to)) || to >= self.len();
        if dead || self.random.below(100) < self.weather.loss_percent {
            return;
        }
        let copies = 1 + u64::from(self.random.below(100) < self.weather.repeat_percent);
        for _ in 0..copies {
            let due = self.now + 50 + self.random.below(self.weather.delay_us_max);
            self.packet_count += 1;
            self.packets
                .insert((due, self.packet_count), (from, to, packet.clone()));
        }
    }

    fn deliver(&mut self, from: u32, to: u32, packet: Packet) {
        if !self.nodes[to as usize].alive {
            return;
        }
        let from_id = id(from);
        match packet {
            Packet::Batch(signed, poas) => {
                let from = from_id;
                self.input(to, LaneInput::Batch { from, signed, poas });
            }
            Packet::Lane(message) => {
                let from = from_id;
                self.input(to, LaneInput::Message { from, message });
            }
            Packet::Fetch(digest) => {
                let reply = match self.nodes[to as usize].disk.batches.get(&digest) {
                    Some(signed) => Packet::Batch(*signed, Vec::new()),
                    None => Packet::NotFound(digest),
                };
                self.send(to, from, reply);
            }
            Packet::NotFound(digest) => {
                let from = from_id;
                self.input(to, LaneInput::FetchFailed { from, digest });
            }
        }
    }

    /// Syncs one operator's disk: everything queued becomes durable.
    fn sync(&mut self, me: u32) {
        let node = &mut self.nodes[me as usize];
        if !node.alive || node.writes.is_empty() {
            return;
        }
        let mut last = None;
        let mut own = Vec::new();
        for (id, write) in std::mem::take(&mut node.writes) {
            last = id.or(last);
            if let Pending::Own(signed) = &write {
                own.push(*signed);
            }
            node.disk.write(write);
        }
        if let Some(last) = last {
            self.input(me, LaneInput::Persisted(last));
        }
        for signed in own {
            self.input(me, LaneInput::OwnBatch(signed));
        }
    }

    /// One turn of the stand-in for consensus: a leader proposes, and what a quorum accepts is
    /// committed.
    pub(crate) fn consensus(&mut self, leader: u32) {
        self.catch_up();
        let epoch = self.epoch_after(self.cuts.len() - 1);
        let Some(parent) = self.cuts.last().cloned() else {
            return;
        };
        if !self.nodes[leader as usize].alive {
            return;
        }
        let next = [id(leader), id((leader + 1) % self.len())];
        for me in 0..self.len() {
            self.input(me, LaneInput::LeadersChanged(next));
        }
        let lanes = &mut self.nodes[leader as usize].lanes;
        let cut = lanes.propose_cut(&parent, epoch);
        if cut == parent {
            return;
        }
        let mut stake = 0;
        for me in 0..self.len() {
            if !self.nodes[me as usize].alive {
                continue;
            }
            let check = self.nodes[me as usize]
                .lanes
                .check_cut(&parent, &cut, epoch);
            match check {
                CutCheck::Ok => stake += self.committee.stake(id(me)).0,
                CutCheck::Missing(tips) => {
                    let proposer = id(leader);
                    self.input(me, LaneInput::Missing { tips, proposer });
                }
                CutCheck::Illegal(error) => panic!("honest leader {leader}: {error}"),
            }
        }
        if self.committee.is_quorum(Stake(stake)) {
            self.cuts.push(cut);
        }
    }

    /// Tells everybody about blocks that it does not know yet.
    fn catch_up(&mut self) {
        for me in 0..self.len() {
            while self.nodes[me as usize].alive
                && self.nodes[me as usize].committed + 1 < self.cuts.len()
            {
                let next = self.nodes[me as usize].committed + 1;
                self.nodes[me as usize].committed = next;
                let (height, cut) = (Height(next as u64), self.cuts[next].clone());
                self.input(me, LaneInput::Committed { height, cut });
                if next.is_multiple_of(self.epoch_blocks) {
                    let committee = self.committee.in_epoch(self.epoch_after(next));
                    self.input(me, LaneInput::EpochReady(committee));
                }
            }
        }
    }

    /// Runs for a while: packets, timers, a sync per operator every 2 ms on average, a proposal every
    /// 10 ms by rotating leaders.
    pub(crate) fn run(&mut self, micros: u64) {
        let end = self.now + micros;
        while self.now < end {
            self.now += 100;
            while let Some(entry) = self.packets.first_entry()
                && entry.key().0 <= self.now
            {
                let (from, to, packet) = entry.remove();
                self.deliver(from, to, packet);
            }
            for me in 0..self.len() {
                let due = self.nodes[me as usize].lanes.next_deadline();
                if due.is_some_and(|due| due.0 <= self.now) {
                    self.input(me, LaneInput::Tick);
                }
                if self.random.below(20) == 0 {
                    self.sync(me);
                }
            }
            if self.now.is_multiple_of(10 * MS) {
                let leader = (self.now / (10 * MS)) % u64::from(self.len());
                self.consensus(leader as u32);
            }
        }
    }

    pub(crate) fn last_cut(&self) -> &Cut {
        self.cuts.last().expect("genesis is there")
    }

    pub(crate) fn own_tip(&self, me: u32) -> Option<Tip> {
        self.nodes[me as usize].lanes.own_tip()
    }

    pub(crate) fn ready(&self, me: u32) -> &BTreeMap<Height, Vec<Tip>> {
        &self.nodes[me as usize].ready
    }

    pub(crate) fn evidence(&self, me: u32) -> &[Evidence] {
        &self.nodes[me as usize].evidence
    }

    pub(crate) fn faults(&self) -> usize {
        self.nodes.iter().map(|node| node.faults).sum()
    }
}

impl Disk {
    fn write(&mut self, write: Pending) {
        match write {
            Pending::Body(signed) | Pending::Own(signed) => {
                self.batches.insert(tip(&signed).digest, signed);
            }
            Pending::Record(record) => {
                self.records.insert(record.acked.lane, record);
            }
        }
    }
}
