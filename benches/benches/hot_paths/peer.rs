//! Frames between operators.

use crate::batch::{SIZE, batch};
use crate::certificate::{quorum, votes};
use crate::cpu_time::CpuTime;
use criterion::{BatchSize, BenchmarkId, Criterion};
use squad_benches::committee::committee;
use squad_primitives::message::{ConsensusMessage, LaneMessage};
use squad_primitives::{Certificate, Digest, Epoch, Statement, View, ViewId};
use squad_proto::peer::{self, PeerMessage};

pub(crate) fn bench(criterion: &mut Criterion<CpuTime>) {
    let statement = Statement::vote(ViewId::new(Epoch(0), View(3)), Digest([5; 32]));
    let votes = votes(statement, quorum(100));
    let certificate = Certificate::from_votes(&committee(100), statement, &votes);
    let batch = batch(0);
    let messages = [
        (
            "vote".to_owned(),
            PeerMessage::Consensus(ConsensusMessage::Vote(votes[0].clone())),
        ),
        (
            "certificate-100".to_owned(),
            PeerMessage::Consensus(ConsensusMessage::Certificate(Box::new(
                certificate.expect("a quorum"),
            ))),
        ),
        (
            format!("batch-{SIZE}"),
            PeerMessage::Lane(LaneMessage::Batch {
                signed: *batch.signed(),
                body: batch.body().clone(),
                poas: Vec::new(),
            }),
        ),
    ];
    let mut group = criterion.benchmark_group("peer");
    for (name, message) in messages {
        let frame = peer::encode(&message);
        group.bench_function(BenchmarkId::new("encode", &name), |bencher| {
            bencher.iter(|| peer::encode(&message));
        });
        group.bench_function(BenchmarkId::new("decode", &name), |bencher| {
            bencher.iter_batched(
                || frame.clone(),
                |frame| peer::decode(frame).expect("own frame"),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}
