//! The store on a disk.

mod bodies;
mod directory;
mod group;
mod kv;
#[cfg(feature = "rocksdb")]
mod rocks;
mod synced;
mod tx_index;

pub use directory::{FORMAT, Lock, holds_safety_records};
#[cfg(feature = "rocksdb")]
pub use rocks::{DiskConfig, DiskStore};
pub use synced::forget_synced;
