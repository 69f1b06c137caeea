//! The body log: appending on the writer thread, reading from any thread.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use squad_primitives::{Digest, Height};

use super::append::Appender;
use super::files::Segments;
use super::record::{PREFIX_BYTES, RECORD_BYTES_MAX};
use super::segment;
use crate::body::{BodyHead, NewBody, PruneReport, StoredBody};
use crate::disk::group::GroupWriter;
use crate::disk::kv::Kv;
use crate::disk::synced::SyncedMark;
use crate::error::StorageError;
use crate::hooks::{Hooks, OnDurable};

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
        let appender = Appender::new(&segments, segment_bytes, mark);
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
