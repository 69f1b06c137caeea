//! The order inside a block (architecture.md §5), and the rule that a transaction is ordered once.
//!
//! The cut fixes which batches a block holds; the order of their transactions follows from the block
//! alone, so a leader can't choose it:
//!
//! 1. The block's seed ([`order_seed`]) picks a starting lane among the lanes that have batches in the
//!    block. Batches are interleaved: the first batch of each lane from the starting one on, cyclically
//!    by operator; then the second of each, and so on.
//! 2. Each rollup gets its transactions in that sequence. A rollup with the policy
//!    [`Fifo`](OrderPolicy::Fifo) gets them lane by lane, lanes by operator, batches by position.
//! 3. In block h a transaction counts only if h ≤ expiry ≤ h + `expiry_max_blocks`, its rollup is
//!    registered, it is plain, and its id has not counted before. Ids that counted are remembered until
//!    their expiry ([`Dedup`]), which is as long as they could count again.
//!
//! Rule 3 is applied here, to every batch of every operator, and not only at admission: an operator may
//! put anything into its batches.

mod dedup;

pub use dedup::Dedup;

use crate::IdHashKey;
use squad_primitives::batch::TxMeta;
use squad_primitives::genesis::OrderPolicy;
use squad_primitives::order::order_seed;
use squad_primitives::{Batch, Digest, Height, NetworkId, RollupId, Tip, TxId, TxKind};
use std::collections::{BTreeMap, HashMap};

/// Rules that are equal on all operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderRules {
    /// How many blocks ahead an expiry may lie.
    pub expiry_max_blocks: u64,
    /// Registered rollups and their policies.
    pub policies: BTreeMap<RollupId, OrderPolicy>,
}

/// A committed block, as far as its order depends on it.
#[derive(Clone, Copy, Debug)]
pub struct OrderInput<'a> {
    /// The network.
    pub network: &'a NetworkId,
    /// Hash of the block.
    pub block: &'a Digest,
    /// Height of the block.
    pub height: Height,
    /// Its batches: one list per lane that moved, lanes ascending by operator, batches by position. No
    /// list is empty.
    pub lanes: &'a [Vec<Batch>],
}

/// Where a transaction stands in the block's batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BatchPlace {
    /// Index into [`Ordered::batches`].
    pub batch: u32,
    /// Index of the transaction in the batch.
    pub index: u32,
}

/// One rollup's transactions in their final order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollupOrder {
    /// The rollup.
    pub rollup: RollupId,
    /// Ids, in order; never empty.
    pub ids: Vec<TxId>,
    /// Where each is found.
    pub places: Vec<BatchPlace>,
}

/// Why a transaction in a batch does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DropReason {
    /// Its id counted before.
    Duplicate,
    /// Its expiry lies below the block.
    Expired,
    /// Its expiry lies further ahead than ids are remembered.
    ExpiryTooFar,
    /// No such rollup.
    UnknownRollup,
    /// Sealed transactions are not active.
    Sealed,
}

/// A transaction that does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Its id.
    pub id: TxId,
    /// Where it is found.
    pub place: BatchPlace,
    /// Why.
    pub reason: DropReason,
}

/// The order of a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ordered {
    /// Batches in lane order: lanes ascending, batches by position.
    pub batches: Vec<Tip>,
    /// Lists of the rollups that have transactions in the block, ascending.
    pub rollups: Vec<RollupOrder>,
    /// Transactions that do not count.
    pub dropped: Vec<Dropped>,
}

/// Orders a block. Every honest operator that starts from the same `dedup` gets the same result and
/// leaves the same `dedup`. Costs about 0.2 µs per transaction.
#[must_use]
pub fn order_block(input: &OrderInput<'_>, rules: &OrderRules, dedup: &mut Dedup) -> Ordered {
    dedup.prune(input.height);
    let mut collector = Collector {
        height: input.height,
        rules,
        slots: HashMap::with_hasher(dedup.key()),
        last: None,
        ordered: Ordered {
            batches: input.lanes.iter().flatten().map(Batch::tip).collect(),
            ..Ordered::default()
        },
        dedup,
    };
    for (number, batch) in interleaved(input) {
        collector.collect(number, batch, OrderPolicy::Shuffle);
    }
    let any_fifo = rules.policies.values().any(|p| *p == OrderPolicy::Fifo);
    if any_fifo {
        for (number, batch) in (0..).zip(input.lanes.iter().flatten()) {
            collector.collect(number, batch, OrderPolicy::Fifo);
        }
    }
    let mut ordered = collector.ordered;
    ordered.rollups.retain(|rollup| !rollup.ids.is_empty());
    ordered.rollups.sort_unstable_by_key(|rollup| rollup.rollup);
    ordered
}

/// Batches in the sequence of rule 1, each with its index in lane order.
fn interleaved<'a>(input: &OrderInput<'a>) -> impl Iterator<Item = (u32, &'a Batch)> {
    let lanes = input.lanes;
    let seed = order_seed(input.network, input.block);
    let word = seed.0.first_chunk::<8>().copied().unwrap_or_default();
    // The remainder is biased by less than 2^-56 for any committee.
    let start =
        usize::try_from(u64::from_le_bytes(word) % (lanes.len().max(1) as u64)).unwrap_or(0);
    let mut first = 0_u32;
    let mut numbered: Vec<(u32, &'a Vec<Batch>)> = Vec::with_capacity(lanes.len());
    for lane in lanes {
        numbered.push((first, lane));
        first = first.saturating_add(u32::try_from(lane.len()).unwrap_or(u32::MAX));
    }
    numbered.rotate_left(start);
    let rounds = lanes.iter().map(Vec::len).max().unwrap_or(0);
    (0..rounds).flat_map(move |round| {
        let row: Vec<_> = numbered
            .iter()
            .filter_map(|(first, lane)| {
                let offset = u32::try_from(round).unwrap_or(u32::MAX);
                Some((first.saturating_add(offset), lane.get(round)?))
            })
            .collect();
        row
    })
}

/// How transactions of a rollup are taken in this block.
#[derive(Clone, Copy)]
struct Slot {
    rollup: RollupId,
    /// `None` if the rollup is not registered.
    policy: Option<OrderPolicy>,
    /// Index into [`Ordered::rollups`].
    index: usize,
}

struct Collector<'a> {
    height: Height,
    rules: &'a OrderRules,
    dedup: &'a mut Dedup,
    slots: HashMap<RollupId, Slot, IdHashKey>,
    /// Slot of the last transaction: neighbours often share a rollup.
    last: Option<Slot>,
    ordered: Ordered,
}

impl Collector<'_> {
    /// Takes those transactions of a batch whose rollup has the policy. Transactions of unknown rollups
    /// are dropped in the pass for [`OrderPolicy::Shuffle`], which is always made.
    fn collect(&mut self, number: u32, batch: &Batch, pass: OrderPolicy) {
        for (index, id) in (0_u32..).zip(batch.ids().iter()) {
            // A parsed batch has metadata for each of its ids.
            let Some(meta) = batch.meta(index as usize) else {
                continue;
            };
            let slot = self.slot(meta.rollup);
            if slot.policy.unwrap_or(OrderPolicy::Shuffle) != pass {
                continue;
            }
            let place = BatchPlace {
                batch: number,
                index,
            };
            match self.judge(id, &meta, slot) {
                Ok(()) => {
                    if let Some(list) = self.ordered.rollups.get_mut(slot.index) {
                        list.ids.push(*id);
                        list.places.push(place);
                    }
                }
                Err(reason) => self.ordered.dropped.push(Dropped {
                    id: *id,
                    place,
                    reason,
                }),
            }
        }
    }

    fn judge(&mut self, id: &TxId, meta: &TxMeta, slot: Slot) -> Result<(), DropReason> {
        let limit = self.height.0.saturating_add(self.rules.expiry_max_blocks);
        if meta.expiry < self.height {
            return Err(DropReason::Expired);
        }
        if meta.expiry.0 > limit {
            return Err(DropReason::ExpiryTooFar);
        }
        if slot.policy.is_none() {
            return Err(DropReason::UnknownRollup);
        }
        if meta.kind == TxKind::Sealed {
            return Err(DropReason::Sealed);
        }
        match self.dedup.insert(meta.expiry, *id) {
            true => Ok(()),
            false => Err(DropReason::Duplicate),
        }
    }

    fn slot(&mut self, rollup: RollupId) -> Slot {
        if let Some(slot) = self.last.filter(|slot| slot.rollup == rollup) {
            return slot;
        }
        let slot = match self.slots.get(&rollup) {
            Some(slot) => *slot,
            None => self.new_slot(rollup),
        };
        self.last = Some(slot);
        slot
    }

    fn new_slot(&mut self, rollup: RollupId) -> Slot {
        let policy = self.rules.policies.get(&rollup).copied();
        let slot = Slot {
            rollup,
            policy,
            index: self.ordered.rollups.len(),
        };
        if policy.is_some() {
            self.ordered.rollups.push(RollupOrder {
                rollup,
                ids: Vec::new(),
                places: Vec::new(),
            });
        }
        // Unknown rollups get a slot too: at most one per transaction of the block, which is gone
        // after it.
        self.slots.insert(rollup, slot);
        slot
    }
}

#[cfg(test)]
mod tests;
