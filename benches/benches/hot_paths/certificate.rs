//! Verifying a quorum of votes.

use crate::COMMITTEES;
use crate::cpu_time::CpuTime;
use criterion::{BenchmarkId, Criterion};
use squad_benches::committee::{NETWORK, committee, key, operator};
use squad_primitives::{
    Certificate, Digest, Ed25519Verifier, Epoch, Statement, View, ViewId, Vote,
};

pub(crate) fn votes(statement: Statement, members: usize) -> Vec<Vote> {
    (0..members)
        .map(|index| Vote::sign(&NETWORK, statement, operator(index), &*key(index)))
        .collect()
}

/// Smallest quorum of equal stakes.
pub(crate) const fn quorum(members: usize) -> usize {
    members * 2 / 3 + 1
}

pub(crate) fn bench(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("certificate");
    for members in COMMITTEES {
        let committee = committee(members);
        let statement = Statement::vote(ViewId::new(Epoch(0), View(3)), Digest([5; 32]));
        let votes = votes(statement, quorum(members));
        let certificate = Certificate::from_votes(&committee, statement, &votes).expect("a quorum");
        group.bench_function(BenchmarkId::new("verify", members), |bencher| {
            bencher.iter(|| certificate.verify(&NETWORK, &committee, &Ed25519Verifier));
        });
    }
    group.finish();
}
