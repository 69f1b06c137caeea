//! `SubmitTransactionBatch`: each transaction has its own result.

use super::submit::{elapsed, transaction};
use super::submit_stream::{check_rate, status_of};
use crate::api::connections::ClientInfo;
use crate::api::context::{Context, Shared};
use crate::api::errors::Failure;
use crate::api::proofs::{self, bytes_of};
use crate::api::status;
use crate::node::submission::{Answer, Submission, TxProgress};
use squad_primitives::merkle::Tree;
use squad_primitives::{Batch, Digest};
use squad_proto::v1;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// Longest wait for the answers of a batch.
const BATCH_WAIT: Duration = Duration::from_secs(9);

/// Submits many transactions; each has its own result.
pub(super) async fn many(
    ctx: &Shared,
    client: &ClientInfo,
    request: v1::SubmitTransactionBatchRequest,
) -> Result<v1::SubmitTransactionBatchResponse, Failure> {
    let ingress = Arc::clone(ctx.ingress()?);
    if request.transactions.is_empty() {
        return Err(Failure::field("transactions", "empty"));
    }
    let payloads = request.transactions.iter().map(|tx| tx.payload.len());
    check_rate(ctx, client, payloads)?;
    let count = request.transactions.len();
    let mut results = Results {
        ctx,
        want_receipt: request.want_receipt,
        slots: vec![v1::SubmitResult::default(); count],
        tree: None,
    };
    let mut submissions = Vec::with_capacity(count);
    for (seq, message) in (0..).zip(request.transactions) {
        match transaction(ctx, message) {
            Ok(transaction) => submissions.push(Submission { seq, transaction }),
            Err(failure) => results.put(seq, refused(failure)),
        }
    }
    // What is told of those whose answer does not come in time.
    let ids: Vec<(u64, Digest)> = submissions
        .iter()
        .map(|submission| (submission.seq, submission.transaction.id(&ctx.node.network)))
        .collect();
    let mut open = submissions.len();
    let (answers, mut answered) = mpsc::unbounded_channel();
    ingress.submit(submissions, &answers);
    drop(answers);
    let deadline = Instant::now() + BATCH_WAIT;
    while open > 0 {
        match timeout_at(deadline, answered.recv()).await {
            Ok(Some(answer)) => open -= results.place(answer),
            Ok(None) => return Err(Failure::shutting_down()),
            Err(_) => break,
        }
    }
    for (seq, id) in ids {
        if let Some(slot) = results.slot(seq)
            && slot.result.is_none()
        {
            *slot = refused(elapsed(&id, v1::Status::Received));
        }
    }
    Ok(v1::SubmitTransactionBatchResponse {
        results: results.slots,
    })
}

/// Results so far, in the order of the request.
struct Results<'a> {
    ctx: &'a Context,
    want_receipt: bool,
    slots: Vec<v1::SubmitResult>,
    /// The tree of the last batch that a receipt was made for: neighbours mostly share a batch.
    tree: Option<(Digest, Tree)>,
}

impl Results<'_> {
    fn slot(&mut self, seq: u64) -> Option<&mut v1::SubmitResult> {
        self.slots.get_mut(usize::try_from(seq).ok()?)
    }

    fn put(&mut self, seq: u64, result: v1::SubmitResult) {
        if let Some(slot) = self.slot(seq) {
            *slot = result;
        }
    }

    /// Puts an answer into the results it is for; how many.
    fn place(&mut self, answer: Answer) -> usize {
        match answer {
            Answer::Accepted { batch, entries } => {
                let count = entries.len();
                for (seq, index) in entries {
                    let result = self.accepted(&batch, index);
                    self.put(seq, result);
                }
                count
            }
            Answer::Known {
                seq,
                id,
                expiry,
                progress,
            } => {
                let own = match progress {
                    TxProgress::Accepted => status::own_batch(self.ctx, &id),
                    TxProgress::Received | TxProgress::Ordered { .. } => None,
                };
                let result = match own {
                    Some((batch, index)) => self.accepted(&batch, index),
                    None => result(v1::Accepted {
                        tx_id: bytes_of(&id),
                        status: status_of(progress).into(),
                        expiry_height: expiry.0,
                        ..v1::Accepted::default()
                    }),
                };
                self.put(seq, result);
                1
            }
            Answer::Refused { seq, refusal } => {
                self.put(seq, refused(Failure::from(&refusal)));
                1
            }
        }
    }

    /// A transaction in a durable own batch.
    fn accepted(&mut self, batch: &Batch, index: u32) -> v1::SubmitResult {
        let id = batch.ids().get(index as usize);
        let path = if self.want_receipt {
            let digest = batch.digest();
            let kept = self.tree.take().filter(|(of, _)| *of == digest);
            let (_, tree) = self
                .tree
                .insert(kept.unwrap_or_else(|| (digest, Tree::new(batch.ids()))));
            tree.path(index as usize)
        } else {
            None
        };
        let receipt = path.zip(id).map(|(path, id)| v1::Receipt {
            tx_id: bytes_of(id),
            header: Some(batch.signed().into()),
            path: Some((&path).into()),
        });
        result(v1::Accepted {
            tx_id: id.map(bytes_of).unwrap_or_default(),
            status: v1::Status::Accepted.into(),
            expiry_height: batch.meta(index as usize).map_or(0, |meta| meta.expiry.0),
            placement: Some(proofs::placement(batch.signed(), index)),
            receipt,
        })
    }
}

fn refused(failure: Failure) -> v1::SubmitResult {
    v1::SubmitResult {
        result: Some(v1::submit_result::Result::Error(failure.into())),
    }
}

fn result(accepted: v1::Accepted) -> v1::SubmitResult {
    v1::SubmitResult {
        result: Some(v1::submit_result::Result::Accepted(accepted)),
    }
}
