//! Appending, on the writer thread.

use std::fs::File;
use std::sync::Arc;

use super::files::{Segments, Summary};
use super::record::{PREFIX_BYTES, Place, Prefix};
use super::segment;
use crate::body::NewBody;
use crate::changes::Changes;
use crate::disk::group::Sink;
use crate::disk::synced::{Position, SyncedMark};
use crate::error::StorageError;
use crate::table::{Database, Table};

/// Owned by the writer thread.
pub(super) struct Appender {
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
    /// Appends to new segments of `segment_bytes`; without a mark nothing is synced.
    pub(super) fn new(
        segments: &Arc<Segments>,
        segment_bytes: u32,
        mark: Option<SyncedMark>,
    ) -> Self {
        Self {
            segments: Arc::clone(segments),
            segment_bytes,
            mark,
            next: segments.first_free,
            active: None,
        }
    }

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
