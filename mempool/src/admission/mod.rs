//! Admission of one transaction, cheap checks first.
//!
//! The shell keeps an [`AdmissionView`] behind an atomic pointer and replaces it when a block commits,
//! a limit changes or the node stops. [`Admission::check`] reads only that view, so any number of API
//! tasks run it at once without a lock; it ends by hashing the transaction, by far its dearest part.
//! What depends on other transactions (duplicates, queue limits, shares) is then checked by
//! [`Pool::push`](crate::Pool::push) under the pool's lock, which never hashes and never copies a
//! payload. Transactions that arrive together are pushed under one lock.

mod refusal;

pub use refusal::{QueueLimit, Refusal};

use squad_primitives::{Height, NetworkId, RollupId, Transaction, TxId, TxKind};
use std::sync::Arc;

/// Limits that are equal on all operators (genesis).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// Largest payload in bytes (`payload_bytes_limit`).
    pub payload_bytes: usize,
    /// How many blocks ahead an expiry may lie (`expiry_max_blocks`).
    pub expiry_max_blocks: u64,
}

/// Whether the node takes transactions at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intake {
    /// It does.
    Open,
    /// It is catching up and would answer with stale heights.
    Syncing,
    /// Nothing has been committed for a while, or too few operators are connected.
    NoQuorum,
    /// Its lane has reached the window ahead of the last committed tip.
    LaneWindow,
    /// It is stopping.
    ShuttingDown,
}

/// What admission looks at; immutable, replaced as a whole.
#[derive(Clone, Debug)]
pub struct AdmissionView {
    /// Whether transactions are taken.
    pub intake: Intake,
    /// Height of the last committed block.
    pub head: Height,
    /// Active rollups.
    pub rollups: Arc<RollupSet>,
}

/// The rollups whose transactions may be ordered, sorted for a binary search: a few cache lines for a
/// thousand of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RollupSet(Vec<RollupId>);

impl RollupSet {
    /// Whether the rollup is in the set.
    #[must_use]
    pub fn contains(&self, rollup: RollupId) -> bool {
        self.0.binary_search(&rollup).is_ok()
    }
}

impl FromIterator<RollupId> for RollupSet {
    fn from_iter<I: IntoIterator<Item = RollupId>>(rollups: I) -> Self {
        let mut sorted: Vec<_> = rollups.into_iter().collect();
        sorted.sort_unstable();
        sorted.dedup();
        Self(sorted)
    }
}

/// A transaction that passed [`Admission::check`], with its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    id: TxId,
    transaction: Transaction,
}

impl Admitted {
    /// Id of the transaction.
    #[must_use]
    pub const fn id(&self) -> TxId {
        self.id
    }

    /// The transaction.
    #[must_use]
    pub const fn transaction(&self) -> &Transaction {
        &self.transaction
    }

    pub(crate) fn into_parts(self) -> (TxId, Transaction) {
        (self.id, self.transaction)
    }
}

/// The checks that need no lock.
#[derive(Clone, Copy, Debug)]
pub struct Admission {
    network: NetworkId,
    limits: AdmissionLimits,
}

impl Admission {
    /// Admission for one network.
    #[must_use]
    pub const fn new(network: NetworkId, limits: AdmissionLimits) -> Self {
        Self { network, limits }
    }

    /// Judges a transaction and computes its id.
    ///
    /// # Errors
    /// The first [`Refusal`] that applies; those that cost least are looked for first.
    pub fn check(
        &self,
        view: &AdmissionView,
        transaction: Transaction,
    ) -> Result<Admitted, Refusal> {
        match view.intake {
            Intake::Open => {}
            Intake::Syncing => return Err(Refusal::Syncing),
            Intake::NoQuorum => return Err(Refusal::NoQuorum),
            Intake::LaneWindow => return Err(Refusal::LaneWindow),
            Intake::ShuttingDown => return Err(Refusal::ShuttingDown),
        }
        let bytes = transaction.payload.len();
        if bytes > self.limits.payload_bytes {
            return Err(Refusal::TooLarge {
                bytes,
                limit: self.limits.payload_bytes,
            });
        }
        if transaction.kind == TxKind::Sealed {
            return Err(Refusal::Sealed);
        }
        self.check_expiry(view.head, transaction.expiry)?;
        if !view.rollups.contains(transaction.rollup) {
            return Err(Refusal::UnknownRollup(transaction.rollup));
        }
        Ok(Admitted {
            id: transaction.id(&self.network),
            transaction,
        })
    }

    /// The next block is the first that could hold the transaction. The upper bound counts from there
    /// too: a transaction that is admitted now is legal in the next block already.
    fn check_expiry(&self, head: Height, expiry: Height) -> Result<(), Refusal> {
        let first = head.next();
        let limit = Height(first.0.saturating_add(self.limits.expiry_max_blocks));
        if expiry < first {
            return Err(Refusal::Expired { expiry, head });
        }
        if expiry > limit {
            return Err(Refusal::ExpiryTooFar { expiry, limit });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
