//! Taking transactions: admission, the pool, and who waits for an answer.
//!
//! An answer is given when the transaction's batch is durable: acceptance is a promise that survives a
//! crash. So admission puts a transaction into the pool together with its waiter, and the batch maker
//! answers all waiters of a batch at once, with one signature for all of their receipts.
//!
//! A transaction that is ordered already, through whichever operator, is answered with that status and
//! not queued again. One that is ordered at this moment may still slip in: it then stands in two lanes,
//! and counts once.

use super::clock::Clock;
use super::expired::{ExpiredLog, Note};
use super::intake::{Bearings, Doorkeeper};
use super::pipeline::SharedDedup;
use super::reader::Reader;
use super::submission::{Answer, AnswerSender, Submission, TxProgress};
use squad_mempool::pool::Expired;
use squad_mempool::{Admission, AdmissionView, Admitted, Pool, Refusal};
use squad_primitives::{Batch, Height, NetworkId, Transaction, TxId};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tokio::sync::broadcast;

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

/// A transaction that needs no place in the queue.
#[derive(Clone, Copy, Debug)]
struct Known {
    seq: u64,
    id: TxId,
    expiry: Height,
    /// Height of its block, if that is why.
    ordered: Option<Height>,
}

/// What taking transactions depends on besides the pool.
#[derive(Debug)]
pub(crate) struct Rules {
    /// The network.
    pub(crate) network: NetworkId,
    /// Checks that need no lock.
    pub(crate) admission: Admission,
    /// What they look at. Its `intake` follows from `door`.
    pub(crate) view: AdmissionView,
    /// Whether anything is taken.
    pub(crate) door: Doorkeeper,
    /// Ids that are ordered and could be ordered again.
    pub(crate) ordered: SharedDedup,
}

/// Takes transactions from any number of threads.
#[derive(Debug)]
pub(crate) struct Ingress {
    network: NetworkId,
    admission: Admission,
    view: RwLock<Arc<AdmissionView>>,
    door: Mutex<Doorkeeper>,
    ordered: SharedDedup,
    expired: Mutex<ExpiredLog>,
    queue: Mutex<Queue>,
    clock: Clock,
    reader: Arc<Reader>,
    /// Wakes the batch maker.
    wake: Arc<super::maker::Wake>,
    receipts: broadcast::Sender<Batch>,
}

impl Ingress {
    /// Ingress into `pool`.
    pub(crate) fn new(
        rules: Rules,
        pool: Pool,
        clock: Clock,
        reader: Arc<Reader>,
        wake: Arc<super::maker::Wake>,
    ) -> Self {
        let view = AdmissionView {
            intake: rules.door.intake(),
            ..rules.view
        };
        Self {
            network: rules.network,
            admission: rules.admission,
            view: RwLock::new(Arc::new(view)),
            door: Mutex::new(rules.door),
            ordered: rules.ordered,
            expired: Mutex::default(),
            queue: Mutex::new(Queue {
                pool,
                waiters: HashMap::new(),
            }),
            clock,
            reader,
            wake,
            receipts: broadcast::Sender::new(RECEIPTS_BACKLOG),
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

    fn update_view(&self, change: impl FnOnce(&mut AdmissionView)) {
        let mut slot = self.view.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut slot));
    }

    fn at_door(&self, change: impl FnOnce(&mut Doorkeeper)) {
        let mut door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
        let before = door.intake();
        change(&mut door);
        let intake = door.intake();
        if intake != before {
            tracing::info!(?before, now = ?intake, "taking transactions");
            self.update_view(|view| view.intake = intake);
        }
    }

    /// Stops taking transactions, for good.
    pub(crate) fn close(&self) {
        self.at_door(Doorkeeper::stop);
    }

    /// The own lane has reached its window, or is below it again.
    pub(crate) fn lane_full(&self, full: bool) {
        self.at_door(|door| door.lane_full(full));
    }

    /// Takes transactions or not as the node's place in the network demands. Called several times a
    /// second.
    pub(crate) fn observe(&self, bearings: &Bearings) {
        let (now, head) = (self.clock.now().time, self.view().head);
        self.at_door(|door| door.observe(now, head, bearings));
    }

    /// Takes transactions; each is answered exactly once on `answers`. Never waits.
    pub(crate) fn submit(&self, submissions: Vec<Submission>, answers: &AnswerSender) {
        let view = self.view();
        let mut admitted = Vec::with_capacity(submissions.len());
        let mut known = Vec::new();
        for Submission { seq, transaction } in submissions {
            if let Some(late) = self.ordered_in_time(&view, seq, &transaction) {
                known.push(late);
                continue;
            }
            match self.admission.check(&view, transaction) {
                Ok(transaction) => admitted.push((seq, transaction)),
                Err(refusal) => refuse(answers, seq, refusal),
            }
        }
        let admitted = self.not_ordered(admitted, &mut known);
        if !admitted.is_empty() {
            let now = self.clock.now().time;
            let mut queue = self.lock();
            for (seq, transaction) in admitted {
                queue.push(now, seq, transaction, answers, &mut known);
            }
            drop(queue);
            self.wake.pushed();
        }
        for known in known {
            self.answer_known(known, answers);
        }
    }

    fn answer_known(&self, known: Known, answers: &AnswerSender) {
        let Known {
            seq, id, expiry, ..
        } = known;
        let progress = match known.ordered {
            Some(height) => TxProgress::Ordered { height },
            None => self.progress(&id).unwrap_or(TxProgress::Received),
        };
        // A receiver that went away needs no answer.
        let _ = answers.send(Answer::Known {
            seq,
            id,
            expiry,
            progress,
        });
    }

    /// A transaction whose expiry has passed, if it was ordered before: whoever lost the answer gets it
    /// now instead of a refusal.
    fn ordered_in_time(
        &self,
        view: &AdmissionView,
        seq: u64,
        transaction: &Transaction,
    ) -> Option<Known> {
        let expiry = transaction.expiry;
        if expiry > view.head {
            return None;
        }
        let id = transaction.id(&self.network);
        let ordered = Some(self.find(&id)?);
        Some(Known {
            seq,
            id,
            expiry,
            ordered,
        })
    }

    /// Those that are not ordered yet; the others are known. A block that is not stored yet does not
    /// count: nobody could be told where its transactions are.
    fn not_ordered(
        &self,
        admitted: Vec<(u64, Admitted)>,
        known: &mut Vec<Known>,
    ) -> Vec<(u64, Admitted)> {
        let counted: Vec<bool> = {
            let ordered = self.ordered.lock().unwrap_or_else(PoisonError::into_inner);
            let counted = |transaction: &Admitted| {
                ordered.contains(transaction.transaction().expiry, &transaction.id())
            };
            admitted.iter().map(|(_, tx)| counted(tx)).collect()
        };
        if !counted.contains(&true) {
            return admitted;
        }
        let mut open = Vec::with_capacity(admitted.len());
        for ((seq, transaction), counted) in admitted.into_iter().zip(counted) {
            let id = transaction.id();
            match counted.then(|| self.find(&id)).flatten() {
                Some(height) => known.push(Known {
                    seq,
                    id,
                    expiry: transaction.transaction().expiry,
                    ordered: Some(height),
                }),
                None => open.push((seq, transaction)),
            }
        }
        open
    }

    /// Height of the block that ordered a transaction, as far as it is stored.
    fn find(&self, id: &TxId) -> Option<Height> {
        match self.reader.find_tx(id) {
            Ok(found) => found.map(|found| found.height),
            Err(error) => super::fatal(&error),
        }
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
        self.find(id).map(|height| TxProgress::Ordered { height })
    }

    fn expired_log(&self) -> MutexGuard<'_, ExpiredLog> {
        self.expired.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A transaction that was taken here and not ordered in time through this operator. Another one may
    /// have had it ordered.
    pub(crate) fn expired(&self, id: &TxId) -> Option<Note> {
        self.expired_log().get(id)
    }

    /// The same for all that expired with the block at a height.
    pub(crate) fn expired_at(&self, height: Height) -> Vec<Expired> {
        self.expired_log().at(height)
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
        let (expired, unanswered) = {
            let mut queue = self.lock();
            queue.pool.on_ordered(ids);
            let expired = queue.pool.expire(height);
            let unanswered: Vec<_> = expired
                .iter()
                .filter_map(|tx| queue.waiters.remove(&tx.id).map(|waiters| (*tx, waiters)))
                .collect();
            (expired, unanswered)
        };
        self.expired_log().note(height, expired);
        for (tx, waiters) in unanswered {
            for waiter in waiters {
                let refusal = Refusal::Expired {
                    expiry: tx.expiry,
                    head: height,
                };
                refuse(&waiter.answers, waiter.seq, refusal);
            }
        }
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
        known: &mut Vec<Known>,
    ) {
        let (id, expiry) = (transaction.id(), transaction.transaction().expiry);
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
                Entry::Vacant(_) => known.push(Known {
                    seq,
                    id,
                    expiry,
                    ordered: None,
                }),
            },
            Err(refusal) => refuse(answers, seq, refusal),
        }
    }
}

fn refuse(answers: &AnswerSender, seq: u64, refusal: Refusal) {
    let _ = answers.send(Answer::Refused { seq, refusal });
}
