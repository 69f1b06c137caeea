//! The store as the node sees it.

use std::fmt;
use std::path::Path;

use bytes::Bytes;
use squad_primitives::{Digest, Height, TxId};

use crate::body::{BodyHead, NewBody, PruneReport, StoredBody};
use crate::changes::Changes;
use crate::error::StorageError;
use crate::hooks::OnDurable;
use crate::table::Table;
use crate::tables::{Entry, Scan};

/// Sizes for metrics and `squad db stats`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Main database on disk, bytes; includes the transaction index.
    pub main_bytes: u64,
    /// Safety database on disk, bytes.
    pub safety_bytes: u64,
    /// Bodies on disk, bytes.
    pub body_bytes: u64,
    /// Waiting to be written, all writers together, bytes.
    pub queued_bytes: u64,
    /// Transactions indexed in memory only; the node indexes them again after a restart.
    pub unflushed_transactions: u64,
}

/// Where a transaction was ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TxPosition {
    /// Height of the block.
    pub height: Height,
    /// Position in the block's list.
    pub position: u32,
}

/// Durable state of a node: tables, batch bodies, transaction index.
///
/// Writes are requests: they return at once, become visible to reads when they are written, and their
/// `on_durable` runs when they are durable, in the order of the requests to one writer (bodies, main,
/// safety). There is no order between writers. After a failure no `on_durable` runs any more. A
/// request whose `on_durable` did not run may be there after a restart, or not.
///
/// Reads go straight to the engine and may touch the disk: callers on latency-critical threads keep
/// what they need in memory.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// The value of `key`.
    ///
    /// # Errors
    /// When the disk fails or holds something else than what was written.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StorageError>;

    /// Entries of a part of a table, in key order.
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    fn scan(&self, table: Table, scan: Scan<'_>) -> Result<Vec<Entry>, StorageError>;

    /// Writes `changes` as a whole. With [`Changes::without_sync`], `on_durable` runs when they are
    /// written.
    fn commit(&self, changes: Changes, on_durable: OnDurable);

    /// Stores a batch. Storing the same digest again is harmless, but takes space: ask
    /// [`has_body`](Self::has_body) first.
    fn append_body(&self, body: NewBody, on_durable: OnDurable);

    /// The batch with this digest, checked against its checksums.
    ///
    /// # Errors
    /// As for [`get`](Self::get). A corrupt record is an error, never an absence.
    fn body(&self, digest: &Digest) -> Result<Option<StoredBody>, StorageError>;

    /// The header of a stored batch. Reads no more than that: for walking along a lane.
    ///
    /// # Errors
    /// As for [`body`](Self::body); the body itself is not checked.
    fn body_head(&self, digest: &Digest) -> Result<Option<BodyHead>, StorageError>;

    /// Whether the batch with this digest is durable here.
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    fn has_body(&self, digest: &Digest) -> Result<bool, StorageError>;

    /// Shows the heads of all durable batches with a tag of at least `since`, oldest first: what a
    /// restarted node rebuilds its lanes from. A batch stored twice is shown twice.
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    fn visit_bodies(
        &self,
        since: Height,
        visitor: &mut dyn FnMut(BodyHead),
    ) -> Result<(), StorageError>;

    /// Removes old batches, file by file: a file goes when all of its batches have a tag below `below`
    /// and `removable` agrees to each. A batch that is still needed keeps its file.
    ///
    /// # Errors
    /// When the disk fails.
    fn prune_bodies(
        &self,
        below: Height,
        removable: &mut dyn FnMut(&Digest) -> bool,
    ) -> Result<PruneReport, StorageError>;

    /// Remembers the transactions of the block at `height`; `transactions` in the order of the block.
    /// Blocks come in ascending order, empty ones included. Not durable at once: after a restart the
    /// node gives again all blocks above [`indexed_height`](Self::indexed_height).
    fn index_transactions(&self, height: Height, transactions: &[TxId]);

    /// Where a transaction was ordered. The index keeps 16 bytes of each id, and outlives pruned
    /// blocks: the caller compares the full id with the block.
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    fn transaction(&self, id: &TxId) -> Result<Option<TxPosition>, StorageError>;

    /// All blocks up to here are in the durable part of the transaction index.
    fn indexed_height(&self) -> Height;

    /// Sizes.
    ///
    /// # Errors
    /// When the disk fails.
    fn stats(&self) -> Result<Stats, StorageError>;

    /// Writes a consistent copy of the main database and all bodies into `target`, a folder that must
    /// not exist. Safety records are left out on purpose: restored later, they would let the node
    /// sign twice.
    ///
    /// # Errors
    /// When the disk fails, or the store has no disk.
    fn checkpoint(&self, target: &Path) -> Result<(), StorageError>;
}
