//! Following the statuses of transactions.
//!
//! Two kinds of subscription, with different ways to survive a lost connection:
//!
//! - **given transactions**: any operator can be asked again for those that have no last status yet, and
//!   what was told before is left out;
//! - **a rollup**: only the same operator knows where its cursor stands, so it is asked again, with the
//!   cursor of the last item.

use crate::backoff::Backoff;
use crate::blocks::SILENCE_MAX;
use crate::{Endpoint, Refusal, StreamError, v1};
use bytes::Bytes;
use squad_primitives::{Digest, Height, RollupId, TxId};
use squad_proto::convert::digests_packed;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tonic::Streaming;
use v1::subscribe_transaction_status_request::Filter;
use v1::subscribe_transaction_status_response::Item;

/// Most transactions of one subscription.
pub const WATCHED_TRANSACTIONS_MAX: usize = 1_000;

/// Which statuses to follow.
#[derive(Clone, Debug)]
pub struct Watch {
    target: Target,
    min_status: v1::Status,
    cursor: Bytes,
}

#[derive(Clone, Debug)]
enum Target {
    Transactions(Vec<TxId>),
    Rollup(RollupId),
}

impl Watch {
    /// These transactions, until each is ordered, rejected or expired.
    ///
    /// # Panics
    /// More than [`WATCHED_TRANSACTIONS_MAX`].
    #[must_use]
    pub fn transactions(ids: Vec<TxId>) -> Self {
        assert!(
            ids.len() <= WATCHED_TRANSACTIONS_MAX,
            "too many transactions"
        );
        Self {
            target: Target::Transactions(ids),
            min_status: v1::Status::Accepted,
            cursor: Bytes::new(),
        }
    }

    /// The same until each is final instead of ordered. Only operators that follow certificates answer.
    #[must_use]
    pub fn until_final(mut self) -> Self {
        self.min_status = v1::Status::Final;
        self
    }

    /// A rollup's transactions as they are ordered, after a cursor, or live if it is empty.
    #[must_use]
    pub fn rollup(rollup: RollupId, cursor: Bytes) -> Self {
        Self {
            target: Target::Rollup(rollup),
            min_status: v1::Status::Ordered,
            cursor,
        }
    }
}

/// A transaction that reached a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusUpdate {
    /// The transaction.
    pub id: TxId,
    /// Its status.
    pub status: v1::Status,
    /// Height of its block; zero unless ordered, final or expired.
    pub height: Height,
    /// Position among its rollup's transactions in the block, if ordered.
    pub position: Option<u32>,
}

/// A subscription that survives lost connections. Statuses are an operator's word; proofs come from
/// blocks.
#[derive(Debug)]
pub struct StatusStream {
    endpoints: Arc<[Endpoint]>,
    at: usize,
    watch: Watch,
    patience: Duration,
    stream: Option<Streaming<v1::SubscribeTransactionStatusResponse>>,
    sequence: u64,
    told: BTreeMap<TxId, v1::Status>,
    ready: VecDeque<StatusUpdate>,
    backoff: Backoff,
    last_item: Instant,
}

impl StatusStream {
    pub(crate) fn new(
        endpoints: Arc<[Endpoint]>,
        first: usize,
        watch: Watch,
        patience: Duration,
    ) -> Self {
        Self {
            at: first % endpoints.len(),
            endpoints,
            watch,
            patience,
            stream: None,
            sequence: 0,
            told: BTreeMap::new(),
            ready: VecDeque::new(),
            backoff: Backoff::default(),
            last_item: Instant::now(),
        }
    }

    /// The next update; `None` when all watched transactions have their last status.
    ///
    /// # Errors
    /// No operator answers in time, refuses for good, or skips items.
    pub async fn next(&mut self) -> Result<Option<StatusUpdate>, StreamError> {
        loop {
            if let Some(update) = self.ready.pop_front() {
                return Ok(Some(update));
            }
            if self.is_done() {
                return Ok(None);
            }
            let Some(stream) = &mut self.stream else {
                self.connect().await?;
                continue;
            };
            match tokio::time::timeout(SILENCE_MAX, stream.message()).await {
                Ok(Ok(Some(item))) => self.handle(item)?,
                Ok(Ok(None)) => self.on_break(Refusal::closed()).await?,
                Ok(Err(status)) => self.on_break(status.into()).await?,
                Err(_) => self.on_break(Refusal::no_answer()).await?,
            }
        }
    }

    /// Cursor of the last item, for a later [`Watch::rollup`].
    #[must_use]
    pub fn cursor(&self) -> &Bytes {
        &self.watch.cursor
    }

    fn open(&self) -> Vec<TxId> {
        match &self.watch.target {
            Target::Transactions(ids) => {
                let open = |id: &&TxId| self.told.get(*id).is_none_or(|status| !is_last(*status));
                ids.iter().filter(open).copied().collect()
            }
            Target::Rollup(_) => Vec::new(),
        }
    }

    fn is_done(&self) -> bool {
        matches!(self.watch.target, Target::Transactions(_)) && self.open().is_empty()
    }

    async fn connect(&mut self) -> Result<(), StreamError> {
        let request = v1::SubscribeTransactionStatusRequest {
            min_status: self.watch.min_status.into(),
            filter: Some(match &self.watch.target {
                Target::Transactions(_) => Filter::TxIds(digests_packed(&self.open())),
                Target::Rollup(rollup) => Filter::RollupId(rollup.0),
            }),
            from_cursor: match &self.watch.target {
                Target::Transactions(_) => Bytes::new(),
                Target::Rollup(_) => self.watch.cursor.clone(),
            },
        };
        let mut service = self.endpoints[self.at].sequencer();
        let call = service.subscribe_transaction_status(request);
        match tokio::time::timeout(self.patience, call).await {
            Ok(Ok(response)) => {
                self.stream = Some(response.into_inner());
                self.sequence = 0;
                Ok(())
            }
            Ok(Err(status)) => self.on_break(status.into()).await,
            Err(_) => self.on_break(Refusal::no_answer()).await,
        }
    }

    async fn on_break(&mut self, refusal: Refusal) -> Result<(), StreamError> {
        self.stream = None;
        if !refusal.is_transient() || self.last_item.elapsed() > self.patience {
            return Err(StreamError::Refused(refusal));
        }
        if matches!(self.watch.target, Target::Transactions(_)) {
            self.at = (self.at + 1) % self.endpoints.len();
        }
        tokio::time::sleep(self.backoff.after_failure(refusal.retry_after)).await;
        Ok(())
    }

    fn handle(&mut self, item: v1::SubscribeTransactionStatusResponse) -> Result<(), StreamError> {
        if item.sequence != self.sequence {
            return Err(StreamError::SequenceGap {
                expected: self.sequence,
                found: item.sequence,
            });
        }
        self.sequence += 1;
        self.last_item = Instant::now();
        self.backoff.reset();
        if let Some(Item::Statuses(group)) = item.item {
            self.on_group(&group);
            self.watch.cursor = item.cursor;
        }
        Ok(())
    }

    fn on_group(&mut self, group: &v1::StatusGroup) {
        let status = group.status();
        for (index, id) in group.tx_ids.chunks_exact(32).enumerate() {
            let id = Digest::try_from(id).unwrap_or_default();
            if matches!(self.watch.target, Target::Transactions(_)) {
                // Statuses never go back; what another operator knows less about is no news.
                let told = self.told.entry(id).or_insert(v1::Status::Unspecified);
                if status <= *told {
                    continue;
                }
                *told = status;
            }
            let position = match group.positions[..] {
                [first] => u32::try_from(index).ok().and_then(|i| first.checked_add(i)),
                _ => group.positions.get(index).copied(),
            };
            self.ready.push_back(StatusUpdate {
                id,
                status,
                height: Height(group.height),
                position: position
                    .filter(|_| matches!(status, v1::Status::Ordered | v1::Status::Final)),
            });
        }
    }
}

fn is_last(status: v1::Status) -> bool {
    use v1::Status::{Expired, Final, Ordered, Rejected};
    matches!(status, Ordered | Final | Rejected | Expired)
}
