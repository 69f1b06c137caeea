//! Carries out what the cores ask for: writes, messages, fetches, blocks to order.

mod consensus;
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
use squad_consensus::KeyRange;
use squad_network::data::DataPlane;
use squad_primitives::{
    Batch, CommittedBlock, Committee, Epoch, Height, NetworkId, OperatorId, Tip,
};
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
                    consensus::transmit(&links, outgoing);
                }
                if let Some(id) = id {
                    // The receiver is gone only while the process stops.
                    let _ = core.send(CoreInput::ConsensusPersisted(id));
                }
            }),
        );
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
}
