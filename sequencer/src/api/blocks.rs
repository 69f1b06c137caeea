//! Reading ordered blocks, one by one or along the chain, and finding transactions and batches in them.

use super::context::{Context, Shared, blocking};
use super::errors::Failure;
use crate::node::record::{OrderedBlock, RollupPart};
use squad_primitives::{BatchSeq, Height, OperatorId, TxId};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::watch;

/// Most blocks read from the store at once while history is replayed. A reader begins with one and gets
/// twice as many each time, so that little is read for those who leave at once.
const READ_AHEAD: u64 = 8;
/// Transactions after which no further block is read ahead: about 40 KiB of ids.
const READ_AHEAD_TRANSACTIONS: usize = 1_024;

/// A transaction in an ordered block.
#[derive(Clone, Debug)]
pub(crate) struct Located {
    /// Its block.
    pub(crate) block: Arc<OrderedBlock>,
    part: usize,
    position: usize,
}

impl Located {
    /// The part of its rollup.
    pub(crate) fn part(&self) -> &RollupPart {
        &self.block.rollups[self.part]
    }

    /// Its index in the part.
    pub(crate) const fn position(&self) -> usize {
        self.position
    }

    /// Its id.
    pub(crate) fn id(&self) -> TxId {
        self.part().ids[self.position]
    }

    /// A transaction by its place among its rollup's.
    pub(crate) fn at(
        block: Arc<OrderedBlock>,
        rollup: squad_primitives::RollupId,
        position: u32,
    ) -> Option<Self> {
        let part = block
            .rollups
            .binary_search_by_key(&rollup, |part| part.leaf.rollup)
            .ok()?;
        let position = usize::try_from(position).ok()?;
        block.rollups.get(part)?.ids.get(position)?;
        Some(Self {
            block,
            part,
            position,
        })
    }

    /// A transaction by its index over all parts of the block.
    fn by_ordinal(block: Arc<OrderedBlock>, ordinal: u32, id: &TxId) -> Option<Self> {
        let mut position = usize::try_from(ordinal).ok()?;
        for (part, rollup) in block.rollups.iter().enumerate() {
            if let Some(found) = rollup.ids.get(position) {
                let same = found == id;
                return same.then_some(Self {
                    block: Arc::clone(&block),
                    part,
                    position,
                });
            }
            position -= rollup.ids.len();
        }
        None
    }
}

/// Where a transaction is ordered, as the index says.
#[derive(Clone, Debug)]
pub(crate) enum Lookup {
    /// Nowhere that this node knows.
    Unknown,
    /// In a block that is pruned. The index keeps half of each id, so this may be another transaction.
    Pruned(Height),
    /// Here.
    Found(Located),
}

impl Context {
    /// Finds an ordered transaction. Reads the store.
    pub(crate) fn locate(&self, id: &TxId) -> Result<Lookup, Failure> {
        let Some(place) = self.node.reader.find_tx(id)? else {
            return Ok(Lookup::Unknown);
        };
        // The index may be ahead of what is published.
        if place.height > self.head() {
            return Ok(Lookup::Unknown);
        }
        let Some(block) = self.node.block(place.height)? else {
            return Ok(Lookup::Pruned(place.height));
        };
        let found = Located::by_ordinal(block, place.ordinal, id);
        Ok(found.map_or(Lookup::Unknown, Lookup::Found))
    }

    /// The block at a height, or why there is none. Reads the store.
    pub(crate) fn block_at(&self, height: Height) -> Result<Arc<OrderedBlock>, Failure> {
        let head = self.head();
        if height > head {
            return Err(Failure::future(height, head));
        }
        let earliest = self.node.reader.earliest();
        match self.node.block(height)? {
            Some(block) if height >= earliest => Ok(block),
            _ => Err(Failure::pruned(height, self.node.reader.earliest())),
        }
    }

    /// The block that orders batch `seq` of a lane, and the batch's index in its headers; `None` if it
    /// is not ordered yet. Reads the store.
    pub(crate) fn block_of_batch(
        &self,
        lane: OperatorId,
        seq: BatchSeq,
    ) -> Result<Option<(Arc<OrderedBlock>, usize)>, Failure> {
        let head = self.head();
        let earliest = self.node.reader.earliest();
        if head < earliest {
            return Ok(None);
        }
        // The first height whose cut reaches the batch, by halving: cuts never move back.
        let (mut low, mut high) = (earliest.0, head.0 + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.cut_seq(Height(middle), lane)? < seq {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        if low > head.0 {
            return Ok(None);
        }
        let block = self.block_at(Height(low))?;
        let index = batch_in(&block, lane, seq)
            .ok_or_else(|| Failure::unknown_batch(super::errors::LaneSeq(lane, seq)))?;
        Ok(Some((block, index)))
    }

    fn cut_seq(&self, height: Height, lane: OperatorId) -> Result<BatchSeq, Failure> {
        if let Some(block) = self.node.hub.recent(height) {
            return Ok(block.committed.block.cut.seq(lane));
        }
        let found = self.node.reader.synced_blocks(height, 1, usize::MAX)?;
        match found.first().filter(|synced| synced.block.height == height) {
            Some(synced) => Ok(synced.block.cut.seq(lane)),
            None => Err(Failure::pruned(height, self.node.reader.earliest())),
        }
    }
}

/// Index of a batch in the headers of a block.
pub(crate) fn batch_in(block: &OrderedBlock, lane: OperatorId, seq: BatchSeq) -> Option<usize> {
    block
        .headers
        .binary_search_by_key(&(lane, seq), |signed| {
            (signed.header.lane, signed.header.seq)
        })
        .ok()
}

/// Reads blocks in height order, from the store while behind and from memory at the head.
#[derive(Debug)]
pub(crate) struct BlockReader {
    ctx: Shared,
    head: watch::Receiver<Height>,
    ahead: VecDeque<Arc<OrderedBlock>>,
    /// Blocks to be read next time.
    next_read: u64,
    /// Whether it waits for its turn where history is read.
    yields: bool,
}

impl BlockReader {
    /// A client's reader, which starts anywhere.
    pub(crate) fn new(ctx: Shared) -> Self {
        Self {
            head: ctx.node.hub.subscribe(),
            ctx,
            ahead: VecDeque::new(),
            next_read: 1,
            yields: true,
        }
    }

    /// A reader on behalf of all clients, which waits for none of them even if it falls behind.
    pub(crate) fn of_node(ctx: Shared) -> Self {
        Self {
            next_read: READ_AHEAD,
            yields: false,
            ..Self::new(ctx)
        }
    }

    /// The block at a height, once there is one. Can be cancelled without losing anything.
    pub(crate) async fn wait_for(&mut self, height: Height) -> Result<Arc<OrderedBlock>, Failure> {
        let reached = self.head.wait_for(|head| *head >= height).await;
        // The hub goes when the node stops.
        reached.map_err(|_| Failure::shutting_down())?;
        if let Some(block) = self.ctx.node.hub.recent(height) {
            self.ahead.clear();
            return Ok(block);
        }
        while let Some(block) = self.ahead.pop_front() {
            if block.height() == height {
                return Ok(block);
            }
        }
        let (ctx, count) = (Arc::clone(&self.ctx), self.next_read);
        let read = move || read(&ctx, height, count);
        self.ahead = match self.yields {
            true => self.ctx.read_history(read).await?,
            false => blocking(read).await?,
        };
        self.next_read = READ_AHEAD.min(2 * count);
        let first = self.ahead.pop_front();
        first.ok_or_else(|| Failure::pruned(height, self.ctx.node.reader.earliest()))
    }
}

/// At least one and at most `count` blocks from a height on.
fn read(ctx: &Context, from: Height, count: u64) -> Result<VecDeque<Arc<OrderedBlock>>, Failure> {
    let last = ctx.head().0.min(from.0.saturating_add(count - 1));
    let mut blocks = VecDeque::new();
    let mut transactions = 0;
    for height in from.0..=last {
        if transactions > READ_AHEAD_TRANSACTIONS {
            break;
        }
        match ctx.block_at(Height(height)) {
            Ok(block) => {
                transactions += block
                    .rollups
                    .iter()
                    .map(|part| part.ids.len())
                    .sum::<usize>();
                blocks.push_back(block);
            }
            Err(failure) if blocks.is_empty() => return Err(failure),
            Err(_) => break,
        }
    }
    Ok(blocks)
}
