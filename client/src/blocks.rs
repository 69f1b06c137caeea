//! Blocks from a height on, without gap or repetition, across lost connections and operators.
//!
//! This layer joins and resumes; [`crate::follow`] verifies what comes out of it.
//!
//! - Every item's `sequence` must follow the one before: a gap inside one stream is a server's bug and
//!   ends the subscription with an error, because resuming would hide it.
//! - After a break the same operator is asked once more, with the last item's cursor, and parts of a
//!   block that came before the break are kept. If that fails, the next operator is asked from the first
//!   height that is not complete, since cursors belong to one operator.
//! - Heights come out ascending by one. A block already given is left out.

use crate::backoff::Backoff;
use crate::{Endpoint, Refusal};
use bytes::Bytes;
use squad_primitives::{Height, RollupId};
use squad_proto::v1::{
    BlockHeader, BlockPart, RollupEntries, SubscribeBlocksRequest, SubscribeBlocksResponse,
    subscribe_blocks_request::From, subscribe_blocks_response::Item,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tonic::Streaming;

/// Largest block that is assembled: four times the 16 MiB of bodies that consensus allows, for ids and
/// encoding overhead.
const BLOCK_BYTES_MAX: usize = 64 << 20;

/// Longest silence of a living stream: operators send a heartbeat after 5 s without another item.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(15);

/// How much of each block is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Header, proof, result.
    Headers,
    /// Also the ids.
    Ids,
    /// Also the transactions.
    Transactions,
}

/// What to subscribe to.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// First height; `None` starts with the block after the operator's head.
    pub from: Option<Height>,
    /// Only this rollup's transactions.
    pub rollup: Option<RollupId>,
    /// How much of each block.
    pub content: Content,
    /// How long to go on without any item before giving up.
    pub patience: Duration,
}

impl Subscription {
    /// Ids of all rollups from a height on, with a minute of patience.
    #[must_use]
    pub const fn from_height(height: Height) -> Self {
        Self {
            from: Some(height),
            rollup: None,
            content: Content::Ids,
            patience: Duration::from_secs(60),
        }
    }
}

/// A complete block as an operator sent it.
#[derive(Clone, Debug, PartialEq)]
pub struct RawBlock {
    /// Its height.
    pub height: Height,
    /// Header, commit proof, result.
    pub header: BlockHeader,
    /// Ascending by rollup, then position.
    pub entries: Vec<RollupEntries>,
}

/// Why a subscription ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The operator's verdict won't change, or patience ran out.
    #[error("subscription: {0}")]
    Refused(Refusal),
    /// Items are missing inside one stream: a bug of the operator.
    #[error("subscription: sequence {found} after {expected} items: the operator skipped")]
    SequenceGap {
        /// Sequence that should have come.
        expected: u64,
        /// Sequence that came.
        found: u64,
    },
    /// A block is missing.
    #[error("subscription: block {found} came where {expected} was due")]
    HeightGap {
        /// Height that should have come.
        expected: Height,
        /// Height that came.
        found: Height,
    },
    /// The parts of a block don't fit together.
    #[error("subscription: part of block {height}: {problem}")]
    BadPart {
        /// Height of the part.
        height: Height,
        /// What is wrong.
        problem: &'static str,
    },
}

/// A subscription that survives lost connections. Not cancelled by errors of single operators.
#[derive(Debug)]
pub struct BlockStream {
    endpoints: Arc<[Endpoint]>,
    at: usize,
    subscription: Subscription,
    /// First height that was not given out yet; unknown until the first `Hello` of a live stream.
    next: Option<Height>,
    stream: Option<Streaming<SubscribeBlocksResponse>>,
    cursor: Option<Bytes>,
    sequence: u64,
    partial: Option<(RawBlock, usize)>,
    head: Height,
    backoff: Backoff,
    last_item: Instant,
    /// Whether the present stream gave any item.
    progressed: bool,
}

impl BlockStream {
    /// Subscribes to the first endpoint that answers, when [`BlockStream::next`] is first called.
    ///
    /// # Panics
    /// If `endpoints` is empty.
    #[must_use]
    pub fn new(endpoints: Arc<[Endpoint]>, first: usize, subscription: Subscription) -> Self {
        assert!(!endpoints.is_empty(), "a subscription needs an endpoint");
        Self {
            at: first % endpoints.len(),
            endpoints,
            next: subscription.from,
            subscription,
            stream: None,
            cursor: None,
            sequence: 0,
            partial: None,
            head: Height::ZERO,
            backoff: Backoff::default(),
            last_item: Instant::now(),
            progressed: false,
        }
    }

    /// Height of the serving operator's last block, as it last said.
    #[must_use]
    pub fn head(&self) -> Height {
        self.head
    }

    /// Index of the endpoint in use.
    #[must_use]
    pub fn endpoint(&self) -> usize {
        self.at
    }

    /// Leaves the operator in use, because what it sent did not hold, and goes on from `height` at the
    /// next one.
    pub fn go_elsewhere(&mut self, height: Height) {
        self.stream = None;
        self.cursor = None;
        self.partial = None;
        self.next = Some(height);
        self.at = (self.at + 1) % self.endpoints.len();
    }

    /// The next block. May be dropped and called again without losing anything.
    ///
    /// # Errors
    /// See [`StreamError`].
    pub async fn next(&mut self) -> Result<RawBlock, StreamError> {
        loop {
            let Some(stream) = &mut self.stream else {
                self.connect().await?;
                continue;
            };
            match tokio::time::timeout(SILENCE_MAX, stream.message()).await {
                Ok(Ok(Some(item))) => {
                    if let Some(block) = self.handle(item)? {
                        return Ok(block);
                    }
                }
                Ok(Ok(None)) => self.on_break(Refusal::closed()).await?,
                Ok(Err(status)) => self.on_break(status.into()).await?,
                Err(_) => self.on_break(Refusal::no_answer()).await?,
            }
        }
    }

    async fn connect(&mut self) -> Result<(), StreamError> {
        let from = match (&self.cursor, self.next) {
            (Some(cursor), _) => Some(From::FromCursor(cursor.clone())),
            (None, Some(height)) => Some(From::FromHeight(height.0)),
            (None, None) => None,
        };
        let request = SubscribeBlocksRequest {
            from,
            rollup_id: self.subscription.rollup.map(|rollup| rollup.0),
            include_payload: self.subscription.content == Content::Transactions,
            headers_only: self.subscription.content == Content::Headers,
        };
        let mut service = self.endpoints[self.at].blocks();
        let opened = tokio::time::timeout(
            self.subscription.patience,
            service.subscribe_blocks(request),
        );
        match opened.await {
            Ok(Ok(response)) => {
                self.stream = Some(response.into_inner());
                self.sequence = 0;
                Ok(())
            }
            Ok(Err(status)) => self.on_break(status.into()).await,
            Err(_) => self.on_break(Refusal::no_answer()).await,
        }
    }

    /// Decides where to go on after a break, and waits.
    async fn on_break(&mut self, refusal: Refusal) -> Result<(), StreamError> {
        let worth_it = refusal.is_transient() || refusal.reason == "FUTURE_HEIGHT";
        let out_of_patience = self.last_item.elapsed() > self.subscription.patience;
        // A cursor that this operator refuses can still be replaced by a height.
        let fallback = self.cursor.is_some() && refusal.reason == "BAD_CURSOR";
        if out_of_patience || !(worth_it || fallback) {
            return Err(StreamError::Refused(refusal));
        }
        self.stream = None;
        let progressed = std::mem::take(&mut self.progressed);
        if !progressed || self.cursor.is_none() {
            self.at = (self.at + 1) % self.endpoints.len();
            self.cursor = None;
            self.partial = None;
        }
        let wait = self.backoff.after_failure(refusal.retry_after);
        tokio::time::sleep(wait).await;
        Ok(())
    }

    fn handle(&mut self, item: SubscribeBlocksResponse) -> Result<Option<RawBlock>, StreamError> {
        if item.sequence != self.sequence {
            return Err(StreamError::SequenceGap {
                expected: self.sequence,
                found: item.sequence,
            });
        }
        self.sequence += 1;
        self.last_item = Instant::now();
        self.progressed = true;
        self.backoff.reset();
        let block = match item.item {
            Some(Item::Hello(hello)) => {
                self.head = Height(hello.head_height);
                self.next.get_or_insert(self.head.next());
                return Ok(None);
            }
            Some(Item::Heartbeat(heartbeat)) => {
                self.head = Height(heartbeat.head_height);
                return Ok(None);
            }
            Some(Item::Block(part)) => self.on_part(part)?,
            None => None,
        };
        self.cursor = Some(item.cursor);
        Ok(block)
    }

    /// Joins a part to those before it; gives the block with its last part.
    fn on_part(&mut self, part: BlockPart) -> Result<Option<RawBlock>, StreamError> {
        let height = Height(part.height);
        let expected = *self.next.get_or_insert(height);
        if height < expected {
            return Ok(None);
        }
        if height > expected {
            return Err(StreamError::HeightGap {
                expected,
                found: height,
            });
        }
        let bad = |problem| StreamError::BadPart { height, problem };
        let size: usize = part.entries.iter().map(entries_bytes).sum();
        let (mut block, total) = match (self.partial.take(), part.header) {
            (None, Some(header)) => {
                let entries = Vec::new();
                let block = RawBlock {
                    height,
                    header,
                    entries,
                };
                (block, size)
            }
            (Some((block, before)), None) => (block, before + size),
            (None, None) => return Err(bad("the first part has no header")),
            (Some(_), Some(_)) => return Err(bad("a later part has a header")),
        };
        if total > BLOCK_BYTES_MAX {
            return Err(bad("the block is larger than any block may be"));
        }
        block.entries.extend(part.entries);
        if !part.last {
            self.partial = Some((block, total));
            return Ok(None);
        }
        self.next = Some(height.next());
        self.head = self.head.max(height);
        Ok(Some(block))
    }
}

fn entries_bytes(entries: &RollupEntries) -> usize {
    let transactions: usize = entries.transactions.iter().map(Bytes::len).sum();
    entries.tx_ids.len() + transactions
}
