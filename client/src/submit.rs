//! Submitting with retries across operators.
//!
//! A transaction's id covers its expiry height, so that is fixed before the first attempt
//! ([`Client::prepare`]): resubmitting the same transaction anywhere is then harmless, because an id is
//! ordered once. Letting an operator choose the expiry would give each attempt an id of its own.

use crate::backoff::Backoff;
use crate::verify::receipt::{ReceiptError, VerifiedReceipt};
use crate::{Client, Refusal, v1};
use bytes::Bytes;
use squad_primitives::{Height, RollupId, Transaction, TxId, TxKind};
use std::time::Duration;
use tokio::time::Instant;

/// Most transactions of one batch call.
const BATCH_TRANSACTIONS_MAX: usize = 1_000;
/// Most payload bytes of one batch call.
const BATCH_PAYLOAD_BYTES_MAX: usize = 2 << 20;

/// An operator that is more blocks behind is not asked where the head is: an expiry counted from its own
/// may have passed. Operators that lag as much answer submissions with `SYNCING`.
const LAG_MAX: u64 = 500;

/// A submitted transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Submitted {
    /// Its id.
    pub id: TxId,
    /// Its status at the operator.
    pub status: v1::Status,
    /// The operator's signed promise, checked; absent if the operator knew the transaction from others.
    pub receipt: Option<VerifiedReceipt>,
    /// Index of the operator's endpoint.
    pub endpoint: usize,
}

/// Why a transaction was not submitted, or its fate is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// An operator's verdict that no other attempt will change.
    #[error("submit: {0}")]
    Refused(Refusal),
    /// Time ran out; the transaction may or may not be ordered until its expiry height.
    #[error("submit: no operator accepted in time, last: {0}")]
    Deadline(Refusal),
    /// An operator's promise does not hold.
    #[error("submit: {0}")]
    Receipt(#[from] ReceiptError),
    /// An operator answered for another transaction.
    #[error("submit: the operator answered for another transaction")]
    OtherTransaction,
}

impl Client {
    /// Makes a transaction that expires [`crate::ClientConfig::expiry_blocks`] after the present head.
    ///
    /// # Errors
    /// No operator that keeps up says where the head is.
    pub async fn prepare(
        &self,
        rollup: RollupId,
        payload: impl Into<Bytes>,
    ) -> Result<Transaction, Refusal> {
        let status = self
            .ask(|endpoint| async move {
                let mut service = endpoint.operators();
                let answer = service.get_status(v1::GetStatusRequest {}).await?;
                let status = answer.get_ref();
                let (head, target) = (status.ordered_height, status.target_height);
                match target.saturating_sub(head) > LAG_MAX {
                    true => Err(tonic::Status::unavailable("the operator is catching up")),
                    false => Ok(answer),
                }
            })
            .await?;
        let longest = status.limits.map_or(u64::MAX, |l| l.expiry_max_blocks);
        let blocks = self.config.expiry_blocks.min(longest);
        Ok(Transaction {
            rollup,
            expiry: Height(status.ordered_height.saturating_add(blocks)),
            kind: TxKind::Plain,
            payload: payload.into(),
        })
    }

    /// Submits a transaction, at another operator if one fails, until it is accepted.
    ///
    /// # Errors
    /// See [`SubmitError`].
    pub async fn submit(&self, transaction: &Transaction) -> Result<Submitted, SubmitError> {
        self.submit_until(transaction, v1::Status::Accepted).await
    }

    /// Submits a transaction and waits until it is ordered.
    ///
    /// # Errors
    /// See [`SubmitError`].
    pub async fn submit_ordered(
        &self,
        transaction: &Transaction,
    ) -> Result<Submitted, SubmitError> {
        self.submit_until(transaction, v1::Status::Ordered).await
    }

    async fn submit_until(
        &self,
        transaction: &Transaction,
        wait_for: v1::Status,
    ) -> Result<Submitted, SubmitError> {
        let id = transaction.id(&self.trusted.id());
        let request = v1::SubmitTransactionRequest {
            transaction: Some(transaction.clone().into()),
            wait_for: wait_for.into(),
            wait_ms: u32::try_from(self.config.call_timeout.as_millis() / 2).unwrap_or(u32::MAX),
        };
        let mut round = Round::new(self);
        loop {
            let mut service = self.endpoints[round.at].sequencer();
            let answer = self
                .timed(service.submit_transaction(request.clone()))
                .await;
            match answer {
                Ok(answer) => {
                    self.prefer(round.at);
                    return self.submitted(id, answer, round.at);
                }
                Err(refusal) if refusal.is_transient() => round.next(refusal).await?,
                Err(refusal) => return Err(SubmitError::Refused(refusal)),
            }
        }
    }

    fn submitted(
        &self,
        id: TxId,
        answer: v1::SubmitTransactionResponse,
        endpoint: usize,
    ) -> Result<Submitted, SubmitError> {
        let status = answer.status.unwrap_or_default();
        if status.tx_id[..] != id.0 {
            return Err(SubmitError::OtherTransaction);
        }
        let receipt = answer
            .receipt
            .map(|receipt| self.trusted.verify_receipt(&receipt, id))
            .transpose()?;
        Ok(Submitted {
            id,
            status: status.status(),
            receipt,
            endpoint,
        })
    }

    /// Submits many transactions. Answers stand in their order; those refused for a passing reason are
    /// tried again, here or elsewhere, until time runs out.
    pub async fn submit_many(
        &self,
        transactions: &[Transaction],
    ) -> Vec<Result<Submitted, SubmitError>> {
        let mut results: Vec<_> = transactions.iter().map(|_| None).collect();
        let mut open: Vec<usize> = (0..transactions.len()).collect();
        let mut round = Round::new(self);
        while !open.is_empty() {
            let mut retry = Vec::new();
            let mut last = None;
            for part in parts(&open, transactions) {
                let request = v1::SubmitTransactionBatchRequest {
                    transactions: part
                        .iter()
                        .map(|at| transactions[*at].clone().into())
                        .collect(),
                    want_receipt: true,
                };
                let mut service = self.endpoints[round.at].sequencer();
                let answer = self.timed(service.submit_transaction_batch(request)).await;
                let answers = match answer {
                    Ok(answer) if answer.results.len() == part.len() => answer.results,
                    Ok(_) => {
                        last = Some(Refusal::no_answer());
                        retry.extend_from_slice(part);
                        continue;
                    }
                    Err(refusal) => {
                        self.sort_out(part, refusal, &mut results, &mut retry, &mut last);
                        continue;
                    }
                };
                for (at, answer) in part.iter().zip(answers) {
                    match self.judge(&transactions[*at], answer, round.at) {
                        Err(SubmitError::Refused(refusal)) => {
                            self.sort_out(&[*at], refusal, &mut results, &mut retry, &mut last);
                        }
                        result => results[*at] = Some(result),
                    }
                }
            }
            open = retry;
            if let Some(refusal) = last.filter(|_| !open.is_empty())
                && let Err(error) = round.next(refusal).await
            {
                for at in open.drain(..) {
                    results[at] = Some(Err(error.clone()));
                }
            }
        }
        let all = results.into_iter().flatten().collect::<Vec<_>>();
        assert_eq!(
            all.len(),
            transactions.len(),
            "each transaction has an answer"
        );
        all
    }

    /// Puts refused transactions among those to try again, or among the results.
    fn sort_out(
        &self,
        part: &[usize],
        refusal: Refusal,
        results: &mut [Option<Result<Submitted, SubmitError>>],
        retry: &mut Vec<usize>,
        last: &mut Option<Refusal>,
    ) {
        if refusal.is_transient() {
            retry.extend_from_slice(part);
            *last = Some(refusal);
            return;
        }
        for at in part {
            results[*at] = Some(Err(SubmitError::Refused(refusal.clone())));
        }
    }

    fn judge(
        &self,
        transaction: &Transaction,
        answer: v1::SubmitResult,
        endpoint: usize,
    ) -> Result<Submitted, SubmitError> {
        use v1::submit_result::Result as Answer;
        let id = transaction.id(&self.trusted.id());
        match answer.result {
            Some(Answer::Accepted(accepted)) => {
                if accepted.tx_id[..] != id.0 {
                    return Err(SubmitError::OtherTransaction);
                }
                let status = accepted.status();
                let receipt = accepted
                    .receipt
                    .map(|receipt| self.trusted.verify_receipt(&receipt, id))
                    .transpose()?;
                Ok(Submitted {
                    id,
                    status,
                    receipt,
                    endpoint,
                })
            }
            Some(Answer::Error(error)) => Err(SubmitError::Refused(error.into())),
            None => Err(SubmitError::Refused(Refusal::no_answer())),
        }
    }
}

/// Cuts a list of indices into calls that fit the server's limits.
fn parts<'a>(
    open: &'a [usize],
    transactions: &'a [Transaction],
) -> impl Iterator<Item = &'a [usize]> {
    let mut rest = open;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = rest.iter().take(BATCH_TRANSACTIONS_MAX).take_while(|at| {
            bytes += transactions[**at].payload.len();
            bytes <= BATCH_PAYLOAD_BYTES_MAX
        });
        // One transaction alone always goes, and is refused if it is too large.
        let length = fits.count().max(1).min(rest.len());
        let (part, left) = rest.split_at(length);
        rest = left;
        (!part.is_empty()).then_some(part)
    })
}

/// Goes round the operators: at once to the next one, and with a wait after each full round.
struct Round<'a> {
    client: &'a Client,
    at: usize,
    failures: usize,
    /// Shortest wait that an operator of this round asked for.
    retry_after: Option<Duration>,
    backoff: Backoff,
    deadline: Instant,
}

impl<'a> Round<'a> {
    fn new(client: &'a Client) -> Self {
        Self {
            client,
            at: client.preferred() % client.endpoints.len(),
            failures: 0,
            retry_after: None,
            backoff: Backoff::default(),
            deadline: Instant::now() + client.config.submit_timeout,
        }
    }

    /// Moves on after a failure.
    async fn next(&mut self, refusal: Refusal) -> Result<(), SubmitError> {
        self.failures += 1;
        self.at = (self.at + 1) % self.client.endpoints.len();
        self.retry_after = match (self.retry_after, refusal.retry_after) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let full_round = self.failures.is_multiple_of(self.client.endpoints.len());
        let wait = match full_round {
            true => self.backoff.after_failure(self.retry_after.take()),
            false => Duration::ZERO,
        };
        if Instant::now() + wait >= self.deadline {
            return Err(SubmitError::Deadline(refusal));
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }
}
