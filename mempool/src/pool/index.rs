//! Where each accepted transaction is.

use crate::IdHashKey;
use squad_primitives::{BatchSeq, Height, RollupId, TxId};
use std::collections::{BTreeMap, HashMap};

/// Where an accepted transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a queue.
    Queued,
    /// In a batch of the own lane.
    Batched {
        /// Position of the batch in the lane.
        seq: BatchSeq,
        /// Index of the transaction in the batch.
        index: u32,
    },
}

/// An accepted transaction that was not ordered in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired {
    /// Its id.
    pub id: TxId,
    /// Its rollup.
    pub rollup: RollupId,
    /// The last height at which it could be ordered.
    pub expiry: Height,
}

/// Transactions by id, and ids by expiry so that forgetting needs no search.
#[derive(Debug)]
pub(super) struct Index {
    places: HashMap<TxId, Place, IdHashKey>,
    by_expiry: BTreeMap<Height, Vec<(TxId, RollupId)>>,
}

impl Index {
    pub(super) fn new(key: IdHashKey) -> Self {
        Self {
            places: HashMap::with_hasher(key),
            by_expiry: BTreeMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn place(&self, id: &TxId) -> Option<Place> {
        self.places.get(id).copied()
    }

    pub(super) fn queued(&mut self, id: TxId, rollup: RollupId, expiry: Height) {
        if self.places.insert(id, Place::Queued).is_none() {
            self.by_expiry.entry(expiry).or_default().push((id, rollup));
        }
    }

    pub(super) fn batched(&mut self, id: TxId, seq: BatchSeq, index: u32) {
        if let Some(place) = self.places.get_mut(&id) {
            *place = Place::Batched { seq, index };
        }
    }

    pub(super) fn remove(&mut self, id: &TxId) {
        // Its entry in the list of its expiry stays until that height: 40 bytes. At 25,000 per second
        // and the default expiry, which a busy network reaches within a minute, 60 MB at the most.
        self.places.remove(id);
    }

    pub(super) fn expire(&mut self, head: Height) -> Vec<Expired> {
        let later = self.by_expiry.split_off(&head.next());
        let passed = std::mem::replace(&mut self.by_expiry, later);
        passed
            .into_iter()
            .flat_map(|(expiry, ids)| {
                ids.into_iter()
                    .map(move |(id, rollup)| (id, rollup, expiry))
            })
            .filter(|(id, ..)| self.places.remove(id).is_some())
            .map(|(id, rollup, expiry)| Expired { id, rollup, expiry })
            .collect()
    }
}
