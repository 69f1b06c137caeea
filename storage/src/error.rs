//! Errors by what the caller can do about them.
//!
//! [`OpenError`] is for the operator: nothing runs yet. [`StorageError`] means that the disk or the
//! data on it can't be trusted; when a write or a sync fails it reaches [`Hooks::on_fatal`] and
//! nothing is reported durable afterwards.
//!
//! [`Hooks::on_fatal`]: crate::Hooks::on_fatal

use std::io;
use std::path::PathBuf;

/// Why a data directory could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process holds the lock of this directory.
    #[error("{path} is locked: another process uses this data directory")]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The layout on disk is not the one this version writes.
    #[error("{path} says layout {found:?}, this version reads layout {supported}")]
    Format {
        /// The `FORMAT` file.
        path: PathBuf,
        /// Its content, cut to a few bytes.
        found: String,
        /// The layout of this version.
        supported: u32,
    },
    /// There is data, but no `FORMAT` file beside it.
    #[error(
        "{path} holds data but no FORMAT file: not a data directory of this software, or damaged"
    )]
    FormatMissing {
        /// The data directory.
        path: PathBuf,
    },
    /// The data could not be read or recovered.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The disk failed, or what it holds is not what was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// A file operation failed.
    #[error("cannot {operation} {path}")]
    Io {
        /// What was tried: "write", "sync", ….
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The database engine reported a failure.
    #[error("database failed to {operation}")]
    Engine {
        /// What was tried.
        operation: &'static str,
        /// The engine's answer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A record does not match its checksum or its place.
    #[error("record at offset {offset} of body segment {segment} is corrupt")]
    CorruptBody {
        /// Number of the segment file.
        segment: u32,
        /// Position of the record in it, bytes.
        offset: u32,
    },
    /// A log ends before what was synced: the disk lost or damaged records that were reported durable.
    #[error(
        "{log} ends at {end:?}, but was synced up to {synced:?}: the disk lost records, and with them what this \
         node signed. Restore the directory as it was last, or let the operator be replaced by one with a new key"
    )]
    RecordsLost {
        /// Folder of the log.
        log: PathBuf,
        /// Where it ends: number of the last write, or segment and offset.
        end: (u64, u64),
        /// What was synced, in the same terms.
        synced: (u64, u64),
    },
    /// The file that says how far a log was synced is damaged.
    #[error("{path} is damaged: how far the log beside it was synced is unknown")]
    CorruptMark {
        /// The file.
        path: PathBuf,
    },
    /// A value written by this crate can't be decoded.
    #[error("corrupt entry in table {table}")]
    CorruptEntry {
        /// Name of the table.
        table: &'static str,
    },
    /// A test asked for this failure ([`MemoryStore::fail_next_write`]).
    ///
    /// [`MemoryStore::fail_next_write`]: crate::MemoryStore::fail_next_write
    #[error("injected write failure")]
    Injected,
    /// The thread that writes has ended.
    #[error("writer {name} stopped")]
    WriterStopped {
        /// Which writer.
        name: &'static str,
    },
}

impl StorageError {
    pub(crate) fn io(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            operation,
            path,
            source,
        }
    }
}
