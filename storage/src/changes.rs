//! A set of changes that becomes durable as a whole or not at all.

use bytes::Bytes;

use crate::table::{Database, Table};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Put {
        table: Table,
        key: Vec<u8>,
        value: Bytes,
    },
    Delete {
        table: Table,
        key: Vec<u8>,
    },
    DeleteRange {
        table: Table,
        from: Vec<u8>,
        to: Vec<u8>,
    },
}

/// Changes to tables of one database, applied in the order in which they were added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    database: Database,
    list: Vec<Change>,
    bytes: usize,
    sync: bool,
}

impl Changes {
    /// An empty set for `database`.
    #[must_use]
    pub const fn new(database: Database) -> Self {
        Self {
            database,
            list: Vec::new(),
            bytes: 0,
            sync: true,
        }
    }

    /// Asks for no sync: the changes count as done when they are written. They survive a crash of the
    /// process at once, and one of the machine as soon as a later request to the same database is
    /// durable. For what can be derived again.
    #[must_use]
    pub const fn without_sync(mut self) -> Self {
        self.sync = false;
        self
    }

    /// Whether the changes must be synced before they count as done.
    #[must_use]
    pub const fn needs_sync(&self) -> bool {
        self.sync
    }

    /// Maps `key` to `value`, whatever it was mapped to before.
    ///
    /// # Panics
    /// When `table` belongs to the other database: the two can't be changed as a whole.
    pub fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Bytes>) {
        let (key, value) = (key.into(), value.into());
        self.add(table, key.len() + value.len());
        self.list.push(Change::Put { table, key, value });
    }

    /// Removes `key`; nothing happens when it is absent.
    ///
    /// # Panics
    /// When `table` belongs to the other database.
    pub fn delete(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        let key = key.into();
        self.add(table, key.len());
        self.list.push(Change::Delete { table, key });
    }

    /// Removes all keys from `from` (included) to `to` (excluded). An empty range changes nothing.
    ///
    /// # Panics
    /// When `table` belongs to the other database.
    pub fn delete_range(&mut self, table: Table, from: impl Into<Vec<u8>>, to: impl Into<Vec<u8>>) {
        let (from, to) = (from.into(), to.into());
        self.add(table, from.len() + to.len());
        if from < to {
            self.list.push(Change::DeleteRange { table, from, to });
        }
    }

    /// The database these changes are for.
    #[must_use]
    pub const fn database(&self) -> Database {
        self.database
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Keys and values together, bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn list(&self) -> &[Change] {
        &self.list
    }

    fn add(&mut self, table: Table, bytes: usize) {
        assert!(
            table.database() == self.database,
            "table {table:?} is not in database {:?}",
            self.database
        );
        self.bytes += bytes;
    }
}
