//! What the APIs see of a running node: reads, submission, status. All views (gRPC, HTTP, command line)
//! go through [`NodeHandle`], so limits and answers cannot differ between them.

use super::mach::Finality;
use super::record::OrderedBlock;
use super::{hub::Hub, ingress::Ingress, reader::Reader};
use squad_primitives::genesis::Genesis;
use squad_primitives::{BatchSeq, Committee, Height, NetworkId, OperatorId, ViewId};
use std::sync::Arc;
use tokio::sync::watch;

/// Shared access to a node. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct NodeHandle {
    /// Network id: digest of the genesis.
    pub(crate) network: NetworkId,
    /// The genesis.
    pub(crate) genesis: Arc<Genesis>,
    /// This operator; `None` for observers.
    pub(crate) me: Option<OperatorId>,
    /// Waiting for new blocks; the newest blocks in memory.
    pub(crate) hub: Arc<Hub>,
    /// Reading blocks, batches and transactions back.
    pub(crate) reader: Arc<Reader>,
    /// Taking transactions; `None` for observers.
    pub(crate) ingress: Option<Arc<Ingress>>,
    /// What is final; `None` where certificates are not followed.
    pub(crate) finality: Option<Arc<Finality>>,
    /// The local view of the node, refreshed several times a second and at every commit.
    pub(crate) status: watch::Receiver<NodeStatus>,
}

impl NodeHandle {
    /// Committee of an epoch. Stake comes from genesis for now, so it is the same in every epoch.
    pub(crate) fn committee(&self, epoch: squad_primitives::Epoch) -> Committee {
        self.reader.committee(epoch)
    }

    /// Height up to which blocks are final, as far as this node knows; zero if none is.
    pub(crate) fn final_height(&self) -> Height {
        self.finality
            .as_ref()
            .map_or(Height::ZERO, |finality| finality.height())
    }

    /// The block at a height: from memory, else from the store. `None` above the head or below the
    /// earliest height kept.
    ///
    /// # Errors
    /// The store can't be read.
    pub(crate) fn block(
        &self,
        height: Height,
    ) -> Result<Option<Arc<OrderedBlock>>, squad_storage::StorageError> {
        if height > self.hub.head() {
            return Ok(None);
        }
        match self.hub.recent(height) {
            Some(block) => Ok(Some(block)),
            None => Ok(self.reader.block(height)?.map(Arc::new)),
        }
    }
}

/// A peer as the status shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerStatus {
    /// The operator.
    pub(crate) operator: OperatorId,
    /// Whether a link is up.
    pub(crate) connected: bool,
    /// Round-trip time of the link in microseconds; zero if unknown.
    pub(crate) rtt_us: u64,
    /// Tip of its lane as held here.
    pub(crate) lane_seq: BatchSeq,
    /// How far it acknowledged this operator's lane.
    pub(crate) acked_seq: BatchSeq,
}

/// The local view of the node. Moving facts only; nothing here is proven.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeStatus {
    /// Current view of consensus.
    pub(crate) view: ViewId,
    /// Its leader, if known.
    pub(crate) leader: Option<OperatorId>,
    /// Height of the last committed block.
    pub(crate) committed: Height,
    /// Height of the highest block that is known to exist.
    pub(crate) target: Height,
    /// Blocks are being fetched.
    pub(crate) syncing: bool,
    /// Whether operators of more than two thirds of stake (this one included) are connected.
    pub(crate) quorum_connected: bool,
    /// Links to the other operators.
    pub(crate) peers: Vec<PeerStatus>,
    /// Tip of the own lane.
    pub(crate) own_tip: BatchSeq,
    /// Tip of the own lane in the last committed cut.
    pub(crate) own_ordered: BatchSeq,
    /// Transactions accepted into queues and not yet in a batch.
    pub(crate) queued_transactions: u64,
    /// Their bytes.
    pub(crate) queued_bytes: u64,
    /// Wall clock at start, milliseconds.
    pub(crate) started_at_ms: u64,
    /// When the thread that owns consensus last reported, milliseconds after the start. A node whose
    /// core doesn't turn is not alive, whatever its sockets say.
    pub(crate) core_turn_ms: u64,
}
