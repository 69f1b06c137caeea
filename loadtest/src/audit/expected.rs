//! What a run sent, in the form that the audit needs, and the file that keeps it for a later audit.
//!
//! ```text
//! "squadau1"          magic and version, 8 bytes
//! network id          32 bytes
//! first height        u64
//! number of rollups   u32, then their ids as u64
//! count               u64
//! { id prefix: 8 bytes big-endian, acknowledged: u8 } * count, ascending
//! ```
//!
//! Integers are little-endian unless said otherwise.

use crate::eth::keccak256;
use crate::run::tracker::{Prefix, SentTransaction, prefix};
use crate::schedule::Schedule;
use crate::workload::Workload;
use bytes::BytesMut;
use squad_primitives::{Digest, Height, NetworkId, RollupId, Transaction, TxId, TxKind};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Transactions that may occur in blocks, sorted by id prefix.
#[derive(Debug)]
pub struct Expected {
    /// Prefix, and the sent transaction's index in `sent`; `u32::MAX` without one.
    entries: Vec<Entry>,
    rollups: BTreeSet<u64>,
    origin: Option<Origin>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    prefix: Prefix,
    acknowledged: bool,
    seq: u32,
    expiry: u64,
}

/// Makes transactions of the run again.
#[derive(Debug)]
struct Origin {
    network: NetworkId,
    schedule: Arc<Schedule>,
    workload: Arc<Workload>,
}

impl Origin {
    fn id(&self, seq: u32, expiry: u64) -> TxId {
        let intended = self.schedule.times_us()[seq as usize];
        let mut arena = BytesMut::new();
        let (rollup, payload) = self.workload.transaction(seq, intended, &mut arena);
        let transaction = Transaction {
            rollup: RollupId(rollup),
            expiry: Height(expiry),
            kind: TxKind::Plain,
            payload,
        };
        transaction.id(&self.network)
    }
}

impl Expected {
    /// Collects what a run sent. Ids that no operator told are computed.
    #[must_use]
    pub fn new(
        network: NetworkId,
        schedule: Arc<Schedule>,
        workload: Arc<Workload>,
        sent: impl Iterator<Item = SentTransaction>,
    ) -> Self {
        let rollups = workload.rollups().iter().copied().collect();
        let origin = Origin {
            network,
            schedule,
            workload,
        };
        let mut entries: Vec<Entry> = sent
            .map(|sent| Entry {
                prefix: sent
                    .accepted
                    .unwrap_or_else(|| prefix(&origin.id(sent.seq, sent.expiry).0)),
                acknowledged: sent.accepted.is_some(),
                seq: sent.seq,
                expiry: sent.expiry,
            })
            .collect();
        entries.sort_unstable();
        Self {
            entries,
            rollups,
            origin: Some(origin),
        }
    }

    /// Index of the transaction with this id prefix.
    #[must_use]
    pub fn find(&self, prefix: Prefix) -> Option<usize> {
        self.entries
            .binary_search_by_key(&prefix, |entry| entry.prefix)
            .ok()
    }

    /// Whether a rollup's transactions must all be the run's.
    #[must_use]
    pub fn covers(&self, rollup: u64) -> bool {
        self.rollups.contains(&rollup)
    }

    /// Number of transactions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing was sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Number of acknowledged transactions.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.entries.iter().filter(|e| e.acknowledged).count() as u64
    }

    /// Whether the transaction at an index was acknowledged.
    #[must_use]
    pub fn is_acknowledged(&self, index: usize) -> bool {
        self.entries[index].acknowledged
    }

    /// Id prefix of the transaction at an index.
    #[must_use]
    pub fn prefix(&self, index: usize) -> Prefix {
        self.entries[index].prefix
    }

    /// Rollup and keccak256 hash of every transaction's payload, with whether it was acknowledged. Empty
    /// in a later audit.
    #[must_use]
    pub fn payloads(&self, workload: &Workload) -> BTreeMap<(u64, [u8; 32]), bool> {
        let mut arena = BytesMut::new();
        let known = self.entries.iter().filter(|_| self.origin.is_some());
        known
            .map(|entry| {
                let (rollup, payload) = workload.transaction(entry.seq, 0, &mut arena);
                ((rollup, keccak256(&payload)), entry.acknowledged)
            })
            .collect()
    }

    /// Whole id of the transaction at an index; unknown in a later audit.
    #[must_use]
    pub fn id(&self, index: usize) -> Option<Digest> {
        let entry = self.entries[index];
        self.origin.as_ref().map(|o| o.id(entry.seq, entry.expiry))
    }
}

/// What a later audit starts from.
#[derive(Debug)]
pub struct AuditFile {
    /// Network of the run.
    pub network: NetworkId,
    /// First height that can hold a transaction of the run.
    pub first_height: Height,
    /// What was sent.
    pub expected: Expected,
}

/// Bytes that are no audit file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("audit file: {0}")]
pub struct AuditFileError(&'static str);

const MAGIC: &[u8; 8] = b"squadau1";
const ENTRY_BYTES: usize = 9;

impl AuditFile {
    /// Writes the file's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let entries = &self.expected.entries;
        let mut out = Vec::with_capacity(64 + entries.len() * ENTRY_BYTES);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&self.network.0);
        out.extend_from_slice(&self.first_height.0.to_le_bytes());
        out.extend_from_slice(&(self.expected.rollups.len() as u32).to_le_bytes());
        for rollup in &self.expected.rollups {
            out.extend_from_slice(&rollup.to_le_bytes());
        }
        out.extend_from_slice(&(entries.len() as u64).to_le_bytes());
        for entry in entries {
            out.extend_from_slice(&entry.prefix.to_be_bytes());
            out.push(entry.acknowledged.into());
        }
        out
    }

    /// Reads the file's bytes.
    ///
    /// # Errors
    /// Another magic, a cut file, or entries that are not ascending.
    pub fn from_bytes(mut bytes: &[u8]) -> Result<Self, AuditFileError> {
        if take(&mut bytes)? != *MAGIC {
            return Err(AuditFileError("not a squadau1 file"));
        }
        let network = Digest(take(&mut bytes)?);
        let first_height = Height(u64::from_le_bytes(take(&mut bytes)?));
        let rollups = (0..u32::from_le_bytes(take(&mut bytes)?))
            .map(|_| Ok(u64::from_le_bytes(take(&mut bytes)?)))
            .collect::<Result<_, _>>()?;
        let count = u64::from_le_bytes(take(&mut bytes)?);
        if bytes.len() as u64 != count.saturating_mul(ENTRY_BYTES as u64) {
            return Err(AuditFileError("its length does not fit its count"));
        }
        let entries: Vec<Entry> = bytes
            .chunks_exact(ENTRY_BYTES)
            .map(|chunk| Entry {
                prefix: prefix(chunk),
                acknowledged: chunk[8] != 0,
                seq: u32::MAX,
                expiry: 0,
            })
            .collect();
        if !entries.is_sorted() {
            return Err(AuditFileError("its entries are not ascending"));
        }
        let expected = Expected {
            entries,
            rollups,
            origin: None,
        };
        Ok(Self {
            network,
            first_height,
            expected,
        })
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], AuditFileError> {
    let (head, rest) = bytes
        .split_first_chunk()
        .ok_or(AuditFileError("it ends early"))?;
    *bytes = rest;
    Ok(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> AuditFile {
        let entry = |prefix, acknowledged| Entry {
            prefix,
            acknowledged,
            seq: u32::MAX,
            expiry: 0,
        };
        AuditFile {
            network: Digest([7; 32]),
            first_height: Height(12),
            expected: Expected {
                entries: vec![entry(3, true), entry(9, false)],
                rollups: [7, 901].into(),
                origin: None,
            },
        }
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let bytes = sample().to_bytes();
        let read = AuditFile::from_bytes(&bytes).unwrap();
        assert_eq!(read.to_bytes(), bytes);
        assert_eq!(read.expected.find(9), Some(1));
        assert_eq!(read.expected.find(4), None);
        assert_eq!(read.expected.acknowledged(), 1);
        assert!(read.expected.covers(901) && !read.expected.covers(8));
    }

    #[test]
    fn every_cut_and_any_disorder_is_refused() {
        let bytes = sample().to_bytes();
        for length in 0..bytes.len() {
            assert!(AuditFile::from_bytes(&bytes[..length]).is_err(), "{length}");
        }
        let mut swapped = bytes.clone();
        swapped[bytes.len() - 18 + 7] = 200;
        assert!(AuditFile::from_bytes(&swapped).is_err());
    }
}
