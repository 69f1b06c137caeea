//! The newest durable batches of this operator's lane, for streams of receipts and acceptances.
//!
//! One task takes them from the node; any number of readers look here. What has left the ring is
//! ordered by then, or soon will be, and is read from the blocks (`lanes`): so a reader that lags, and
//! one that comes after a restart, miss nothing.

use squad_primitives::{Batch, BatchSeq, OperatorId};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use tokio::sync::{broadcast, watch};

/// Batches kept: some hundred milliseconds at the highest rates, at most 32 MiB of bodies.
const BATCHES_MAX: usize = 64;

/// See the module.
#[derive(Debug)]
pub(crate) struct OwnLane {
    lane: OperatorId,
    ring: Mutex<VecDeque<Batch>>,
    tip: watch::Sender<BatchSeq>,
    source: Mutex<Option<broadcast::Receiver<Batch>>>,
}

impl OwnLane {
    /// A lane whose batches come from `source` once [`OwnLane::follow`] runs. Subscribing happens
    /// before, so that no batch is missed in between.
    pub(crate) fn new(lane: OperatorId, source: broadcast::Receiver<Batch>) -> Self {
        Self {
            lane,
            ring: Mutex::default(),
            tip: watch::Sender::new(BatchSeq::ZERO),
            source: Mutex::new(Some(source)),
        }
    }

    /// The operator.
    pub(crate) const fn lane(&self) -> OperatorId {
        self.lane
    }

    /// Follows the highest batch seen since the start; zero if there is none yet.
    pub(crate) fn subscribe(&self) -> watch::Receiver<BatchSeq> {
        self.tip.subscribe()
    }

    /// The highest batch seen since the start.
    pub(crate) fn tip(&self) -> BatchSeq {
        *self.tip.borrow()
    }

    /// A batch, if it is among the newest.
    pub(crate) fn get(&self, seq: BatchSeq) -> Option<Batch> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let found = ring.binary_search_by_key(&seq, |batch| batch.header().seq);
        found.ok().and_then(|index| ring.get(index).cloned())
    }

    fn push(&self, batch: Batch) {
        let seq = batch.header().seq;
        {
            let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
            if ring.back().is_some_and(|last| last.header().seq >= seq) {
                return;
            }
            if ring.len() == BATCHES_MAX {
                ring.pop_front();
            }
            ring.push_back(batch);
        }
        self.tip.send_replace(seq);
    }

    /// Takes batches from the node until it stops.
    pub(crate) async fn follow(&self) {
        let source = {
            let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
            source.take()
        };
        let Some(mut source) = source else { return };
        loop {
            match source.recv().await {
                Ok(batch) => self.push(batch),
                // Readers find what is missing here in the blocks.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }
}
