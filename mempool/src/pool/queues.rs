//! One queue per rollup, drained by deficit round-robin.

use crate::IdHashKey;
use crate::admission::Admitted;
use squad_primitives::{BatchBuilder, Height, RollupId, TxId};
use std::collections::{HashMap, VecDeque};

/// Bytes that a rollup may send per round. Small against a batch (512 KiB), so that many rollups share
/// one; a transaction of the default limit (128 KiB) waits 16 rounds, each a few nanoseconds a rollup.
const QUANTUM_BYTES: u64 = 8 << 10;

/// Bytes per transaction in the batch's offset table.
const OFFSET_BYTES: usize = 4;

#[derive(Debug, Default)]
struct RollupQueue {
    transactions: VecDeque<Admitted>,
    bytes: u64,
    deficit: u64,
}

/// Queues of all rollups that have transactions waiting.
#[derive(Debug)]
pub(super) struct Queues {
    by_rollup: HashMap<RollupId, RollupQueue, IdHashKey>,
    /// Rollups with transactions, in the order of their turns.
    turns: VecDeque<RollupId>,
    bytes: u64,
    len: u64,
}

/// Why a rollup's turn ended.
enum Turn {
    /// Nothing left.
    Empty,
    /// The next transaction is larger than the deficit.
    Spent,
    /// The next transaction does not fit into the batch any more.
    Full,
}

impl Queues {
    pub(super) fn new(key: IdHashKey) -> Self {
        Self {
            by_rollup: HashMap::with_hasher(key),
            turns: VecDeque::new(),
            bytes: 0,
            len: 0,
        }
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Rollups with transactions.
    pub(super) fn rollups(&self) -> usize {
        self.by_rollup.len()
    }

    /// Bytes and transactions of one rollup.
    pub(super) fn of(&self, rollup: RollupId) -> (u64, u64) {
        self.by_rollup.get(&rollup).map_or((0, 0), |queue| {
            (queue.bytes, queue.transactions.len() as u64)
        })
    }

    pub(super) fn push(&mut self, admitted: Admitted) {
        let rollup = admitted.transaction().rollup;
        let bytes = admitted.transaction().encoded_len() as u64;
        let queue = self.by_rollup.entry(rollup).or_default();
        if queue.transactions.is_empty() {
            self.turns.push_back(rollup);
        }
        queue.transactions.push_back(admitted);
        queue.bytes += bytes;
        self.bytes += bytes;
        self.len += 1;
    }

    /// Fills `builder`; calls `taken` with each id and its index in the batch.
    pub(super) fn drain_into(
        &mut self,
        head: Height,
        builder: &mut BatchBuilder,
        body_bytes_limit: usize,
        mut taken: impl FnMut(TxId, u32),
    ) {
        while let Some(rollup) = self.turns.pop_front() {
            let Some(queue) = self.by_rollup.get_mut(&rollup) else {
                continue;
            };
            let (bytes, len) = (queue.bytes, queue.transactions.len());
            queue.deficit += QUANTUM_BYTES;
            let turn = queue.take_turn(head, builder, body_bytes_limit, &mut taken);
            self.bytes -= bytes - queue.bytes;
            self.len -= (len - queue.transactions.len()) as u64;
            match turn {
                // An empty queue loses its deficit: a rollup can't save up turns by staying away.
                Turn::Empty => {
                    self.by_rollup.remove(&rollup);
                }
                Turn::Spent => self.turns.push_back(rollup),
                Turn::Full => {
                    // Its turn is not over; it goes on with the next batch, on the same deficit.
                    queue.deficit = queue.deficit.saturating_sub(QUANTUM_BYTES);
                    self.turns.push_front(rollup);
                    return;
                }
            }
        }
    }
}

impl RollupQueue {
    fn take_turn(
        &mut self,
        head: Height,
        builder: &mut BatchBuilder,
        body_bytes_limit: usize,
        taken: &mut impl FnMut(TxId, u32),
    ) -> Turn {
        while let Some(next) = self.transactions.front() {
            let length = next.transaction().encoded_len();
            let expired = next.transaction().expiry <= head;
            if !expired {
                if length as u64 > self.deficit {
                    return Turn::Spent;
                }
                let fits = builder.body_bytes() + OFFSET_BYTES + length <= body_bytes_limit;
                if !fits && !builder.is_empty() {
                    return Turn::Full;
                }
            }
            let Some(next) = self.transactions.pop_front() else {
                break;
            };
            self.bytes -= length as u64;
            if expired {
                continue;
            }
            self.deficit -= length as u64;
            let index = u32::try_from(builder.len()).unwrap_or(u32::MAX);
            let (id, transaction) = next.into_parts();
            builder.push(id, &transaction);
            taken(id, index);
        }
        Turn::Empty
    }
}
