//! Carries out what the cores ask for: writes, messages, fetches, blocks to order.

use super::batches::BatchCache;
use super::core::{CoreInput, CoreSender};
use super::durability::Watermark;
use super::handle::{NodeStatus, PeerStatus};
use super::ingress::Ingress;
use super::maker::{LaneProgress, Wake};
use super::metrics::CoreMetrics;
use super::pipeline::{PipelineSender, ToOrder};
use super::reader::Reader;
use bytes::Bytes;
use squad_consensus::{Core, KeyRange, Output, PeerFault};
use squad_mempool::admission::Intake;
use squad_mempool::lanes::LaneFault;
use squad_mempool::{LaneOutput, LaneRecord, Lanes};
use squad_network::data::{Class, DataPlane, Offence};
use squad_primitives::codec::Encode;
use squad_primitives::message::{BLOCKS_PER_PAGE, ConsensusMessage, LaneMessage};
use squad_primitives::{
    Batch, CommittedBlock, Committee, Epoch, Height, NetworkId, OperatorId, Poa, SignedHeader, Tip,
    canonical,
};
use squad_proto::peer;
use squad_storage::{Changes, Database, NewBody, Store, Table};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Longest wait for an answer to a fetch before its peer counts as not having it.
const FETCH_TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes of committed blocks in one sync answer: it travels in the consensus class, whose frames end at
/// 64 KiB.
const SYNC_BYTES_MAX: usize = 48 << 10;

/// The world outside the cores.
#[derive(Clone, Debug)]
pub(crate) struct World {
    /// Network id.
    pub(crate) network: NetworkId,
    /// This operator.
    pub(crate) me: OperatorId,
    /// Links to the other operators.
    pub(crate) links: DataPlane,
    /// Durable state.
    pub(crate) store: Arc<dyn Store>,
    /// Batches that are not ordered yet.
    pub(crate) cache: Arc<BatchCache>,
    /// Reading back what is stored.
    pub(crate) reader: Arc<Reader>,
    /// Back to the core thread.
    pub(crate) core: CoreSender,
    /// Runs fetches.
    pub(crate) runtime: tokio::runtime::Handle,
    /// Figures.
    pub(crate) metrics: CoreMetrics,
    /// Epoch that own batches name.
    pub(crate) epoch: Arc<AtomicU64>,
    /// Where transactions come in.
    pub(crate) ingress: Arc<Ingress>,
    /// How far the own lane is, for the batch maker.
    pub(crate) progress: Arc<LaneProgress>,
    /// Wakes the batch maker.
    pub(crate) wake: Arc<Wake>,
}

/// A message ready to leave.
#[derive(Debug)]
enum Outgoing {
    All(Bytes),
    One(OperatorId, Bytes),
}

/// Executes outputs. Owned by the core thread.
#[derive(Debug)]
pub(crate) struct Effects {
    world: World,
    pipeline: PipelineSender,
    status: watch::Sender<NodeStatus>,
    watermark: Arc<Watermark>,
    /// Consensus record of the step in progress.
    record: Option<(squad_consensus::PersistId, Changes)>,
    /// Messages of the step in progress that wait for a record.
    held: Vec<Outgoing>,
    /// Batch that the step in progress may ask to store.
    offered: Option<Batch>,
    /// Batch that the step in progress asked to store.
    storing: Option<(squad_mempool::PersistId, Batch)>,
    /// Consensus records to delete once the block of that height is ordered durably.
    forget: VecDeque<(Height, Vec<KeyRange>)>,
    committed: Height,
    processed: Height,
    connected: BTreeSet<OperatorId>,
    committee: Committee,
}

impl Effects {
    /// Effects of a node whose last durable block has height `processed`.
    pub(crate) fn new(
        world: World,
        pipeline: PipelineSender,
        status: watch::Sender<NodeStatus>,
        committee: Committee,
        processed: Height,
    ) -> Self {
        Self {
            world,
            pipeline,
            status,
            watermark: Arc::default(),
            record: None,
            held: Vec::new(),
            offered: None,
            storing: None,
            forget: VecDeque::new(),
            committed: processed,
            processed,
            connected: BTreeSet::new(),
            committee,
        }
    }

    /// A step's outputs follow.
    pub(crate) fn begin_step(&mut self) {
        assert!(
            self.record.is_none() && self.held.is_empty(),
            "steps don't nest"
        );
    }

    /// A consensus output other than those that the core loop handles itself.
    pub(crate) fn consensus(&mut self, output: Output) {
        match output {
            Output::Persist { id, records } => self.persist(id, &records),
            Output::Broadcast { message, after } => {
                let frame = peer::encode(&message);
                self.leave(Outgoing::All(frame), after.is_some());
            }
            Output::Send { to, message, after } => {
                let frame = peer::encode(&message);
                self.leave(Outgoing::One(to, frame), after.is_some());
            }
            Output::Forget(ranges) => self.forget.push_back((self.committed, ranges)),
            Output::ServeBlocks { to, from } => self.serve_blocks(to, from),
            Output::ServeBlock { to, hash } => self.serve_block(to, &hash),
            Output::Evidence(evidence) => {
                self.world.metrics.evidence.inc();
                tracing::error!(operator = %evidence.operator(), ?evidence, "operator contradicted itself");
            }
            Output::PeerFault { from, fault } => {
                self.world.metrics.peer_faults.inc();
                // Only forgery is held against a peer: the rest may be a message that came too late.
                if matches!(fault, PeerFault::BadSignature | PeerFault::BadCertificate) {
                    self.world.links.penalize(from, Offence::BadSignature);
                }
                tracing::debug!(peer = %from, %fault, "peer fault");
            }
            Output::Conflict(certificate) => {
                tracing::error!(
                    ?certificate,
                    "two conflicting blocks are certified: more than a third of stake is faulty"
                );
                std::process::abort();
            }
            other => tracing::error!(?other, "unhandled consensus output"),
        }
    }

    fn persist(
        &mut self,
        id: squad_consensus::PersistId,
        records: &[squad_consensus::SafetyRecord],
    ) {
        let (last, changes) = self
            .record
            .get_or_insert_with(|| (id, Changes::new(Database::Safety)));
        *last = id;
        for record in records {
            changes.put(Table::SafetyConsensus, record.key(), record.value());
        }
    }

    fn leave(&mut self, outgoing: Outgoing, waits: bool) {
        if waits {
            self.held.push(outgoing);
        } else {
            transmit(&self.world.links, outgoing);
        }
    }

    /// Hands the step's record to the store together with the messages that wait for it. A message
    /// that waits for an earlier record goes through the same writer, which works in order.
    pub(crate) fn end_step(&mut self) {
        if let Some((id, batch)) = self.storing.take() {
            self.append(batch, vec![id]);
        }
        let held = std::mem::take(&mut self.held);
        let record = self.record.take();
        if record.is_none() && held.is_empty() {
            return;
        }
        let (id, changes) = match record {
            Some((id, changes)) => (Some(id), changes),
            None => (None, Changes::new(Database::Safety)),
        };
        let (links, core) = (self.world.links.clone(), self.world.core.clone());
        self.world.store.commit(
            changes,
            Box::new(move || {
                for outgoing in held {
                    transmit(&links, outgoing);
                }
                if let Some(id) = id {
                    // The receiver is gone only while the process stops.
                    let _ = core.send(CoreInput::ConsensusPersisted(id));
                }
            }),
        );
    }

    fn serve_blocks(&self, to: OperatorId, from: Height) {
        match self
            .world
            .reader
            .synced_blocks(from, BLOCKS_PER_PAGE, SYNC_BYTES_MAX)
        {
            Ok(blocks) if blocks.is_empty() => {}
            Ok(blocks) => self.send(to, &ConsensusMessage::Sync(blocks)),
            Err(error) => super::fatal(&error),
        }
    }

    fn serve_block(&self, to: OperatorId, hash: &squad_primitives::Digest) {
        let found = self
            .world
            .reader
            .height_of(hash)
            .and_then(|height| match height {
                Some(height) => self.world.reader.block(height),
                None => Ok(None),
            });
        match found {
            Ok(Some(block)) => {
                self.send(
                    to,
                    &ConsensusMessage::Block(Box::new(block.committed.block)),
                );
            }
            Ok(None) => {}
            Err(error) => super::fatal(&error),
        }
    }

    fn send(&self, to: OperatorId, message: &ConsensusMessage) {
        let frame = peer::encode(message);
        transmit(&self.world.links, Outgoing::One(to, frame));
    }

    /// A batch that the next step may ask to store.
    pub(crate) fn offer(&mut self, batch: Batch) {
        self.offered = Some(batch);
    }

    /// The step is over; an offer that wasn't taken is dropped.
    pub(crate) fn withdraw_offer(&mut self) {
        self.offered = None;
    }

    /// A lane output other than those that the core loop handles itself.
    pub(crate) fn lanes(&mut self, output: LaneOutput) {
        match output {
            LaneOutput::Store { id, .. } => self.store_offered(id),
            LaneOutput::Persist(id, record) => self.persist_lane(id, &record),
            LaneOutput::Send { to, message } => {
                let frame = peer::encode(&message);
                self.lane_send(Some(to), class_of(&message), frame);
            }
            LaneOutput::Broadcast(message) => {
                let frame = peer::encode(&message);
                self.lane_send(None, class_of(&message), frame);
            }
            LaneOutput::BroadcastBatch { tip, poas } => self.send_batch(None, &tip, poas),
            LaneOutput::Resend { to, tip } => self.send_batch(Some(to), &tip, Vec::new()),
            LaneOutput::FetchBatch { from, tip } => self.fetch(from, tip),
            LaneOutput::ServeHeaders { to, after, tip } => self.serve_headers(to, after, &tip),
            LaneOutput::Evidence(evidence) => {
                self.world.metrics.evidence.inc();
                tracing::error!(operator = %evidence.operator(), ?evidence, "lane owner contradicted itself");
            }
            LaneOutput::Fault { peer, fault } => {
                self.world.metrics.peer_faults.inc();
                let forged = matches!(
                    fault,
                    LaneFault::HeaderSignature | LaneFault::AckSignature | LaneFault::Poa
                );
                if forged {
                    self.world.links.penalize(peer, Offence::BadSignature);
                }
                tracing::debug!(%peer, %fault, "lane fault");
            }
            LaneOutput::ForeignOwnBatch(digest) => {
                tracing::error!(%digest, "a batch of this operator's lane was made elsewhere: its key is in use twice, or its store was rolled back");
                std::process::exit(super::EXIT_SAFETY);
            }
            LaneOutput::TipsChanged | LaneOutput::DataArrived | LaneOutput::BlockReady { .. } => {}
        }
    }

    fn lanes_durable(&self, ids: Vec<squad_mempool::PersistId>) -> Box<dyn FnOnce() + Send> {
        let (watermark, core) = (self.watermark.clone(), self.world.core.clone());
        Box::new(move || {
            if let Some(durable) = ids.into_iter().filter_map(|id| watermark.finish(id)).max() {
                let _ = core.send(CoreInput::LanesPersisted(durable));
            }
        })
    }

    fn store_offered(&mut self, id: squad_mempool::PersistId) {
        let Some(batch) = self.offered.take() else {
            super::fatal(&"the lanes asked to store a batch that was not offered");
        };
        self.watermark.begin(id);
        self.storing = Some((id, batch));
    }

    /// The record of an acknowledgement nearly always follows the batch that it is for: then one write
    /// and one sync serve both.
    fn persist_lane(&mut self, id: squad_mempool::PersistId, record: &LaneRecord) {
        self.watermark.begin(id);
        match self
            .storing
            .take_if(|(_, batch)| batch.tip() == record.acked)
        {
            Some((stored, batch)) => self.append(batch, vec![stored, id]),
            None => {
                let mut changes = Changes::new(Database::Safety);
                let key = LaneRecord::key(record.acked.lane);
                changes.put(Table::SafetyLanes, key, record.to_bytes());
                let done = self.lanes_durable(vec![id]);
                self.world.store.commit(changes, done);
            }
        }
    }

    fn append(&self, batch: Batch, ids: Vec<squad_mempool::PersistId>) {
        let acked = ids.len() > 1;
        let done = self.lanes_durable(ids);
        let body = new_body(&batch, self.committed, acked);
        self.world.cache.insert(batch, self.committed);
        self.world.store.append_body(body, done);
    }

    fn lane_send(&self, to: Option<OperatorId>, class: Class, frame: Bytes) {
        match to {
            // A full queue is no error: what matters is sent again, or asked for.
            Some(to) => drop(self.world.links.send(to, class, frame)),
            None => drop(self.world.links.broadcast(class, frame)),
        }
    }

    fn send_batch(&self, to: Option<OperatorId>, tip: &Tip, poas: Vec<Poa>) {
        match self.world.reader.batch(&tip.digest) {
            Ok(Some(batch)) => {
                let frame = peer::encode(&LaneMessage::Batch {
                    signed: *batch.signed(),
                    body: batch.body().clone(),
                    poas,
                });
                self.lane_send(to, Class::Batches, frame);
            }
            Ok(None) => {
                tracing::warn!(seq = %tip.seq, lane = %tip.lane, "a batch to be sent is not stored")
            }
            Err(error) => super::fatal(&error),
        }
    }

    fn serve_headers(&self, to: OperatorId, after: squad_primitives::BatchSeq, tip: &Tip) {
        match self.world.reader.headers_back(tip, after) {
            Ok(headers) if headers.is_empty() => {}
            Ok(headers) => {
                let message = LaneMessage::Headers {
                    lane: tip.lane,
                    headers,
                    poa: None,
                };
                self.lane_send(Some(to), class_of(&message), peer::encode(&message));
            }
            Err(error) => super::fatal(&error),
        }
    }

    fn fetch(&self, from: OperatorId, tip: Tip) {
        let world = self.world.clone();
        self.world.runtime.spawn(async move {
            let request = peer::encode(&LaneMessage::BatchRequest(tip.digest));
            let reply = world.links.fetch(from, request, FETCH_TIMEOUT).await;
            let batch = match reply {
                Ok(reply) => tokio::task::spawn_blocking(move || {
                    super::inbound::parse_batch(&world.network, reply, world.reader.limits())
                })
                .await
                .ok()
                .flatten(),
                Err(_) => None,
            };
            let input = match batch {
                Some((batch, poas)) if batch.digest() == tip.digest => CoreInput::Batch {
                    from,
                    batch,
                    poas,
                    credit: None,
                },
                _ => CoreInput::FetchFailed(from, tip.digest),
            };
            let _ = world.core.send(input);
        });
    }

    /// Tells the batch maker and admission how far the own lane is.
    pub(crate) fn own_lane(&self, lanes: &Lanes) {
        let window = lanes.own_window();
        let tip = lanes.own_tip().map_or(0, |tip| tip.seq.0);
        let certified = tip.saturating_sub(window.in_flight as u64);
        let progress = &self.world.progress;
        let before = progress.certified.swap(certified, Ordering::AcqRel);
        let was_full = progress.full.swap(window.full, Ordering::AcqRel);
        if window.full != was_full {
            let (from, to) = match window.full {
                true => (Intake::Open, Intake::LaneWindow),
                false => (Intake::LaneWindow, Intake::Open),
            };
            self.world.ingress.change_intake(from, to);
        }
        if certified != before || (was_full && !window.full) {
            self.world.wake.pushed();
        }
    }

    /// A block is final.
    pub(crate) fn committed(&mut self, height: Height) {
        self.committed = height;
    }

    /// A new epoch starts.
    pub(crate) fn epoch(&mut self, epoch: Epoch) {
        self.committee = self.committee.in_epoch(epoch);
        self.world.epoch.store(epoch.0, Ordering::Release);
    }

    /// All batches of a final block are here: order it.
    pub(crate) fn order(&self, block: CommittedBlock, batches: Vec<Tip>) {
        // The receiver is gone only while the process stops.
        let _ = self.pipeline.send(ToOrder { block, batches });
    }

    /// The result of a block is durable: what consensus kept to be able to repeat it may go.
    pub(crate) fn processed(&mut self, height: Height) {
        self.processed = height;
        // Each range reaches from the start of its kind up to a view, so the last one covers the others.
        let mut ranges = Vec::new();
        while self.forget.front().is_some_and(|(at, _)| *at <= height) {
            ranges = self
                .forget
                .pop_front()
                .map(|(_, ranges)| ranges)
                .unwrap_or_default();
        }
        if !ranges.is_empty() {
            let mut changes = Changes::new(Database::Safety).without_sync();
            for range in ranges {
                changes.delete_range(Table::SafetyConsensus, range.start, range.end);
            }
            self.world.store.commit(changes, Box::new(|| {}));
        }
    }

    /// A link went up or down.
    pub(crate) fn link(&mut self, peer: OperatorId, up: bool) {
        if up {
            self.connected.insert(peer);
        } else {
            self.connected.remove(&peer);
        }
    }

    /// Publishes the local view.
    pub(crate) fn report(&self, consensus: &Core, lanes: &Lanes) {
        let view = consensus.status();
        self.world.metrics.observe(&view, self.processed);
        let me = self.world.me;
        let links: std::collections::BTreeMap<_, _> = self
            .world
            .links
            .peers()
            .into_iter()
            .map(|link| (link.operator, link))
            .collect();
        let peers = self
            .committee
            .members()
            .iter()
            .filter(|member| member.operator != me)
            .map(|member| PeerStatus {
                operator: member.operator,
                connected: self.connected.contains(&member.operator),
                rtt_us: links
                    .get(&member.operator)
                    .and_then(|link| link.rtt)
                    .map_or(0, |rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX)),
                lane_seq: lanes.held_seq(member.operator),
                acked_seq: lanes.acked_seq(member.operator),
            })
            .collect();
        let mut reachable = self.connected.clone();
        reachable.insert(me);
        let stake = self.committee.stake_of(&reachable);
        let load = self.world.ingress.lock().pool.load();
        self.status.send_modify(|status| {
            status.view = view.at;
            status.leader = view.leader;
            status.committed = view.committed;
            status.target = view.certified.max(view.committed);
            status.syncing = view.syncing;
            status.quorum_connected = self.committee.is_quorum(stake);
            status.peers = peers;
            status.own_tip = lanes.held_seq(me);
            status.own_ordered = lanes.committed_seq(me);
            status.queued_transactions = load.transactions;
            status.queued_bytes = load.bytes;
            status.core_turn_ms = super::clock::wall_ms().saturating_sub(status.started_at_ms);
        });
    }
}

/// What is stored with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredHeader {
    /// The header.
    pub(crate) signed: SignedHeader,
    /// This operator acknowledged the lane up to this batch, or was about to: the record that keeps it
    /// from acknowledging another branch.
    pub(crate) acked: bool,
}

canonical!(StoredHeader { signed, acked });

/// The stored form of a batch; `committed` is the last committed height when it arrived.
pub(crate) fn new_body(batch: &Batch, committed: Height, acked: bool) -> NewBody {
    let header = StoredHeader {
        signed: *batch.signed(),
        acked,
    };
    NewBody {
        digest: batch.digest(),
        tag: committed,
        header: header.to_bytes().into(),
        body: batch.body().clone(),
    }
}

fn transmit(links: &DataPlane, outgoing: Outgoing) {
    match outgoing {
        Outgoing::All(frame) => drop(links.broadcast(Class::Consensus, frame)),
        // A peer that is away is served again by retransmission.
        Outgoing::One(to, frame) => drop(links.send(to, Class::Consensus, frame)),
    }
}

const fn class_of(message: &LaneMessage) -> Class {
    match message {
        LaneMessage::Batch { .. } | LaneMessage::Headers { .. } => Class::Batches,
        _ => Class::Acks,
    }
}
