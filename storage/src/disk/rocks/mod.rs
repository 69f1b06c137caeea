//! The store of a real node: two RocksDB instances, body segments, transaction index.

mod kv;
mod options;
mod tx_files;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rocksdb::{Cache, ColumnFamilyDescriptor};
use squad_primitives::{Digest, Height, TxId};

use self::kv::RocksKv;
use self::tx_files::TxFiles;
use super::bodies::BodyLog;
use super::directory::{Lock, check_format, write_format};
use super::group::{GroupWriter, Sink};
use super::kv::Kv;
use super::synced::{Position, SyncedMark};
use super::tx_index::TxIndex;
use crate::body::{BodyHead, NewBody, PruneReport, StoredBody};
use crate::changes::Changes;
use crate::error::{OpenError, StorageError};
use crate::hooks::{Hooks, OnDurable};
use crate::store::{Stats, Store, TxPosition};
use crate::table::{Database, Table};
use crate::tables::{Entry, Scan};

const MIB: usize = 1024 * 1024;
/// Memtables of the safety instance: its records are tiny.
const SAFETY_MEMTABLE_BYTES: usize = 2 * MIB;
/// A table's memtable is written out at this size at the latest.
const TABLE_MEMTABLE_BYTES: usize = 8 * MIB;
/// Keeps offsets inside a segment in `u32`.
const SEGMENT_BYTES_MAX: u32 = 1024 * 1024 * 1024;

/// Limits of a [`DiskStore`]. Memory, all together: `cache_bytes + memtable_bytes +
/// 2 × 32 × tx_index_entries` and the queues; 84 MiB by default.
#[derive(Clone, Debug)]
pub struct DiskConfig {
    /// Size of a body segment, bytes; pruning removes whole segments. At most 1 GiB.
    pub segment_bytes: u32,
    /// Cache of the databases, bytes.
    pub cache_bytes: usize,
    /// Memtables of the main database, all tables together, bytes.
    pub memtable_bytes: usize,
    /// Entries of the transaction index collected in memory before they become a file.
    pub tx_index_entries: usize,
    /// Size of the transaction index on disk, bytes; the oldest file goes first.
    pub tx_index_bytes_max: u64,
    /// Whether writes are synced. Without it a crash of the machine (not of the process) loses
    /// acknowledged writes: for development networks only.
    pub sync: bool,
}

impl Default for DiskConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 64 * 1024 * 1024,
            cache_bytes: 24 * MIB,
            memtable_bytes: 24 * MIB,
            tx_index_entries: 512 * 1024,
            tx_index_bytes_max: 8 * 1024 * 1024 * 1024,
            sync: true,
        }
    }
}

/// See the module. Fields are dropped in this order: writers end before the engines close, and the
/// lock is the last to go.
#[derive(Debug)]
pub struct DiskStore {
    bodies: BodyLog,
    tx_index: TxIndex,
    main_writer: GroupWriter<Changes>,
    safety_writer: GroupWriter<Changes>,
    main: Arc<RocksKv>,
    safety: Arc<RocksKv>,
    _lock: Lock,
}

impl DiskStore {
    /// Opens the data directory, creating it when absent, and recovers what a crash left.
    ///
    /// # Errors
    /// When another process uses the directory, its layout is unknown, or its data is damaged.
    pub fn open(
        directory: &Path,
        config: &DiskConfig,
        hooks: Arc<dyn Hooks>,
    ) -> Result<Self, OpenError> {
        std::fs::create_dir_all(directory).map_err(StorageError::io("create", directory))?;
        let lock = Lock::acquire(directory)?;
        check_format(directory, &["db", "safety", "bodies"])?;

        let cache = Cache::new_lru_cache(config.cache_bytes);
        let table = options::table(&cache, TABLE_MEMTABLE_BYTES);
        let tx_options = options::tx_index(&cache);
        let main = Arc::new(RocksKv::open(
            &directory.join("db"),
            Database::Main,
            &options::instance(config.memtable_bytes),
            &table,
            vec![ColumnFamilyDescriptor::new(
                tx_files::FAMILY,
                tx_options.clone(),
            )],
            config.sync,
        )?);
        let safety = Arc::new(RocksKv::open(
            &directory.join("safety"),
            Database::Safety,
            &options::instance(SAFETY_MEMTABLE_BYTES),
            &table,
            Vec::new(),
            config.sync,
        )?);
        let mark = |log| SyncedMark::open(&directory.join(log));
        let safety_mark = config.sync.then(|| mark("safety")).transpose()?;
        if let Some(mark) = &safety_mark {
            mark.check(Position(safety.sequence(), 0))?;
        }
        let bodies = BodyLog::open(
            &directory.join("bodies"),
            config.segment_bytes.min(SEGMENT_BYTES_MAX),
            config.sync.then(|| mark("bodies")).transpose()?,
            Arc::clone(&main) as Arc<dyn Kv>,
            Arc::clone(&hooks),
        )?;
        let tx_files = TxFiles::open(
            Arc::clone(&main),
            tx_options,
            directory,
            config.tx_index_bytes_max,
        )?;
        Ok(Self {
            bodies,
            tx_index: TxIndex::start(
                Arc::new(tx_files),
                config.tx_index_entries,
                Arc::clone(&hooks),
            )?,
            main_writer: GroupWriter::start("main", KvSink::new(&main, None), Arc::clone(&hooks))?,
            safety_writer: GroupWriter::start("safety", KvSink::new(&safety, safety_mark), hooks)?,
            main,
            safety,
            _lock: lock,
        })
    }

    fn kv(&self, table: Table) -> &RocksKv {
        match table.database() {
            Database::Main => &self.main,
            Database::Safety => &self.safety,
        }
    }
}

/// Writes a group of changes with one sync, if one of them asks for it.
struct KvSink {
    kv: Arc<RocksKv>,
    /// Where to note syncs. Nobody else writes to a database with a mark.
    mark: Option<SyncedMark>,
}

impl KvSink {
    fn new(kv: &Arc<RocksKv>, mark: Option<SyncedMark>) -> Self {
        Self {
            kv: Arc::clone(kv),
            mark,
        }
    }
}

impl Sink for KvSink {
    type Item = Changes;

    fn size(item: &Changes) -> usize {
        item.bytes()
    }

    fn write(&mut self, items: &mut Vec<Changes>) -> Result<(), StorageError> {
        let sync = items.iter().any(Changes::needs_sync);
        self.kv.write(items, sync)?;
        match &mut self.mark {
            Some(mark) if sync => mark.advance(Position(self.kv.sequence(), 0)),
            _ => Ok(()),
        }
    }
}

impl Store for DiskStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.kv(table).get(table, key)
    }

    fn scan(&self, table: Table, scan: Scan<'_>) -> Result<Vec<Entry>, StorageError> {
        self.kv(table).scan(table, scan)
    }

    fn commit(&self, changes: Changes, on_durable: OnDurable) {
        match changes.database() {
            Database::Main => self.main_writer.submit(changes, on_durable),
            Database::Safety => self.safety_writer.submit(changes, on_durable),
        }
    }

    fn append_body(&self, body: NewBody, on_durable: OnDurable) {
        self.bodies.append(body, on_durable);
    }

    fn body(&self, digest: &Digest) -> Result<Option<StoredBody>, StorageError> {
        self.bodies.get(digest)
    }

    fn body_head(&self, digest: &Digest) -> Result<Option<BodyHead>, StorageError> {
        self.bodies.head(digest)
    }

    fn has_body(&self, digest: &Digest) -> Result<bool, StorageError> {
        self.bodies.contains(digest)
    }

    fn visit_bodies(
        &self,
        since: Height,
        visitor: &mut dyn FnMut(BodyHead),
    ) -> Result<(), StorageError> {
        self.bodies.visit(since, visitor)
    }

    fn prune_bodies(
        &self,
        below: Height,
        removable: &mut dyn FnMut(&Digest) -> bool,
    ) -> Result<PruneReport, StorageError> {
        self.bodies.prune(below, removable)
    }

    fn index_transactions(&self, height: Height, transactions: &[TxId]) {
        self.tx_index.add(height, transactions);
    }

    fn transaction(&self, id: &TxId) -> Result<Option<TxPosition>, StorageError> {
        self.tx_index.find(id)
    }

    fn indexed_height(&self) -> Height {
        self.tx_index.indexed_height()
    }

    fn stats(&self) -> Result<Stats, StorageError> {
        let queued = self.bodies.queued_bytes()
            + self.main_writer.queued_bytes()
            + self.safety_writer.queued_bytes();
        Ok(Stats {
            main_bytes: self.main.disk_bytes()?,
            safety_bytes: self.safety.disk_bytes()?,
            body_bytes: self.bodies.disk_bytes(),
            queued_bytes: queued as u64,
            unflushed_transactions: self.tx_index.buffered() as u64,
        })
    }

    fn checkpoint(&self, target: &Path) -> Result<(), StorageError> {
        std::fs::create_dir(target).map_err(StorageError::io("create", target))?;
        // The database first: every body that it refers to is then among the bodies.
        self.main.checkpoint(&target.join("db"))?;
        self.bodies.checkpoint(&target.join("bodies"))?;
        write_format(target, &target.join("FORMAT"))
    }
}
