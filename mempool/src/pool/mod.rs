//! Accepted transactions: fair queues, and an index that says where each one is.
//!
//! A [`Pool`] has one owner, behind one mutex in the shell. Nothing under that mutex hashes a
//! transaction or copies a payload except draining, which copies what fits into one batch. Pushing
//! costs 0.2 to 0.4 µs, most of it cache misses of the index; the API pushes what arrived together under
//! one lock.
//!
//! - **Fair shares.** One queue per rollup, drained by deficit round-robin over bytes (Shreedhar and
//!   Varghese, SIGCOMM '95): in each batch every waiting rollup gets the same number of bytes, give or
//!   take one transaction, however long the others' queues are.
//! - **Room.** A rollup may hold at most [`SHARE_FACTOR`] times the room that is still free (dynamic
//!   thresholds, Choudhury and Hahne, 1998). Alone it may use four fifths of the pool. As others come
//!   its share shrinks, and some room always stays for one who comes next. Below
//!   [`PoolConfig::rollup_floor_bytes`] only the limits of the whole pool apply.
//! - **Overload.** Where the network can't take more, what waits only gets older. The pool is then told
//!   how much it may hold ([`Pool::set_room`]): far less than its limit. A rollup may then hold an equal
//!   part of that, or as much as is free, if that is more.
//! - **Expiry.** Queued transactions that expired are dropped when their turn comes; they cost no byte
//!   of a batch. Their entries in the index end with [`Pool::expire`].

mod index;
mod queues;
mod rate;

pub use index::{Expired, Place};

use crate::admission::Admitted;
use crate::{IdHashKey, Refusal};
use index::Index;
use queues::Queues;
use rate::DrainRate;
use squad_primitives::{BatchBuilder, BatchSeq, Duration, Height, RollupId, Time, TxId};

/// A rollup may hold at most this many times the room that is free.
pub const SHARE_FACTOR: u64 = 4;

/// Limits of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// Most bytes of encoded transactions that wait for a batch.
    pub bytes_max: u64,
    /// Most transactions that wait for a batch. Each costs about 200 bytes besides its payload.
    pub transactions_max: u64,
    /// Up to this many bytes a rollup's share does not shrink.
    pub rollup_floor_bytes: u64,
    /// Most transactions that the index follows: waiting and batched ones together.
    pub followed_max: usize,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            bytes_max: 512 << 20,
            transactions_max: 500_000,
            // 512 such rollups fit into half of the pool.
            rollup_floor_bytes: 512 << 10,
            // 100 bytes each: 200 MiB. At 25,000 per second and operator, 80 s of transactions that are
            // batched and not yet ordered; the lane's window closes long before.
            followed_max: 2_000_000,
        }
    }
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Transactions that wait for a batch.
    pub transactions: u64,
    /// Their encoded bytes.
    pub bytes: u64,
    /// Since when the pool has not been empty, or since the last batch if that is later.
    pub since: Option<Time>,
}

/// Queues and index of one operator's accepted transactions.
#[derive(Debug)]
pub struct Pool {
    config: PoolConfig,
    queues: Queues,
    index: Index,
    rate: DrainRate,
    since: Option<Time>,
    /// Bytes to hold for now, if fewer than the limit.
    room: Option<u64>,
}

impl Pool {
    /// An empty pool. `key` is a secret of this process.
    #[must_use]
    pub fn new(config: PoolConfig, key: IdHashKey) -> Self {
        Self {
            config,
            queues: Queues::new(key),
            index: Index::new(key),
            rate: DrainRate::default(),
            since: None,
            room: None,
        }
    }

    /// Bytes that should wait from now on, if fewer than [`PoolConfig::bytes_max`]. What waits already
    /// stays, and a rollup that comes later gets its part on top.
    pub fn set_room(&mut self, bytes: Option<u64>) {
        self.room = bytes.filter(|bytes| *bytes < self.config.bytes_max);
    }

    fn bytes_max(&self) -> u64 {
        self.room.unwrap_or(self.config.bytes_max)
    }

    /// What a rollup that holds so many bytes may hold, however much others do. In a short pool that is
    /// an equal part.
    fn floor_bytes(&self, held: u64) -> u64 {
        let rollups = self.queues.rollups() as u64 + u64::from(held == 0);
        self.room
            .map_or(self.config.rollup_floor_bytes, |room| room / rollups.max(1))
    }

    /// Takes a transaction.
    ///
    /// # Errors
    /// [`Refusal::Duplicate`], [`Refusal::QueueFull`] or [`Refusal::RollupShare`].
    pub fn push(&mut self, now: Time, admitted: Admitted) -> Result<(), Refusal> {
        let id = admitted.id();
        let rollup = admitted.transaction().rollup;
        let bytes = admitted.transaction().encoded_len() as u64;
        if self.index.place(&id).is_some() {
            return Err(Refusal::Duplicate(id));
        }
        self.check_room(&id, bytes)?;
        // An empty pool takes one transaction, however short it is.
        if !self.queues.is_empty() {
            self.check_share(&id, rollup, bytes)?;
        }
        self.index.queued(id, rollup, admitted.transaction().expiry);
        self.queues.push(admitted);
        self.since.get_or_insert(now);
        Ok(())
    }

    fn check_room(&self, id: &TxId, bytes: u64) -> Result<(), Refusal> {
        use crate::admission::QueueLimit::{Bytes, Transactions};
        let full = |limit, retry_after| Err(Refusal::QueueFull { limit, retry_after });
        let over = (self.queues.bytes() + bytes).saturating_sub(self.config.bytes_max);
        if over > 0 {
            return full(Bytes(self.config.bytes_max), self.rate.wait(over, id));
        }
        let one = bytes.max(1);
        if self.queues.len() >= self.config.transactions_max {
            return full(
                Transactions(self.config.transactions_max),
                self.rate.wait(one, id),
            );
        }
        if self.index.len() >= self.config.followed_max {
            return full(
                Transactions(self.config.followed_max as u64),
                self.rate.wait(one, id),
            );
        }
        Ok(())
    }

    fn check_share(&self, id: &TxId, rollup: RollupId, bytes: u64) -> Result<(), Refusal> {
        use crate::admission::QueueLimit::{Bytes, Transactions};
        let (held_bytes, held) = self.queues.of(rollup);
        if held_bytes + bytes <= self.floor_bytes(held_bytes) {
            return Ok(());
        }
        // In a short pool the factor would leave nothing to whoever refills more slowly than the others.
        let factor = self.room.map_or(SHARE_FACTOR, |_| 1);
        let share = |free: u64| free.saturating_mul(factor);
        let limit = share(self.bytes_max().saturating_sub(self.queues.bytes()));
        let over = (held_bytes + bytes).saturating_sub(limit);
        if over > 0 {
            return Err(Refusal::RollupShare {
                rollup,
                limit: Bytes(limit),
                retry_after: self.rate.wait(over, id),
            });
        }
        let limit = share(self.config.transactions_max - self.queues.len());
        if held >= limit {
            return Err(Refusal::RollupShare {
                rollup,
                limit: Transactions(limit),
                retry_after: self.rate.wait(bytes, id),
            });
        }
        Ok(())
    }

    /// Moves waiting transactions into a batch until the next one would lift its body above
    /// `body_bytes_limit`. `seq` is the position that the batch will have in the own lane; `head` the
    /// last committed height. Transactions that can't be ordered after it are dropped.
    pub fn drain_into(
        &mut self,
        now: Time,
        head: Height,
        seq: BatchSeq,
        builder: &mut BatchBuilder,
        body_bytes_limit: usize,
    ) {
        let before = self.queues.bytes();
        let index = &mut self.index;
        self.queues
            .drain_into(head, builder, body_bytes_limit, |id, position| {
                index.batched(id, seq, position);
            });
        self.rate
            .on_drained(now, before.saturating_sub(self.queues.bytes()));
        self.since = (!self.queues.is_empty()).then_some(now);
    }

    /// How much waits for a batch.
    #[must_use]
    pub fn load(&self) -> Load {
        Load {
            transactions: self.queues.len(),
            bytes: self.queues.bytes(),
            since: self.since,
        }
    }

    /// Where a transaction is, if it was accepted here and is neither ordered nor expired.
    #[must_use]
    pub fn place(&self, id: &TxId) -> Option<Place> {
        self.index.place(id)
    }

    /// Puts batched transactions back into the index after a restart, from an own batch that is not
    /// yet ordered.
    pub fn on_recovered(&mut self, seq: BatchSeq, batch: &squad_primitives::Batch) {
        for (position, id) in batch.ids().iter().enumerate() {
            if let Some(meta) = batch.meta(position) {
                self.index.queued(*id, meta.rollup, meta.expiry);
                let position = u32::try_from(position).unwrap_or(u32::MAX);
                self.index.batched(*id, seq, position);
            }
        }
    }

    /// Forgets transactions that a committed block ordered or dropped; storage answers for them now.
    pub fn on_ordered<'a>(&mut self, ids: impl IntoIterator<Item = &'a TxId>) {
        for id in ids {
            self.index.remove(id);
        }
    }

    /// Forgets and returns transactions that were not ordered up to `head` and expired there. Called
    /// after [`Pool::on_ordered`] for each block.
    pub fn expire(&mut self, head: Height) -> Vec<Expired> {
        self.index.expire(head)
    }

    /// Bounds of [`Refusal::retry_after`] for a full pool.
    pub const RETRY_MIN: Duration = Duration::from_millis(10);
    /// See [`Pool::RETRY_MIN`].
    pub const RETRY_MAX: Duration = Duration::from_secs(5);
}

#[cfg(test)]
mod tests;
