//! Own batches: admission, the pool, and when a batch is cut.

use super::{Action, Done, Shell};
use crate::disk::{Change, File, Write};
use squad_mempool::admission::Intake;
use squad_mempool::batcher::{Ahead, Decision};
use squad_mempool::{Lanes, Refusal};
use squad_primitives::{BatchBuilder, BatchSeq, Height, Now, Time, Transaction, TxId};

/// Largest body of a batch, in bytes; the smallest block of any plan holds four.
pub(super) const BODY_BYTES: usize = 8 << 10;

/// How far the own lane is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    certified: u64,
    bytes: u64,
    enough: u64,
    full: bool,
}

impl Shell {
    /// A client submits a transaction.
    ///
    /// # Errors
    /// It is refused.
    pub(super) fn take(&mut self, now: Now, transaction: Transaction) -> Result<(), Refusal> {
        let admitted = self.admission.check(&self.view, transaction)?;
        self.pool.push(now.time, admitted)
    }

    pub(super) fn note_own_lane(&mut self, lanes: &Lanes) {
        let window = lanes.own_window();
        let tip = lanes.own_tip().map_or(0, |tip| tip.seq.0);
        self.progress.certified = tip.saturating_sub(window.in_flight as u64);
        self.progress.bytes = window.bytes;
        self.progress.enough = window.enough;
        self.progress.full = window.full;
        self.view.intake = if window.full {
            Intake::LaneWindow
        } else {
            Intake::Open
        };
    }

    fn seq(&self) -> BatchSeq {
        self.tip.map_or(BatchSeq::ZERO, |tip| tip.seq)
    }

    /// Cuts batches as long as the batcher says so.
    pub(super) fn make_batches(&mut self, now: Now) {
        loop {
            self.maker_due = None;
            if self.progress.full || self.stopped {
                return;
            }
            let in_flight = self.seq().0.saturating_sub(self.progress.certified);
            let ahead = Ahead {
                in_flight: usize::try_from(in_flight).unwrap_or(usize::MAX),
                bytes: self.progress.bytes,
                enough: self.progress.enough,
            };
            let decision = self.batcher.decide(now.time, &self.pool.load(), &ahead);
            self.pool.set_room(self.batcher.pool_room(now.time));
            match decision {
                Decision::Cut { bytes_max } => self.cut(now.time, bytes_max),
                Decision::WaitUntil(at) => {
                    self.maker_due = Some(at);
                    return;
                }
                Decision::Idle => return,
            }
        }
    }

    fn cut(&mut self, now: Time, bytes_max: u64) {
        let head = self.view.head;
        let mut builder = BatchBuilder::default();
        let limit = usize::try_from(bytes_max).map_or(BODY_BYTES, |max| max.min(BODY_BYTES));
        self.pool
            .drain_into(now, head, self.seq().next(), &mut builder, limit);
        self.batcher.on_cut(now, builder.len());
        if builder.is_empty() {
            return;
        }
        let epoch = self.committee.epoch();
        let batch = builder.seal(&self.network, epoch, self.me, self.tip, &*self.key);
        self.tip = Some(batch.tip());
        self.memory.batches.insert(batch.digest(), batch.clone());
        let write = Write {
            change: Change::Body {
                batch: batch.clone(),
                acked: true,
            },
            sync: true,
            done: Done::OwnBatch(batch),
        };
        self.actions
            .push(Action::Write(File::Bodies, Box::new(write)));
    }

    /// A block is ordered and written: the pool forgets what it ordered and what expired.
    pub(super) fn note_ordered(&mut self, height: Height, ids: &[TxId]) {
        self.pool.on_ordered(ids);
        self.pool.expire(height);
        self.view.head = self.view.head.max(height);
    }
}
