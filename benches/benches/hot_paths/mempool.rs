//! From a submitted transaction to the queue, and the order inside a block.

use crate::batch::{PAYLOAD_BYTES, SIZE, TRANSACTIONS, batch, transactions};
use crate::cpu_time::CpuTime;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use squad_benches::committee::NETWORK;
use squad_mempool::admission::{AdmissionLimits, Intake};
use squad_mempool::order::OrderInput;
use squad_mempool::{
    Admission, AdmissionView, Dedup, IdHashKey, OrderRules, Pool, PoolConfig, order_block,
};
use squad_primitives::genesis::OrderPolicy;
use squad_primitives::{Digest, Height, RollupId, Time};
use std::sync::Arc;

const KEY: IdHashKey = IdHashKey([0x1234_5678_9abc_def0, 0x0fed_cba9_8765_4321]);
const LANES: usize = 4;

pub(crate) fn bench(criterion: &mut Criterion<CpuTime>) {
    admit(criterion);
    order(criterion);
}

/// Check, hash, and push under one owner; per transaction.
fn admit(criterion: &mut Criterion<CpuTime>) {
    let limits = AdmissionLimits {
        payload_bytes: 128 << 10,
        expiry_max_blocks: 6_000,
    };
    let admission = Admission::new(NETWORK, limits);
    let view = AdmissionView {
        intake: Intake::Open,
        head: Height(0),
        rollups: Arc::new((0..4).map(RollupId).collect()),
    };
    let transactions = transactions(0);
    let mut group = criterion.benchmark_group("mempool");
    group.throughput(Throughput::Elements(TRANSACTIONS));
    group.bench_function(BenchmarkId::new("admit", PAYLOAD_BYTES), |bencher| {
        bencher.iter_batched(
            || (Pool::new(PoolConfig::default(), KEY), transactions.clone()),
            |(mut pool, transactions)| {
                for transaction in transactions {
                    let admitted = admission.check(&view, transaction).expect("legal");
                    pool.push(Time(1), admitted).expect("room");
                }
                pool
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

/// Four lanes with one batch each, four rollups; per transaction.
fn order(criterion: &mut Criterion<CpuTime>) {
    let lanes: Vec<_> = (0..LANES).map(|lane| vec![batch(lane)]).collect();
    let rules = OrderRules {
        expiry_max_blocks: 6_000,
        policies: (0..4)
            .map(|rollup| (RollupId(rollup), OrderPolicy::Shuffle))
            .collect(),
    };
    let input = OrderInput {
        network: &NETWORK,
        block: &Digest([9; 32]),
        height: Height(1),
        lanes: &lanes,
    };
    let mut group = criterion.benchmark_group("mempool");
    group.throughput(Throughput::Elements(TRANSACTIONS * LANES as u64));
    let size = format!("{LANES}x{SIZE}");
    group.bench_function(BenchmarkId::new("order_block", size), |bencher| {
        bencher.iter_batched(
            || Dedup::new(KEY),
            |mut dedup| (order_block(&input, &rules, &mut dedup), dedup),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}
