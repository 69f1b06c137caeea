//! Batch bodies in append-only segment files.
//!
//! Bodies are nearly all the bytes a node writes. They go to disk once, into preallocated files that
//! are only appended to; the sorted engine keeps just the index (digest → place). The figures behind
//! this choice are in `docs/adr/`.
//!
//! ```text
//! append ──▶ queue ──▶ store-bodies thread: write records, fdatasync, index them, run completions
//! read   ──▶ index ──▶ one pread, checksums compared
//! ```
//!
//! Rules:
//!
//! 1. A body is reported durable after the sync of its segment (and, for a new segment, of the
//!    folder). The index is written without a sync of its own: it can be rebuilt.
//! 2. A segment is *sealed* when the next record does not fit, or at an orderly end. Then its summary
//!    is written behind all of its index entries; the engine keeps this order through a crash, so a
//!    segment with a summary is completely indexed.
//! 3. On open, each segment without a summary is read record by record, cut at the first record that
//!    is not intact, indexed and sealed. Nothing behind the cut was ever reported durable, because
//!    a sync covers everything before it. Appending always begins with a new segment, so bytes
//!    behind a cut are never overwritten in place.
//! 4. Segments are removed as a whole, index first. A segment that lost its index entries in a crash
//!    in between is found and indexed again.
//! 5. A number is never used twice for a segment: it is part of every record.
//! 6. How far the last segment was synced is noted outside of it. A log that ends before that, or has no
//!    such segment, is refused and left as it is.

mod append;
mod files;
#[cfg(test)]
mod image_tests;
mod log;
mod record;
mod recover;
mod segment;
#[cfg(test)]
mod tests;

pub(crate) use log::BodyLog;
pub(crate) use segment::sync_folder;
