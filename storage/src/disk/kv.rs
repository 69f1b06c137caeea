//! The sorted key-value engine below the store.

use std::fmt;

use bytes::Bytes;

use crate::changes::Changes;
use crate::error::StorageError;
use crate::table::Table;
use crate::tables::{Entry, Scan};

pub(crate) trait Kv: fmt::Debug + Send + Sync + 'static {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StorageError>;

    fn scan(&self, table: Table, scan: Scan<'_>) -> Result<Vec<Entry>, StorageError>;

    /// Applies all changes as one; with `sync` they are durable on return. Changes written without it
    /// survive a crash of the process, and those written earlier survive whenever later ones do.
    fn write(&self, changes: &[Changes], sync: bool) -> Result<(), StorageError>;
}

#[cfg(test)]
pub(crate) mod memory {
    use std::sync::{PoisonError, RwLock};

    use super::*;
    use crate::tables::Tables;

    /// An engine without a disk: the index of a body log in tests.
    #[derive(Debug, Default)]
    pub(crate) struct MemoryKv(RwLock<Tables>);

    impl Kv for MemoryKv {
        fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
            let tables = self.0.read().unwrap_or_else(PoisonError::into_inner);
            Ok(tables.get(table, key))
        }

        fn scan(&self, table: Table, scan: Scan<'_>) -> Result<Vec<Entry>, StorageError> {
            let tables = self.0.read().unwrap_or_else(PoisonError::into_inner);
            Ok(tables.scan(table, scan))
        }

        fn write(&self, changes: &[Changes], _sync: bool) -> Result<(), StorageError> {
            let mut tables = self.0.write().unwrap_or_else(PoisonError::into_inner);
            for change in changes {
                tables.apply(change);
            }
            Ok(())
        }
    }
}
