//! What a node finds when it starts: the store, and the state of each part after the last durable
//! block.

use super::NodeError;
use super::batches::BatchCache;
use super::metrics::StoreMetrics;
use super::pipeline::FLOOR_KEY;
use super::reader::Reader;
use super::stored::StoredHeader;
use crate::config::Config;
use squad_consensus::{Recovered, SafetyRecord};
use squad_mempool::LaneRecord;
use squad_mempool::OrderRules;
use squad_primitives::codec;
use squad_primitives::genesis::Genesis;
use squad_primitives::{
    Batch, CommittedBlock, Committee, Cut, Epoch, Height, NetworkId, SignedHeader,
};
use squad_storage::{
    Direction, DiskConfig, DiskStore, Entry, GroupReport, Hooks, Scan, StorageError, Store, Table,
};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Reacts to the store: a failure ends the process, groups are counted.
#[derive(Debug)]
struct NodeHooks(Arc<StoreMetrics>);

impl Hooks for NodeHooks {
    fn on_fatal(&self, error: StorageError) {
        super::fatal(&error);
    }

    fn on_group(&self, report: GroupReport) {
        self.0.group(&report);
    }
}

/// An opened store with what belongs to reading it.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    pub(crate) network: NetworkId,
    pub(crate) committee: Committee,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) cache: Arc<BatchCache>,
    pub(crate) reader: Arc<Reader>,
    /// Last block that is ordered durably.
    pub(crate) last: Option<CommittedBlock>,
}

impl Opened {
    /// Height of the last block.
    pub(crate) fn head(&self) -> Height {
        self.last
            .as_ref()
            .map_or(Height::ZERO, |last| last.block.height)
    }

    /// Cut of the last block.
    pub(crate) fn cut(&self) -> Cut {
        self.last
            .as_ref()
            .map_or_else(Cut::default, |last| last.block.cut.clone())
    }
}

/// Opens the store below `home`.
pub(crate) fn open(
    config: &Config,
    genesis: &Genesis,
    home: &Path,
    metrics: Arc<StoreMetrics>,
) -> Result<Opened, NodeError> {
    let disk = DiskConfig {
        cache_bytes: config.storage.cache,
        sync: config.storage.sync,
        ..DiskConfig::default()
    };
    let directory = home.join(&config.storage.path);
    let store: Arc<dyn Store> = Arc::new(DiskStore::open(
        &directory,
        &disk,
        Arc::new(NodeHooks(metrics)),
    )?);
    let network = genesis.network_id();
    let committee = genesis.committee(Epoch::ZERO)?;
    let cache = Arc::new(BatchCache::default());
    let reader = Arc::new(Reader::new(
        network,
        committee.clone(),
        genesis.batch_limits(),
        store.clone(),
        cache.clone(),
    )?);
    let last = reader.last()?.map(|block| block.committed);
    let opened = Opened {
        network,
        committee,
        store,
        cache,
        reader,
        last,
    };
    reindex(&opened)?;
    Ok(opened)
}

/// The transaction index is durable up to some block; gives it the later ones again.
fn reindex(opened: &Opened) -> Result<(), StorageError> {
    let mut height = opened.store.indexed_height().next();
    while height <= opened.head() {
        if let Some(block) = opened.reader.block(height)? {
            let ids = super::pipeline::ids_of(&block);
            opened.store.index_transactions(height, &ids);
        }
        height = height.next();
    }
    Ok(())
}

/// Ordering rules of a genesis.
pub(crate) fn order_rules(genesis: &Genesis) -> OrderRules {
    OrderRules {
        expiry_max_blocks: genesis.consensus.expiry_max_blocks,
        policies: genesis
            .rollups
            .iter()
            .map(|rollup| (rollup.id, rollup.order))
            .collect(),
    }
}

fn all(store: &dyn Store, table: Table) -> Result<Vec<Entry>, StorageError> {
    store.scan(
        table,
        Scan {
            from: &[],
            to: None,
            direction: Direction::Forward,
            limit: usize::MAX,
        },
    )
}

/// What consensus had bound itself to.
pub(crate) fn consensus(opened: &Opened) -> Result<Recovered, NodeError> {
    let mut records = Vec::new();
    for (_, value) in all(&*opened.store, Table::SafetyConsensus)? {
        records.push(
            SafetyRecord::from_value(&value)
                .map_err(|_| NodeError::Safety("a consensus record can't be decoded"))?,
        );
    }
    if records.is_empty() && opened.last.is_some() {
        return Err(NodeError::Safety(
            "there are blocks but no consensus records: they were lost, and signing again could contradict them",
        ));
    }
    Ok(Recovered::from_records(records, opened.last.clone()))
}

/// What the lanes had bound themselves to, and the batches above the last durable cut, which are put
/// into memory.
pub(crate) fn lanes(opened: &Opened) -> Result<squad_mempool::lanes::Recovered, NodeError> {
    let mut records: Vec<LaneRecord> = Vec::new();
    for (_, value) in all(&*opened.store, Table::SafetyLanes)? {
        records.push(
            codec::decode(&value)
                .map_err(|_| NodeError::Safety("a lane record can't be decoded"))?,
        );
    }
    let floor = opened
        .store
        .get(Table::Meta, FLOOR_KEY)?
        .and_then(|value| value.as_ref().try_into().ok())
        .map_or(Height::ZERO, |bytes| Height(u64::from_be_bytes(bytes)));
    let mut stored = Vec::new();
    let mut tags = BTreeMap::new();
    opened.store.visit_bodies(floor, &mut |head| {
        if let Ok(StoredHeader { signed, acked }) = codec::decode(&head.header) {
            tags.insert(head.digest, head.tag);
            stored.push((signed, acked));
        }
    })?;
    let recovered = squad_mempool::lanes::Recovered::from_stored(
        &opened.network,
        opened.head(),
        opened.cut(),
        records,
        stored,
    );
    for signed in &recovered.headers {
        let digest = signed.header.digest(&opened.network);
        if let (Some(tag), Some(batch)) = (tags.get(&digest), opened.reader.batch(&digest)?) {
            opened.cache.insert(batch, *tag);
        }
    }
    Ok(recovered)
}

/// Own batches among recovered headers, in lane order.
pub(crate) fn own_batches(
    opened: &Opened,
    headers: &[SignedHeader],
    me: squad_primitives::OperatorId,
) -> Result<Vec<Batch>, StorageError> {
    let mut own = Vec::new();
    for signed in headers.iter().filter(|signed| signed.header.lane == me) {
        let digest = signed.header.digest(&opened.network);
        own.extend(opened.reader.batch(&digest)?);
    }
    Ok(own)
}
