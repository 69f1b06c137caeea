//! Transactions that this operator knew and that were not ordered in time.
//!
//! A block tells what it holds, so nothing but the operator's memory says what never came into one. It is
//! kept for [`KEEP_BLOCKS`] and at most [`ENTRIES_MAX`] transactions, the oldest going first, and not over a
//! restart: the promise `EXPIRED` follows from an expiry height and the blocks alone, so whoever knows
//! the expiry of a transaction can do without.

use squad_mempool::pool::Expired;
use squad_primitives::{Height, TxId};
use std::collections::{BTreeMap, HashMap};

/// How long an expired transaction is remembered, in blocks.
const KEEP_BLOCKS: u64 = 100_000;
/// How many are remembered: about 200 bytes each.
const ENTRIES_MAX: usize = 200_000;

/// An expired transaction, and the block that made it so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    /// The transaction.
    pub(crate) tx: Expired,
    /// Height of the block with which this node learned it: the expiry, or later after a restart.
    pub(crate) height: Height,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct ExpiredLog {
    by_id: HashMap<TxId, Note>,
    by_height: BTreeMap<Height, Vec<Expired>>,
}

impl ExpiredLog {
    /// Notes what expired with the block at `height`, and forgets what is old.
    pub(crate) fn note(&mut self, height: Height, expired: Vec<Expired>) {
        if !expired.is_empty() {
            let notes = expired.iter().map(|tx| (tx.id, Note { tx: *tx, height }));
            self.by_id.extend(notes);
            self.by_height.entry(height).or_default().extend(expired);
        }
        let oldest = Height(height.0.saturating_sub(KEEP_BLOCKS));
        while let Some(entry) = self.by_height.first_entry()
            && (*entry.key() < oldest || self.by_id.len() > ENTRIES_MAX)
        {
            for tx in entry.remove() {
                self.by_id.remove(&tx.id);
            }
        }
    }

    /// An expired transaction.
    pub(crate) fn get(&self, id: &TxId) -> Option<Note> {
        self.by_id.get(id).copied()
    }

    /// What expired with the block at a height.
    pub(crate) fn at(&self, height: Height) -> Vec<Expired> {
        self.by_height.get(&height).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squad_primitives::{Digest, RollupId};

    fn expired(number: u8) -> Expired {
        Expired {
            id: Digest([number; 32]),
            rollup: RollupId(7),
            expiry: Height(number.into()),
        }
    }

    #[test]
    fn old_notes_go() {
        let mut log = ExpiredLog::default();
        log.note(Height(5), vec![expired(5)]);
        log.note(Height(6), vec![expired(6)]);
        let note = log.get(&expired(5).id).unwrap();
        assert_eq!((note.tx, note.height), (expired(5), Height(5)));
        log.note(Height(5 + KEEP_BLOCKS), Vec::new());
        assert_eq!(log.at(Height(5)), [expired(5)]);
        log.note(Height(6 + KEEP_BLOCKS), Vec::new());
        assert_eq!(log.get(&expired(5).id), None);
        assert!(log.at(Height(5)).is_empty());
        assert_eq!(log.at(Height(6)), [expired(6)]);
    }

    #[test]
    fn their_number_is_bounded() {
        let mut log = ExpiredLog::default();
        for height in 0..3_u64 {
            let many = (0..ENTRIES_MAX as u64 / 2).map(|number| {
                let mut id = [0; 32];
                id[..8].copy_from_slice(&height.to_le_bytes());
                id[8..16].copy_from_slice(&number.to_le_bytes());
                Expired {
                    id: Digest(id),
                    ..expired(1)
                }
            });
            log.note(Height(height), many.collect());
        }
        assert!(log.at(Height(0)).is_empty());
        assert_eq!(log.by_id.len(), ENTRIES_MAX);
    }
}
