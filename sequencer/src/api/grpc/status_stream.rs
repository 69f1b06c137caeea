//! `SubscribeTransactionStatus`: what happens to transactions, block by block.
//!
//! ```text
//!  Known     (ids asked for)  statuses at the head where the stream starts
//!  Ordered   each block       its transactions that match, then those it holds without ordering them
//!  accepted  live only        own durable batches, between blocks; moves no cursor
//! ```
//!
//! Items of a block follow from the block and the filter alone, so they are the same live, replayed and
//! on every node, but for one kind: the operator that took a transaction tells `EXPIRED` with the block
//! that made it so, other nodes only if a later block holds the transaction all the same. These items
//! stand last. `REJECTED` is told when a block holds the transaction without ordering it. A copy that
//! another operator's copy came before is told as `ORDERED` where that one stands, in streams about one
//! operator's acceptances; the others have seen it then.
//!
//! With `min_status` FINAL the same is told of a block once a certificate covers it, as `FINAL` in the
//! place of `ORDERED`.

use super::status_groups::{Filter, accepted_groups, groups_of, is_wanted, present, was_told};
use crate::api::blocks::{BlockReader, Lookup};
use crate::api::context::{Context, Shared, blocking};
use crate::api::cursor::{CursorForm, Position, Stage};
use crate::api::errors::Failure;
use crate::api::feed::{Item, Source};
use crate::api::finality;
use bytes::Bytes;
use squad_primitives::{BatchSeq, Height, RollupId, TxId};
use squad_proto::convert::digests_unpacked;
use squad_proto::reason::Reason;
use squad_proto::v1::subscribe_transaction_status_request::Filter as Asked;
use squad_proto::v1::{self, Status, StatusGroup};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use tokio::sync::watch;

/// Most ids that a request may name.
const IDS_MAX: usize = 1_000;

/// Source of the stream.
#[derive(Debug)]
pub(super) struct Statuses {
    ctx: Shared,
    filter: Arc<Filter>,
    /// Transactions asked for by id that have no last status yet.
    open: Option<HashSet<TxId>>,
    min: Status,
    blocks: BlockReader,
    position: Position,
    /// Items of the block at `position`, once it was read.
    current: Option<Arc<[StatusGroup]>>,
    /// Own batches, if acceptances are wanted; and the next one to tell.
    accepted: Option<(watch::Receiver<BatchSeq>, BatchSeq)>,
    ready: VecDeque<StatusGroup>,
    /// Final height, if blocks are told when they are final.
    finals: Option<watch::Receiver<Height>>,
}

impl Statuses {
    /// Checks a request. Reads the store if it names ids and a cursor.
    pub(super) fn open(
        ctx: &Shared,
        request: v1::SubscribeTransactionStatusRequest,
    ) -> Result<(Self, CursorForm), Failure> {
        let min = match Status::try_from(request.min_status) {
            Ok(Status::Unspecified) => Status::Ordered,
            Ok(status) => status,
            Err(_) => {
                let problem = format!("unknown value {}", request.min_status);
                return Err(Failure::field("min_status", problem));
            }
        };
        let (filter, tag) = filter(ctx, request.filter)?;
        let level = match min {
            Status::Final => [2],
            min => [u8::from(min > Status::Ordered)],
        };
        let finals = match min {
            Status::Final => Some(finality::of(ctx)?.subscribe()),
            _ => None,
        };
        let form = CursorForm::new(&ctx.node.network, "squad/cursor/status/v1", &[&tag, &level]);
        // What is told of a block is told when it is ordered, or when it is final.
        let head = finals.as_ref().map_or(ctx.head(), |height| {
            let height: Height = *height.borrow();
            height.min(ctx.head())
        });
        let position = if !request.from_cursor.is_empty() {
            form.decode("from_cursor", &request.from_cursor)?
        } else if let Filter::Ids(..) = filter {
            Position::start(Stage::Known, head)
        } else {
            Position::start(Stage::Ordered, head.next())
        };
        let next = match position.stage {
            Stage::Ordered => position.height,
            Stage::Known => position.height.next(),
            Stage::Accepted => return Err(Failure::bad_cursor("from_cursor")),
        };
        let earliest = ctx.node.reader.earliest();
        if next < earliest {
            return Err(Failure::pruned(next, earliest));
        }
        let open = match &filter {
            Filter::Ids(ids, _) => Some(without_last_status(ctx, position, ids)?),
            _ => None,
        };
        let accepted = ctx.own.as_ref().filter(|_| min <= Status::Accepted);
        let source = Self {
            filter: Arc::new(filter),
            open,
            min,
            blocks: BlockReader::new(Arc::clone(ctx)),
            position,
            current: None,
            accepted: accepted.map(|own| (own.subscribe(), own.tip().next())),
            ready: VecDeque::new(),
            finals,
            ctx: Arc::clone(ctx),
        };
        Ok((source, form))
    }

    /// Whether all transactions that were asked for have a last status.
    fn is_done(&self) -> bool {
        self.open.as_ref().is_some_and(HashSet::is_empty)
    }

    /// Notes which transactions have a last status now.
    fn note(&mut self, group: &StatusGroup) {
        if group.status() < Status::Ordered {
            return;
        }
        if let Some(open) = &mut self.open {
            let (ids, _) = group.tx_ids.as_chunks::<32>();
            for id in ids {
                open.remove(&squad_primitives::Digest(*id));
            }
        }
    }

    /// The present status of the next id that has one.
    async fn known(&mut self) -> Result<Option<StatusGroup>, Failure> {
        let Filter::Ids(ids, _) = &*self.filter else {
            return Ok(None);
        };
        while let Some(id) = ids.get(self.position.index as usize).copied() {
            let (ctx, start) = (Arc::clone(&self.ctx), self.position.height);
            let min = self.min;
            let group = blocking(move || present(&ctx, &id, start, min)).await?;
            self.position.index += 1;
            if let Some(group) = group.filter(|group| is_wanted(group, min)) {
                return Ok(Some(group));
            }
        }
        Ok(None)
    }

    /// Items of the block at the position, once there is one, or of own batches that come before.
    async fn wait(&mut self) -> Result<(), Failure> {
        let height = self.position.height;
        let Some((tip, next)) = &mut self.accepted else {
            self.current = Some(self.items(height).await?);
            return Ok(());
        };
        let (ctx, next) = (Arc::clone(&self.ctx), *next);
        tokio::select! {
            biased;
            // Acceptances first: a batch is in a block only after it is durable.
            tip = async { tip.wait_for(|tip| *tip >= next).await.map(|tip| *tip) } => {
                let tip = tip.map_err(|_| Failure::shutting_down())?;
                let filter = Arc::clone(&self.filter);
                let groups = blocking(move || accepted_groups(&ctx, &filter, next, tip)).await?;
                self.ready.extend(groups);
                if let Some((_, next)) = &mut self.accepted {
                    *next = tip.next();
                }
            }
            block = self.blocks.wait_for(height) => {
                let block = block?;
                self.current = Some(groups_of(&self.ctx, &self.filter, self.min, block).await?);
            }
        }
        Ok(())
    }

    async fn items(&mut self, height: Height) -> Result<Arc<[StatusGroup]>, Failure> {
        if let Some(finals) = &mut self.finals {
            let reached = finals.wait_for(|reached| *reached >= height).await;
            reached.map_err(|_| Failure::shutting_down())?;
        }
        let block = self.blocks.wait_for(height).await?;
        groups_of(&self.ctx, &self.filter, self.min, block).await
    }
}

impl Source for Statuses {
    type Content = StatusGroup;
    type Message = v1::SubscribeTransactionStatusResponse;

    fn position(&self) -> Position {
        self.position
    }

    async fn next(&mut self) -> Result<Option<StatusGroup>, Failure> {
        if self.position.stage == Stage::Known {
            if let Some(group) = self.known().await? {
                self.note(&group);
                return Ok(Some(group));
            }
            self.position = Position::start(Stage::Ordered, self.position.height.next());
        }
        loop {
            if let Some(group) = self.ready.pop_front() {
                return Ok(Some(group));
            }
            if let Some(groups) = &self.current {
                if let Some(group) = groups.get(self.position.index as usize).cloned() {
                    self.position.index += 1;
                    self.note(&group);
                    return Ok(Some(group));
                }
                self.current = None;
                self.position = Position::start(Stage::Ordered, self.position.height.next());
            }
            if self.is_done() {
                return Ok(None);
            }
            self.wait().await?;
        }
    }

    fn message(cursor: Bytes, sequence: u64, item: Item<StatusGroup>) -> Self::Message {
        use v1::subscribe_transaction_status_response::Item as Message;
        v1::SubscribeTransactionStatusResponse {
            cursor,
            sequence,
            item: Some(match item {
                Item::Hello(hello) => Message::Hello(hello),
                Item::Content(group) => Message::Statuses(group),
                Item::Heartbeat(heartbeat) => Message::Heartbeat(heartbeat),
            }),
        }
    }
}

/// Reads a filter, with the bytes that stand for it in cursors.
fn filter(ctx: &Context, asked: Option<Asked>) -> Result<(Filter, Vec<u8>), Failure> {
    match asked {
        None => Err(Failure::field("filter", "missing")),
        Some(Asked::TxIds(bytes)) => {
            let ids = digests_unpacked("tx_ids", IDS_MAX, &bytes)?;
            if ids.is_empty() {
                return Err(Failure::field("tx_ids", "empty"));
            }
            let set = ids.iter().copied().collect();
            Ok((Filter::Ids(ids, set), [&[1], bytes.as_ref()].concat()))
        }
        Some(Asked::RollupId(id)) => {
            if ctx.node.genesis.rollup(RollupId(id)).is_none() {
                let message = format!("rollup {id} is not registered");
                return Err(Failure::new(Reason::UnknownRollup, message));
            }
            let tag = [&[2], id.to_be_bytes().as_slice()].concat();
            Ok((Filter::Rollup(RollupId(id)), tag))
        }
        Some(Asked::AcceptedHere(true)) => {
            ctx.ingress()?;
            let me = ctx.node.me.unwrap_or_default();
            let tag = [&[3], me.0.to_be_bytes().as_slice()].concat();
            Ok((Filter::Lane(me), tag))
        }
        Some(Asked::AcceptedHere(false)) => Err(Failure::field("accepted_here", "must be true")),
    }
}

/// The transactions without those whose last status the reader of a resumed stream has been told.
fn without_last_status(
    ctx: &Context,
    position: Position,
    ids: &[TxId],
) -> Result<HashSet<TxId>, Failure> {
    let mut open: HashSet<TxId> = ids.iter().copied().collect();
    // At the start of a stream nothing was told; in `Known`, what the head held of the first ids; after
    // that, what lies below the height. What lies at the height is told again with its item or ends
    // nothing: the stream then ends after the block.
    let (told, below) = match position.stage {
        Stage::Known => {
            let told = ids.get(..position.index as usize).unwrap_or(ids);
            (told, position.height.next())
        }
        _ => (ids, position.height),
    };
    for id in told {
        let ended = match ctx.locate(id)? {
            Lookup::Found(found) => found.block.height() < below,
            Lookup::Pruned(_) => true,
            Lookup::Unknown => was_told(ctx, id, below.prev()),
        };
        if ended {
            open.remove(id);
        }
    }
    Ok(open)
}
