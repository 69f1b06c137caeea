//! What a node knows about a transaction.
//!
//! The time of an ordered status is the timestamp of its block, so that the same status is told after a
//! restart and in every replay.

use super::blocks::{Located, Lookup};
use super::context::Context;
use super::errors::Failure;
use super::proofs::{self, bytes_of};
use crate::node::clock;
use crate::node::expired::Note;
use crate::node::submission::TxProgress;
use squad_mempool::pool::Place;
use squad_primitives::{Batch, Height, TxId};
use squad_proto::reason::Reason;
use squad_proto::v1;

/// Status of a transaction in an ordered block, whether or not it is final.
pub(crate) fn ordered(found: &Located) -> Result<v1::TransactionStatus, Failure> {
    let (signed, index) = proofs::placed(found)?;
    let part = found.part();
    let block = &found.block.committed.block;
    Ok(v1::TransactionStatus {
        tx_id: bytes_of(&found.id()),
        rollup_id: part.leaf.rollup.0,
        status: v1::Status::Ordered.into(),
        expiry_height: part.expiries.get(found.position()).map_or(0, |e| e.0),
        height: block.height.0,
        position: u32::try_from(found.position()).unwrap_or(u32::MAX),
        rollup_block_number: part.leaf.number,
        placement: Some(proofs::placement(signed, index)),
        updated_at_ms: block.timestamp_ms,
        ..v1::TransactionStatus::default()
    })
}

/// Status of a transaction that is not ordered yet.
fn pending(id: &TxId, status: v1::Status) -> v1::TransactionStatus {
    v1::TransactionStatus {
        tx_id: bytes_of(id),
        status: status.into(),
        updated_at_ms: clock::wall_ms(),
        ..v1::TransactionStatus::default()
    }
}

/// Makes of a status that of a transaction which the block at `height` made expire.
pub(crate) fn expire(status: &mut v1::TransactionStatus, height: Height) {
    status.set_status(v1::Status::Expired);
    status.height = height.0;
    Reason::Expired.as_str().clone_into(&mut status.reason);
    status.updated_at_ms = clock::wall_ms();
}

/// Status of a transaction that this operator took and that was not ordered in time.
fn expired(ctx: &Context, note: &Note) -> Result<v1::TransactionStatus, Failure> {
    let mut status = v1::TransactionStatus {
        rollup_id: note.tx.rollup.0,
        expiry_height: note.tx.expiry.0,
        ..pending(&note.tx.id, v1::Status::Expired)
    };
    expire(&mut status, note.height);
    // The block's own time, as for what is ordered, while it is kept.
    if let Some(block) = ctx.node.block(note.height)? {
        status.updated_at_ms = block.committed.block.timestamp_ms;
    }
    Ok(status)
}

/// Status of a transaction in a durable own batch.
pub(crate) fn accepted(batch: &Batch, index: u32) -> Option<v1::TransactionStatus> {
    let meta = batch.meta(index as usize)?;
    Some(v1::TransactionStatus {
        rollup_id: meta.rollup.0,
        expiry_height: meta.expiry.0,
        placement: Some(proofs::placement(batch.signed(), index)),
        ..pending(batch.ids().get(index as usize)?, v1::Status::Accepted)
    })
}

/// The durable own batch that holds a transaction which is not ordered yet.
pub(crate) fn own_batch(ctx: &Context, id: &TxId) -> Option<(Batch, u32)> {
    let own = ctx.own.as_ref()?;
    let place = ctx.node.ingress.as_ref()?.lock().pool.place(id)?;
    match place {
        Place::Batched { seq, index } => Some((own.get(seq)?, index)),
        Place::Queued => None,
    }
}

/// Status of a transaction, if this node knows it. Reads the store.
pub(crate) fn find(
    ctx: &Context,
    id: &TxId,
) -> Result<Option<(v1::TransactionStatus, Option<Located>)>, Failure> {
    if let Lookup::Found(found) = ctx.locate(id)? {
        let mut status = ordered(&found)?;
        if found.block.height() <= ctx.node.final_height() {
            status.set_status(v1::Status::Final);
        }
        return Ok(Some((status, Some(found))));
    }
    let Some(ingress) = &ctx.node.ingress else {
        return Ok(None);
    };
    if let Some((batch, index)) = own_batch(ctx, id)
        && let Some(status) = accepted(&batch, index)
    {
        return Ok(Some((status, None)));
    }
    let status = match ingress.progress(id) {
        Some(TxProgress::Received) => v1::Status::Received,
        Some(TxProgress::Accepted) => v1::Status::Accepted,
        // Ordered this moment: the next call shows it, this one what was true before.
        Some(TxProgress::Ordered { .. }) => v1::Status::Accepted,
        None => {
            let note = ingress.expired(id);
            let status = note.map(|note| expired(ctx, &note)).transpose()?;
            return Ok(status.map(|status| (status, None)));
        }
    };
    Ok(Some((pending(id, status), None)))
}

/// Adds proofs to an ordered status. May read the disk.
pub(crate) fn add_proofs(
    ctx: &Context,
    status: &mut v1::TransactionStatus,
    found: &Located,
) -> Result<(), Failure> {
    status.order_proof = Some(proofs::order_proof(ctx, found)?);
    status.availability_proof = Some(proofs::availability_proof(ctx, found)?);
    Ok(())
}
