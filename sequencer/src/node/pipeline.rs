//! From a committed block to an ordered, stored and published one.
//!
//! One thread, one block at a time, in height order. It runs behind consensus and never holds it up:
//! committed blocks queue here, and the lane window bounds how far lanes run ahead, so the queue is
//! bounded by what may be committed and not yet ordered.
//!
//! A block becomes visible when its record is written. Not every record is synced: a final block can be
//! derived again, from consensus records and batches that are synced, with the same result. So one sync
//! serves the blocks of [`SYNC_INTERVAL`], and only then may consensus and the lanes forget what the
//! blocks were derived from. It comes whether or not more blocks follow: lanes that are far behind collect
//! no further before they may forget.

use super::batches::BatchCache;
use super::core::{CoreInput, CoreSender};
use super::hub::Hub;
use super::ingress::Ingress;
use super::mach::{MachInput, MachMetrics, MachSender, statement_of};
use super::metrics::PipelineMetrics;
use super::reader::{Reader, rollup_key};
use super::record::{DroppedTx, OrderedBlock, Place, RollupPart};
use anyhow::anyhow;
use squad_mach::{MachCommittee, RollupState, RollupTree};
use squad_mempool::order::{OrderInput, RollupOrder};
use squad_mempool::{Dedup, IdHashKey, OrderRules, Ordered, order_block};
use squad_primitives::codec::Encode;
use squad_primitives::order::{OrderResult, RollupLeaf, order_root};
use squad_primitives::{Batch, CommittedBlock, Digest, Height, NetworkId, Signer, Tip, TxId};
use squad_storage::{Changes, Database, StorageError, Store, Table};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A committed block whose batches are all held durably.
#[derive(Debug)]
pub(crate) struct ToOrder {
    /// The block.
    pub(crate) block: CommittedBlock,
    /// Its batches: lanes ascending, in each lane by position.
    pub(crate) batches: Vec<Tip>,
}

/// Sending side of the pipeline.
pub(crate) type PipelineSender = Sender<ToOrder>;

/// Key in [`Table::Meta`]: batches stored under a lower tag are all ordered.
pub(crate) const FLOOR_KEY: &[u8] = b"unordered_floor";
/// Blocks between two updates of the floor. An older floor is only more careful.
const FLOOR_INTERVAL: u64 = 64;

/// Blocks written within this time of a sync wait for the next one. Peers need what is kept for them
/// anyway, so nothing is gained by a shorter time; a sync costs about 0.1 ms of CPU.
const SYNC_INTERVAL: Duration = Duration::from_millis(100);
/// Longest wait for a block while none waits for its sync.
const IDLE: Duration = Duration::from_secs(3_600);

/// Ids that are ordered and could be ordered again: written with each block, looked at when transactions
/// come in. Held for the time of ordering a block, at most some milliseconds.
pub(crate) type SharedDedup = Arc<Mutex<Dedup>>;

/// Rebuilds the ids after the last stored block. `hash_key` is a secret of this process.
///
/// # Errors
/// The store can't be read.
pub(crate) fn recover_dedup(
    rules: &OrderRules,
    hash_key: IdHashKey,
    reader: &Reader,
    head: Height,
) -> Result<SharedDedup, StorageError> {
    let first = head.0.saturating_sub(rules.expiry_max_blocks).max(1);
    let mut ids: Vec<(Height, TxId)> = Vec::new();
    for height in first..=head.0 {
        let Some(block) = reader.block(Height(height))? else {
            continue;
        };
        for part in block.rollups {
            // What expired already can't come again.
            ids.extend(
                part.expiries
                    .into_iter()
                    .zip(part.ids)
                    .filter(|(expiry, _)| *expiry > head),
            );
        }
    }
    Ok(Arc::new(Mutex::new(Dedup::restore(hash_key, head, ids))))
}

/// A block with what follows from it.
#[derive(Debug)]
pub(crate) struct Executed {
    /// The block in its order.
    pub(crate) block: OrderedBlock,
    /// New leaves of the rollups that have a part of it.
    pub(crate) states: Vec<RollupState>,
    /// Root over all rollups after it.
    pub(crate) rollups_root: Digest,
}

/// What ordering depends on from block to block.
#[derive(Debug)]
pub(crate) struct Orderer {
    network: NetworkId,
    rules: OrderRules,
    dedup: SharedDedup,
    /// The rollups after the last block.
    rollups: RollupTree,
    /// Attests results; observers have none.
    key: Option<Arc<dyn Signer>>,
}

impl Orderer {
    /// Rebuilds the state after the last stored block.
    ///
    /// # Errors
    /// The store can't be read, or holds leaves of the rollup tree that make no tree.
    pub(crate) fn recover(
        network: NetworkId,
        rules: OrderRules,
        dedup: SharedDedup,
        key: Option<Arc<dyn Signer>>,
        reader: &Reader,
    ) -> Result<Self, StorageError> {
        let mut states = Vec::with_capacity(rules.policies.len());
        for rollup in rules.policies.keys() {
            let state = reader.rollup_state(*rollup, Height(u64::MAX))?;
            states.push(state.unwrap_or(RollupState::empty(*rollup)));
        }
        let rollups = RollupTree::new(states).map_err(|_| StorageError::CorruptEntry {
            table: Table::RollupStates.name(),
        })?;
        Ok(Self {
            network,
            rules,
            dedup,
            rollups,
            key,
        })
    }

    /// Orders a block from its batches, one list per lane.
    pub(crate) fn order(&mut self, block: CommittedBlock, lanes: &[Vec<Batch>]) -> Executed {
        let input = OrderInput {
            network: &self.network,
            block: &block.hash,
            height: block.block.height,
            lanes,
        };
        let ordered = {
            let mut dedup = self.dedup.lock().unwrap_or_else(PoisonError::into_inner);
            order_block(&input, &self.rules, &mut dedup)
        };
        let batches: Vec<&Batch> = lanes.iter().flatten().collect();
        let block = self.finish(block, &batches, ordered);
        let leaves = block.leaves();
        if let Err(error) = self.rollups.apply(block.height(), &leaves) {
            // The numbers of the parts come from this very tree.
            super::fatal(&error);
        }
        Executed {
            states: leaves
                .iter()
                .filter_map(|leaf| self.rollups.state(leaf.rollup).copied())
                .collect(),
            rollups_root: self.rollups.root(),
            block,
        }
    }

    fn finish(&self, block: CommittedBlock, batches: &[&Batch], ordered: Ordered) -> OrderedBlock {
        let rollups: Vec<RollupPart> = ordered
            .rollups
            .into_iter()
            .map(|list| self.part(list, batches))
            .collect();
        let leaves: Vec<RollupLeaf> = rollups.iter().map(|part| part.leaf).collect();
        let result = OrderResult {
            epoch: block.block.at.epoch,
            height: block.block.height,
            block: block.hash,
            order_root: order_root(&self.network, &leaves),
            rollup_count: u32::try_from(leaves.len()).unwrap_or(u32::MAX),
            tx_count: leaves.iter().map(|leaf| leaf.tx_count).sum(),
        };
        OrderedBlock {
            attestation: self
                .key
                .as_ref()
                .map(|key| result.attest(&self.network, &**key)),
            committed: block,
            headers: batches.iter().map(|batch| *batch.signed()).collect(),
            result,
            rollups,
            dropped: ordered
                .dropped
                .into_iter()
                .map(|dropped| DroppedTx {
                    id: dropped.id,
                    place: place(dropped.place),
                    reason: dropped.reason,
                })
                .collect(),
        }
    }

    fn part(&self, list: RollupOrder, batches: &[&Batch]) -> RollupPart {
        let state = self.rollups.state(list.rollup);
        let number = state.map_or(1, |state| state.number + 1);
        RollupPart {
            leaf: RollupLeaf::new(list.rollup, number, &list.ids),
            expiries: list
                .places
                .iter()
                .map(|place| {
                    batches
                        .get(place.batch as usize)
                        .and_then(|batch| batch.meta(place.index as usize))
                        .map_or(Height::ZERO, |meta| meta.expiry)
                })
                .collect(),
            places: list.places.into_iter().map(place).collect(),
            ids: list.ids,
        }
    }
}

const fn place(place: squad_mempool::order::BatchPlace) -> Place {
    Place {
        batch: place.batch,
        index: place.index,
    }
}

/// Splits batches into one list per lane.
pub(crate) fn by_lane(batches: Vec<Batch>) -> Vec<Vec<Batch>> {
    let mut lanes: Vec<Vec<Batch>> = Vec::new();
    for batch in batches {
        match lanes.last_mut() {
            Some(lane) if lane[0].header().lane == batch.header().lane => lane.push(batch),
            _ => lanes.push(vec![batch]),
        }
    }
    lanes
}

/// Writes an executed block and what finds it again.
pub(crate) fn record_changes(executed: &Executed) -> Changes {
    let block = &executed.block;
    let height = block.height().0.to_be_bytes();
    let mut changes = Changes::new(Database::Main);
    changes.put(Table::Blocks, height, block.to_bytes());
    changes.put(
        Table::BlockHashes,
        *block.committed.hash.as_bytes(),
        height.to_vec(),
    );
    for part in &block.rollups {
        let key = rollup_key(part.leaf.rollup, part.leaf.number);
        changes.put(Table::RollupBlocks, key, height.to_vec());
    }
    for state in &executed.states {
        let key = rollup_key(state.rollup, state.last_height.0);
        changes.put(Table::RollupStates, key, state.to_bytes());
    }
    changes
}

/// Ids of a block in the order of its record.
pub(crate) fn ids_of(block: &OrderedBlock) -> Vec<TxId> {
    block
        .rollups
        .iter()
        .flat_map(|part| part.ids.iter().copied())
        .collect()
}

/// The way to the thread that attests.
#[derive(Clone, Debug)]
pub(crate) struct Attesting {
    pub(crate) sender: MachSender,
    pub(crate) committee: MachCommittee,
    pub(crate) metrics: MachMetrics,
}

impl Attesting {
    /// What the thread is told about a block once it is stored.
    fn input(&self, network: &NetworkId, executed: &Executed) -> MachInput {
        let block = &executed.block;
        MachInput::Executed {
            statement: statement_of(network, &self.committee, block, executed.rollups_root),
            timestamp_ms: block.committed.block.timestamp_ms,
        }
    }
}

/// The pipeline of an operator.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) orderer: Orderer,
    pub(crate) reader: Arc<Reader>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) cache: Arc<BatchCache>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) ingress: Arc<Ingress>,
    pub(crate) core: CoreSender,
    pub(crate) metrics: PipelineMetrics,
    /// Where results go to be attested.
    pub(crate) attesting: Option<Attesting>,
    /// When a block was last synced.
    pub(crate) synced_at: Instant,
    /// Whether a block was written since.
    pub(crate) unsynced: bool,
}

impl Pipeline {
    /// Orders blocks until the core thread is gone.
    pub(crate) fn run(mut self, blocks: &Receiver<ToOrder>, mut head: Height) {
        loop {
            let wait = match self.unsynced {
                true => SYNC_INTERVAL.saturating_sub(self.synced_at.elapsed()),
                false => IDLE,
            };
            let ToOrder { block, batches } = match blocks.recv_timeout(wait) {
                Ok(next) => next,
                Err(RecvTimeoutError::Timeout) => {
                    self.sync(head);
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            // After a restart consensus repeats blocks that were stored just before the crash.
            if block.block.height <= head {
                let _ = self.core.send(CoreInput::Processed(block.block.height));
                continue;
            }
            head = block.block.height;
            self.process(block, &batches);
        }
    }

    /// Syncs what was written, if no further block has done so.
    fn sync(&mut self, head: Height) {
        if !self.unsynced {
            return;
        }
        (self.synced_at, self.unsynced) = (Instant::now(), false);
        let mut changes = Changes::new(Database::Main);
        let floor = self.cache.oldest().unwrap_or(head);
        changes.put(Table::Meta, FLOOR_KEY, floor.0.to_be_bytes().to_vec());
        let core = self.core.clone();
        self.store.commit(
            changes,
            Box::new(move || {
                let _ = core.send(CoreInput::Processed(head));
            }),
        );
    }

    fn process(&mut self, block: CommittedBlock, batches: &[Tip]) {
        let start = Instant::now();
        let bodies: Vec<Batch> = batches
            .iter()
            .map(|tip| match self.reader.batch(&tip.digest) {
                Ok(Some(batch)) => batch,
                Ok(None) => {
                    let missing = anyhow!("batch {} of a final block is not stored", tip.digest);
                    super::fatal(missing.as_ref())
                }
                Err(error) => super::fatal(&error),
            })
            .collect();
        let executed = self.orderer.order(block, &by_lane(bodies));
        let mut changes = record_changes(&executed);
        let attesting = self.attesting.clone();
        let input = attesting
            .as_ref()
            .map(|attesting| attesting.input(&self.orderer.network, &executed));
        let ordered = Arc::new(executed.block);
        self.metrics.ordered(&ordered, start.elapsed());
        let (hub, cache, ingress, core, store, metrics) = (
            self.hub.clone(),
            self.cache.clone(),
            self.ingress.clone(),
            self.core.clone(),
            self.store.clone(),
            self.metrics.clone(),
        );
        let digests: Vec<_> = batches.iter().map(|tip| tip.digest).collect();
        let sync = self.synced_at.elapsed() >= SYNC_INTERVAL;
        self.unsynced = !sync;
        if sync {
            self.synced_at = Instant::now();
        } else {
            changes = changes.without_sync();
        }
        if ordered.height().0.is_multiple_of(FLOOR_INTERVAL) {
            let floor = self.cache.oldest().unwrap_or(ordered.height());
            changes.put(Table::Meta, FLOOR_KEY, floor.0.to_be_bytes().to_vec());
        }
        self.store.commit(
            changes,
            Box::new(move || {
                let ids = ids_of(&ordered);
                store.index_transactions(ordered.height(), &ids);
                let dropped = ordered.dropped.iter().map(|dropped| &dropped.id);
                ingress.ordered(ordered.height(), ids.iter().chain(dropped));
                cache.remove(&digests);
                metrics.published(&ordered, start.elapsed());
                let height = ordered.height();
                hub.publish(ordered);
                if let (Some(attesting), Some(input)) = (attesting, input)
                    && !attesting.sender.offer(input)
                {
                    attesting.metrics.dropped.inc();
                }
                if sync {
                    let _ = core.send(CoreInput::Processed(height));
                }
            }),
        );
    }
}
