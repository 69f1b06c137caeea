//! A node whose blocks the test makes: real admission, pool, store, hub and signatures, without the
//! threads that run consensus.

use super::Api;
use super::context::{Context, Shared};
use super::metrics::ApiMetrics;
use crate::config::Config;
use crate::node::SharedRegistry;
use crate::node::clock::Clock;
use crate::node::handle::{NodeHandle, NodeStatus};
use crate::node::hub::Hub;
use crate::node::ingress::Ingress;
use crate::node::reader::{Reader, rollup_key};
use crate::node::record::{DroppedTx, OrderedBlock, Place, RollupPart};
use bytes::Bytes;
use prometheus_client::registry::Registry;
use squad_mempool::admission::{AdmissionLimits, Intake};
use squad_mempool::order::{Dedup, OrderInput, OrderRules, Ordered, order_block};
use squad_mempool::{Admission, AdmissionView, IdHashKey, Pool, PoolConfig};
use squad_primitives::certificate::CommitProof;
use squad_primitives::codec::Encode;
use squad_primitives::genesis::{
    ConsensusParams, ExecutorKind, Genesis, GenesisOperator, GenesisRollup, OrderPolicy, Params,
    SealedPolicy,
};
use squad_primitives::order::{OrderResult, RollupLeaf, order_root};
use squad_primitives::{
    Batch, BatchBuilder, BatchSeq, Block, BlockRef, Certificate, CommittedBlock, Committee, Cut,
    Epoch, Height, IdentityKey, NetworkId, OperatorId, RollupId, Signer, Stake, Statement, Time,
    Transaction, TxKind, View, ViewId, Vote,
};
use squad_storage::{Changes, Database, Hooks, MemoryStore, StorageError, Store, Table};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Blocks per epoch.
pub(crate) const EPOCH_BLOCKS: u64 = 100;
/// Rollups of the genesis.
pub(crate) const ROLLUPS: [RollupId; 3] = [RollupId(7), RollupId(8), RollupId(901)];
/// Farthest expiry.
pub(crate) const EXPIRY_BLOCKS_MAX: u64 = 64;

#[derive(Debug)]
struct NoFaults;

impl Hooks for NoFaults {
    fn on_fatal(&self, error: StorageError) {
        panic!("{error}");
    }
}

pub(crate) fn keys() -> Vec<IdentityKey> {
    (1..=4_u8)
        .map(|n| IdentityKey::from_seed([n; 32]))
        .collect()
}

pub(crate) fn genesis() -> Genesis {
    let operators = (1_u16..).zip(keys()).map(|(n, key)| GenesisOperator {
        name: format!("op-{n}"),
        identity: key.public_key(),
        stake: Stake(100),
        address: SocketAddr::from(([10, 0, 0, 1], 4_100 + n)),
        control: None,
    });
    let rollups = ROLLUPS.map(|id| GenesisRollup {
        id,
        name: format!("rollup-{id}"),
        executor: ExecutorKind::Opaque,
        chain_id: None,
        order: OrderPolicy::Shuffle,
        sealed: SealedPolicy::None,
    });
    Genesis {
        version: 1,
        network: "api-dev".to_owned(),
        dev: true,
        genesis_time_ms: 1_700_000_000_000,
        params: Params {
            epoch_length_blocks: EPOCH_BLOCKS,
        },
        consensus: ConsensusParams {
            expiry_max_blocks: EXPIRY_BLOCKS_MAX,
            payload_bytes_limit: 64 << 10,
            ..ConsensusParams::default()
        },
        operators: operators.collect(),
        rollups: rollups.into(),
    }
}

/// What the order of the next block depends on.
#[derive(Debug)]
struct Chain {
    last: BlockRef,
    height: Height,
    cut: Cut,
    dedup: Dedup,
    numbers: BTreeMap<RollupId, u64>,
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
    /// Committee members whose commit votes this node holds.
    signers: Vec<usize>,
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

    fn new(me: Option<OperatorId>, signers: Vec<usize>, pool: PoolConfig) -> Self {
        let genesis = Arc::new(genesis());
        genesis.validate().unwrap();
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
        let ingress = me.map(|_| ingress(&genesis, network, &reader, pool));
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
            status: status_reader,
        };
        Self {
            hold: Box::new(move |batch| cache.insert(batch.clone(), Height::ZERO)),
            chain: Mutex::new(Chain {
                last: BlockRef::genesis(network),
                height: Height::ZERO,
                cut: Cut::default(),
                dedup: Dedup::new(IdHashKey([1, 2])),
                numbers: BTreeMap::new(),
            }),
            genesis,
            network,
            status,
            handle,
            store,
            tips: Mutex::default(),
            signers,
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
        let block = self.order_in(&mut chain, batches);
        let ids: Vec<_> = block
            .rollups
            .iter()
            .flat_map(|part| &part.ids)
            .copied()
            .collect();
        self.store(&block);
        self.store.index_transactions(block.height(), &ids);
        let block = Arc::new(block);
        self.handle.hub.publish(Arc::clone(&block));
        if let Some(ingress) = &self.handle.ingress {
            ingress.ordered(block.height(), ids.iter());
        }
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

    fn store(&self, block: &OrderedBlock) {
        let height = block.height().0.to_be_bytes();
        let mut changes = Changes::new(Database::Main);
        changes.put(Table::Blocks, height, block.to_bytes());
        let hash = *block.committed.hash.as_bytes();
        changes.put(Table::BlockHashes, hash, height.to_vec());
        for part in &block.rollups {
            let key = rollup_key(part.leaf.rollup, part.leaf.number);
            changes.put(Table::RollupBlocks, key, height.to_vec());
        }
        self.store.commit(changes, Box::new(|| {}));
    }

    fn order_in(&self, chain: &mut Chain, batches: &[Batch]) -> OrderedBlock {
        let height = chain.height.next();
        let mut cut = chain.cut.clone();
        for batch in batches {
            assert_eq!(batch.header().seq, cut.seq(batch.header().lane).next());
            cut.set(batch.tip());
        }
        let block = Block {
            at: ViewId::new(Epoch((height.0 - 1) / EPOCH_BLOCKS), View(height.0)),
            height,
            parent: chain.last,
            timestamp_ms: self.genesis.genesis_time_ms + height.0 * 10,
            cut,
        };
        let committed = CommittedBlock {
            hash: block.hash(&self.network),
            parent_cut: chain.cut.clone(),
            proof: Arc::new(self.commit(&block)),
            block,
        };
        let lanes: Vec<Vec<Batch>> = batches
            .chunk_by(|a, b| a.header().lane == b.header().lane)
            .map(<[_]>::to_vec)
            .collect();
        let rules = OrderRules {
            expiry_max_blocks: EXPIRY_BLOCKS_MAX,
            policies: ROLLUPS.map(|id| (id, OrderPolicy::Shuffle)).into(),
        };
        let input = OrderInput {
            network: &self.network,
            block: &committed.hash,
            height,
            lanes: &lanes,
        };
        let ordered = order_block(&input, &rules, &mut chain.dedup);
        chain.last = committed.block.reference(&self.network);
        chain.height = height;
        chain.cut = committed.block.cut.clone();
        self.record(chain, committed, batches, ordered)
    }

    fn record(
        &self,
        chain: &mut Chain,
        committed: CommittedBlock,
        batches: &[Batch],
        ordered: Ordered,
    ) -> OrderedBlock {
        let place = |at: squad_mempool::order::BatchPlace| Place {
            batch: at.batch,
            index: at.index,
        };
        let expiry = |at: &squad_mempool::order::BatchPlace| {
            batches[at.batch as usize]
                .meta(at.index as usize)
                .unwrap()
                .expiry
        };
        let mut rollups = Vec::new();
        for list in ordered.rollups {
            let number = chain.numbers.entry(list.rollup).or_default();
            *number += 1;
            rollups.push(RollupPart {
                leaf: RollupLeaf::new(list.rollup, *number, &list.ids),
                expiries: list.places.iter().map(expiry).collect(),
                places: list.places.into_iter().map(place).collect(),
                ids: list.ids,
            });
        }
        let leaves: Vec<RollupLeaf> = rollups.iter().map(|part| part.leaf).collect();
        let result = OrderResult {
            epoch: committed.block.at.epoch,
            height: committed.block.height,
            block: committed.hash,
            order_root: order_root(&self.network, &leaves),
            rollup_count: leaves.len() as u32,
            tx_count: leaves.iter().map(|leaf| leaf.tx_count).sum(),
        };
        let attest = |me: OperatorId| result.attest(&self.network, &keys()[me.0 as usize]);
        OrderedBlock {
            attestation: self.handle.me.map(attest),
            headers: batches.iter().map(|batch| *batch.signed()).collect(),
            dropped: ordered
                .dropped
                .into_iter()
                .map(|dropped| DroppedTx {
                    id: dropped.id,
                    place: place(dropped.place),
                    reason: dropped.reason,
                })
                .collect(),
            committed,
            result,
            rollups,
        }
    }

    /// The commit certificate of a block, by the members this node heard.
    fn commit(&self, block: &Block) -> CommitProof {
        let statement = Statement {
            kind: squad_primitives::StatementKind::CommitVote,
            at: block.at,
            block: block.hash(&self.network),
        };
        let votes: Vec<Vote> = self
            .signers
            .iter()
            .map(|index| {
                let operator = OperatorId(*index as u32);
                Vote::sign(&self.network, statement, operator, &keys()[*index])
            })
            .collect();
        let committee = self.committee(block.at.epoch);
        CommitProof {
            certificate: Certificate::from_votes(&committee, statement, &votes).unwrap(),
            descendants: Vec::new(),
        }
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
    network: NetworkId,
    reader: &Arc<Reader>,
    pool: PoolConfig,
) -> Arc<Ingress> {
    let limits = AdmissionLimits {
        payload_bytes: genesis.batch_limits().payload_bytes,
        expiry_max_blocks: genesis.consensus.expiry_max_blocks,
    };
    Arc::new(Ingress::new(
        Admission::new(network, limits),
        AdmissionView {
            intake: Intake::Open,
            head: Height::ZERO,
            rollups: Arc::new(ROLLUPS.into_iter().collect()),
        },
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

/// A plain transaction whose payload is `size` bytes that differ by `number`.
pub(crate) fn transaction(rollup: RollupId, expiry: u64, number: u64, size: usize) -> Transaction {
    let mut payload = number.to_le_bytes().to_vec();
    payload.resize(size.max(8), 0x5a);
    Transaction {
        rollup,
        expiry: Height(expiry),
        kind: TxKind::Plain,
        payload: Bytes::from(payload),
    }
}
