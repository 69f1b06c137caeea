//! Sorted files of the transaction index, in a column family of the main instance.
//!
//! Each flush becomes one *part*: a file whose keys begin with the number of the part. Parts never
//! overlap, so the engine puts each at its lowest level as it is and can drop it as it is. A lookup
//! asks the parts one by one, newest first; their filters answer for nearly all that do not have
//! the key. The list of parts is kept in a table and in memory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rocksdb::{ColumnFamily, IngestExternalFileOptions, Options, SstFileWriter};
use squad_primitives::Height;

use super::kv::{RocksKv, engine};
use crate::changes::Changes;
use crate::disk::kv::Kv;
use crate::disk::tx_index::{Files, Key};
use crate::error::StorageError;
use crate::store::TxPosition;
use crate::table::{Database, Table};
use crate::tables::{Direction, Scan};

pub(super) const FAMILY: &str = "tx_index";

const INDEXED_HEIGHT: &[u8] = b"indexed_height";
/// Key of a part in its table: this, then its number (big-endian). The value is its size in bytes.
const PART: &[u8] = b"part";
const PART_END: &[u8] = b"paru";
const VALUE_BYTES: usize = 12;

type PartKey = [u8; 20];

pub(super) struct TxFiles {
    kv: Arc<RocksKv>,
    options: Options,
    /// Where a file is written before the engine takes it over; same file system.
    draft: PathBuf,
    bytes_max: u64,
    /// Number → bytes on disk.
    parts: RwLock<BTreeMap<u32, u64>>,
}

impl TxFiles {
    /// `folder` must exist. Beyond `bytes_max` the oldest parts are dropped.
    pub(super) fn open(
        kv: Arc<RocksKv>,
        options: Options,
        folder: &Path,
        bytes_max: u64,
    ) -> Result<Self, StorageError> {
        let parts = read_parts(&kv)?;
        let files = Self {
            kv,
            options,
            draft: folder.join("tx-index.sst.tmp"),
            bytes_max,
            parts: RwLock::new(parts),
        };
        // A crash between adding a file and noting it leaves a file that nobody asks.
        files.drop_files(files.next_part(), u32::MAX)?;
        Ok(files)
    }

    fn family(&self) -> &ColumnFamily {
        self.kv
            .db()
            .cf_handle(FAMILY)
            .expect("the column family was opened with the instance")
    }

    fn next_part(&self) -> u32 {
        let parts = self.parts.read().unwrap_or_else(PoisonError::into_inner);
        parts.last_key_value().map_or(0, |(last, _)| last + 1)
    }

    /// Drops the files of the parts from `first` (included) to `end` (excluded).
    fn drop_files(&self, first: u32, end: u32) -> Result<(), StorageError> {
        self.kv
            .db()
            .delete_file_in_range_cf(self.family(), first.to_be_bytes(), end.to_be_bytes())
            .map_err(engine("drop an index file"))
    }

    /// Writes the entries as a file and hands it to the engine; returns its size, bytes.
    fn write_part(
        &self,
        part: u32,
        entries: &mut dyn Iterator<Item = (Key, TxPosition)>,
    ) -> Result<u64, StorageError> {
        let mut writer = SstFileWriter::create(&self.options);
        writer
            .open(&self.draft)
            .map_err(engine("create an index file"))?;
        for (key, position) in entries {
            writer
                .put(part_key(part, &key), encode(position))
                .map_err(engine("write an index file"))?;
        }
        writer.finish().map_err(engine("finish an index file"))?;
        let bytes = writer.file_size();
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        self.kv
            .db()
            .ingest_external_file_cf_opts(self.family(), &options, vec![&self.draft])
            .map_err(engine("add an index file"))?;
        Ok(bytes)
    }

    /// Forgets the oldest parts until the rest fits; the newest always stays.
    fn drop_oldest(&self) -> Result<(), StorageError> {
        loop {
            let oldest = {
                let mut parts = self.parts.write().unwrap_or_else(PoisonError::into_inner);
                if parts.values().sum::<u64>() <= self.bytes_max || parts.len() == 1 {
                    return Ok(());
                }
                parts.pop_first()
            };
            let Some((part, _)) = oldest else {
                return Ok(());
            };
            let mut changes = Changes::new(Database::Main);
            changes.delete(Table::TxIndexState, table_key(part));
            self.kv.write(&[changes], false)?;
            self.drop_files(part, part + 1)?;
        }
    }
}

fn read_parts(kv: &RocksKv) -> Result<BTreeMap<u32, u64>, StorageError> {
    let scan = Scan {
        from: PART,
        to: Some(PART_END),
        direction: Direction::Forward,
        limit: usize::MAX,
    };
    kv.scan(Table::TxIndexState, scan)?
        .into_iter()
        .map(|(key, value)| {
            let number = key.strip_prefix(PART).and_then(|key| key.try_into().ok());
            let bytes = value.as_ref().try_into().ok();
            number
                .map(u32::from_be_bytes)
                .zip(bytes.map(u64::from_be_bytes))
                .ok_or(StorageError::CorruptEntry {
                    table: Table::TxIndexState.name(),
                })
        })
        .collect()
}

fn table_key(part: u32) -> Vec<u8> {
    [PART, &part.to_be_bytes()].concat()
}

fn part_key(part: u32, key: &Key) -> PartKey {
    let mut bytes = [0; 20];
    bytes[..4].copy_from_slice(&part.to_be_bytes());
    bytes[4..].copy_from_slice(key);
    bytes
}

fn encode(position: TxPosition) -> [u8; VALUE_BYTES] {
    let mut value = [0; VALUE_BYTES];
    value[..8].copy_from_slice(&position.height.0.to_be_bytes());
    value[8..].copy_from_slice(&position.position.to_be_bytes());
    value
}

fn decode(value: &[u8]) -> Option<TxPosition> {
    let (height, position) = value.split_first_chunk()?;
    Some(TxPosition {
        height: Height(u64::from_be_bytes(*height)),
        position: u32::from_be_bytes(position.try_into().ok()?),
    })
}

impl Files for TxFiles {
    fn add(
        &self,
        entries: &mut dyn Iterator<Item = (Key, TxPosition)>,
        height: Height,
    ) -> Result<(), StorageError> {
        let mut entries = entries.peekable();
        let mut changes = Changes::new(Database::Main);
        if entries.peek().is_some() {
            let part = self.next_part();
            let bytes = self.write_part(part, &mut entries)?;
            changes.put(
                Table::TxIndexState,
                table_key(part),
                bytes.to_be_bytes().to_vec(),
            );
            self.parts
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(part, bytes);
        }
        // The engine has made the file durable; losing this note only means work done twice.
        changes.put(
            Table::TxIndexState,
            INDEXED_HEIGHT,
            height.0.to_be_bytes().to_vec(),
        );
        self.kv.write(&[changes], false)?;
        self.drop_oldest()
    }

    fn find(&self, key: &Key) -> Result<Option<TxPosition>, StorageError> {
        let parts: Vec<u32> = {
            let parts = self.parts.read().unwrap_or_else(PoisonError::into_inner);
            parts.keys().rev().copied().collect()
        };
        for part in parts {
            let value = self
                .kv
                .db()
                .get_pinned_cf(self.family(), part_key(part, key))
                .map_err(engine("get"))?;
            if let Some(value) = value {
                let position =
                    decode(&value).ok_or(StorageError::CorruptEntry { table: FAMILY })?;
                return Ok(Some(position));
            }
        }
        Ok(None)
    }

    fn indexed_height(&self) -> Result<Height, StorageError> {
        let Some(value) = self.kv.get(Table::TxIndexState, INDEXED_HEIGHT)? else {
            return Ok(Height(0));
        };
        let bytes = value
            .as_ref()
            .try_into()
            .map_err(|_| StorageError::CorruptEntry {
                table: Table::TxIndexState.name(),
            })?;
        Ok(Height(u64::from_be_bytes(bytes)))
    }
}
