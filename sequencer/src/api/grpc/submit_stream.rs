//! `SubmitTransactionStream`: transactions without end.
//!
//! One task per stream reads messages and hands their transactions to the ingress; payloads are slices
//! of the message, not copies. The response side drains whatever answers are there into one message.
//!
//! **Window.** Each transaction takes a permit before it is handed on and gives it back when its answer
//! is given to the transport. At [`STREAM_WINDOW`] unanswered ones the task stops reading, and HTTP/2
//! flow control stops the client; the queue of answers is bounded by the same number. A client above its
//! address' rate is held back in the same way, so a stream never answers `RATE_LIMIT`.
//!
//! **Receipts.** Answers name only a number of the client's choice. So transactions of messages that
//! want receipts are answered on a channel of their own, and nothing has to be remembered per
//! transaction.

use super::client;
use crate::api::connections::ClientInfo;
use crate::api::context::{Context, Shared, StreamSlot};
use crate::api::errors::{Failure, with_reason};
use crate::api::limits::{Class, submit_cost};
use crate::api::proofs::{bytes_of, receipt_group};
use crate::node::ingress::Ingress;
use crate::node::submission::{Answer, AnswerSender, Submission, TxProgress};
use futures::Stream;
use squad_mempool::Refusal;
use squad_primitives::codec::DecodeError;
use squad_primitives::merkle::Tree;
use squad_primitives::{Height, Transaction};
use squad_proto::v1;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};
use tonic::{Request, Status, Streaming};

/// Most unanswered transactions of one stream.
pub(super) const STREAM_WINDOW: usize = 8_192;

/// Answers in one message: without receipts about 50 bytes each, with receipts up to 600.
const ANSWERS_PER_MESSAGE: usize = 4_096;
const RECEIPTS_PER_MESSAGE: usize = 1_024;

/// Answers taken from a channel at once; each may stand for thousands of transactions.
const DRAIN_MAX: usize = 64;

/// Groups of refusals that a new one is compared with.
const REFUSED_GROUPS_COMPARED: usize = 16;

/// Starts a stream.
pub(super) fn open(
    ctx: &Shared,
    request: Request<Streaming<v1::SubmitTransactionStreamRequest>>,
) -> Result<Answers, Failure> {
    let client = client(&request)?;
    let ingress = Arc::clone(ctx.ingress()?);
    let slot = ctx.open_stream(&client)?;
    let (plain, plain_answers) = mpsc::unbounded_channel();
    let (receipts, receipts_answers) = mpsc::unbounded_channel();
    let (failed, failure) = oneshot::channel();
    let gone = CancellationToken::new();
    let intake = Intake {
        ctx: Arc::clone(ctx),
        client,
        ingress,
        window: Arc::new(Semaphore::new(STREAM_WINDOW)),
        plain,
        receipts,
    };
    let answers = Answers {
        plain: Channel::new(plain_answers, false),
        receipts: Channel::new(receipts_answers, true),
        window: Arc::clone(&intake.window),
        failure: Some(failure),
        shutdown: Box::pin(ctx.shutdown.clone().cancelled_owned()),
        ctx: Arc::clone(ctx),
        ended: false,
        _gone: gone.clone().drop_guard(),
        _slot: slot,
    };
    let requests = request.into_inner();
    tokio::spawn(async move {
        if let Some(Err(status)) = gone.run_until_cancelled(intake.run(requests)).await {
            // Before the senders go, so that the other side finds it when they are gone.
            let _ = failed.send(status);
        }
        drop(intake);
    });
    Ok(answers)
}

/// The reading half.
struct Intake {
    ctx: Shared,
    client: ClientInfo,
    ingress: Arc<Ingress>,
    window: Arc<Semaphore>,
    plain: AnswerSender,
    receipts: AnswerSender,
}

impl Intake {
    async fn run(
        &self,
        mut requests: Streaming<v1::SubmitTransactionStreamRequest>,
    ) -> Result<(), Status> {
        loop {
            let message = match requests.message().await {
                Ok(Some(message)) => message,
                Ok(None) => return Ok(()),
                Err(status) => return Err(with_reason(status, self.ctx.message_bytes_limit)),
            };
            // The codec limits the number of transactions far below the window.
            let count = u32::try_from(message.transactions.len()).unwrap_or(u32::MAX);
            if count == 0 {
                return Err(Failure::field("transactions", "empty").into());
            }
            let permits = self.window.acquire_many(count).await;
            let Ok(permits) = permits else { return Ok(()) };
            permits.forget();
            let payloads = message.transactions.iter().map(|tx| tx.payload.len());
            let cost = submit_cost(payloads);
            self.ctx.take_later(&self.client, Class::Submit, cost).await;
            self.submit(message);
        }
    }

    fn submit(&self, message: v1::SubmitTransactionStreamRequest) {
        let answers = if message.want_receipt {
            &self.receipts
        } else {
            &self.plain
        };
        let expiry = self.ctx.default_expiry();
        let mut submissions = Vec::with_capacity(message.transactions.len());
        for item in message.transactions {
            let seq = item.client_seq;
            match Transaction::try_from(item) {
                Ok(mut transaction) => {
                    if transaction.expiry == Height::ZERO {
                        transaction.expiry = expiry;
                    }
                    submissions.push(Submission { seq, transaction });
                }
                Err(error) => {
                    let refusal = Refusal::Undecodable(DecodeError::Illegal { field: error.field });
                    // The response side may be gone; then nobody wants an answer.
                    let _ = answers.send(Answer::Refused { seq, refusal });
                }
            }
        }
        self.ingress.submit(submissions, answers);
    }
}

/// Answers of one kind, waiting to be put into messages.
#[derive(Debug)]
struct Channel {
    receiver: UnboundedReceiver<Answer>,
    waiting: VecDeque<Answer>,
    buffer: Vec<Answer>,
    closed: bool,
    receipts: bool,
}

impl Channel {
    fn new(receiver: UnboundedReceiver<Answer>, receipts: bool) -> Self {
        Self {
            receiver,
            waiting: VecDeque::new(),
            buffer: Vec::new(),
            closed: false,
            receipts,
        }
    }

    fn drain(&mut self, cx: &mut TaskContext<'_>) {
        while !self.closed && self.waiting.len() < DRAIN_MAX {
            match self
                .receiver
                .poll_recv_many(cx, &mut self.buffer, DRAIN_MAX)
            {
                Poll::Ready(0) => self.closed = true,
                Poll::Ready(_) => self.waiting.extend(self.buffer.drain(..)),
                Poll::Pending => return,
            }
        }
    }

    /// Moves answers into a message; how many transactions they answer.
    fn fill(&mut self, message: &mut v1::SubmitTransactionStreamResponse) -> usize {
        let limit = if self.receipts {
            RECEIPTS_PER_MESSAGE
        } else {
            ANSWERS_PER_MESSAGE
        };
        let mut count = 0;
        while count < limit {
            let Some(answer) = self.waiting.pop_front() else {
                break;
            };
            match answer {
                Answer::Accepted { batch, mut entries } => {
                    let rest = entries.split_off(entries.len().min(limit - count));
                    count += entries.len();
                    let (client_seqs, indices) = entries.into_iter().unzip();
                    let tree = self.receipts.then(|| Tree::new(batch.ids()));
                    message.accepted.push(v1::AcceptedGroup {
                        client_seqs,
                        receipts: Some(receipt_group(&batch, indices, tree.as_ref())),
                    });
                    if !rest.is_empty() {
                        self.waiting.push_front(Answer::Accepted {
                            batch,
                            entries: rest,
                        });
                    }
                }
                Answer::Known {
                    seq,
                    id,
                    expiry,
                    progress,
                } => {
                    count += 1;
                    message.known.push(v1::KnownTransaction {
                        client_seq: seq,
                        tx_id: bytes_of(&id),
                        status: status_of(progress).into(),
                        expiry_height: expiry.0,
                    });
                }
                Answer::Refused { seq, refusal } => {
                    count += 1;
                    let failure = Failure::from(&refusal);
                    add_refused(&mut message.refused, seq, failure.into());
                }
            }
        }
        count
    }
}

/// Puts a refusal to others that say the same. Delays differ by their spread, and one serves all.
fn add_refused(groups: &mut Vec<v1::RefusedGroup>, seq: u64, error: v1::Error) {
    let same = |other: &v1::Error| {
        other.reason == error.reason
            && other.metadata == error.metadata
            && other.message == error.message
    };
    let group = groups
        .iter_mut()
        .rev()
        .take(REFUSED_GROUPS_COMPARED)
        .find(|group| group.error.as_ref().is_some_and(same));
    match group {
        Some(group) => group.client_seqs.push(seq),
        None => groups.push(v1::RefusedGroup {
            client_seqs: vec![seq],
            error: Some(error),
        }),
    }
}

/// How far a transaction is, in the words of the API.
pub(super) const fn status_of(progress: TxProgress) -> v1::Status {
    match progress {
        TxProgress::Received => v1::Status::Received,
        TxProgress::Accepted => v1::Status::Accepted,
        TxProgress::Ordered { .. } => v1::Status::Ordered,
    }
}

/// The answering half: the response stream.
#[derive(Debug)]
pub(super) struct Answers {
    ctx: Shared,
    plain: Channel,
    receipts: Channel,
    window: Arc<Semaphore>,
    /// Why reading failed; `None` once that was told.
    failure: Option<oneshot::Receiver<Status>>,
    shutdown: Pin<Box<WaitForCancellationFutureOwned>>,
    ended: bool,
    _gone: DropGuard,
    _slot: StreamSlot,
}

impl Answers {
    fn end(&mut self, failure: impl Into<Status>) -> Poll<Option<Result<Message, Status>>> {
        self.ended = true;
        Poll::Ready(Some(Err(failure.into())))
    }
}

type Message = v1::SubmitTransactionStreamResponse;

impl Stream for Answers {
    type Item = Result<Message, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        this.plain.drain(cx);
        this.receipts.drain(cx);
        let mut message = Message::default();
        let answered = this.plain.fill(&mut message) + this.receipts.fill(&mut message);
        if answered > 0 {
            this.window.add_permits(answered);
            return Poll::Ready(Some(Ok(message)));
        }
        if this.plain.closed && this.receipts.closed {
            let Some(failure) = this.failure.as_mut() else {
                return Poll::Ready(None);
            };
            let ended = ready!(Pin::new(failure).poll(cx));
            this.failure = None;
            return match ended {
                Ok(status) => this.end(status),
                // Reading came to its end.
                Err(_) => Poll::Ready(None),
            };
        }
        ready!(this.shutdown.as_mut().poll(cx));
        this.ctx.metrics.aborted("SHUTTING_DOWN");
        this.end(Failure::shutting_down())
    }
}

/// Kept for unary calls: the same limits for one message.
pub(super) fn check_rate(
    ctx: &Context,
    client: &ClientInfo,
    payloads: impl Iterator<Item = usize>,
) -> Result<(), Failure> {
    ctx.take(client, Class::Submit, submit_cost(payloads))
}
