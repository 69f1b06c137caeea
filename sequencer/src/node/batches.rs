//! Batches in memory: everything that was received or made and is not yet in an ordered block.
//!
//! The lane rules bound what can be here: a lane runs at most its window ahead of its last committed
//! tip, and nothing is inserted before the lane core has accepted the header. Ordered batches leave;
//! who needs them later reads the body log.

use squad_primitives::{Batch, Digest, Height};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Batches by digest.
#[derive(Debug, Default)]
pub(crate) struct BatchCache {
    batches: Mutex<HashMap<Digest, Held>>,
}

/// A batch, and the last committed height when it came.
#[derive(Debug)]
struct Held {
    batch: Batch,
    since: Height,
}

impl BatchCache {
    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Held>> {
        // A panic anywhere ends the process, so a poisoned lock is never seen.
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a batch that came when `since` was the last committed height.
    pub(crate) fn insert(&self, batch: Batch, since: Height) {
        self.lock().insert(batch.digest(), Held { batch, since });
    }

    /// Lowest height at which a batch came that is still here: what is stored under lower tags is
    /// ordered, and a restart need not look at it.
    pub(crate) fn oldest(&self) -> Option<Height> {
        self.lock().values().map(|held| held.since).min()
    }

    /// The batch, if it is held in memory.
    pub(crate) fn get(&self, digest: &Digest) -> Option<Batch> {
        self.lock().get(digest).map(|held| held.batch.clone())
    }

    /// Drops batches that are part of an ordered block.
    pub(crate) fn remove<'a>(&self, digests: impl IntoIterator<Item = &'a Digest>) {
        let mut batches = self.lock();
        for digest in digests {
            batches.remove(digest);
        }
    }
}
