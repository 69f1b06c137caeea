//! Parts of tables, and tables in memory.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use crate::changes::{Change, Changes};
use crate::table::Table;

/// A key and its value.
pub type Entry = (Bytes, Bytes);

/// Which way a scan runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the smallest key on.
    Forward,
    /// From the largest key on.
    Backward,
}

/// A part of a table, as returned by one scan.
#[derive(Clone, Copy, Debug)]
pub struct Scan<'a> {
    /// First key, included.
    pub from: &'a [u8],
    /// Last key, excluded; `None` = the end of the table.
    pub to: Option<&'a [u8]>,
    /// Which end comes first.
    pub direction: Direction,
    /// At most so many entries.
    pub limit: usize,
}

/// Sorted tables in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tables(BTreeMap<Table, BTreeMap<Bytes, Bytes>>);

impl Tables {
    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Option<Bytes> {
        self.0.get(&table)?.get(key).cloned()
    }

    pub(crate) fn scan(&self, table: Table, scan: Scan<'_>) -> Vec<Entry> {
        let upper = scan.to.map_or(Bound::Unbounded, Bound::Excluded);
        let empty = scan.to.is_some_and(|to| to <= scan.from);
        let Some(entries) = self.0.get(&table).filter(|_| !empty) else {
            return Vec::new();
        };
        let range = entries
            .range::<[u8], _>((Bound::Included(scan.from), upper))
            .map(|(key, value)| (key.clone(), value.clone()));
        match scan.direction {
            Direction::Forward => range.take(scan.limit).collect(),
            Direction::Backward => range.rev().take(scan.limit).collect(),
        }
    }

    pub(crate) fn apply(&mut self, changes: &Changes) {
        for change in changes.list() {
            match change {
                Change::Put { table, key, value } => {
                    let entries = self.0.entry(*table).or_default();
                    entries.insert(Bytes::copy_from_slice(key), value.clone());
                }
                Change::Delete { table, key } => {
                    self.0.entry(*table).or_default().remove(key.as_slice());
                }
                Change::DeleteRange { table, from, to } => {
                    let entries = self.0.entry(*table).or_default();
                    entries.retain(|key, _| key < from || key >= to);
                }
            }
        }
    }

    /// Keys and values together, bytes.
    pub(crate) fn bytes(&self) -> u64 {
        let entries = self.0.values().flatten();
        entries
            .map(|(key, value)| (key.len() + value.len()) as u64)
            .sum()
    }
}
