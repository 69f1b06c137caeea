//! One segment file: creating, appending, reading, sealing.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::fs::FallocateFlags;

use super::record::{PREFIX_BYTES, Place, Prefix, SEGMENT_HEADER_BYTES, encode_segment_header};
use crate::error::StorageError;

/// Slices per system call; the kernel takes 1,024.
const SLICES_MAX: usize = 1024;
/// Read at once when a prefix is looked for: most batch headers are shorter than the rest of it.
const HEAD_READ_BYTES: usize = 1024;

pub(super) fn path_of(folder: &Path, segment: u32) -> PathBuf {
    folder.join(format!("{segment:010}.seg"))
}

/// Numbers of the segment files in `folder`, ascending. Other files are left alone.
pub(super) fn list(folder: &Path) -> Result<Vec<u32>, StorageError> {
    let entries = std::fs::read_dir(folder).map_err(StorageError::io("list", folder))?;
    let mut segments = Vec::new();
    for entry in entries {
        let entry = entry.map_err(StorageError::io("list", folder))?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".seg"));
        if let Some(number) = number.and_then(|digits| digits.parse().ok()) {
            segments.push(number);
        }
    }
    segments.sort_unstable();
    Ok(segments)
}

pub(crate) fn sync_folder(folder: &Path) -> Result<(), StorageError> {
    File::open(folder)
        .and_then(|file| file.sync_all())
        .map_err(StorageError::io("sync", folder))
}

/// Creates a segment with `bytes` preallocated, so that appending changes no file metadata. Durable
/// together with its first record.
pub(super) fn create(folder: &Path, segment: u32, bytes: u32) -> Result<File, StorageError> {
    let path = path_of(folder, segment);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .map_err(StorageError::io("create", &path))?;
    match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, u64::from(bytes)) {
        // Some file systems can't preallocate; appending then extends the file.
        Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => {}
        Err(error) => return Err(StorageError::io("preallocate", &path)(error.into())),
    }
    file.write_all_at(&encode_segment_header(segment), 0)
        .map_err(StorageError::io("write", &path))?;
    Ok(file)
}

/// Opens an existing segment; `None` when it does not exist or its header was never written (a crash
/// came before its first sync).
pub(super) fn open(folder: &Path, segment: u32) -> Result<Option<File>, StorageError> {
    let path = path_of(folder, segment);
    let file = match OpenOptions::new().read(true).write(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StorageError::io("open", &path)(error)),
    };
    let mut header = [0; SEGMENT_HEADER_BYTES as usize];
    match file.read_exact_at(&mut header, 0) {
        Ok(()) if header == encode_segment_header(segment) => Ok(Some(file)),
        Ok(()) if header == [0; SEGMENT_HEADER_BYTES as usize] => Ok(None),
        Ok(()) => Err(StorageError::CorruptBody { segment, offset: 0 }),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(StorageError::io("read", &path)(error)),
    }
}

/// Writes all of `parts` at `offset`.
pub(super) fn write_all(file: &File, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let mut rest = slices.as_mut_slice();
    let mut at = offset;
    while !rest.is_empty() {
        let count = rest.len().min(SLICES_MAX);
        match rustix::io::pwritev(file, &rest[..count], at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                at += written as u64;
                IoSlice::advance_slices(&mut rest, written);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        // A trailing empty part would never be "written".
        while rest.first().is_some_and(|slice| slice.is_empty()) {
            rest = &mut rest[1..];
        }
    }
    Ok(())
}

/// What begins at an offset of a segment.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) prefix: Prefix,
    pub(super) header: Bytes,
}

/// Reads prefix and header at `offset`; `None` when no intact head begins there.
pub(super) fn read_head(
    file: &File,
    folder: &Path,
    segment: u32,
    offset: u32,
    end: u64,
) -> Result<Option<Head>, StorageError> {
    let available = end.saturating_sub(u64::from(offset));
    if available < u64::from(PREFIX_BYTES) {
        return Ok(None);
    }
    let guess =
        usize::try_from(available).map_or(HEAD_READ_BYTES, |bytes| bytes.min(HEAD_READ_BYTES));
    let mut buffer = vec![0; guess];
    read(file, folder, segment, &mut buffer, u64::from(offset))?;
    let Some(prefix) = Prefix::decode(&buffer, segment, offset) else {
        return Ok(None);
    };
    if prefix.place.end() > end {
        return Ok(None);
    }
    let head_bytes = (PREFIX_BYTES + prefix.place.header_bytes) as usize;
    if head_bytes > guess {
        buffer.resize(head_bytes, 0);
        let from = u64::from(offset) + guess as u64;
        read(file, folder, segment, &mut buffer[guess..], from)?;
    }
    buffer.truncate(head_bytes);
    let header = Bytes::from(buffer).slice(PREFIX_BYTES as usize..);
    Ok(prefix
        .head_is_intact(&header)
        .then_some(Head { prefix, header }))
}

/// Reads a whole record and checks it. Returns header and body, which share one buffer.
pub(super) fn read_record(
    file: &File,
    folder: &Path,
    place: Place,
) -> Result<(Prefix, Bytes, Bytes), StorageError> {
    let corrupt = || StorageError::CorruptBody {
        segment: place.segment,
        offset: place.offset,
    };
    let mut buffer = vec![0; usize::try_from(place.record_bytes()).map_err(|_| corrupt())?];
    read(
        file,
        folder,
        place.segment,
        &mut buffer,
        u64::from(place.offset),
    )?;
    let prefix = Prefix::decode(&buffer, place.segment, place.offset)
        .filter(|prefix| prefix.place == place)
        .ok_or_else(corrupt)?;
    let mut header = Bytes::from(buffer).slice(PREFIX_BYTES as usize..);
    let body = header.split_off(place.header_bytes as usize);
    if prefix.head_is_intact(&header) && prefix.body_is_intact(&body) {
        Ok((prefix, header, body))
    } else {
        Err(corrupt())
    }
}

fn read(
    file: &File,
    folder: &Path,
    segment: u32,
    buffer: &mut [u8],
    offset: u64,
) -> Result<(), StorageError> {
    file.read_exact_at(buffer, offset)
        .map_err(StorageError::io("read", path_of(folder, segment)))
}
