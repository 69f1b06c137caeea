//! One order of durability over two writers.
//!
//! The lanes number everything that must be on disk (bodies and records) in one sequence and want to
//! hear "durable up to here". Bodies and records go to different files, whose writers finish
//! independently. This keeps the writes that are under way and gives out the highest number below which
//! none is.

use squad_mempool::PersistId;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Writes under way.
#[derive(Debug, Default)]
pub(crate) struct Watermark {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    pending: BTreeSet<PersistId>,
    highest: PersistId,
    reported: PersistId,
}

impl Watermark {
    /// A write starts. Numbers ascend.
    pub(crate) fn begin(&self, id: PersistId) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(id > state.highest, "writes are numbered in order");
        state.pending.insert(id);
        state.highest = id;
    }

    /// A write is durable. Returns the new watermark if it moved.
    pub(crate) fn finish(&self, id: PersistId) -> Option<PersistId> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.pending.remove(&id);
        let durable = match state.pending.first() {
            Some(first) => PersistId(first.0 - 1),
            None => state.highest,
        };
        let moved = durable > state.reported;
        state.reported = state.reported.max(durable);
        moved.then_some(durable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_unbroken_prefix_is_reported() {
        let watermark = Watermark::default();
        for id in 1..=4 {
            watermark.begin(PersistId(id));
        }
        assert_eq!(watermark.finish(PersistId(2)), None);
        assert_eq!(watermark.finish(PersistId(4)), None);
        assert_eq!(watermark.finish(PersistId(1)), Some(PersistId(2)));
        assert_eq!(watermark.finish(PersistId(3)), Some(PersistId(4)));
    }
}
