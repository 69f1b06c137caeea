//! Carries out what the cores ask for: writes, messages, fetches, blocks to order.

mod consensus;
mod headers;
mod lanes;
mod status;

use super::batches::BatchCache;
use super::core::{CoreInput, CoreSender};
use super::durability::Watermark;
use super::handle::NodeStatus;
use super::ingress::Ingress;
use super::maker::{LaneProgress, Wake};
use super::metrics::CoreMetrics;
use super::pipeline::{PipelineSender, ToOrder};
use super::reader::Reader;
use bytes::Bytes;
use headers::HeaderServers;
use squad_consensus::{Host, KeyRange, Output};
use squad_mempool::{LaneOutput, Lanes};
use squad_network::data::DataPlane;
use squad_primitives::{Batch, CommittedBlock, Committee, Height, NetworkId, OperatorId, Tip};
use squad_storage::{Changes, Database, Store};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;

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
    header_servers: HeaderServers,
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
            header_servers: HeaderServers::default(),
            committee,
        }
    }
}

impl Host for Effects {
    fn begin_step(&mut self) {
        assert!(
            self.record.is_none() && self.held.is_empty(),
            "steps don't nest"
        );
    }

    /// A message that waits for an earlier record goes through the same writer, which works in order.
    fn end_step(&mut self) {
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
                    consensus::transmit(&links, outgoing);
                }
                if let Some(id) = id {
                    // The receiver is gone only while the process stops.
                    let _ = core.send(CoreInput::ConsensusPersisted(id));
                }
            }),
        );
    }

    fn consensus(&mut self, output: Output) {
        self.on_consensus(output);
    }

    fn lanes(&mut self, output: LaneOutput) {
        self.on_lanes(output);
    }

    fn lanes_moved(&mut self, lanes: &Lanes) {
        self.own_lane(lanes);
    }

    fn committed(&mut self, block: &CommittedBlock) {
        self.committed = block.block.height;
    }

    fn epoch(&mut self, committee: &Committee) {
        self.committee = committee.clone();
        let epoch = committee.epoch().0;
        self.world.epoch.store(epoch, Ordering::Release);
    }

    fn order(&mut self, block: CommittedBlock, batches: Vec<Tip>) {
        // The receiver is gone only while the process stops.
        let _ = self.pipeline.send(ToOrder { block, batches });
    }
}
