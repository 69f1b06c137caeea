//! What a node finds when it reads its store: everything written, durable or not.

use super::OrderedBlock;
use crate::disk::Image;
use squad_mempool::PersistId;
use squad_primitives::message::{BLOCKS_PER_PAGE, HEADERS_PER_PAGE, SyncedBlock};
use squad_primitives::{Batch, BatchSeq, Digest, Height, SignedHeader, Tip};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Readable state.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Longest way back along a lane for one request, in batches: as in the node, twice a lane's window.
    walk_max: usize,
    pub(super) batches: BTreeMap<Digest, Batch>,
    pub(super) blocks: Vec<Arc<OrderedBlock>>,
    heights: BTreeMap<Digest, Height>,
}

impl Memory {
    pub(super) fn of(image: &Image, window_batches: u64) -> Self {
        let mut memory = Self {
            walk_max: usize::try_from(window_batches.saturating_mul(2)).unwrap_or(usize::MAX),
            batches: image
                .bodies
                .iter()
                .map(|(digest, (batch, _))| (*digest, batch.clone()))
                .collect(),
            ..Self::default()
        };
        for block in &image.blocks {
            memory.add_block(block.clone());
        }
        memory
    }

    pub(super) fn add_block(&mut self, block: Arc<OrderedBlock>) {
        self.heights.insert(block.committed.hash, block.height());
        self.blocks.push(block);
    }

    pub(super) fn block(&self, height: Height) -> Option<&Arc<OrderedBlock>> {
        self.blocks
            .get(usize::try_from(height.0.checked_sub(1)?).ok()?)
    }

    pub(super) fn block_by_hash(&self, hash: &Digest) -> Option<&Arc<OrderedBlock>> {
        self.block(*self.heights.get(hash)?)
    }

    pub(super) fn synced_blocks(&self, from: Height) -> Vec<SyncedBlock> {
        let first = usize::try_from(from.0.saturating_sub(1)).unwrap_or(usize::MAX);
        let page = self.blocks.iter().skip(first).take(BLOCKS_PER_PAGE);
        page.map(|block| SyncedBlock {
            block: block.committed.block.clone(),
            proof: (*block.committed.proof).clone(),
        })
        .collect()
    }

    /// Headers in `(after, tip]` along the branch of `tip`, ascending, at most one page.
    pub(super) fn headers_back(&self, tip: &Tip, after: BatchSeq) -> Vec<SignedHeader> {
        let mut headers = Vec::new();
        let mut digest = tip.digest;
        while let Some(batch) = self.batches.get(&digest) {
            if batch.header().seq <= after || headers.len() >= self.walk_max {
                break;
            }
            digest = batch.header().parent;
            headers.push(*batch.signed());
        }
        headers.reverse();
        headers.truncate(HEADERS_PER_PAGE);
        headers
    }
}

/// One order of durability over two files, as the node's `durability`: the highest number below which no
/// write is under way.
#[derive(Debug, Default)]
pub(super) struct Watermark {
    pending: BTreeSet<PersistId>,
    highest: PersistId,
    reported: PersistId,
}

impl Watermark {
    pub(super) fn begin(&mut self, id: PersistId) {
        assert!(id > self.highest, "writes are numbered in order");
        self.pending.insert(id);
        self.highest = id;
    }

    pub(super) fn finish(&mut self, ids: &[PersistId]) -> Option<PersistId> {
        for id in ids {
            self.pending.remove(id);
        }
        let durable = match self.pending.first() {
            Some(first) => PersistId(first.0 - 1),
            None => self.highest,
        };
        let moved = durable > self.reported;
        self.reported = self.reported.max(durable);
        moved.then_some(durable)
    }
}
