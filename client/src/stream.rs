//! Submitting without end over one bidirectional stream.
//!
//! A message carries as many transactions as are at hand, and answers come grouped and in any order. At
//! most [`StreamConfig::window`] transactions are unanswered: beyond it [`SubmitSender::send`] waits and
//! [`SubmitSender::try_send`] refuses, so a slow operator costs memory for one window and no more.

use crate::{Endpoint, Refusal};
use squad_proto::v1::{
    StreamTransaction, SubmitTransactionStreamRequest, SubmitTransactionStreamResponse,
};
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

/// Most transactions of one message (`Limits.transactions_per_message`).
pub const MESSAGE_TRANSACTIONS_MAX: usize = 1_000;
/// Most payload bytes that this crate puts into one message; servers take 4 MiB in all.
pub const MESSAGE_PAYLOAD_BYTES_MAX: usize = 2 << 20;

/// Settings of a stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamConfig {
    /// Most unanswered transactions. A server reads at most 8,192 ahead of its answers; what is above
    /// waits in this process.
    pub window: usize,
    /// Asks for signed receipts in the answers.
    pub want_receipt: bool,
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            window: 1_024,
            want_receipt: false,
        }
    }
}

/// The sending half. Dropping the last clone closes it; the answers still come.
#[derive(Clone, Debug)]
pub struct SubmitSender {
    messages: mpsc::Sender<SubmitTransactionStreamRequest>,
    window: Arc<Semaphore>,
    want_receipt: bool,
}

/// The receiving half.
#[derive(Debug)]
pub struct Answers {
    stream: Streaming<SubmitTransactionStreamResponse>,
    window: Arc<Semaphore>,
    capacity: usize,
}

/// Why transactions were not sent; they come back to the caller.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// Fewer free places in the window than transactions.
    #[error("stream: the window of unanswered transactions is full")]
    Full(Vec<StreamTransaction>),
    /// The stream has ended.
    #[error("stream: closed")]
    Closed(Vec<StreamTransaction>),
}

impl Endpoint {
    /// Opens a stream.
    ///
    /// # Errors
    /// The operator is not reachable or refuses streams.
    pub async fn open_submit_stream(
        &self,
        config: StreamConfig,
    ) -> Result<(SubmitSender, Answers), Refusal> {
        // A message holds at least one transaction, so the window bounds the queue as well.
        let capacity = config.window.clamp(1, Semaphore::MAX_PERMITS);
        let (messages, queue) = mpsc::channel(capacity);
        let window = Arc::new(Semaphore::new(capacity));
        let response = self
            .sequencer()
            .submit_transaction_stream(ReceiverStream::new(queue))
            .await?;
        let sender = SubmitSender {
            messages,
            window: window.clone(),
            want_receipt: config.want_receipt,
        };
        let answers = Answers {
            stream: response.into_inner(),
            window,
            capacity,
        };
        Ok((sender, answers))
    }
}

impl SubmitSender {
    /// Sends one message of at most [`MESSAGE_TRANSACTIONS_MAX`] transactions if the window has room for
    /// all of them, and never waits.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn try_send(&self, transactions: Vec<StreamTransaction>) -> Result<(), SendError> {
        let Ok(permits) = self.window.try_acquire_many(count(&transactions)) else {
            return Err(SendError::Full(transactions));
        };
        match self.messages.try_send(self.message(transactions)) {
            Ok(()) => {
                permits.forget();
                Ok(())
            }
            Err(mpsc::error::TrySendError::Full(message)) => {
                Err(SendError::Full(message.transactions))
            }
            Err(mpsc::error::TrySendError::Closed(message)) => {
                Err(SendError::Closed(message.transactions))
            }
        }
    }

    /// Sends transactions, at most a window of them, when the window has room.
    ///
    /// # Errors
    /// [`SendError::Closed`], with the transactions of the message that could not be sent.
    pub async fn send(&self, transactions: Vec<StreamTransaction>) -> Result<(), SendError> {
        let Ok(permits) = self.window.acquire_many(count(&transactions)).await else {
            return Err(SendError::Closed(transactions));
        };
        match self.messages.send(self.message(transactions)).await {
            Ok(()) => {
                permits.forget();
                Ok(())
            }
            Err(error) => Err(SendError::Closed(error.0.transactions)),
        }
    }

    /// Places left in the window.
    #[must_use]
    pub fn free(&self) -> usize {
        self.window.available_permits()
    }

    fn message(&self, transactions: Vec<StreamTransaction>) -> SubmitTransactionStreamRequest {
        SubmitTransactionStreamRequest {
            transactions,
            want_receipt: self.want_receipt,
        }
    }
}

impl Answers {
    /// The next group of answers, or `None` after the last one.
    ///
    /// # Errors
    /// The stream broke: what is unanswered has an unknown fate, and may be submitted again anywhere.
    pub async fn next(&mut self) -> Result<Option<SubmitTransactionStreamResponse>, Refusal> {
        let answers = self.stream.message().await?;
        if let Some(answers) = &answers {
            // A server that answers what was never asked must not widen the window.
            let taken = self.capacity - self.window.available_permits().min(self.capacity);
            self.window.add_permits(answered(answers).min(taken));
        }
        Ok(answers)
    }
}

impl Drop for Answers {
    /// Nobody will make room any more: wakes the senders that wait for it.
    fn drop(&mut self) {
        self.window.close();
    }
}

fn count(transactions: &[StreamTransaction]) -> u32 {
    u32::try_from(transactions.len()).unwrap_or(u32::MAX)
}

/// Number of transactions that a message answers.
fn answered(answers: &SubmitTransactionStreamResponse) -> usize {
    let accepted: usize = answers.accepted.iter().map(|g| g.client_seqs.len()).sum();
    let refused: usize = answers.refused.iter().map(|g| g.client_seqs.len()).sum();
    accepted + answers.known.len() + refused
}
