//! Durable storage of an operator.
//!
//! ```text
//!                     ┌───────────────┬───────────────┬───────────────┬────────────────┐
//!   requests ───────▶ │ bodies queue  │ main queue    │ safety queue  │ tx index       │
//!   threads           │ store-bodies  │ store-main    │ store-safety  │ store-tx-index │
//!                     ├───────────────┼───────────────┼───────────────┼────────────────┤
//!   data directory    │ bodies/*.seg  │ db/ (RocksDB) │ safety/       │ in db/         │
//!                     └───────────────┴───────────────┴───────────────┴────────────────┘
//! ```
//!
//! - **Group commit.** Each writer thread takes everything queued, syncs once, then runs the
//!   completions of the group. A signature may leave the node only from such a completion.
//! - **Bytes are written once.** Batch bodies go to append-only segments, only their index to RocksDB.
//! - **Safety records** have a database and a thread of their own.
//! - **Lost means refused.** How far bodies and safety records were synced is noted beside them
//!   (`*.synced`); a store that ends before that does not open.
//! - **Fatal means fatal.** After a failed write or sync nothing is ever reported durable;
//!   [`Hooks::on_fatal`] tells the node, which ends the process.
//! - [`MemoryStore`] is the deterministic twin; both pass the same conformance tests.
#![forbid(unsafe_code)]

mod body;
mod changes;
#[cfg(any(feature = "rocksdb", test))]
mod disk;
mod error;
mod hooks;
mod memory;
mod store;
mod table;
mod tables;

pub use body::{BodyHead, NewBody, PruneReport, StoredBody};
pub use changes::Changes;
#[cfg(feature = "rocksdb")]
pub use disk::{DiskConfig, DiskStore};
#[cfg(any(feature = "rocksdb", test))]
pub use disk::{FORMAT, Lock, forget_synced, holds_safety_records};
pub use error::{OpenError, StorageError};
pub use hooks::{GroupReport, Hooks, OnDurable};
pub use memory::MemoryStore;
pub use store::{Stats, Store, TxPosition};
pub use table::{Database, Table};
pub use tables::{Direction, Entry, Scan};
