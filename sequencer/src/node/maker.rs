//! The thread that makes own batches.
//!
//! It sleeps until the batcher's rules let a batch be cut, takes transactions out of the pool, seals
//! them behind the previous batch and gives the batch to the store. Everything that follows (sending it,
//! answering clients, counting the own acknowledgement) happens when it is durable.

use super::batches::BatchCache;
use super::clock::Clock;
use super::core::{CoreInput, CoreSender};
use super::ingress::Ingress;
use super::stored::new_body;
use squad_mempool::Batcher;
use squad_mempool::batcher::{Ahead, Decision};
use squad_primitives::{BatchBuilder, BatchSeq, Epoch, NetworkId, OperatorId, Signer, Tip};
use squad_storage::Store;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Wakes the batch maker, and tells it how many own batches wait for a proof.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    signal: Mutex<Signal>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Signal {
    woken: bool,
    stop: bool,
}

impl Wake {
    fn set(&self, change: impl FnOnce(&mut Signal)) {
        let mut signal = self.signal.lock().unwrap_or_else(PoisonError::into_inner);
        let before = signal.woken;
        change(&mut signal);
        signal.woken = true;
        if !before {
            self.changed.notify_one();
        }
    }

    /// Transactions were pushed, or the lane moved.
    pub(crate) fn pushed(&self) {
        self.set(|_| {});
    }

    /// Ends the thread once the pool is empty.
    pub(crate) fn stop(&self) {
        self.set(|signal| signal.stop = true);
    }

    /// Waits for a change; returns whether the thread should end.
    fn wait(&self, timeout: Option<Duration>) -> bool {
        let mut signal = self.signal.lock().unwrap_or_else(PoisonError::into_inner);
        if !signal.woken {
            signal = match timeout {
                Some(timeout) => {
                    self.changed
                        .wait_timeout(signal, timeout)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
                None => self
                    .changed
                    .wait(signal)
                    .unwrap_or_else(PoisonError::into_inner),
            };
        }
        signal.woken = false;
        signal.stop
    }
}

/// How far the own lane is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Highest own batch with a proof of availability.
    pub(crate) certified: BatchSeq,
    /// Highest own batch that the lanes know: it is durable.
    pub(crate) durable: BatchSeq,
    /// Bytes of those that are not committed.
    pub(crate) bytes: u64,
    /// As many keep the network busy.
    pub(crate) enough: u64,
    /// The lane is as far ahead of its last committed batch as it may be.
    pub(crate) full: bool,
}

/// The same, written by the core thread and read by the maker.
#[derive(Debug, Default)]
pub(crate) struct LaneProgress(Mutex<Progress>);

impl LaneProgress {
    fn get(&self) -> Progress {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how far the lane is now; returns how far it was.
    pub(crate) fn replace(&self, now: Progress) -> Progress {
        std::mem::replace(
            &mut self.0.lock().unwrap_or_else(PoisonError::into_inner),
            now,
        )
    }
}

/// Everything that the maker needs.
#[derive(Debug)]
pub(crate) struct Maker {
    pub(crate) network: NetworkId,
    pub(crate) me: OperatorId,
    pub(crate) key: Arc<dyn Signer>,
    pub(crate) epoch: Arc<AtomicU64>,
    pub(crate) batcher: Batcher,
    pub(crate) ingress: Arc<Ingress>,
    pub(crate) wake: Arc<Wake>,
    pub(crate) progress: Arc<LaneProgress>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) cache: Arc<BatchCache>,
    pub(crate) core: CoreSender,
    pub(crate) clock: Clock,
    /// Largest body, in bytes.
    pub(crate) body_bytes: usize,
    /// Last own batch.
    pub(crate) tip: Option<Tip>,
    /// Sealed batches that the lanes may not know yet, with the bytes of their bodies.
    pub(crate) sealed: VecDeque<(BatchSeq, u64)>,
}

impl Maker {
    /// Runs until stopped and the pool is empty, or the lane can't move any more.
    pub(crate) fn run(mut self) {
        let mut stopping = false;
        loop {
            let timeout = match self.decide() {
                Decision::Cut { bytes_max } => {
                    self.cut(bytes_max);
                    continue;
                }
                _ if stopping => return,
                Decision::WaitUntil(at) => Some(self.clock.until(at)),
                Decision::Idle => None,
            };
            stopping |= self.wake.wait(timeout);
        }
    }

    fn seq(&self) -> BatchSeq {
        self.tip.map_or(BatchSeq::ZERO, |tip| tip.seq)
    }

    fn decide(&mut self) -> Decision {
        let progress = self.progress.get();
        if progress.full {
            return Decision::Idle;
        }
        let ahead = self.ahead(&progress);
        let now = self.clock.now().time;
        let mut queue = self.ingress.lock();
        let decision = self.batcher.decide(now, &queue.pool.load(), &ahead);
        queue.pool.set_room(self.batcher.pool_room(now));
        decision
    }

    /// How far the lane is ahead, with what is still being written.
    fn ahead(&mut self, progress: &Progress) -> Ahead {
        while self
            .sealed
            .pop_front_if(|(seq, _)| *seq <= progress.durable)
            .is_some()
        {}
        let writing: u64 = self.sealed.iter().map(|(_, bytes)| bytes).sum();
        let in_flight = self.seq().0.saturating_sub(progress.certified.0);
        Ahead {
            in_flight: usize::try_from(in_flight).unwrap_or(usize::MAX),
            bytes: progress.bytes.saturating_add(writing),
            enough: progress.enough,
        }
    }

    fn cut(&mut self, bytes_max: u64) {
        let now = self.clock.now().time;
        let head = self.ingress.view().head;
        let mut builder = BatchBuilder::default();
        self.ingress.lock().pool.drain_into(
            now,
            head,
            self.seq().next(),
            &mut builder,
            usize::try_from(bytes_max).map_or(self.body_bytes, |max| max.min(self.body_bytes)),
        );
        self.batcher.on_cut(now, builder.len());
        if builder.is_empty() {
            return;
        }
        let epoch = Epoch(self.epoch.load(Ordering::Acquire));
        let batch = builder.seal(&self.network, epoch, self.me, self.tip, &*self.key);
        self.tip = Some(batch.tip());
        let body_bytes = batch.signed().header.body_bytes;
        self.sealed.push_back((self.seq(), body_bytes.into()));
        self.cache.insert(batch.clone(), head);
        let (ingress, core) = (self.ingress.clone(), self.core.clone());
        self.store.append_body(
            new_body(&batch, head, true),
            Box::new(move || {
                // The batch leaves first: clients only wait for a promise that is already kept.
                let _ = core.send(CoreInput::OwnBatch(*batch.signed()));
                ingress.accepted(&batch);
            }),
        );
    }
}
