//! Shares of a batch, for any mix of rollups.

use bytes::Bytes;
use proptest::prelude::*;
use squad_mempool::admission::{AdmissionLimits, Intake};
use squad_mempool::{Admission, AdmissionView, IdHashKey, Pool, PoolConfig};
use squad_primitives::{
    BatchBuilder, BatchSeq, Digest, Height, RollupId, Time, Transaction, TxKind,
};
use std::collections::BTreeMap;
use std::sync::Arc;

const NETWORK: Digest = Digest([1; 32]);
/// Quantum of a turn, and the largest transaction below.
const SLACK: u64 = 2 * 8_192 + 4_096;

fn push(pool: &mut Pool, rollup: u64, number: u64, payload: usize) {
    let admission = Admission::new(
        NETWORK,
        AdmissionLimits {
            payload_bytes: 1 << 20,
            expiry_max_blocks: 100,
        },
    );
    let view = AdmissionView {
        intake: Intake::Open,
        head: Height(0),
        rollups: Arc::new([RollupId(rollup)].into_iter().collect()),
    };
    let mut bytes = vec![0; payload];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    let transaction = Transaction {
        rollup: RollupId(rollup),
        expiry: Height(50),
        kind: TxKind::Plain,
        payload: Bytes::from(bytes),
    };
    let admitted = admission.check(&view, transaction).unwrap();
    pool.push(Time(0), admitted).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rollups_that_wait_get_equal_bytes_and_the_others_all_they_have(
        loads in prop::collection::vec((1_u64..400, 8_usize..4_000), 1..12),
        batches in 1_usize..6,
    ) {
        let mut pool = Pool::new(PoolConfig::default(), IdHashKey([1, 2]));
        let mut waiting: BTreeMap<u64, u64> = BTreeMap::new();
        for (rollup, (count, payload)) in (1..).zip(&loads) {
            for number in 0..*count {
                push(&mut pool, rollup, number, *payload);
                *waiting.entry(rollup).or_default() += *payload as u64 + 17;
            }
        }
        let mut taken: BTreeMap<u64, u64> = BTreeMap::new();
        for seq in 0..batches as u64 {
            let mut builder = BatchBuilder::default();
            let seq = BatchSeq(seq + 1);
            pool.drain_into(Time(0), Height(1), seq, &mut builder, 128 << 10);
            prop_assert!(builder.body_bytes() <= 128 << 10);
            if builder.is_empty() {
                break;
            }
            let key = crate::keys::key_of(0);
            let batch = builder.seal(&NETWORK, squad_primitives::Epoch(0), squad_primitives::OperatorId(0), None, &key);
            for index in 0..batch.ids().len() {
                let transaction = batch.transaction(index).unwrap();
                *taken.entry(transaction.rollup.0).or_default() += transaction.encoded_len() as u64;
            }
        }
        let of = |rollup: &u64| taken.get(rollup).copied().unwrap_or(0);
        let backlogged: Vec<_> = waiting.iter().filter(|(r, bytes)| of(r) < **bytes).map(|(r, _)| *r).collect();
        for rollup in &backlogged {
            for other in waiting.keys() {
                // Nobody gets more than one who still waits, give or take a turn per batch.
                let slack = SLACK + 8_192 * batches as u64;
                prop_assert!(of(other) <= of(rollup) + slack, "{} against {}", of(other), of(rollup));
            }
        }
    }
}
