//! The body log: appending on the writer thread, reading from any thread.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use squad_primitives::{Digest, Height};

use super::record::{PREFIX_BYTES, Place, Prefix, RECORD_BYTES_MAX, SEGMENT_HEADER_BYTES};
use super::segment;
use crate::body::{BodyHead, NewBody, PruneReport, StoredBody};
use crate::changes::Changes;
use crate::disk::group::{GroupWriter, Sink};
use crate::disk::kv::Kv;
use crate::disk::synced::{Position, SyncedMark};
use crate::error::StorageError;
use crate::hooks::{Hooks, OnDurable};
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
    first_free: u32,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct BodyLog {
    segments: Arc<Segments>,
    writer: GroupWriter<NewBody>,
}

impl BodyLog {
    /// Opens the log in `folder`, creating it when absent, and recovers what a crash left, if all is
    /// there up to the mark. Without a mark nothing is synced: a crash of the machine can lose what was
    /// reported durable.
    pub(crate) fn open(
        folder: &Path,
        segment_bytes: u32,
        mark: Option<SyncedMark>,
        index: Arc<dyn Kv>,
        hooks: Arc<dyn Hooks>,
    ) -> Result<Self, StorageError> {
        let segments = Arc::new(Segments::recover(folder, index, mark.as_ref())?);
        let appender = Appender {
            next: segments.first_free,
            segments: Arc::clone(&segments),
            segment_bytes,
            mark,
            active: None,
        };
        let writer = GroupWriter::start("bodies", appender, hooks)?;
        Ok(Self { segments, writer })
    }

    /// # Panics
    /// When header and body together exceed 256 MiB: batch limits are far below.
    pub(crate) fn append(&self, body: NewBody, on_durable: OnDurable) {
        assert!(
            body.bytes() + PREFIX_BYTES as usize <= RECORD_BYTES_MAX,
            "body of {} bytes exceeds the limit of a record",
            body.bytes()
        );
        self.writer.submit(body, on_durable);
    }

    pub(crate) fn contains(&self, digest: &Digest) -> Result<bool, StorageError> {
        Ok(self.segments.find(digest)?.is_some())
    }

    pub(crate) fn get(&self, digest: &Digest) -> Result<Option<StoredBody>, StorageError> {
        let Some(place) = self.segments.find(digest)? else {
            return Ok(None);
        };
        let Some(file) = self.segments.file(place.segment)? else {
            return Ok(None);
        };
        let (prefix, header, body) = segment::read_record(&file, &self.segments.folder, place)?;
        if prefix.digest != *digest {
            return Err(StorageError::CorruptBody {
                segment: place.segment,
                offset: place.offset,
            });
        }
        Ok(Some(StoredBody {
            tag: prefix.tag,
            header,
            body,
        }))
    }

    pub(crate) fn head(&self, digest: &Digest) -> Result<Option<BodyHead>, StorageError> {
        let Some(place) = self.segments.find(digest)? else {
            return Ok(None);
        };
        let Some(file) = self.segments.file(place.segment)? else {
            return Ok(None);
        };
        let folder = &self.segments.folder;
        let found = segment::read_head(&file, folder, place.segment, place.offset, place.end())?;
        let head = found.filter(|head| head.prefix.digest == *digest && head.prefix.place == place);
        let head = head.ok_or(StorageError::CorruptBody {
            segment: place.segment,
            offset: place.offset,
        })?;
        Ok(Some(BodyHead {
            digest: *digest,
            tag: head.prefix.tag,
            header: head.header,
            body_bytes: place.body_bytes,
        }))
    }

    /// Shows the heads of all durable bodies with a tag of at least `since`, in the order of their
    /// appending.
    pub(crate) fn visit(
        &self,
        since: Height,
        visitor: &mut dyn FnMut(BodyHead),
    ) -> Result<(), StorageError> {
        for (number, summary) in self.segments.snapshot() {
            if summary.tag_max >= since {
                self.segments.walk(number, summary.end, &mut |_, head| {
                    if head.tag >= since {
                        visitor(head);
                    }
                })?;
            }
        }
        Ok(())
    }

    /// Removes the sealed segments in which every body has a tag below `below` and `removable` agrees
    /// to each of them.
    pub(crate) fn prune(
        &self,
        below: Height,
        removable: &mut dyn FnMut(&Digest) -> bool,
    ) -> Result<PruneReport, StorageError> {
        let mut report = PruneReport::default();
        let mut candidates = self.segments.snapshot();
        // The last one may still be written to.
        candidates.pop();
        for (number, summary) in candidates {
            if summary.tag_max >= below {
                continue;
            }
            let mut places = Vec::new();
            let mut all = true;
            self.segments
                .walk(number, summary.end, &mut |place, head| {
                    all = all && removable(&head.digest);
                    places.push((head.digest, place));
                })?;
            if all {
                self.segments.remove(number, &places)?;
                report.bodies += u64::from(summary.records);
                report.bytes += summary.end;
            }
        }
        Ok(report)
    }

    /// Links or copies all durable bodies into the new folder `target`.
    pub(crate) fn checkpoint(&self, target: &Path) -> Result<(), StorageError> {
        std::fs::create_dir(target).map_err(StorageError::io("create", target))?;
        let mut segments = self.segments.snapshot();
        let last = segments.pop();
        for (number, _) in segments {
            let from = segment::path_of(&self.segments.folder, number);
            let to = segment::path_of(target, number);
            std::fs::hard_link(&from, &to).map_err(StorageError::io("link", &to))?;
        }
        if let Some((number, _)) = last {
            // Still growing: a link would share later appends, and its end would look torn.
            let from = segment::path_of(&self.segments.folder, number);
            let to = segment::path_of(target, number);
            std::fs::copy(&from, &to).map_err(StorageError::io("copy", &to))?;
            File::open(&to)
                .and_then(|file| file.sync_all())
                .map_err(StorageError::io("sync", &to))?;
        }
        segment::sync_folder(target)
    }

    /// Durable bytes of all segments.
    pub(crate) fn disk_bytes(&self) -> u64 {
        let segments = self.segments.snapshot();
        segments.iter().map(|(_, summary)| summary.end).sum()
    }

    pub(crate) fn queued_bytes(&self) -> usize {
        self.writer.queued_bytes()
    }
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

    fn set_summary(&self, number: u32, summary: Summary) {
        let mut summaries = self
            .summaries
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        summaries.insert(number, summary);
    }

    /// The place of a body that is there; an index entry can outlive its segment.
    fn find(&self, digest: &Digest) -> Result<Option<Place>, StorageError> {
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

    fn file(&self, number: u32) -> Result<Option<Arc<File>>, StorageError> {
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
    fn walk(
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

    fn remove(&self, number: u32, places: &[(Digest, Place)]) -> Result<(), StorageError> {
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

/// Owned by the writer thread.
struct Appender {
    segments: Arc<Segments>,
    segment_bytes: u32,
    mark: Option<SyncedMark>,
    next: u32,
    active: Option<Active>,
}

struct Active {
    number: u32,
    file: Arc<File>,
    summary: Summary,
}

impl Sink for Appender {
    type Item = NewBody;

    fn size(item: &NewBody) -> usize {
        PREFIX_BYTES as usize + item.bytes()
    }

    fn write(&mut self, items: &mut Vec<NewBody>) -> Result<(), StorageError> {
        let mut rest = items.as_slice();
        while !rest.is_empty() {
            let fitting = self.fitting(rest);
            if fitting == 0 {
                self.seal()?;
                continue;
            }
            let (run, later) = rest.split_at(fitting);
            self.append(run)?;
            rest = later;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), StorageError> {
        self.seal()
    }
}

impl Appender {
    /// How many of `items` still go into the active segment. A new segment takes at least one.
    fn fitting(&self, items: &[NewBody]) -> usize {
        let empty = Summary::EMPTY;
        let summary = self
            .active
            .as_ref()
            .map_or(&empty, |active| &active.summary);
        let mut end = summary.end;
        let mut count = 0;
        for item in items {
            end += Self::size(item) as u64;
            let first = summary.records == 0 && count == 0;
            if end > u64::from(self.segment_bytes) && !first {
                break;
            }
            count += 1;
        }
        count
    }

    fn append(&mut self, run: &[NewBody]) -> Result<(), StorageError> {
        let mut active = match self.active.take() {
            Some(active) => active,
            None => self.start()?,
        };
        let path = segment::path_of(&self.segments.folder, active.number);
        let start = active.summary.end;
        let is_new = active.summary.records == 0;
        let mut prefixes = Vec::with_capacity(run.len());
        let mut index = Changes::new(Database::Main);
        for item in run {
            let place = Place {
                segment: active.number,
                offset: length(active.summary.end),
                header_bytes: length(item.header.len() as u64),
                body_bytes: length(item.body.len() as u64),
            };
            let prefix = Prefix::new(place, item.tag, item.digest, &item.header, &item.body);
            prefixes.push(prefix.encode());
            index.put(
                Table::BodyIndex,
                item.digest.as_bytes(),
                place.encode().to_vec(),
            );
            active.summary.add(&place, item.tag);
        }
        let parts: Vec<&[u8]> = prefixes
            .iter()
            .zip(run)
            .flat_map(|(prefix, item)| [prefix.as_slice(), &item.header, &item.body])
            .filter(|part| !part.is_empty())
            .collect();
        segment::write_all(&active.file, start, &parts)
            .map_err(StorageError::io("write", &path))?;
        if let Some(mark) = &mut self.mark {
            active
                .file
                .sync_data()
                .map_err(StorageError::io("sync", &path))?;
            if is_new {
                segment::sync_folder(&self.segments.folder)?;
            }
            mark.advance(Position(active.number.into(), active.summary.end))?;
        }
        self.segments.set_summary(active.number, active.summary);
        self.segments.index.write(&[index], false)?;
        self.active = Some(active);
        Ok(())
    }

    fn start(&mut self) -> Result<Active, StorageError> {
        let number = self.next;
        self.next += 1;
        let file = segment::create(&self.segments.folder, number, self.segment_bytes)?;
        Ok(Active {
            number,
            file: Arc::new(file),
            summary: Summary::EMPTY,
        })
    }

    /// Releases what was preallocated and not used, and notes that the segment is fully indexed.
    fn seal(&mut self) -> Result<(), StorageError> {
        let Some(active) = self.active.take() else {
            return Ok(());
        };
        active
            .file
            .set_len(active.summary.end)
            .map_err(StorageError::io(
                "shorten",
                segment::path_of(&self.segments.folder, active.number),
            ))?;
        let mut changes = Changes::new(Database::Main);
        changes.put(
            Table::BodySegments,
            active.number.to_be_bytes(),
            active.summary.encode(),
        );
        self.segments.index.write(&[changes], false)
    }
}

/// Lengths and offsets inside a segment: bounded by the segment size plus one record of at most
/// [`RECORD_BYTES_MAX`].
fn length(bytes: u64) -> u32 {
    u32::try_from(bytes).expect("a segment is far smaller than 4 GiB")
}
