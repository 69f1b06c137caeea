//! What happens to the segments of an earlier process (rules 3 and 6 of the module).

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use super::files::{Segments, Summary};
use super::record::SEGMENT_HEADER_BYTES;
use super::segment;
use crate::changes::Changes;
use crate::disk::kv::Kv;
use crate::disk::synced::{Position, SyncedMark};
use crate::error::StorageError;
use crate::table::{Database, Table};
use crate::tables::{Direction, Scan};

impl Segments {
    pub(super) fn recover(
        folder: &Path,
        index: Arc<dyn Kv>,
        mark: Option<&SyncedMark>,
    ) -> Result<Self, StorageError> {
        std::fs::create_dir_all(folder).map_err(StorageError::io("create", folder))?;
        let mut sealed = sealed_segments(&*index)?;
        let files = segment::list(folder)?;
        if let Some(mark) = mark {
            check_last(folder, mark, &files, &sealed)?;
        }
        let known = files.last().max(sealed.keys().last());
        let first_free = known.map_or(0, |last| last + 1);
        let mut summaries = BTreeMap::new();
        for number in files {
            let summary = match sealed.remove(&number) {
                Some(summary) => {
                    check_length(folder, number, &summary)?;
                    Some(summary)
                }
                None => recover_segment(folder, number, &*index, mark)?,
            };
            if let Some(summary) = summary {
                summaries.insert(number, summary);
            }
        }
        // Sealed, but without a file: removed by hand, or not part of a restored snapshot.
        let mut gone = Changes::new(Database::Main);
        for number in sealed.into_keys() {
            tracing::warn!(segment = number, "body segment is missing");
            gone.delete(Table::BodySegments, number.to_be_bytes());
        }
        if !gone.is_empty() {
            index.write(&[gone], true)?;
        }
        Ok(Self::new(folder, index, summaries, first_free))
    }
}

fn sealed_segments(index: &dyn Kv) -> Result<BTreeMap<u32, Summary>, StorageError> {
    let everything = Scan {
        from: &[],
        to: None,
        direction: Direction::Forward,
        limit: usize::MAX,
    };
    index
        .scan(Table::BodySegments, everything)?
        .into_iter()
        .map(|(key, value)| {
            let number = key.as_ref().try_into().ok().map(u32::from_be_bytes);
            number
                .zip(Summary::decode(&value))
                .ok_or(StorageError::CorruptEntry {
                    table: Table::BodySegments.name(),
                })
        })
        .collect()
}

/// The segment that was synced last is there. If it is not sealed, its records are checked as they are
/// recovered.
fn check_last(
    folder: &Path,
    mark: &SyncedMark,
    files: &[u32],
    sealed: &BTreeMap<u32, Summary>,
) -> Result<(), StorageError> {
    let last = u32::try_from(mark.position().0).unwrap_or(u32::MAX);
    match (files.contains(&last), sealed.get(&last)) {
        (true, None) => Ok(()),
        (true, Some(summary)) => {
            let end = heads_end(folder, last, summary.end)?;
            mark.check(Position(last.into(), end.into()))
        }
        (false, _) => {
            let before = files.iter().rev().find(|number| **number < last);
            mark.check(Position(before.map_or(0, |number| u64::from(*number)), 0))
        }
    }
}

/// Where the intact heads of a sealed segment end. A summary alone doesn't say that they are there.
fn heads_end(folder: &Path, number: u32, end: u64) -> Result<u32, StorageError> {
    let mut offset = 0;
    if let Some(file) = segment::open(folder, number)? {
        let path = segment::path_of(folder, number);
        let metadata = file.metadata();
        let length = metadata.map_err(StorageError::io("inspect", &path))?.len();
        offset = SEGMENT_HEADER_BYTES;
        while let Some(head) = segment::read_head(&file, folder, number, offset, end.min(length))? {
            match u32::try_from(head.prefix.place.end()) {
                Ok(next) => offset = next,
                Err(_) => break,
            }
        }
    }
    Ok(offset)
}

fn check_length(folder: &Path, number: u32, summary: &Summary) -> Result<(), StorageError> {
    let path = segment::path_of(folder, number);
    let metadata = std::fs::metadata(&path).map_err(StorageError::io("inspect", &path))?;
    if metadata.len() < summary.end {
        return Err(StorageError::CorruptBody {
            segment: number,
            offset: u32::try_from(metadata.len()).unwrap_or(u32::MAX),
        });
    }
    Ok(())
}

/// Cuts, indexes and seals one segment; `None` when it held nothing and was removed.
fn recover_segment(
    folder: &Path,
    number: u32,
    index: &dyn Kv,
    mark: Option<&SyncedMark>,
) -> Result<Option<Summary>, StorageError> {
    let path = segment::path_of(folder, number);
    let mut changes = Changes::new(Database::Main);
    let file = segment::open(folder, number)?;
    let summary = match &file {
        Some(file) => {
            let metadata = file.metadata();
            let length = metadata.map_err(StorageError::io("inspect", &path))?.len();
            intact_records(file, folder, number, length, &mut changes)?
        }
        None => Summary::EMPTY,
    };
    // Before anything is cut: what is refused stays as it is.
    if let Some(mark) = mark.filter(|mark| mark.position().0 == u64::from(number)) {
        mark.check(Position(number.into(), summary.end))?;
    }
    if let Some(file) = file
        && summary.records > 0
    {
        tracing::info!(
            segment = number,
            records = summary.records,
            "recovered body segment"
        );
        file.set_len(summary.end)
            .and_then(|()| file.sync_all())
            .map_err(StorageError::io("shorten", &path))?;
        changes.put(Table::BodySegments, number.to_be_bytes(), summary.encode());
        index.write(&[changes], true)?;
        return Ok(Some(summary));
    }
    std::fs::remove_file(&path).map_err(StorageError::io("remove", &path))?;
    segment::sync_folder(folder)?;
    Ok(None)
}

fn intact_records(
    file: &File,
    folder: &Path,
    number: u32,
    length: u64,
    changes: &mut Changes,
) -> Result<Summary, StorageError> {
    let mut summary = Summary::EMPTY;
    let mut offset = SEGMENT_HEADER_BYTES;
    while let Some(head) = segment::read_head(file, folder, number, offset, length)? {
        let place = head.prefix.place;
        match segment::read_record(file, folder, place) {
            Ok(_) => {}
            Err(StorageError::CorruptBody { .. }) => break,
            Err(error) => return Err(error),
        }
        changes.put(
            Table::BodyIndex,
            head.prefix.digest.as_bytes(),
            place.encode().to_vec(),
        );
        summary.add(&place, head.prefix.tag);
        match u32::try_from(place.end()) {
            Ok(end) => offset = end,
            Err(_) => break,
        }
    }
    Ok(summary)
}
