//! A node whose blocks the test makes: real admission, pool, store, hub and signatures, without the
//! threads that run consensus.

mod chain;
mod finality;
mod network;

pub(crate) use network::{
    EPOCH_BLOCKS, EXPIRY_BLOCKS_MAX, ROLLUPS, finality_genesis, finality_key, genesis, keys,
    transaction,
};

use super::Api;
use super::context::{Context, Shared};
use super::metrics::ApiMetrics;
use crate::config::Config;
use crate::node::SharedRegistry;
use crate::node::clock::Clock;
use crate::node::handle::{NodeHandle, NodeStatus};
use crate::node::hub::Hub;
use crate::node::ingress::{Ingress, Rules};
use crate::node::intake::Doorkeeper;
use crate::node::mach::Finality;
use crate::node::pipeline::{Orderer, SharedDedup, ids_of, record_changes, recover_dedup};
use crate::node::reader::Reader;
use crate::node::record::OrderedBlock;
use chain::Chain;
use network::order_rules;
use prometheus_client::registry::Registry;
use squad_mempool::admission::AdmissionLimits;
use squad_mempool::{Admission, AdmissionView, IdHashKey, Pool, PoolConfig};
use squad_primitives::genesis::Genesis;
use squad_primitives::{
    Batch, BatchBuilder, BatchSeq, Committee, Epoch, Height, NetworkId, OperatorId, Signer, Time,
    Transaction, View, ViewId,
};
use squad_storage::{Changes, Database, Hooks, MemoryStore, StorageError, Store, Table};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

#[derive(Debug)]
struct NoFaults;

impl Hooks for NoFaults {
    fn on_fatal(&self, error: StorageError) {
        panic!("{error}");
    }
}

/// See the module.
pub(crate) struct TestNode {
    pub(crate) genesis: Arc<Genesis>,
    pub(crate) network: NetworkId,
    pub(crate) status: watch::Sender<NodeStatus>,
    pub(crate) handle: NodeHandle,
    store: Arc<MemoryStore>,
    /// Gives a batch to the node's reader.
    hold: Box<dyn Fn(&Batch) + Send + Sync>,
    chain: Mutex<Chain>,
    tips: Mutex<BTreeMap<OperatorId, Batch>>,
    /// What is attested about each block, on networks with finality.
    statements: Mutex<BTreeMap<Height, squad_mach::Statement>>,
}

impl TestNode {
    /// An operator.
    pub(crate) fn operator(me: u32) -> Arc<Self> {
        Arc::new(Self::new(
            Some(OperatorId(me)),
            vec![0, 1, 2],
            PoolConfig::default(),
        ))
    }

    /// An operator with a pool of this size.
    pub(crate) fn with_pool(config: PoolConfig) -> Arc<Self> {
        Arc::new(Self::new(Some(OperatorId(0)), vec![0, 1, 2], config))
    }

    /// An observer, which holds another quorum of commit votes than the operators.
    pub(crate) fn observer() -> Arc<Self> {
        Arc::new(Self::new(None, vec![1, 2, 3], PoolConfig::default()))
    }

    /// An operator of a network with finality keys; certificates come from [`TestNode::certify`].
    pub(crate) fn with_finality(me: u32) -> Arc<Self> {
        let (me, pool) = (Some(OperatorId(me)), PoolConfig::default());
        Arc::new(Self::of(finality_genesis(), me, vec![0, 1, 2], pool))
    }

    fn new(me: Option<OperatorId>, signers: Vec<usize>, pool: PoolConfig) -> Self {
        Self::of(genesis(), me, signers, pool)
    }

    fn of(genesis: Genesis, me: Option<OperatorId>, signers: Vec<usize>, pool: PoolConfig) -> Self {
        let genesis = Arc::new(genesis);
        genesis.validate().unwrap();
        let finality = squad_mach::genesis::committee(&genesis)
            .unwrap()
            .map(|committee| Arc::new(Finality::new(committee, None)));
        let network = genesis.network_id();
        let committee = genesis.committee(Epoch(0)).unwrap();
        let store = Arc::new(MemoryStore::new(Arc::new(NoFaults)));
        let cache = Arc::default();
        let reader = Arc::new(
            Reader::new(
                network,
                committee,
                genesis.batch_limits(),
                store.clone(),
                Arc::clone(&cache),
            )
            .unwrap(),
        );
        let rules = order_rules();
        let dedup = recover_dedup(&rules, IdHashKey([1, 2]), &reader, Height::ZERO).unwrap();
        let ingress = me.map(|_| ingress(&genesis, &dedup, &reader, pool));
        let key = me.map(|me| Arc::new(keys()[me.0 as usize].clone()) as Arc<dyn Signer>);
        let orderer = Orderer::recover(network, rules, dedup, key, &reader).unwrap();
        let (status, status_reader) = watch::channel(NodeStatus {
            quorum_connected: true,
            started_at_ms: crate::node::clock::wall_ms(),
            core_turn_ms: 1 << 40,
            leader: me,
            view: ViewId::new(Epoch(0), View(1)),
            ..NodeStatus::default()
        });
        let handle = NodeHandle {
            network,
            genesis: genesis.clone(),
            me,
            hub: Arc::new(Hub::new(Height::ZERO)),
            reader,
            ingress,
            finality,
            status: status_reader,
        };
        Self {
            hold: Box::new(move |batch| cache.insert(batch.clone(), Height::ZERO)),
            chain: Mutex::new(Chain::new(genesis.clone(), orderer, signers)),
            genesis,
            network,
            status,
            handle,
            store,
            tips: Mutex::default(),
            statements: Mutex::default(),
        }
    }

    /// Makes and holds a batch of any lane.
    pub(crate) fn batch(&self, lane: u32, transactions: &[Transaction]) -> Batch {
        let mut builder = BatchBuilder::default();
        for transaction in transactions {
            builder.push(transaction.id(&self.network), transaction);
        }
        self.seal(OperatorId(lane), builder)
    }

    fn seal(&self, lane: OperatorId, builder: BatchBuilder) -> Batch {
        let mut tips = self.tips.lock().unwrap();
        let parent = tips.get(&lane).map(Batch::tip);
        let key = &keys()[lane.0 as usize];
        let batch = builder.seal(&self.network, Epoch(0), lane, parent, key);
        (self.hold)(&batch);
        tips.insert(lane, batch.clone());
        batch
    }

    /// Takes over a batch that another node made.
    pub(crate) fn receive(&self, batch: &Batch) {
        (self.hold)(batch);
        let mut tips = self.tips.lock().unwrap();
        tips.insert(batch.header().lane, batch.clone());
    }

    /// Turns what waits in the pool into an own durable batch; `None` if nothing waits.
    pub(crate) fn make_own_batch(&self) -> Option<Batch> {
        let ingress = self.handle.ingress.as_ref()?;
        let me = self.handle.me?;
        let seq = {
            let tips = self.tips.lock().unwrap();
            tips.get(&me)
                .map_or(BatchSeq(1), |tip| tip.header().seq.next())
        };
        let mut builder = BatchBuilder::default();
        let head = self.handle.hub.head();
        let limit = self.genesis.batch_limits().body_bytes;
        ingress
            .lock()
            .pool
            .drain_into(Time(1), head, seq, &mut builder, limit);
        if builder.is_empty() {
            return None;
        }
        let batch = self.seal(me, builder);
        ingress.accepted(&batch);
        Some(batch)
    }

    /// Waits until something is in the pool and turns it into an own batch.
    pub(crate) async fn own_batch(&self) -> Batch {
        loop {
            if let Some(batch) = self.make_own_batch() {
                return batch;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Orders batches as the next block, stores and publishes it. They are sorted by lane, then
    /// position, and follow those ordered before.
    pub(crate) fn order(&self, batches: &[Batch]) -> Arc<OrderedBlock> {
        let mut chain = self.chain.lock().unwrap();
        let executed = chain.order(batches);
        self.remember(&executed);
        self.store
            .commit(record_changes(&executed), Box::new(|| {}));
        let block = Arc::new(executed.block);
        let ids = ids_of(&block);
        self.store.index_transactions(block.height(), &ids);
        if let Some(ingress) = &self.handle.ingress {
            let dropped = block.dropped.iter().map(|dropped| &dropped.id);
            ingress.ordered(block.height(), ids.iter().chain(dropped));
        }
        self.handle.hub.publish(Arc::clone(&block));
        self.status
            .send_modify(|status| status.committed = block.height());
        block
    }

    /// Orders empty blocks up to a height.
    pub(crate) fn order_empty_up_to(&self, height: u64) {
        while self.handle.hub.head().0 < height {
            self.order(&[]);
        }
    }

    /// Forgets blocks below a height.
    pub(crate) fn prune(&self, height: Height) {
        let mut changes = Changes::new(Database::Main);
        changes.delete_range(Table::Blocks, [0; 8], height.0.to_be_bytes());
        self.store.commit(changes, Box::new(|| {}));
        self.handle.reader.set_earliest(height);
    }

    pub(crate) fn committee(&self, epoch: Epoch) -> Committee {
        self.genesis.committee(epoch).unwrap()
    }

    /// What services share, without sockets or tasks.
    pub(crate) fn context(&self) -> Shared {
        let metrics = ApiMetrics::register(&mut Registry::default());
        let (config, stop) = (Config::default(), CancellationToken::new());
        let handle = self.handle.clone();
        Arc::new(Context::new(handle, &config, metrics, String::new(), stop))
    }

    /// Serves the APIs on free ports of loopback.
    pub(crate) async fn serve(&self) -> Serving {
        self.serve_with(|_| ()).await
    }

    /// The same with other settings.
    pub(crate) async fn serve_with(&self, change: impl FnOnce(&mut Config)) -> Serving {
        let mut config = Config::default();
        config.grpc.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        config.http.listen = config.grpc.listen;
        config.grpc.reflection = true;
        change(&mut config);
        let registry = SharedRegistry::default();
        let api = Api::bind(self.handle.clone(), &config, registry)
            .await
            .unwrap();
        let (grpc, http) = (api.grpc_address(), api.http_address());
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(api.run(shutdown.clone()));
        Serving {
            grpc,
            http,
            shutdown,
            running,
        }
    }
}

fn ingress(
    genesis: &Genesis,
    dedup: &SharedDedup,
    reader: &Arc<Reader>,
    pool: PoolConfig,
) -> Arc<Ingress> {
    let network = genesis.network_id();
    let limits = AdmissionLimits {
        payload_bytes: genesis.batch_limits().payload_bytes,
        expiry_max_blocks: genesis.consensus.expiry_max_blocks,
    };
    let door = Doorkeeper::open(genesis.consensus.heartbeat_interval());
    let rules = Rules {
        network,
        admission: Admission::new(network, limits),
        view: AdmissionView {
            intake: door.intake(),
            head: Height::ZERO,
            rollups: Arc::new(ROLLUPS.into_iter().collect()),
        },
        door,
        ordered: Arc::clone(dedup),
    };
    Arc::new(Ingress::new(
        rules,
        Pool::new(pool, IdHashKey([3, 4])),
        Clock::start(),
        Arc::clone(reader),
        Arc::default(),
    ))
}

/// A served node.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) running: tokio::task::JoinHandle<Result<(), super::ApiError>>,
}
