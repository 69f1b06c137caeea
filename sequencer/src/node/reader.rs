//! Reading blocks, batches and transactions back from the store.

use super::batches::BatchCache;
use super::record::{OrderedBlock, decode_committed};
use super::stored::StoredHeader;
use squad_mach::{Certificate, RollupState};
use squad_primitives::BatchSeq;
use squad_primitives::batch::BatchLimits;
use squad_primitives::codec::{self, Reader as Bytes};
use squad_primitives::message::{HEADERS_PER_PAGE, SyncedBlock};
use squad_primitives::{
    Batch, Committee, Digest, Epoch, Height, NetworkId, RollupId, SignedHeader, Tip, TxId,
};
use squad_storage::{Direction, Scan, StorageError, Store, Table};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where a transaction was ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TxLocation {
    /// Height of its block.
    pub(crate) height: Height,
    /// Index over all rollup parts of the block, in the order of [`OrderedBlock::rollups`].
    pub(crate) ordinal: u32,
}

/// Longest way back along a lane to serve one request: twice a lane's window of batches. Askers name a tip
/// no further above what they hold; from further away the answer would not meet it.
const HEADERS_WALK_MAX: usize = 8 * HEADERS_PER_PAGE;

/// Access to what is stored. Calls may touch the disk for a moment; the page cache holds what is recent.
#[derive(Debug)]
pub(crate) struct Reader {
    network: NetworkId,
    committee: Committee,
    limits: BatchLimits,
    store: Arc<dyn Store>,
    cache: Arc<BatchCache>,
    earliest: AtomicU64,
}

impl Reader {
    /// Reads through `cache`, then `store`.
    pub(crate) fn new(
        network: NetworkId,
        committee: Committee,
        limits: BatchLimits,
        store: Arc<dyn Store>,
        cache: Arc<BatchCache>,
    ) -> Result<Self, StorageError> {
        let reader = Self {
            network,
            committee,
            limits,
            store,
            cache,
            earliest: AtomicU64::new(1),
        };
        let first = reader.edge(Direction::Forward)?;
        reader.set_earliest(first.map_or(Height(1), |block| block.height()));
        Ok(reader)
    }

    /// Committee of an epoch. Stake comes from genesis, so the members are the same in every epoch.
    pub(crate) fn committee(&self, epoch: Epoch) -> Committee {
        self.committee.in_epoch(epoch)
    }

    /// Lowest height that is still stored; the first block if there is none yet.
    pub(crate) fn earliest(&self) -> Height {
        Height(self.earliest.load(Ordering::Relaxed))
    }

    /// Blocks below `height` were pruned.
    pub(crate) fn set_earliest(&self, height: Height) {
        self.earliest.store(height.0, Ordering::Relaxed);
    }

    /// The last stored block.
    pub(crate) fn last(&self) -> Result<Option<OrderedBlock>, StorageError> {
        self.edge(Direction::Backward)
    }

    fn edge(&self, direction: Direction) -> Result<Option<OrderedBlock>, StorageError> {
        let found = self.store.scan(
            Table::Blocks,
            Scan {
                from: &[],
                to: None,
                direction,
                limit: 1,
            },
        )?;
        found.first().map(|(_, value)| parse(value)).transpose()
    }

    /// The block at a height.
    pub(crate) fn block(&self, height: Height) -> Result<Option<OrderedBlock>, StorageError> {
        let value = self.store.get(Table::Blocks, &height.0.to_be_bytes())?;
        value.map(|value| parse(&value)).transpose()
    }

    /// Height of the block with this hash.
    pub(crate) fn height_of(&self, hash: &Digest) -> Result<Option<Height>, StorageError> {
        let value = self.store.get(Table::BlockHashes, hash.as_bytes())?;
        value
            .map(|value| height_value(&value, Table::BlockHashes))
            .transpose()
    }

    /// Limits that every batch keeps.
    pub(crate) const fn limits(&self) -> &BatchLimits {
        &self.limits
    }

    /// Headers of a lane in `(after, tip.seq]`, ascending: walks back from the tip. At most one page of
    /// those that directly follow `after`; empty if the tip isn't stored.
    pub(crate) fn headers_back(
        &self,
        tip: &Tip,
        after: BatchSeq,
    ) -> Result<Vec<SignedHeader>, StorageError> {
        let mut headers = std::collections::VecDeque::new();
        let mut digest = tip.digest;
        while let Some(stored) = self.store.body_head(&digest)? {
            let StoredHeader { signed, .. } =
                codec::decode(&stored.header).map_err(|_| corrupt(Table::BodyIndex))?;
            if signed.header.seq <= after || headers.len() >= HEADERS_WALK_MAX {
                break;
            }
            digest = signed.header.parent;
            headers.push_front(signed);
        }
        headers.truncate(HEADERS_PER_PAGE);
        Ok(headers.into())
    }

    /// At most `limit` committed blocks from a height on, as peers sync them, together not above
    /// `bytes_max`.
    pub(crate) fn synced_blocks(
        &self,
        from: Height,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<SyncedBlock>, StorageError> {
        let key = from.0.to_be_bytes();
        let found = self.store.scan(
            Table::Blocks,
            Scan {
                from: &key,
                to: None,
                direction: Direction::Forward,
                limit,
            },
        )?;
        let mut blocks: Vec<SyncedBlock> = Vec::with_capacity(found.len());
        let mut bytes = 0;
        for (_, value) in found {
            let mut reader = Bytes::new(&value);
            let committed = decode_committed(&mut reader).map_err(|_| corrupt(Table::Blocks))?;
            bytes += value.len() - reader.remaining();
            let next = blocks.last().map_or(from, |last| last.block.height.next());
            if committed.block.height != next || (bytes > bytes_max && !blocks.is_empty()) {
                break;
            }
            blocks.push(SyncedBlock {
                block: committed.block,
                proof: Arc::unwrap_or_clone(committed.proof),
            });
        }
        Ok(blocks)
    }

    /// A batch by digest: from memory, else from the body log.
    pub(crate) fn batch(&self, digest: &Digest) -> Result<Option<Batch>, StorageError> {
        if let Some(batch) = self.cache.get(digest) {
            return Ok(Some(batch));
        }
        let Some(stored) = self.store.body(digest)? else {
            return Ok(None);
        };
        let StoredHeader { signed, .. } =
            codec::decode(&stored.header).map_err(|_| corrupt(Table::BodyIndex))?;
        Batch::parse(&self.network, signed, stored.body, &self.limits)
            .map(Some)
            .map_err(|_| corrupt(Table::BodyIndex))
    }

    /// Where a transaction was ordered.
    pub(crate) fn find_tx(&self, id: &TxId) -> Result<Option<TxLocation>, StorageError> {
        let found = self.store.transaction(id)?;
        Ok(found.map(|found| TxLocation {
            height: found.height,
            ordinal: found.position,
        }))
    }

    /// Height of a rollup's block by its number, or of its last block at or below `number`.
    pub(crate) fn rollup_block(
        &self,
        rollup: RollupId,
        number: u64,
    ) -> Result<Option<(u64, Height)>, StorageError> {
        let from = rollup_key(rollup, 0);
        let to = rollup_key(rollup, number.saturating_add(1));
        let found = self.store.scan(
            Table::RollupBlocks,
            Scan {
                from: &from,
                to: Some(&to),
                direction: Direction::Backward,
                limit: 1,
            },
        )?;
        let Some((key, value)) = found.first() else {
            return Ok(None);
        };
        let number = key
            .get(8..16)
            .and_then(|bytes| bytes.try_into().ok())
            .map(u64::from_be_bytes)
            .ok_or_else(|| corrupt(Table::RollupBlocks))?;
        Ok(Some((number, height_value(value, Table::RollupBlocks)?)))
    }

    /// A rollup's leaf after its last block at or below a height; `None` if it had none, or none is
    /// kept.
    pub(crate) fn rollup_state(
        &self,
        rollup: RollupId,
        height: Height,
    ) -> Result<Option<RollupState>, StorageError> {
        let from = rollup_key(rollup, 0);
        let to = rollup_key(rollup, height.next().0);
        let found = self.store.scan(
            Table::RollupStates,
            Scan {
                from: &from,
                to: Some(&to),
                direction: Direction::Backward,
                limit: 1,
            },
        )?;
        found
            .first()
            .map(|(_, value)| {
                RollupState::from_bytes(value).map_err(|_| corrupt(Table::RollupStates))
            })
            .transpose()
    }

    /// The lowest certificate of finality at or above a height.
    pub(crate) fn certificate_from(
        &self,
        height: Height,
    ) -> Result<Option<Certificate>, StorageError> {
        let from = height.0.to_be_bytes();
        let found = self.store.scan(
            Table::Certificates,
            Scan {
                from: &from,
                to: None,
                direction: Direction::Forward,
                limit: 1,
            },
        )?;
        found
            .first()
            .map(|(_, value)| {
                Certificate::from_bytes(value).map_err(|_| corrupt(Table::Certificates))
            })
            .transpose()
    }
}

/// Key of a rollup's block by number in [`Table::RollupBlocks`], by height in [`Table::RollupStates`].
pub(crate) fn rollup_key(rollup: RollupId, number: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&rollup.0.to_be_bytes());
    key[8..].copy_from_slice(&number.to_be_bytes());
    key
}

fn parse(value: &[u8]) -> Result<OrderedBlock, StorageError> {
    codec::decode(value).map_err(|_| corrupt(Table::Blocks))
}

fn height_value(value: &[u8], table: Table) -> Result<Height, StorageError> {
    let bytes = value.try_into().map_err(|_| corrupt(table))?;
    Ok(Height(u64::from_be_bytes(bytes)))
}

fn corrupt(table: Table) -> StorageError {
    StorageError::CorruptEntry {
        table: table.name(),
    }
}
