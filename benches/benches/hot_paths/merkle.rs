//! Roots and paths over transaction ids.

use crate::cpu_time::CpuTime;
use criterion::{BenchmarkId, Criterion};
use squad_primitives::Digest;
use squad_primitives::merkle::{Path, root};

const LEAVES: u64 = 4_096;

pub(crate) fn bench(criterion: &mut Criterion<CpuTime>) {
    let leaves: Vec<_> = (0..LEAVES)
        .map(|number| Digest::of_parts("bench/leaf", &Digest::ZERO, &[&number.to_le_bytes()]))
        .collect();
    let path = Path::new(&leaves, 1_234).expect("a leaf");
    let top = root(&leaves);
    let mut group = criterion.benchmark_group("merkle");
    group.bench_function(BenchmarkId::new("root", LEAVES), |bencher| {
        bencher.iter(|| root(&leaves));
    });
    group.bench_function(BenchmarkId::new("path", LEAVES), |bencher| {
        bencher.iter(|| Path::new(&leaves, 1_234));
    });
    group.bench_function(BenchmarkId::new("verify", LEAVES), |bencher| {
        bencher.iter(|| path.root(&leaves[1_234]) == Some(top));
    });
    group.finish();
}
