//! The ids that counted, until they can't count again.

use crate::IdHashKey;
use squad_primitives::{Height, TxId};
use std::collections::{BTreeMap, HashSet};

/// Ids that counted, by the expiry of their transaction.
///
/// A transaction counts in block h only if h ≤ expiry ≤ h + `expiry_max_blocks`, and its id covers its
/// expiry. So an id is looked for under its own expiry only, needs no height beside it, and a whole set
/// is dropped at once when its expiry has passed. An id takes about 50 bytes; at 10,000 transactions per
/// second, 50 blocks per second and the longest expiry allowed (6,000 blocks) that is 60 MB.
#[derive(Clone, Debug)]
pub struct Dedup {
    key: IdHashKey,
    by_expiry: BTreeMap<Height, HashSet<TxId, IdHashKey>>,
    /// Ids with an expiry below this have been dropped.
    from: Height,
}

impl Dedup {
    /// An empty set. `key` is a secret of this process; it has no influence on any answer.
    #[must_use]
    pub const fn new(key: IdHashKey) -> Self {
        Self {
            key,
            by_expiry: BTreeMap::new(),
            from: Height::ZERO,
        }
    }

    pub(super) const fn key(&self) -> IdHashKey {
        self.key
    }

    /// Remembers an id; `false` if it is known already or its expiry has been dropped.
    pub fn insert(&mut self, expiry: Height, id: TxId) -> bool {
        if expiry < self.from {
            return false;
        }
        self.by_expiry
            .entry(expiry)
            .or_insert_with(|| HashSet::with_hasher(self.key))
            .insert(id)
    }

    /// Whether an id counted before. `expiry` is its transaction's.
    #[must_use]
    pub fn contains(&self, expiry: Height, id: &TxId) -> bool {
        self.by_expiry
            .get(&expiry)
            .is_some_and(|ids| ids.contains(id))
    }

    /// Drops ids whose expiry lies below `height`: no block from `height` on takes their transactions.
    pub fn prune(&mut self, height: Height) {
        self.from = self.from.max(height);
        while let Some(entry) = self.by_expiry.first_entry() {
            if *entry.key() >= self.from {
                return;
            }
            entry.remove();
        }
    }

    /// Number of ids.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_expiry.values().map(HashSet::len).sum()
    }

    /// Whether no id is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_expiry.is_empty()
    }

    /// Expiries with their ids, both ascending: the canonical content, for snapshots. Sorts one expiry
    /// at a time.
    pub fn iter(&self) -> impl Iterator<Item = (Height, Vec<TxId>)> + '_ {
        self.by_expiry.iter().map(|(expiry, ids)| {
            let mut sorted: Vec<_> = ids.iter().copied().collect();
            sorted.sort_unstable();
            (*expiry, sorted)
        })
    }

    /// Rebuilds the set from what [`Dedup::iter`] gave, or from the ordered lists of the last
    /// `expiry_max_blocks` blocks (any order), for a node whose last processed block is `head`.
    #[must_use]
    pub fn restore(
        key: IdHashKey,
        head: Height,
        ids: impl IntoIterator<Item = (Height, TxId)>,
    ) -> Self {
        let mut dedup = Self::new(key);
        dedup.prune(head.next());
        for (expiry, id) in ids {
            dedup.insert(expiry, id);
        }
        dedup
    }
}
