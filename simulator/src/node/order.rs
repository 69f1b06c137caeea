//! From a committed block to an ordered one, and the state that this depends on.

use squad_mempool::order::{DropReason, OrderInput};
use squad_mempool::{Dedup, IdHashKey, OrderRules, order_block};
use squad_primitives::{Batch, CommittedBlock, Height, NetworkId, RollupId, Tip, TxId};
use std::sync::Arc;

/// A transaction of a block that does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The transaction.
    pub id: TxId,
    /// Why.
    pub reason: DropReason,
}

/// A committed block with its order.
#[derive(Clone, Debug)]
pub struct OrderedBlock {
    /// The block and the proof that it is final.
    pub committed: CommittedBlock,
    /// Its batches.
    pub batches: Vec<Tip>,
    /// What counts: rollup, id and expiry, in order.
    pub ordered: Vec<(RollupId, TxId, Height)>,
    /// What doesn't.
    pub dropped: Vec<Dropped>,
}

impl OrderedBlock {
    /// Height of the block.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.committed.block.height
    }
}

/// What ordering depends on from block to block.
#[derive(Debug)]
pub(super) struct Orderer {
    network: NetworkId,
    rules: OrderRules,
    dedup: Dedup,
}

impl Orderer {
    /// Rebuilds the state after the last stored block, from the blocks whose transactions may not have
    /// expired.
    pub(super) fn recover(
        network: NetworkId,
        rules: OrderRules,
        key: IdHashKey,
        blocks: &[Arc<OrderedBlock>],
    ) -> Self {
        let head = Height(blocks.len() as u64);
        let first = head.0.saturating_sub(rules.expiry_max_blocks).max(1);
        let recent = blocks.iter().filter(|block| block.height().0 >= first);
        let ids = recent.flat_map(|block| &block.ordered);
        let ids = ids.filter(|(_, _, expiry)| *expiry > head);
        let dedup = Dedup::restore(key, head, ids.map(|(_, id, expiry)| (*expiry, *id)));
        Self {
            network,
            rules,
            dedup,
        }
    }

    /// Orders a block from its batches: lanes ascending, in each by position.
    pub(super) fn order(&mut self, committed: CommittedBlock, batches: &[Batch]) -> OrderedBlock {
        let lanes: Vec<Vec<Batch>> = batches
            .chunk_by(|a, b| a.header().lane == b.header().lane)
            .map(<[Batch]>::to_vec)
            .collect();
        let input = OrderInput {
            network: &self.network,
            block: &committed.hash,
            height: committed.block.height,
            lanes: &lanes,
        };
        let order = order_block(&input, &self.rules, &mut self.dedup);
        let expiry = |place: squad_mempool::order::BatchPlace| {
            let meta = batches[place.batch as usize].meta(place.index as usize);
            meta.map_or(Height::ZERO, |meta| meta.expiry)
        };
        let ordered = order.rollups.into_iter().flat_map(|list| {
            let rollup = list.rollup;
            list.ids
                .into_iter()
                .zip(list.places)
                .map(move |(id, place)| (rollup, id, place))
        });
        OrderedBlock {
            batches: order.batches,
            ordered: ordered
                .map(|(rollup, id, place)| (rollup, id, expiry(place)))
                .collect(),
            dropped: order
                .dropped
                .into_iter()
                .map(|dropped| Dropped {
                    id: dropped.id,
                    reason: dropped.reason,
                })
                .collect(),
            committed,
        }
    }
}
