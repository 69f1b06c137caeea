//! The engine: one RocksDB instance.

use std::fmt;
use std::path::Path;

use bytes::Bytes;
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DB, DBRawIterator, Options, ReadOptions, WriteBatch,
    WriteOptions,
};

use crate::changes::{Change, Changes};
use crate::disk::kv::Kv;
use crate::error::StorageError;
use crate::table::{Database, Table};
use crate::tables::{Direction, Entry, Scan};

pub(super) fn engine(operation: &'static str) -> impl FnOnce(rocksdb::Error) -> StorageError {
    move |source| StorageError::Engine {
        operation,
        source: Box::new(source),
    }
}

pub(super) struct RocksKv {
    db: DB,
    sync: bool,
}

impl fmt::Debug for RocksKv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksKv")
            .field("path", &self.db.path())
            .finish_non_exhaustive()
    }
}

impl RocksKv {
    /// Opens or creates the instance of `database`, with `extra` column families beside its tables.
    /// Without `sync` nothing is ever synced: development networks only.
    pub(super) fn open(
        path: &Path,
        database: Database,
        instance: &Options,
        table: &Options,
        extra: Vec<ColumnFamilyDescriptor>,
        sync: bool,
    ) -> Result<Self, StorageError> {
        let tables = Table::ALL
            .into_iter()
            .filter(|candidate| candidate.database() == database)
            .map(|member| ColumnFamilyDescriptor::new(member.name(), table.clone()));
        let families: Vec<_> = tables.chain(extra).collect();
        let db = DB::open_cf_descriptors(instance, path, families).map_err(engine("open"))?;
        Ok(Self { db, sync })
    }

    pub(super) const fn db(&self) -> &DB {
        &self.db
    }

    /// Number of the last change: those of a write are numbered one by one.
    pub(super) fn sequence(&self) -> u64 {
        self.db.latest_sequence_number()
    }

    /// Size on disk, bytes.
    pub(super) fn disk_bytes(&self) -> Result<u64, StorageError> {
        let path = self.db.path();
        let entries = std::fs::read_dir(path).map_err(StorageError::io("list", path))?;
        let mut bytes = 0;
        for entry in entries {
            let entry = entry.map_err(StorageError::io("list", path))?;
            match entry.metadata() {
                Ok(metadata) => bytes += metadata.len(),
                // The engine removes files in the background.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(StorageError::io("inspect", entry.path())(error)),
            }
        }
        Ok(bytes)
    }

    /// Writes a consistent copy into `target`, a folder that must not exist.
    pub(super) fn checkpoint(&self, target: &Path) -> Result<(), StorageError> {
        Checkpoint::new(&self.db)
            .and_then(|checkpoint| checkpoint.create_checkpoint(target))
            .map_err(engine("write a checkpoint"))
    }

    fn family(&self, table: Table) -> &ColumnFamily {
        self.db
            .cf_handle(table.name())
            .expect("all tables of the database were opened, and Changes checks the database")
    }
}

impl Kv for RocksKv {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        let value = self.db.get_cf(self.family(table), key);
        Ok(value.map_err(engine("get"))?.map(Bytes::from))
    }

    fn scan(&self, table: Table, scan: Scan<'_>) -> Result<Vec<Entry>, StorageError> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(scan.from);
        if let Some(to) = scan.to {
            if to <= scan.from {
                return Ok(Vec::new());
            }
            options.set_iterate_upper_bound(to);
        }
        let mut iterator: DBRawIterator<'_> =
            self.db.raw_iterator_cf_opt(self.family(table), options);
        match scan.direction {
            Direction::Forward => iterator.seek_to_first(),
            Direction::Backward => iterator.seek_to_last(),
        }
        let mut entries = Vec::new();
        while entries.len() < scan.limit {
            let Some((key, value)) = iterator.item() else {
                break;
            };
            entries.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
            match scan.direction {
                Direction::Forward => iterator.next(),
                Direction::Backward => iterator.prev(),
            }
        }
        iterator.status().map_err(engine("scan"))?;
        Ok(entries)
    }

    fn write(&self, changes: &[Changes], sync: bool) -> Result<(), StorageError> {
        let bytes = changes.iter().map(Changes::bytes).sum();
        let mut batch = WriteBatch::with_capacity_bytes(bytes);
        for change in changes.iter().flat_map(Changes::list) {
            match change {
                Change::Put { table, key, value } => batch.put_cf(self.family(*table), key, value),
                Change::Delete { table, key } => batch.delete_cf(self.family(*table), key),
                Change::DeleteRange { table, from, to } => {
                    batch.delete_range_cf(self.family(*table), from, to);
                }
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(sync && self.sync);
        self.db.write_opt(batch, &options).map_err(engine("write"))
    }
}
