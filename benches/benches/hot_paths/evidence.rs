//! Verifying evidence: what each item costs whoever is shown it, genuine or forged.

use crate::cpu_time::CpuTime;
use criterion::{BenchmarkId, Criterion};
use squad_benches::committee::{NETWORK, committee, key, operator};
use squad_primitives::{
    BatchHeader, BatchSeq, Digest, Ed25519Verifier, Epoch, Evidence, Signature, SignedHeader,
    Statement, View, ViewId, Vote,
};

const MEMBERS: usize = 100;
const LIAR: usize = 42;

fn vote(block: u8) -> Box<Vote> {
    let statement = Statement::vote(ViewId::new(Epoch(0), View(3)), Digest([block; 32]));
    Box::new(Vote::sign(&NETWORK, statement, operator(LIAR), &*key(LIAR)))
}

fn header(root: u8) -> Box<SignedHeader> {
    let header = BatchHeader {
        epoch: Epoch(0),
        lane: operator(LIAR),
        seq: BatchSeq(9),
        parent: Digest([1; 32]),
        body_root: Digest([root; 32]),
        body_bytes: 1_000,
        tx_count: 2,
    };
    Box::new(SignedHeader::sign(&NETWORK, header, &*key(LIAR)))
}

pub(crate) fn bench(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("evidence");
    let committee = committee(MEMBERS);
    let mut forged = vote(2);
    forged.signature = Signature([1; 64]);
    for (name, evidence, holds) in [
        ("votes", Evidence::Votes(vote(1), vote(2)), true),
        ("lane", Evidence::Lane(header(1), header(2)), true),
        ("forged", Evidence::Votes(vote(1), forged), false),
        ("doubled", Evidence::Votes(vote(1), vote(1)), false),
    ] {
        let verify = || evidence.verify(&NETWORK, &committee, &Ed25519Verifier);
        assert_eq!(verify(), holds, "{name}");
        group.bench_function(BenchmarkId::new("verify", name), |bencher| {
            bencher.iter(verify);
        });
    }
    group.finish();
}
