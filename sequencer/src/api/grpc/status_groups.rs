//! What blocks and own batches mean for a reader of statuses: see `status_stream` for the rules.

use crate::api::blocks::Lookup;
use crate::api::context::{Context, Shared, blocking};
use crate::api::errors::Failure;
use crate::api::{proofs, status};
use crate::node::clock;
use crate::node::record::{DroppedTx, OrderedBlock};
use squad_mempool::order::DropReason;
use squad_primitives::{Batch, BatchSeq, Height, OperatorId, RollupId, TxId};
use squad_proto::convert::digests_packed;
use squad_proto::reason::Reason;
use squad_proto::v1::{self, Status, StatusGroup};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Most ids of one item.
const GROUP_MAX: usize = 4_096;

/// Whose statuses.
#[derive(Debug)]
pub(super) enum Filter {
    /// These transactions: in the order of the request, and as a set.
    Ids(Vec<TxId>, HashSet<TxId>),
    /// A rollup's.
    Rollup(RollupId),
    /// Those in this operator's lane.
    Lane(OperatorId),
}

/// Status of a transaction when the stream starts at height `start`. What was ordered later is told
/// with its block.
pub(super) fn present(
    ctx: &Context,
    id: &TxId,
    start: Height,
    min: Status,
) -> Result<Option<StatusGroup>, Failure> {
    let Some((mut status, _)) = status::find(ctx, id)? else {
        return Ok(None);
    };
    if status.status() == Status::Final && min != Status::Final {
        // Told only to those who ask for it, so that the last status of the others stays ORDERED.
        status.set_status(Status::Ordered);
    }
    Ok((status.height <= start.0).then(|| single(&status)))
}

/// Whether a reader who asked for statuses from `min` on is told this one.
pub(super) fn is_wanted(group: &StatusGroup, min: Status) -> bool {
    let last = matches!(group.status(), Status::Rejected | Status::Expired);
    last || group.status() >= min
}

/// The group of one transaction.
fn single(status: &v1::TransactionStatus) -> StatusGroup {
    let ordered = matches!(status.status(), Status::Ordered | Status::Final);
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
pub(super) async fn groups_of(
    ctx: &Shared,
    filter: &Arc<Filter>,
    min: Status,
    block: Arc<OrderedBlock>,
) -> Result<Arc<[StatusGroup]>, Failure> {
    let mut groups = match min {
        Status::Final => ordered_groups(filter, &block, Status::Final),
        min if min <= Status::Ordered => ordered_groups(filter, &block, Status::Ordered),
        _ => Vec::new(),
    };
    // Only copies that came too late and the like need the store.
    if !block.dropped.is_empty() {
        let (ctx, filter, block) = (Arc::clone(ctx), Arc::clone(filter), Arc::clone(&block));
        let dropped = blocking(move || dropped_groups(&ctx, &filter, min, &block)).await?;
        groups.extend(dropped);
    }
    groups.extend(expired_groups(ctx, filter, &block).await?);
    Ok(groups.into())
}

/// Transactions that this operator took and that the block made expire. Behind all others, because
/// another node has other ones.
async fn expired_groups(
    ctx: &Shared,
    filter: &Arc<Filter>,
    block: &Arc<OrderedBlock>,
) -> Result<Vec<StatusGroup>, Failure> {
    let Some(ingress) = &ctx.node.ingress else {
        return Ok(Vec::new());
    };
    let mut expired = ingress.expired_at(block.height());
    expired.retain(|tx| match &**filter {
        Filter::Ids(_, ids) => ids.contains(&tx.id),
        Filter::Rollup(rollup) => tx.rollup == *rollup,
        Filter::Lane(_) => true,
    });
    if expired.is_empty() {
        return Ok(Vec::new());
    }
    let (ctx, block) = (Arc::clone(ctx), Arc::clone(block));
    blocking(move || {
        let mut by_rollup: BTreeMap<RollupId, Vec<TxId>> = BTreeMap::new();
        for tx in expired {
            // Another operator may have had it ordered.
            if matches!(ctx.locate(&tx.id)?, Lookup::Unknown) {
                by_rollup.entry(tx.rollup).or_default().push(tx.id);
            }
        }
        let chunks = by_rollup
            .iter()
            .flat_map(|(rollup, ids)| ids.chunks(GROUP_MAX).map(|ids| (*rollup, ids)));
        let group = |(rollup, ids): (RollupId, &[TxId])| StatusGroup {
            rollup_id: rollup.0,
            tx_ids: digests_packed(ids),
            ..without_order(&block, Status::Expired, Some(Reason::Expired))
        };
        Ok(chunks.map(group).collect())
    })
    .await
}

/// What all groups share whose transactions a block ends without ordering them.
fn without_order(block: &OrderedBlock, status: Status, reason: Option<Reason>) -> StatusGroup {
    StatusGroup {
        status: status.into(),
        height: block.height().0,
        reason: reason.map_or_else(String::new, |reason| reason.as_str().to_owned()),
        updated_at_ms: block.committed.block.timestamp_ms,
        ..StatusGroup::default()
    }
}

/// Transactions that a block orders, by rollup.
fn ordered_groups(filter: &Filter, block: &OrderedBlock, status: Status) -> Vec<StatusGroup> {
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
                status: status.into(),
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
        let group = dropped_group(ctx, block, dropped, signed, filter, min)?;
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
    min: Status,
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
        let mut status = status::ordered(&found)?;
        if min == Status::Final {
            // Blocks are told once they are final, and this one comes after the counted copy's.
            status.set_status(Status::Final);
        }
        return Ok(Some(single(&status)));
    }
    let (status, reason) = match dropped.reason {
        // It was told when the expiry height was ordered.
        DropReason::Expired if was_told(ctx, &dropped.id, block.height()) => return Ok(None),
        DropReason::Expired => (Status::Expired, Some(Reason::Expired)),
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
        rollup_id: rollup.unwrap_or_default().0,
        tx_ids: proofs::bytes_of(&dropped.id),
        ..without_order(block, status, reason)
    }))
}

/// Whether an item of a block up to `height` tells that the transaction expired.
pub(super) fn was_told(ctx: &Context, id: &TxId, height: Height) -> bool {
    let note = ctx.node.ingress.as_ref().and_then(|node| node.expired(id));
    note.is_some_and(|note| note.height <= height)
}

/// Transactions of own batches from `first` to `last` that match and are not ordered already. Batches
/// that have left the ring are passed over: a status may be jumped.
pub(super) fn accepted_groups(
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
