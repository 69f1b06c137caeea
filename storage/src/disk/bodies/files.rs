//! The segments of a log that hold something, open files among them, and what the index knows of them.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use squad_primitives::{Digest, Height};

use super::record::{Place, SEGMENT_HEADER_BYTES};
use super::segment;
use crate::body::BodyHead;
use crate::changes::Changes;
use crate::disk::kv::Kv;
use crate::error::StorageError;
use crate::table::{Database, Table};

/// Segments kept open for reading; each costs one descriptor.
const OPEN_FILES_MAX: usize = 64;

/// What is known about a segment without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    /// Bytes up to the end of the last durable record.
    pub(super) end: u64,
    pub(super) records: u32,
    pub(super) tag_max: Height,
}

impl Summary {
    pub(super) const EMPTY: Self = Self {
        end: SEGMENT_HEADER_BYTES as u64,
        records: 0,
        tag_max: Height(0),
    };

    pub(super) fn add(&mut self, place: &Place, tag: Height) {
        self.end = place.end();
        self.records += 1;
        self.tag_max = self.tag_max.max(tag);
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = self.end.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.records.to_le_bytes());
        bytes.extend_from_slice(&self.tag_max.0.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (end, rest) = bytes.split_first_chunk()?;
        let (records, rest) = rest.split_first_chunk()?;
        Some(Self {
            end: u64::from_le_bytes(*end),
            records: u32::from_le_bytes(*records),
            tag_max: Height(u64::from_le_bytes(rest.try_into().ok()?)),
        })
    }
}

#[derive(Debug)]
pub(super) struct Segments {
    pub(super) folder: PathBuf,
    pub(super) index: Arc<dyn Kv>,
    /// All segments with at least one durable record.
    pub(super) summaries: RwLock<BTreeMap<u32, Summary>>,
    files: Mutex<BTreeMap<u32, Arc<File>>>,
    /// Number of the first segment that this process creates.
    pub(super) first_free: u32,
}

impl Segments {
    pub(super) fn new(
        folder: &Path,
        index: Arc<dyn Kv>,
        summaries: BTreeMap<u32, Summary>,
        first_free: u32,
    ) -> Self {
        Self {
            folder: folder.to_owned(),
            index,
            summaries: RwLock::new(summaries),
            files: Mutex::default(),
            first_free,
        }
    }

    pub(super) fn snapshot(&self) -> Vec<(u32, Summary)> {
        let summaries = self
            .summaries
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        summaries.iter().map(|(n, s)| (*n, *s)).collect()
    }

    fn summary(&self, number: u32) -> Option<Summary> {
        let summaries = self
            .summaries
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        summaries.get(&number).copied()
    }

    pub(super) fn set_summary(&self, number: u32, summary: Summary) {
        let mut summaries = self
            .summaries
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        summaries.insert(number, summary);
    }

    /// The place of a body that is there; an index entry can outlive its segment.
    pub(super) fn find(&self, digest: &Digest) -> Result<Option<Place>, StorageError> {
        let Some(value) = self.index.get(Table::BodyIndex, digest.as_bytes())? else {
            return Ok(None);
        };
        let place = Place::decode(&value).ok_or(StorageError::CorruptEntry {
            table: Table::BodyIndex.name(),
        })?;
        let durable = self
            .summary(place.segment)
            .is_some_and(|summary| place.end() <= summary.end);
        Ok(durable.then_some(place))
    }

    pub(super) fn file(&self, number: u32) -> Result<Option<Arc<File>>, StorageError> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = files.get(&number) {
            return Ok(Some(Arc::clone(file)));
        }
        let Some(file) = segment::open(&self.folder, number)? else {
            return Ok(None);
        };
        let file = Arc::new(file);
        files.insert(number, Arc::clone(&file));
        if files.len() > OPEN_FILES_MAX {
            files.pop_first();
        }
        Ok(Some(file))
    }

    /// Shows place and head of each record up to `end`.
    pub(super) fn walk(
        &self,
        number: u32,
        end: u64,
        visitor: &mut dyn FnMut(Place, BodyHead),
    ) -> Result<(), StorageError> {
        let Some(file) = self.file(number)? else {
            return Ok(());
        };
        let mut offset = SEGMENT_HEADER_BYTES;
        while u64::from(offset) < end {
            let corrupt = StorageError::CorruptBody {
                segment: number,
                offset,
            };
            let Some(head) = segment::read_head(&file, &self.folder, number, offset, end)? else {
                return Err(corrupt);
            };
            let place = head.prefix.place;
            visitor(
                place,
                BodyHead {
                    digest: head.prefix.digest,
                    tag: head.prefix.tag,
                    header: head.header,
                    body_bytes: place.body_bytes,
                },
            );
            offset = u32::try_from(place.end()).map_err(|_| corrupt)?;
        }
        Ok(())
    }

    pub(super) fn remove(
        &self,
        number: u32,
        places: &[(Digest, Place)],
    ) -> Result<(), StorageError> {
        let mut changes = Changes::new(Database::Main);
        for (digest, place) in places {
            // A batch stored twice is found in the later segment.
            if self.find(digest)? == Some(*place) {
                changes.delete(Table::BodyIndex, digest.as_bytes());
            }
        }
        changes.delete(Table::BodySegments, number.to_be_bytes());
        self.index.write(&[changes], true)?;
        self.summaries
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&number);
        self.files
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&number);
        let path = segment::path_of(&self.folder, number);
        std::fs::remove_file(&path).map_err(StorageError::io("remove", &path))
    }
}
