//! Carries out what the cores ask for, with the contract of the node's `effects`: the consensus records
//! of one step are one write, and messages that wait for a record leave when the disk says durable.

use super::maker::Progress;
use super::order::Orderer;
use super::store::{Memory, Watermark};
use super::{Action, Done, OrderedBlock, Packet};
use crate::disk::{Change, File, Records, Write};
use crate::observe::Seen;
use squad_consensus::{Host, KeyRange, Output, PeerFault};
use squad_mempool::lanes::LaneFault;
use squad_mempool::{
    Admission, AdmissionView, Batcher, LaneOutput, LaneRecord, Lanes, PersistId, Pool,
};
use squad_primitives::message::{ConsensusMessage, LaneMessage};
use squad_primitives::{
    Batch, CommittedBlock, Committee, Digest, Duration, Height, NetworkId, OperatorId, Poa, Signer,
    Time, Tip,
};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// What the step in progress asked for.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// Consensus record.
    record: Option<(squad_consensus::PersistId, Records)>,
    /// Messages that wait for a record.
    held: Vec<(Option<OperatorId>, Packet)>,
    /// Batch to be stored.
    storing: Option<(PersistId, Batch)>,
}

/// Everything of a node besides its cores.
#[derive(Debug)]
pub struct Shell {
    pub(super) me: OperatorId,
    pub(super) network: NetworkId,
    pub(super) key: Arc<dyn Signer>,
    pub(super) committee: Committee,
    pub(super) actions: Vec<Action>,
    pub(super) step: Step,
    /// Batch that the step in progress may ask to store.
    pub(super) offered: Option<Batch>,
    pub(super) watermark: Watermark,
    /// Consensus records to delete once the block of that height is ordered durably.
    pub(super) forget: VecDeque<(Height, Vec<KeyRange>)>,
    pub(super) committed: Height,
    /// Last block given to the orderer.
    pub(super) head: Height,
    pub(super) repeated: VecDeque<Height>,
    pub(super) memory: Memory,
    pub(super) orderer: Orderer,
    pub(super) admission: Admission,
    pub(super) view: AdmissionView,
    pub(super) pool: Pool,
    pub(super) batcher: Batcher,
    pub(super) progress: Progress,
    /// Last own batch.
    pub(super) tip: Option<Tip>,
    pub(super) maker_due: Option<Time>,
    pub(super) fetches: BTreeSet<(OperatorId, Digest)>,
    pub(super) stopped: bool,
    pub(super) unsynced_blocks: u64,
    pub(super) sync_due: Option<Time>,
}

/// Blocks that share one sync at most. The node only counts time; what matters is that most blocks are not
/// synced when the next one is.
const BLOCKS_PER_SYNC: u64 = 4;
/// Blocks are synced after this time, however few they are.
const SYNC_AFTER: Duration = Duration::from_millis(100);

impl Shell {
    pub(super) fn answer_fetch(&mut self, to: OperatorId, digest: Digest) {
        let found = self.memory.batches.get(&digest).cloned();
        self.send(Some(to), Packet::Fetched(digest, found));
    }

    fn send(&mut self, to: Option<OperatorId>, packet: Packet) {
        self.actions.push(Action::Send(to, packet));
    }

    fn saw(&mut self, seen: Seen) {
        self.actions.push(Action::Saw(seen));
    }

    /// The faults for which the node closes the link; the others may be a message that came late.
    fn saw_fault(&mut self, from: OperatorId, fault: PeerFault) {
        match fault {
            PeerFault::BadSignature => self.saw(Seen::Accused(from, "signature")),
            PeerFault::BadCertificate => self.saw(Seen::Accused(from, "certificate")),
            _ => {}
        }
    }

    fn leave(&mut self, to: Option<OperatorId>, message: ConsensusMessage, waits: bool) {
        let packet = Packet::Consensus(Arc::new(message));
        if waits {
            self.step.held.push((to, packet));
        } else {
            self.send(to, packet);
        }
    }

    fn write(&mut self, file: File, change: Change, sync: bool, done: Done) {
        let write = Write { change, sync, done };
        self.actions.push(Action::Write(file, Box::new(write)));
    }

    /// Syncs blocks that have waited long enough for others.
    pub(super) fn sync_blocks(&mut self, now: Time) {
        match self.sync_due {
            _ if self.unsynced_blocks == 0 => self.sync_due = None,
            None => self.sync_due = Some(now.after(SYNC_AFTER)),
            Some(due) if now >= due => {
                self.unsynced_blocks = 0;
                self.sync_due = None;
                let nothing = Change::Forget(Vec::new());
                self.write(File::Main, nothing, true, Done::Synced(self.head));
            }
            Some(_) => {}
        }
    }

    fn append(&mut self, batch: Batch, ids: Vec<PersistId>) {
        self.memory.batches.insert(batch.digest(), batch.clone());
        let acked = ids.len() > 1;
        self.write(
            File::Bodies,
            Change::Body { batch, acked },
            true,
            Done::Lanes(ids),
        );
    }

    /// The record of an acknowledgement nearly always follows the batch that it is for: then one write
    /// serves both.
    fn persist_lane(&mut self, id: PersistId, record: LaneRecord) {
        self.watermark.begin(id);
        match self
            .step
            .storing
            .take_if(|(_, batch)| batch.tip() == record.acked)
        {
            Some((stored, batch)) => self.append(batch, vec![stored, id]),
            None => self.write(
                File::Safety,
                Change::Lane(record),
                true,
                Done::Lanes(vec![id]),
            ),
        }
    }

    fn send_batch(&mut self, to: Option<OperatorId>, tip: &Tip, poas: Vec<Poa>) {
        if let Some(batch) = self.memory.batches.get(&tip.digest).cloned() {
            self.send(to, Packet::Batch { batch, poas });
        }
    }

    /// An ordered block is written.
    pub(super) fn published(&mut self, block: Arc<OrderedBlock>) {
        let ids: Vec<_> = block
            .ordered
            .iter()
            .map(|(_, id, _)| *id)
            .chain(block.dropped.iter().map(|dropped| dropped.id))
            .collect();
        self.note_ordered(block.height(), &ids);
        self.memory.add_block(block.clone());
        self.saw(Seen::Ordered(block));
    }

    /// The result of a block is durable: what consensus kept to be able to repeat it may go.
    pub(super) fn processed(&mut self, height: Height) {
        let mut ranges = Vec::new();
        while self.forget.front().is_some_and(|(at, _)| *at <= height) {
            ranges = self
                .forget
                .pop_front()
                .map(|(_, ranges)| ranges)
                .unwrap_or_default();
        }
        if !ranges.is_empty() {
            self.write(File::Safety, Change::Forget(ranges), false, Done::Nothing);
        }
    }

    fn stop(&mut self, why: &'static str) {
        self.stopped = true;
        self.actions.push(Action::Stop(why));
    }

    /// The pool's load, for the bounds.
    #[must_use]
    pub fn pool_load(&self) -> squad_mempool::pool::Load {
        self.pool.load()
    }

    /// Height up to which blocks are ordered and written.
    #[must_use]
    pub fn written(&self) -> Height {
        Height(self.memory.blocks.len() as u64)
    }

    /// Fetches under way.
    #[must_use]
    pub fn fetches(&self) -> usize {
        self.fetches.len()
    }
}

impl Host for Shell {
    fn begin_step(&mut self) {
        assert!(
            self.step.record.is_none() && self.step.held.is_empty(),
            "steps don't nest"
        );
    }

    fn consensus(&mut self, output: Output) {
        match output {
            Output::Persist { id, records } => {
                let (last, changes) = self.step.record.get_or_insert_with(|| (id, Vec::new()));
                *last = id;
                changes.extend(records.iter().map(|record| (record.key(), record.value())));
            }
            Output::Broadcast { message, after } => self.leave(None, message, after.is_some()),
            Output::Send { to, message, after } => self.leave(Some(to), message, after.is_some()),
            Output::Forget(ranges) => self.forget.push_back((self.committed, ranges)),
            Output::ServeBlocks { to, from } => {
                let blocks = self.memory.synced_blocks(from);
                if !blocks.is_empty() {
                    self.leave(Some(to), ConsensusMessage::Sync(blocks), false);
                }
            }
            Output::ServeBlock { to, hash } => {
                if let Some(block) = self.memory.block_by_hash(&hash) {
                    let block = Box::new(block.committed.block.clone());
                    self.leave(Some(to), ConsensusMessage::Block(block), false);
                }
            }
            Output::Evidence(evidence) => self.saw(Seen::Evidence(evidence)),
            Output::PeerFault { from, fault } => self.saw_fault(from, fault),
            Output::Conflict(certificate) => {
                self.saw(Seen::Conflict(certificate));
                self.stop("finality was contradicted");
            }
            _ => {}
        }
    }

    fn lanes(&mut self, output: LaneOutput) {
        match output {
            LaneOutput::Store { id, tip } => {
                let offered = self
                    .offered
                    .take()
                    .expect("only a batch that was offered is stored");
                assert_eq!(offered.tip(), tip, "the batch of this step is stored");
                self.watermark.begin(id);
                self.step.storing = Some((id, offered));
            }
            LaneOutput::Persist(id, record) => self.persist_lane(id, record),
            LaneOutput::Send { to, message } => {
                self.send(Some(to), Packet::Lane(Arc::new(message)))
            }
            LaneOutput::Broadcast(message) => self.send(None, Packet::Lane(Arc::new(message))),
            LaneOutput::BroadcastBatch { tip, poas } => self.send_batch(None, &tip, poas),
            LaneOutput::Resend { to, tip } => self.send_batch(Some(to), &tip, Vec::new()),
            LaneOutput::FetchBatch { from, tip } => {
                self.fetches.insert((from, tip.digest));
                self.actions.push(Action::AwaitFetch(from, tip.digest));
                self.send(Some(from), Packet::Fetch(tip.digest));
            }
            LaneOutput::ServeHeaders { to, after, tip } => {
                let headers = self.memory.headers_back(&tip, after);
                if !headers.is_empty() {
                    let lane = tip.lane;
                    let poa = None;
                    let message = LaneMessage::Headers { lane, headers, poa };
                    self.send(Some(to), Packet::Lane(Arc::new(message)));
                }
            }
            LaneOutput::Evidence(evidence) => self.saw(Seen::Evidence(evidence)),
            LaneOutput::Fault { peer, fault } => match fault {
                LaneFault::HeaderSignature => self.saw(Seen::Accused(peer, "header signature")),
                LaneFault::AckSignature => self.saw(Seen::Accused(peer, "signature of an ack")),
                LaneFault::Poa => self.saw(Seen::Accused(peer, "proof of availability")),
                _ => {}
            },
            LaneOutput::ForeignOwnBatch(_) => {
                self.stop("a batch of the own lane was made elsewhere")
            }
            LaneOutput::TipsChanged | LaneOutput::DataArrived | LaneOutput::BlockReady { .. } => {}
        }
    }

    /// A message that waits for an earlier record goes through the same writer, which works in order.
    fn end_step(&mut self) {
        if let Some((id, batch)) = self.step.storing.take() {
            self.append(batch, vec![id]);
        }
        let held = std::mem::take(&mut self.step.held);
        let record = self.step.record.take();
        if record.is_none() && held.is_empty() {
            return;
        }
        let (id, records) = record.map_or((None, Vec::new()), |(id, records)| (Some(id), records));
        let done = Done::Consensus { held, id };
        self.write(File::Safety, Change::Records(records), true, done);
    }

    fn committed(&mut self, block: &CommittedBlock) {
        self.committed = block.block.height;
        self.saw(Seen::Committed(block.clone()));
    }

    fn order(&mut self, block: CommittedBlock, batches: Vec<Tip>) {
        let height = block.block.height;
        if height <= self.head {
            self.repeated.push_back(height);
            return;
        }
        assert_eq!(height, self.head.next(), "blocks are ordered by height");
        self.head = height;
        let bodies: Vec<_> = batches
            .iter()
            .map(|tip| self.memory.batches[&tip.digest].clone())
            .collect();
        let ordered = Arc::new(self.orderer.order(block, &bodies));
        self.unsynced_blocks += 1;
        let sync = self.unsynced_blocks >= BLOCKS_PER_SYNC;
        if sync {
            self.unsynced_blocks = 0;
        }
        let done = Done::Block(ordered.clone(), sync);
        self.write(File::Main, Change::Block(ordered), sync, done);
    }

    fn epoch(&mut self, committee: &Committee) {
        self.committee = committee.clone();
    }

    fn lanes_moved(&mut self, lanes: &Lanes) {
        self.note_own_lane(lanes);
    }
}
