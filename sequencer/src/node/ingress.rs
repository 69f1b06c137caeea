//! Taking transactions: admission, the pool, and who waits for an answer.
//!
//! An answer is given when the transaction's batch is durable: acceptance is a promise that survives a
//! crash. So admission puts a transaction into the pool together with its waiter, and the batch maker
//! answers all waiters of a batch at once, with one signature for all of their receipts.

use super::clock::Clock;
use super::reader::Reader;
use super::submission::{Answer, AnswerSender, Submission, TxProgress};
use squad_mempool::admission::Intake;
use squad_mempool::{Admission, AdmissionView, Admitted, Pool, Refusal};
use squad_primitives::{Batch, Height, TxId};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tokio::sync::{Notify, broadcast};

/// Own batches that a slow reader of receipts may fall behind.
const RECEIPTS_BACKLOG: usize = 256;

/// Somebody who wants to hear that a transaction is durable.
#[derive(Debug)]
struct Waiter {
    seq: u64,
    answers: AnswerSender,
}

/// The pool with its waiters; one lock for both.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) pool: Pool,
    waiters: HashMap<TxId, Vec<Waiter>>,
}

/// Takes transactions from any number of threads.
#[derive(Debug)]
pub(crate) struct Ingress {
    admission: Admission,
    view: RwLock<Arc<AdmissionView>>,
    queue: Mutex<Queue>,
    clock: Clock,
    reader: Arc<Reader>,
    /// Wakes the batch maker.
    wake: Arc<super::maker::Wake>,
    receipts: broadcast::Sender<Batch>,
    /// Wakes tasks that wait for expired transactions.
    expired: Notify,
}

impl Ingress {
    /// Ingress into `pool`; `view` says what is taken at first.
    pub(crate) fn new(
        admission: Admission,
        view: AdmissionView,
        pool: Pool,
        clock: Clock,
        reader: Arc<Reader>,
        wake: Arc<super::maker::Wake>,
    ) -> Self {
        Self {
            admission,
            view: RwLock::new(Arc::new(view)),
            queue: Mutex::new(Queue {
                pool,
                waiters: HashMap::new(),
            }),
            clock,
            reader,
            wake,
            receipts: broadcast::Sender::new(RECEIPTS_BACKLOG),
            expired: Notify::new(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What admission looks at now.
    pub(crate) fn view(&self) -> Arc<AdmissionView> {
        self.view
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Changes what admission looks at.
    pub(crate) fn update_view(&self, change: impl FnOnce(&mut AdmissionView)) {
        let mut slot = self.view.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut slot));
    }

    /// Stops taking transactions, for good.
    pub(crate) fn close(&self) {
        self.update_view(|view| view.intake = Intake::ShuttingDown);
    }

    /// Changes what is taken, unless it is no longer `from`.
    pub(crate) fn change_intake(&self, from: Intake, to: Intake) {
        self.update_view(|view| {
            if view.intake == from {
                view.intake = to;
            }
        });
    }

    /// Takes transactions; each is answered exactly once on `answers`. Never waits.
    pub(crate) fn submit(&self, submissions: Vec<Submission>, answers: &AnswerSender) {
        let view = self.view();
        let mut admitted = Vec::with_capacity(submissions.len());
        for Submission { seq, transaction } in submissions {
            match self.admission.check(&view, transaction) {
                Ok(transaction) => admitted.push((seq, transaction)),
                Err(refusal) => refuse(answers, seq, refusal),
            }
        }
        if admitted.is_empty() {
            return;
        }
        let now = self.clock.now().time;
        let mut known = Vec::new();
        {
            let mut queue = self.lock();
            for (seq, transaction) in admitted {
                queue.push(now, seq, transaction, answers, &mut known);
            }
        }
        self.wake.pushed();
        for (seq, id) in known {
            self.answer_known(seq, id, answers);
        }
    }

    /// Tells the sender of a transaction that the pool knows how far it is.
    fn answer_known(&self, seq: u64, id: TxId, answers: &AnswerSender) {
        let progress = self.progress(&id).unwrap_or(TxProgress::Received);
        // A receiver that went away needs no answer.
        let _ = answers.send(Answer::Known { seq, id, progress });
    }

    /// How far a transaction is, if it was taken here or is ordered.
    pub(crate) fn progress(&self, id: &TxId) -> Option<TxProgress> {
        {
            let queue = self.lock();
            if queue.waiters.contains_key(id) {
                return Some(TxProgress::Received);
            }
            if queue.pool.place(id).is_some() {
                return Some(TxProgress::Accepted);
            }
        }
        match self.reader.find_tx(id) {
            Ok(Some(found)) => Some(TxProgress::Ordered {
                height: found.height,
            }),
            Ok(None) => None,
            Err(error) => super::fatal(&error),
        }
    }

    /// An own batch is durable: answers everybody who waits for one of its transactions.
    pub(crate) fn accepted(&self, batch: &Batch) {
        let mut groups: Vec<(AnswerSender, Vec<(u64, u32)>)> = Vec::new();
        {
            let mut queue = self.lock();
            for (index, id) in (0_u32..).zip(batch.ids().iter()) {
                for waiter in queue.waiters.remove(id).unwrap_or_default() {
                    let entry = (waiter.seq, index);
                    match groups
                        .iter_mut()
                        .rev()
                        .find(|(answers, _)| answers.same_channel(&waiter.answers))
                    {
                        Some((_, entries)) => entries.push(entry),
                        None => groups.push((waiter.answers, vec![entry])),
                    }
                }
            }
        }
        let shared = Arc::new(batch.clone());
        for (answers, entries) in groups {
            let _ = answers.send(Answer::Accepted {
                batch: shared.clone(),
                entries,
            });
        }
        // No receiver is no error.
        let _ = self.receipts.send(batch.clone());
    }

    /// Follows own durable batches, in lane order.
    pub(crate) fn receipts(&self) -> broadcast::Receiver<Batch> {
        self.receipts.subscribe()
    }

    /// A block is ordered durably: what it ordered leaves the pool, what can't be ordered any more is
    /// given up.
    pub(crate) fn ordered<'a>(&self, height: Height, ids: impl Iterator<Item = &'a TxId>) {
        let expired = {
            let mut queue = self.lock();
            queue.pool.on_ordered(ids);
            let expired = queue.pool.expire(height);
            expired
                .into_iter()
                .filter_map(|id| queue.waiters.remove(&id).map(|waiters| (id, waiters)))
                .collect::<Vec<_>>()
        };
        for (_, waiters) in expired {
            for waiter in waiters {
                let refusal = Refusal::Expired {
                    expiry: height,
                    head: height,
                };
                refuse(&waiter.answers, waiter.seq, refusal);
            }
        }
        self.expired.notify_waiters();
        self.update_view(|view| view.head = view.head.max(height));
        self.wake.pushed();
    }
}

impl Queue {
    fn push(
        &mut self,
        now: squad_primitives::Time,
        seq: u64,
        transaction: Admitted,
        answers: &AnswerSender,
        known: &mut Vec<(u64, TxId)>,
    ) {
        let id = transaction.id();
        let waiter = || Waiter {
            seq,
            answers: answers.clone(),
        };
        match self.pool.push(now, transaction) {
            Ok(()) => {
                self.waiters.insert(id, vec![waiter()]);
            }
            // Still queued: the batch answers this sender too.
            Err(Refusal::Duplicate(_)) => match self.waiters.entry(id) {
                Entry::Occupied(mut entry) => entry.get_mut().push(waiter()),
                Entry::Vacant(_) => known.push((seq, id)),
            },
            Err(refusal) => refuse(answers, seq, refusal),
        }
    }
}

fn refuse(answers: &AnswerSender, seq: u64, refusal: Refusal) {
    let _ = answers.send(Answer::Refused { seq, refusal });
}
