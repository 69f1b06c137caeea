use super::*;
use crate::Admission;
use crate::admission::{AdmissionLimits, AdmissionView, Intake, QueueLimit};
use bytes::Bytes;
use squad_primitives::{Digest, Transaction, TxKind};
use std::collections::BTreeMap;
use std::sync::Arc;

const NETWORK: Digest = Digest([1; 32]);

fn admitted(rollup: u64, number: u64, payload: usize, expiry: u64) -> Admitted {
    let admission = Admission::new(
        NETWORK,
        AdmissionLimits {
            payload_bytes: 128 << 10,
            expiry_max_blocks: 6_000,
        },
    );
    let view = AdmissionView {
        intake: Intake::Open,
        head: Height(0),
        rollups: Arc::new([RollupId(rollup)].into_iter().collect()),
    };
    let mut bytes = vec![0; payload.max(8)];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    let transaction = Transaction {
        rollup: RollupId(rollup),
        expiry: Height(expiry),
        kind: TxKind::Plain,
        payload: Bytes::from(bytes),
    };
    admission.check(&view, transaction).unwrap()
}

fn pool(bytes_max: u64, transactions_max: u64) -> Pool {
    let config = PoolConfig {
        bytes_max,
        transactions_max,
        rollup_floor_bytes: 1_000,
        ..PoolConfig::default()
    };
    Pool::new(config, IdHashKey([3, 4]))
}

fn drain(pool: &mut Pool, head: u64, limit: usize) -> BatchBuilder {
    let mut builder = BatchBuilder::default();
    pool.drain_into(Time(0), Height(head), BatchSeq(5), &mut builder, limit);
    builder
}

/// Ids that a batch holds, per rollup.
fn held(pool: &Pool, ids: &[(u64, TxId)]) -> BTreeMap<u64, usize> {
    let mut counts = BTreeMap::new();
    for (rollup, id) in ids {
        if matches!(pool.place(id), Some(Place::Batched { .. })) {
            *counts.entry(*rollup).or_default() += 1;
        }
    }
    counts
}

#[test]
fn a_flooding_rollup_leaves_the_others_their_share_of_each_batch() {
    let mut pool = pool(64 << 20, 100_000);
    let mut ids = Vec::new();
    for (rollup, count) in [(1, 20_000), (2, 300), (3, 50)] {
        for number in 0..count {
            let tx = admitted(rollup, number, 500, 100);
            ids.push((rollup, tx.id()));
            pool.push(Time(0), tx).unwrap();
        }
    }
    let builder = drain(&mut pool, 1, 512 << 10);
    assert!(builder.body_bytes() <= 512 << 10);
    assert!(builder.body_bytes() > (512 << 10) - 600);
    let counts = held(&pool, &ids);
    assert_eq!(counts[&3], 50, "a rollup below its share gets everything");
    assert_eq!(counts[&2], 300);
    assert_eq!(
        counts[&1],
        builder.len() - 350,
        "the rest goes to the one that has more"
    );
}

#[test]
fn equal_shares_are_counted_in_bytes_not_in_transactions() {
    let mut pool = pool(64 << 20, 100_000);
    let mut ids = Vec::new();
    for number in 0..2_000 {
        for (rollup, payload) in [(1, 4_000), (2, 500)] {
            let tx = admitted(rollup, number, payload, 100);
            ids.push((rollup, tx.id()));
            pool.push(Time(0), tx).unwrap();
        }
    }
    for _ in 0..3 {
        drain(&mut pool, 1, 256 << 10);
    }
    let counts = held(&pool, &ids);
    let (large, small) = (counts[&1] * 4_017, counts[&2] * 517);
    assert!(
        large.abs_diff(small) <= 2 * 8_192 + 4_017,
        "{large} against {small}"
    );
}

#[test]
fn a_share_shrinks_only_under_contention() {
    let mut pool = pool(1_000_000, 100_000);
    let mut numbers = 0..;
    let mut fill = |pool: &mut Pool, rollup: u64| {
        let mut taken = 0_u64;
        for number in numbers.by_ref() {
            match pool.push(Time(0), admitted(rollup, number, 983, 100)) {
                Ok(()) => taken += 1_000,
                Err(Refusal::RollupShare { limit, .. }) => {
                    assert!(matches!(limit, QueueLimit::Bytes(_)));
                    return taken;
                }
                Err(other) => panic!("{other}"),
            }
        }
        unreachable!()
    };
    let alone = fill(&mut pool, 1);
    assert!((790_000..=801_000).contains(&alone), "{alone}");
    let second = fill(&mut pool, 2);
    assert!(second > 100_000, "the second finds room: {second}");
    let third = fill(&mut pool, 3);
    assert!(third > 15_000, "and so does the third: {third}");
    for _ in 0..100 {
        drain(&mut pool, 1, 50_000);
        for rollup in [3, 1, 2] {
            fill(&mut pool, rollup);
        }
    }
    let held: Vec<_> = [1, 2, 3].map(|r| pool.queues.of(RollupId(r)).0).to_vec();
    let (least, most) = (held.iter().min().unwrap(), held.iter().max().unwrap());
    assert!(*most < 2 * least, "shares converge: {held:?}");
}

#[test]
fn a_full_pool_names_limit_and_delay() {
    let mut pool = pool(1 << 20, 3);
    for number in 0..3 {
        pool.push(Time(0), admitted(number, number, 8, 100))
            .unwrap();
    }
    let refusal = pool.push(Time(0), admitted(9, 9, 8, 100)).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "pool: full, the limit is 3 transactions"
    );
    let delay = refusal.retry_after().unwrap();
    assert!(delay >= Pool::RETRY_MIN && delay <= Pool::RETRY_MAX);
}

#[test]
fn the_same_id_is_taken_once_until_it_is_ordered_or_expired() {
    let mut pool = pool(1 << 20, 100);
    let tx = admitted(1, 1, 8, 10);
    pool.push(Time(0), tx.clone()).unwrap();
    assert_eq!(pool.place(&tx.id()), Some(Place::Queued));
    assert_eq!(
        pool.push(Time(0), tx.clone()),
        Err(Refusal::Duplicate(tx.id()))
    );
    drain(&mut pool, 1, 1 << 10);
    let batched = Place::Batched {
        seq: BatchSeq(5),
        index: 0,
    };
    assert_eq!(pool.place(&tx.id()), Some(batched));
    pool.on_ordered([&tx.id()]);
    assert_eq!(pool.place(&tx.id()), None);
    assert!(pool.expire(Height(10)).is_empty(), "ordered is not expired");
}

#[test]
fn expired_transactions_take_no_room_in_a_batch() {
    let mut pool = pool(1 << 20, 100);
    let (late, good) = (admitted(1, 1, 8, 10), admitted(1, 2, 8, 11));
    pool.push(Time(0), late.clone()).unwrap();
    pool.push(Time(0), good.clone()).unwrap();
    let builder = drain(&mut pool, 10, 1 << 10);
    assert_eq!(builder.len(), 1);
    assert_eq!(pool.load(), Load::default());
    let expired = |tx: &Admitted, expiry| Expired {
        id: tx.id(),
        rollup: RollupId(1),
        expiry: Height(expiry),
    };
    assert_eq!(pool.expire(Height(9)), vec![]);
    assert_eq!(pool.expire(Height(10)), vec![expired(&late, 10)]);
    assert_eq!(pool.expire(Height(11)), vec![expired(&good, 11)]);
}

#[test]
fn a_transaction_above_the_quantum_gets_through_beside_small_ones() {
    let mut pool = pool(64 << 20, 100_000);
    let large = admitted(1, 0, 120 << 10, 100);
    pool.push(Time(0), large.clone()).unwrap();
    for number in 0..3_000 {
        pool.push(Time(0), admitted(2, number, 500, 100)).unwrap();
    }
    drain(&mut pool, 1, 512 << 10);
    assert!(matches!(
        pool.place(&large.id()),
        Some(Place::Batched { .. })
    ));
}

#[test]
fn a_short_pool_refuses_early_and_leaves_each_rollup_an_equal_part() {
    let mut pool = pool(64 << 20, 100_000);
    let mut numbers = 0..;
    let mut fill = |pool: &mut Pool, rollup: u64| {
        let mut one = |number| pool.push(Time(0), admitted(rollup, number, 500, 100));
        let taken = numbers.by_ref().map(&mut one).take_while(Result::is_ok);
        taken.count() as u64 * 517
    };
    pool.set_room(Some(100_000));
    let alone = fill(&mut pool, 1);
    assert!((99_000..=100_000).contains(&alone), "{alone}");
    let second = fill(&mut pool, 2);
    assert!((49_000..=50_000).contains(&second), "{second}");
    let third = fill(&mut pool, 3);
    assert!((32_000..=33_400).contains(&third), "{third}");
    for _ in 0..20 {
        drain(&mut pool, 1, 10_000);
        for rollup in [1, 1, 1, 2, 3] {
            fill(&mut pool, rollup);
        }
    }
    let held = [1, 2, 3].map(|rollup| pool.queues.of(RollupId(rollup)).0);
    assert!(
        held.iter().all(|held| (25_000..=40_000).contains(held)),
        "{held:?}"
    );
    let refusal = pool.push(Time(0), admitted(1, 1 << 20, 50_000, 100));
    let refusal = refusal.unwrap_err();
    assert_eq!(refusal.reason(), "ROLLUP_SHARE");
    assert!(refusal.retry_after().unwrap() >= Pool::RETRY_MIN);
    pool.set_room(None);
    assert!(fill(&mut pool, 1) > 10 << 20, "and all of it afterwards");
}

#[test]
fn an_empty_pool_takes_one_transaction_however_short_it_is() {
    let mut pool = pool(64 << 20, 100_000);
    pool.set_room(Some(1_000));
    pool.push(Time(0), admitted(1, 1, 100_000, 100)).unwrap();
    let refusal = pool.push(Time(0), admitted(1, 2, 8, 100)).unwrap_err();
    assert_eq!(refusal.reason(), "ROLLUP_SHARE");
}
