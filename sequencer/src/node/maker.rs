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
use squad_mempool::batcher::Decision;
use squad_primitives::{BatchBuilder, BatchSeq, Epoch, NetworkId, OperatorId, Signer, Tip};
use squad_storage::Store;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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

/// How far the own lane is; written by the core thread, read by the maker.
#[derive(Debug, Default)]
pub(crate) struct LaneProgress {
    /// Highest own batch with a proof of availability.
    pub(crate) certified: AtomicU64,
    /// The lane is as far ahead of its last committed batch as it may be.
    pub(crate) full: AtomicBool,
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
}

impl Maker {
    /// Runs until stopped and the pool is empty, or the lane can't move any more.
    pub(crate) fn run(mut self) {
        let mut stopping = false;
        loop {
            let timeout = match self.decide() {
                Decision::Cut => {
                    self.cut();
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

    fn decide(&self) -> Decision {
        if self.progress.full.load(Ordering::Acquire) {
            return Decision::Idle;
        }
        let load = self.ingress.lock().pool.load();
        let certified = self.progress.certified.load(Ordering::Acquire);
        let in_flight = self.seq().0.saturating_sub(certified);
        self.batcher.decide(
            self.clock.now().time,
            &load,
            usize::try_from(in_flight).unwrap_or(usize::MAX),
        )
    }

    fn cut(&mut self) {
        let now = self.clock.now().time;
        let head = self.ingress.view().head;
        let mut builder = BatchBuilder::default();
        self.ingress.lock().pool.drain_into(
            now,
            head,
            self.seq().next(),
            &mut builder,
            self.body_bytes,
        );
        self.batcher.on_cut(now, builder.len());
        if builder.is_empty() {
            return;
        }
        let epoch = Epoch(self.epoch.load(Ordering::Acquire));
        let batch = builder.seal(&self.network, epoch, self.me, self.tip, &*self.key);
        self.tip = Some(batch.tip());
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
