//! `SubscribeTransactionStatus`: what happens to transactions, block by block.
//!
//! ```text
//!  Known     (ids asked for)  statuses at the head where the stream starts
//!  Ordered   each block       its transactions that match, then those it holds without ordering them
//!  accepted  live only        own durable batches, between blocks; moves no cursor
//! ```
//!
//! Items of a block follow from the block and the filter alone, so they are the same live, replayed and
//! on every node. `EXPIRED` and `REJECTED` are told when a block holds the transaction without ordering
//! it: an accepted transaction is in a durable batch, and every batch gets into a block. A copy that
//! another operator's copy came before is told as `ORDERED` where that one stands, in streams about one
//! operator's acceptances; the others have seen it then.

use crate::api::blocks::{BlockReader, Lookup};
use crate::api::context::{Context, Shared, blocking};
use crate::api::cursor::{CursorForm, Position, Stage};
use crate::api::errors::Failure;
use crate::api::feed::{Item, Source};
use crate::api::{proofs, status};
use crate::node::clock;
use crate::node::record::{DroppedTx, OrderedBlock};
use bytes::Bytes;
use squad_mempool::order::DropReason;
use squad_primitives::{Batch, BatchSeq, Height, OperatorId, RollupId, TxId};
use squad_proto::convert::{digests_packed, digests_unpacked};
use squad_proto::reason::Reason;
use squad_proto::v1::subscribe_transaction_status_request::Filter as Asked;
use squad_proto::v1::{self, Status, StatusGroup};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use tokio::sync::watch;

/// Most ids that a request may name.
const IDS_MAX: usize = 1_000;
/// Most ids of one item.
const GROUP_MAX: usize = 4_096;

/// Whose statuses.
#[derive(Debug)]
enum Filter {
    /// These transactions: in the order of the request, and as a set.
    Ids(Vec<TxId>, HashSet<TxId>),
    /// A rollup's.
    Rollup(RollupId),
    /// Those in this operator's lane.
    Lane(OperatorId),
}

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
        let level = [u8::from(min > Status::Ordered)];
        let form = CursorForm::new(&ctx.node.network, "squad/cursor/status/v1", &[&tag, &level]);
        let head = ctx.head();
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
            let group = blocking(move || present(&ctx, &id, start)).await?;
            self.position.index += 1;
            let min = self.min;
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
            Lookup::Unknown => false,
        };
        if ended {
            open.remove(id);
        }
    }
    Ok(open)
}

/// Status of a transaction when the stream starts at height `start`. What was ordered later is told
/// with its block.
fn present(ctx: &Context, id: &TxId, start: Height) -> Result<Option<StatusGroup>, Failure> {
    let Some((status, found)) = status::find(ctx, id)? else {
        return Ok(None);
    };
    if found.is_some_and(|found| found.block.height() > start) {
        return Ok(None);
    }
    Ok(Some(single(&status)))
}

/// Whether a reader who asked for statuses from `min` on is told this one.
fn is_wanted(group: &StatusGroup, min: Status) -> bool {
    let last = matches!(group.status(), Status::Rejected | Status::Expired);
    last || group.status() >= min
}

/// The group of one transaction.
fn single(status: &v1::TransactionStatus) -> StatusGroup {
    let ordered = status.status() == Status::Ordered;
    StatusGroup {
        status: status.status,
        rollup_id: status.rollup_id,
        tx_ids: status.tx_id.clone(),
        height: status.height,
        positions: if ordered {
            vec![status.position]
        } else {
            Vec::new()
        },
        rollup_block_number: status.rollup_block_number,
        reason: status.reason.clone(),
        updated_at_ms: status.updated_at_ms,
    }
}

/// Items of a block.
async fn groups_of(
    ctx: &Shared,
    filter: &Arc<Filter>,
    min: Status,
    block: Arc<OrderedBlock>,
) -> Result<Arc<[StatusGroup]>, Failure> {
    let mut groups = if min <= Status::Ordered {
        ordered_groups(filter, &block)
    } else {
        Vec::new()
    };
    // Only copies that came too late and the like need the store.
    if !block.dropped.is_empty() {
        let (ctx, filter) = (Arc::clone(ctx), Arc::clone(filter));
        let dropped = blocking(move || dropped_groups(&ctx, &filter, min, &block)).await?;
        groups.extend(dropped);
    }
    Ok(groups.into())
}

/// Transactions that a block orders, by rollup.
fn ordered_groups(filter: &Filter, block: &OrderedBlock) -> Vec<StatusGroup> {
    let mut groups = Vec::new();
    for part in &block.rollups {
        let matches = |index: usize| match filter {
            Filter::Rollup(rollup) => part.leaf.rollup == *rollup,
            Filter::Ids(_, ids) => part.ids.get(index).is_some_and(|id| ids.contains(id)),
            Filter::Lane(lane) => {
                let place = part.places.get(index);
                let signed = place.and_then(|place| block.headers.get(place.batch as usize));
                signed.is_some_and(|signed| signed.header.lane == *lane)
            }
        };
        // A whole part without looking at each transaction.
        if matches!(filter, Filter::Rollup(rollup) if part.leaf.rollup != *rollup) {
            continue;
        }
        let matching: Vec<usize> = (0..part.ids.len())
            .filter(|index| matches(*index))
            .collect();
        for chunk in matching.chunks(GROUP_MAX) {
            let mut positions: Vec<u32> = chunk.iter().map(|index| number(*index)).collect();
            let consecutive = positions.windows(2).all(|pair| pair[1] == pair[0] + 1);
            if consecutive {
                positions.truncate(1);
            }
            groups.push(StatusGroup {
                status: Status::Ordered.into(),
                rollup_id: part.leaf.rollup.0,
                tx_ids: digests_packed(chunk.iter().filter_map(|index| part.ids.get(*index))),
                height: block.height().0,
                positions,
                rollup_block_number: part.leaf.number,
                reason: String::new(),
                updated_at_ms: block.committed.block.timestamp_ms,
            });
        }
    }
    groups
}

fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// Transactions that a block holds without ordering them, one item each: they are rare.
fn dropped_groups(
    ctx: &Context,
    filter: &Filter,
    min: Status,
    block: &OrderedBlock,
) -> Result<Vec<StatusGroup>, Failure> {
    let mut groups = Vec::new();
    for dropped in &block.dropped {
        let Some(signed) = block.headers.get(dropped.place.batch as usize) else {
            continue;
        };
        let interesting = match filter {
            Filter::Lane(lane) => signed.header.lane == *lane,
            Filter::Ids(_, ids) => {
                dropped.reason != DropReason::Duplicate && ids.contains(&dropped.id)
            }
            Filter::Rollup(_) => dropped.reason != DropReason::Duplicate,
        };
        if !interesting {
            continue;
        }
        let group = dropped_group(ctx, block, dropped, signed, filter)?;
        groups.extend(group.filter(|group| is_wanted(group, min)));
    }
    Ok(groups)
}

fn dropped_group(
    ctx: &Context,
    block: &OrderedBlock,
    dropped: &DroppedTx,
    signed: &squad_primitives::SignedHeader,
    filter: &Filter,
) -> Result<Option<StatusGroup>, Failure> {
    // Another copy may have been ordered, here or before.
    if let Lookup::Found(found) = ctx.locate(&dropped.id)?
        && found.block.height() <= block.height()
    {
        let Filter::Lane(lane) = filter else {
            return Ok(None);
        };
        let (counted, _) = proofs::placed(&found)?;
        // The copy that counted is in this lane, too, and was told with its own block.
        if counted.header.lane == *lane {
            return Ok(None);
        }
        return Ok(Some(single(&status::ordered(&found)?)));
    }
    let (status, reason) = match dropped.reason {
        DropReason::Expired => (Status::Expired, None),
        // Its copy is pruned; what it was is not known any more.
        DropReason::Duplicate => return Ok(None),
        DropReason::ExpiryTooFar => (Status::Rejected, Some(Reason::ExpiryTooFar)),
        DropReason::UnknownRollup => (Status::Rejected, Some(Reason::UnknownRollup)),
        DropReason::Sealed => (Status::Rejected, Some(Reason::EraNotActive)),
        _ => (Status::Rejected, None),
    };
    let batch = ctx
        .bodies
        .load(&ctx.node, &signed.header.digest(&ctx.node.network))?;
    let rollup = batch
        .meta(dropped.place.index as usize)
        .map(|meta| meta.rollup);
    if matches!(filter, Filter::Rollup(asked) if rollup != Some(*asked)) {
        return Ok(None);
    }
    Ok(Some(StatusGroup {
        status: status.into(),
        rollup_id: rollup.unwrap_or_default().0,
        tx_ids: proofs::bytes_of(&dropped.id),
        height: block.height().0,
        reason: reason.map_or_else(String::new, |reason| reason.as_str().to_owned()),
        updated_at_ms: block.committed.block.timestamp_ms,
        ..StatusGroup::default()
    }))
}

/// Transactions of own batches from `first` to `last` that match and are not ordered already. Batches
/// that have left the ring are passed over: a status may be jumped.
fn accepted_groups(
    ctx: &Context,
    filter: &Filter,
    first: BatchSeq,
    last: BatchSeq,
) -> Result<Vec<StatusGroup>, Failure> {
    let mut groups = Vec::new();
    let Some(own) = &ctx.own else {
        return Ok(groups);
    };
    let batches = (first.0..=last.0).filter_map(|seq| own.get(BatchSeq(seq)));
    for batch in batches {
        for (rollup, ids) in matching(ctx, filter, &batch)? {
            for chunk in ids.chunks(GROUP_MAX) {
                groups.push(StatusGroup {
                    status: Status::Accepted.into(),
                    rollup_id: rollup.0,
                    tx_ids: digests_packed(chunk),
                    updated_at_ms: clock::wall_ms(),
                    ..StatusGroup::default()
                });
            }
        }
    }
    Ok(groups)
}

/// Transactions of a batch that match and are not ordered, by rollup.
fn matching(
    ctx: &Context,
    filter: &Filter,
    batch: &Batch,
) -> Result<BTreeMap<RollupId, Vec<TxId>>, Failure> {
    let mut found: BTreeMap<RollupId, Vec<TxId>> = BTreeMap::new();
    for (index, id) in batch.ids().iter().enumerate() {
        let Some(meta) = batch.meta(index) else {
            continue;
        };
        let matches = match filter {
            Filter::Ids(_, ids) => ids.contains(id),
            Filter::Rollup(rollup) => meta.rollup == *rollup,
            Filter::Lane(_) => true,
        };
        // Never back from ORDERED to ACCEPTED.
        if matches && matches!(ctx.locate(id)?, Lookup::Unknown) {
            found.entry(meta.rollup).or_default().push(*id);
        }
    }
    Ok(found)
}
