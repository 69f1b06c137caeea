//! Sealing an own batch, and checking one that arrived.

use crate::cpu_time::CpuTime;
use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use squad_benches::committee::{NETWORK, key, operator};
use squad_primitives::batch::BatchLimits;
use squad_primitives::{Batch, BatchBuilder, Epoch, Height, RollupId, Transaction, TxId, TxKind};

pub(crate) const TRANSACTIONS: u64 = 1_000;
pub(crate) const PAYLOAD_BYTES: usize = 512;
pub(crate) const SIZE: &str = "1000x512";

/// Transactions of four rollups, all different.
pub(crate) fn transactions(first: u64) -> Vec<Transaction> {
    let numbers = first..first + TRANSACTIONS;
    numbers
        .map(|number| {
            let mut payload = vec![0; PAYLOAD_BYTES];
            payload[..8].copy_from_slice(&number.to_le_bytes());
            Transaction {
                rollup: RollupId(number % 4),
                expiry: Height(100),
                kind: TxKind::Plain,
                payload: Bytes::from(payload),
            }
        })
        .collect()
}

/// A first batch of a lane.
pub(crate) fn batch(lane: usize) -> Batch {
    let transactions = transactions(lane as u64 * TRANSACTIONS);
    let ids: Vec<_> = transactions.iter().map(|tx| tx.id(&NETWORK)).collect();
    seal(lane, &transactions, &ids)
}

fn seal(lane: usize, transactions: &[Transaction], ids: &[TxId]) -> Batch {
    let mut builder = BatchBuilder::default();
    for (id, transaction) in ids.iter().zip(transactions) {
        builder.push(*id, transaction);
    }
    builder.seal(&NETWORK, Epoch(0), operator(lane), None, &*key(lane))
}

pub(crate) fn bench(criterion: &mut Criterion<CpuTime>) {
    let transactions = transactions(0);
    let ids: Vec<_> = transactions.iter().map(|tx| tx.id(&NETWORK)).collect();
    let sealed = seal(0, &transactions, &ids);
    let limits = BatchLimits {
        body_bytes: 1 << 20,
        payload_bytes: 128 << 10,
    };
    let mut group = criterion.benchmark_group("batch");
    group.throughput(Throughput::Elements(TRANSACTIONS));
    group.bench_function(BenchmarkId::new("seal", SIZE), |bencher| {
        bencher.iter(|| seal(0, &transactions, &ids));
    });
    group.bench_function(BenchmarkId::new("parse", SIZE), |bencher| {
        bencher.iter_batched(
            || (*sealed.signed(), sealed.body().clone()),
            |(signed, body)| Batch::parse(&NETWORK, signed, body, &limits).expect("valid"),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}
