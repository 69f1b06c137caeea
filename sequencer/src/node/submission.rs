//! Submissions and their answers, between the APIs and the mempool.

use squad_mempool::Refusal;
use squad_primitives::{Batch, Height, Transaction, TxId};
use std::sync::Arc;
use tokio::sync::mpsc;

/// A transaction that a client submits.
#[derive(Clone, Debug)]
pub(crate) struct Submission {
    /// Number that the caller recognises the answer by.
    pub(crate) seq: u64,
    /// The transaction. An expiry of zero was already replaced: the caller must be able to name the id.
    pub(crate) transaction: Transaction,
}

/// How far a transaction is, as this node knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TxProgress {
    /// In a queue of this operator; no promise yet.
    Received,
    /// In a durable batch of this operator's lane.
    Accepted,
    /// In an ordered block.
    Ordered {
        /// Height of the block.
        height: Height,
    },
}

/// Answers to submissions. Every submission gets exactly one.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// These transactions are in a durable batch of the own lane: a receipt can be made for each.
    Accepted {
        /// The batch.
        batch: Arc<Batch>,
        /// Number of the submission, and index in the batch.
        entries: Vec<(u64, u32)>,
    },
    /// The same transaction was submitted here before, or is ordered; nothing was queued again. If it is
    /// still queued the answer comes with its batch instead.
    Known {
        /// Number of the submission.
        seq: u64,
        /// Its id.
        id: TxId,
        /// Its expiry height.
        expiry: Height,
        /// How far it is.
        progress: TxProgress,
    },
    /// Refused; nothing was kept.
    Refused {
        /// Number of the submission.
        seq: u64,
        /// Why.
        refusal: Refusal,
    },
}

/// Where answers go. Unbounded, because its length is bounded by the caller: an API submits at most its
/// window of unanswered transactions.
pub(crate) type AnswerSender = mpsc::UnboundedSender<Answer>;
