//! Payloads of the transactions.
//!
//! | workload | payload | made |
//! |---|---|---|
//! | `opaque` | run id, sequence number and intended time (8 bytes each, little-endian), then incompressible filler | while sending, about 0.1 µs per 512 bytes |
//! | `evm` | a signed EIP-1559 transfer | before the run |
//! | `file` | a raw transaction of a [`crate::txfile`] | before the run |
//!
//! A payload is a function of the run's seed and the sequence number, so that the audit can make it again
//! instead of keeping it.

use crate::eth::sign::Wallets;
use crate::mix::{Mix, draws};
use crate::rng::SplitMix64;
use bytes::{Bytes, BytesMut};
use std::collections::BTreeMap;

/// Bytes of an opaque payload that are not filler; the smallest size.
pub const OPAQUE_BYTES_MIN: usize = 24;

/// Accounts per rollup of the `evm` workload.
pub const EVM_ACCOUNTS: usize = 256;

/// What the payloads are.
#[derive(Debug)]
enum Source {
    Opaque { sizes: Mix<usize> },
    Prepared(Vec<Bytes>),
}

/// The transactions of a run: rollup and payload by sequence number.
#[derive(Debug)]
pub struct Workload {
    seed: u64,
    run_id: u64,
    rollups: Mix<u64>,
    source: Source,
}

impl Workload {
    /// Incompressible bytes in a mix of sizes; sizes below [`OPAQUE_BYTES_MIN`] are raised to it.
    #[must_use]
    pub fn opaque(run_id: u64, seed: u64, rollups: Mix<u64>, sizes: Mix<usize>) -> Self {
        Self {
            seed,
            run_id,
            rollups,
            source: Source::Opaque { sizes },
        }
    }

    /// Signed transfers: `count` of them, signed on `threads` threads now. A rollup's chain id is its
    /// number unless `chain_ids` says otherwise.
    #[must_use]
    pub fn evm(
        seed: u64,
        rollups: Mix<u64>,
        chain_ids: &BTreeMap<u64, u64>,
        count: usize,
        threads: usize,
    ) -> Self {
        let wallets: BTreeMap<u64, Wallets> = rollups
            .values()
            .iter()
            .map(|rollup| {
                let chain_id = chain_ids.get(rollup).unwrap_or(rollup);
                (*rollup, Wallets::new(seed, *chain_id, EVM_ACCOUNTS))
            })
            .collect();
        let mut next = BTreeMap::new();
        let plan: Vec<(&Wallets, u64)> = (0..count as u64)
            .map(|index| {
                let rollup = rollups.pick(draws(seed, index).0);
                let number = next.entry(*rollup).or_insert(0_u64);
                *number += 1;
                (&wallets[rollup], *number - 1)
            })
            .collect();
        let share = count.div_ceil(threads.max(1)).max(1);
        let payloads = std::thread::scope(|scope| {
            let workers: Vec<_> = plan
                .chunks(share)
                .map(|part| {
                    let sign = || {
                        part.iter()
                            .map(|(w, n)| Bytes::from(w.transfer(*n)))
                            .collect()
                    };
                    scope.spawn(sign)
                })
                .collect();
            let parts = workers.into_iter().map(|worker| match worker.join() {
                Ok(part) => part,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            parts.collect::<Vec<Vec<Bytes>>>().concat()
        });
        Self::prepared(seed, rollups, payloads)
    }

    /// Transactions from elsewhere, one per sequence number.
    #[must_use]
    pub fn prepared(seed: u64, rollups: Mix<u64>, payloads: Vec<Bytes>) -> Self {
        Self {
            seed,
            run_id: 0,
            rollups,
            source: Source::Prepared(payloads),
        }
    }

    /// Most transactions that the workload can give, if it is limited.
    #[must_use]
    pub fn limit(&self) -> Option<usize> {
        match &self.source {
            Source::Opaque { .. } => None,
            Source::Prepared(payloads) => Some(payloads.len()),
        }
    }

    /// Rollups that occur.
    #[must_use]
    pub fn rollups(&self) -> &[u64] {
        self.rollups.values()
    }

    /// Rollup and payload of transaction `seq`. Opaque payloads are cut from `arena`, so that one
    /// allocation serves many.
    pub fn transaction(&self, seq: u32, intended_us: u32, arena: &mut BytesMut) -> (u64, Bytes) {
        let (for_rollup, for_size) = draws(self.seed, seq.into());
        let rollup = *self.rollups.pick(for_rollup);
        let payload = match &self.source {
            Source::Prepared(payloads) => payloads[seq as usize].clone(),
            Source::Opaque { sizes } => {
                let size = (*sizes.pick(for_size)).max(OPAQUE_BYTES_MIN);
                arena.resize(size, 0);
                arena[..8].copy_from_slice(&self.run_id.to_le_bytes());
                arena[8..16].copy_from_slice(&u64::from(seq).to_le_bytes());
                arena[16..24].copy_from_slice(&u64::from(intended_us).to_le_bytes());
                SplitMix64::for_item(self.seed ^ self.run_id, seq.into())
                    .fill(&mut arena[OPAQUE_BYTES_MIN..]);
                arena.split().freeze()
            }
        };
        (rollup, payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eth::keccak256;

    fn rollups() -> Mix<u64> {
        Mix::zipf(&[901, 7], 0.0).unwrap()
    }

    #[test]
    fn opaque_payloads_carry_their_origin_and_can_be_made_again() {
        let workload = Workload::opaque(77, 5, rollups(), "512".parse().unwrap());
        let mut arena = BytesMut::with_capacity(4096);
        let first = workload.transaction(9, 1_234, &mut arena);
        let other = workload.transaction(10, 1_300, &mut arena);
        assert_eq!(first, workload.transaction(9, 1_234, &mut BytesMut::new()));
        assert_eq!(first.1.len(), 512);
        let word = |at: usize| u64::from_le_bytes(first.1[at..at + 8].try_into().unwrap());
        assert_eq!([word(0), word(8), word(16)], [77, 9, 1_234]);
        assert_ne!(first.1[24..], other.1[24..]);
    }

    #[test]
    fn transfers_do_not_depend_on_the_number_of_threads() {
        let make = |threads| {
            let workload = Workload::evm(5, rollups(), &BTreeMap::new(), 20, threads);
            (0..20)
                .map(|seq| workload.transaction(seq, 0, &mut BytesMut::new()))
                .collect::<Vec<_>>()
        };
        let transfers = make(1);
        assert_eq!(transfers, make(3));
        let mut hashes: Vec<_> = transfers.iter().map(|(_, raw)| keccak256(raw)).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), 20);
    }
}
