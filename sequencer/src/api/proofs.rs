//! Headers, receipts and proofs, as clients get them.
//!
//! Everything in a block's header is the same on every node except two lists of signatures: `commit`,
//! since nodes may hold different quorums for one statement, and `attestations`, of which a node holds
//! its own. Entries, results and rollup proofs are equal byte for byte.

use super::blocks::Located;
use super::context::Context;
use super::errors::Failure;
use crate::node::record::OrderedBlock;
use bytes::Bytes;
use squad_primitives::merkle::{self, Tree};
use squad_primitives::order::RollupProof;
use squad_primitives::{Batch, Digest, RollupId, SignedHeader};
use squad_proto::convert::{cut_tips, digests_packed};
use squad_proto::v1;

/// A digest as a field.
pub(crate) fn bytes_of(digest: &Digest) -> Bytes {
    Bytes::copy_from_slice(&digest.0)
}

/// Signatures over the result that this node holds: its own.
fn attestations(ctx: &Context, block: &OrderedBlock) -> Vec<v1::Attestation> {
    let own = ctx.node.me.zip(block.attestation);
    own.iter().map(v1::Attestation::from).collect()
}

/// The header of a block; with `rollup`, the proof of all its transactions or of its absence.
pub(crate) fn header(
    ctx: &Context,
    block: &OrderedBlock,
    rollup: Option<RollupId>,
) -> v1::BlockHeader {
    let proof = |rollup| RollupProof::new(&ctx.node.network, &block.leaves(), rollup);
    v1::BlockHeader {
        hash: bytes_of(&block.committed.hash),
        block: Some((&block.committed.block).into()),
        parent_cut: cut_tips(&block.committed.parent_cut),
        commit: Some(block.committed.proof.as_ref().into()),
        result: Some((&block.result).into()),
        attestations: attestations(ctx, block),
        rollup_proof: rollup.map(|rollup| (&proof(rollup)).into()),
    }
}

/// The place of a transaction under the attested result.
pub(crate) fn order_proof(ctx: &Context, found: &Located) -> Result<v1::OrderProof, Failure> {
    let block = &found.block;
    let part = found.part();
    let leaf = RollupProof::new(&ctx.node.network, &block.leaves(), part.leaf.rollup);
    let RollupProof::Present(leaf) = leaf else {
        return Err(Failure::internal("a rollup's part has no leaf"));
    };
    let position = merkle::Path::new(&part.ids, found.position())
        .ok_or_else(|| Failure::internal("a located transaction is not in its list"))?;
    Ok(v1::OrderProof {
        result: Some((&block.result).into()),
        attestations: attestations(ctx, block),
        leaf: Some((&leaf).into()),
        position: Some((&position).into()),
    })
}

/// That a transaction is in a final block, from the commit certificate alone. May read the disk.
pub(crate) fn availability_proof(
    ctx: &Context,
    found: &Located,
) -> Result<v1::AvailabilityProof, Failure> {
    let block = &found.block;
    let (signed, index) = placed(found)?;
    let batch = ctx
        .bodies
        .load(&ctx.node, &signed.header.digest(&ctx.node.network))?;
    let path = merkle::Path::new(batch.ids(), index as usize)
        .ok_or_else(|| Failure::internal("a place points outside its batch"))?;
    // Headers are sorted by lane, then sequence: those that follow lead up to the lane's tip.
    let chain = block.headers.iter().filter(|later| {
        later.header.lane == signed.header.lane && later.header.seq >= signed.header.seq
    });
    Ok(v1::AvailabilityProof {
        block: Some((&block.committed.block).into()),
        commit: Some(block.committed.proof.as_ref().into()),
        headers: chain.map(|signed| (&signed.header).into()).collect(),
        path: Some((&path).into()),
    })
}

/// Header of the batch that holds a transaction, and the index in it.
pub(crate) fn placed(found: &Located) -> Result<(&SignedHeader, u32), Failure> {
    let place = found.part().places.get(found.position());
    let signed = place.and_then(|place| found.block.headers.get(place.batch as usize));
    signed
        .zip(place.map(|place| place.index))
        .ok_or_else(|| Failure::internal("an ordered transaction has no place"))
}

/// Place of a transaction in a lane.
pub(crate) fn placement(signed: &SignedHeader, index: u32) -> v1::Placement {
    v1::Placement {
        lane: signed.header.lane.0,
        batch_seq: signed.header.seq.0,
        index,
    }
}

/// The receipt of one transaction of an own batch.
pub(crate) fn receipt(batch: &Batch, index: u32) -> Option<v1::Receipt> {
    Some(v1::Receipt {
        tx_id: bytes_of(batch.ids().get(index as usize)?),
        header: Some(batch.signed().into()),
        path: Some((&merkle::Path::new(batch.ids(), index as usize)?).into()),
    })
}

/// Receipts of several transactions of one batch; `tree` adds header and paths.
pub(crate) fn receipt_group(
    batch: &Batch,
    indices: Vec<u32>,
    tree: Option<&Tree>,
) -> v1::ReceiptGroup {
    let ids = indices.iter().filter_map(|i| batch.ids().get(*i as usize));
    let mut tx_ids = Vec::with_capacity(indices.len() * 32);
    ids.for_each(|id| tx_ids.extend_from_slice(&id.0));
    let mut expiry_heights: Vec<u64> = indices
        .iter()
        .filter_map(|index| Some(batch.meta(*index as usize)?.expiry.0))
        .collect();
    if let Some(first) = expiry_heights.first().copied()
        && expiry_heights.iter().all(|expiry| *expiry == first)
    {
        expiry_heights.truncate(1);
    }
    let paths = tree.map(|tree| {
        let paths = indices
            .iter()
            .filter_map(|index| tree.path(*index as usize));
        paths.map(|path| (&path).into()).collect()
    });
    v1::ReceiptGroup {
        lane: batch.header().lane.0,
        batch_seq: batch.header().seq.0,
        tx_ids: tx_ids.into(),
        indices,
        expiry_heights,
        header: tree.map(|_| batch.signed().into()),
        paths: paths.unwrap_or_default(),
    }
}

/// Ids of a batch in body order.
pub(crate) fn ids_of(batch: &Batch) -> Bytes {
    digests_packed(batch.ids().iter())
}
