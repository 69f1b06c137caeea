//! One replica's steps in a view without faults.
//!
//! - `proposal`: check the leader's proposal and vote for it.
//! - `vote`: keep all missing votes of a quorum but one; they are not verified yet.
//! - `quorum`: the votes that complete a quorum: verify all together, form the certificate, sign the
//!   commit vote, enter the next view.

use crate::COMMITTEES;
use crate::certificate::{quorum, votes};
use crate::cpu_time::CpuTime;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use squad_benches::committee::{NETWORK, committee, key, operator};
use squad_benches::lanes::BusyLanes;
use squad_consensus::{Config, Core, Input, Output, Recovered};
use squad_primitives::message::ConsensusMessage;
use squad_primitives::{Ed25519Verifier, Now, Proposal, Signer, Time};
use std::sync::Arc;

const NOW: Now = Now {
    time: Time(1_000_000),
    wall_ms: 1_700_000_000_000,
};

/// A core with its lanes.
struct Host {
    core: Core,
    lanes: BusyLanes,
    out: Vec<Output>,
}

impl Host {
    fn new(index: usize, members: usize) -> Self {
        let signer: Arc<dyn Signer> = key(index);
        let mut host = Self {
            core: Core::new(
                Config::new(NETWORK, 1_000_000),
                Some((operator(index), signer)),
                Arc::new(Ed25519Verifier),
                committee(members),
                Recovered::genesis(),
            ),
            lanes: BusyLanes::new(members),
            out: Vec::new(),
        };
        host.step(Input::Start);
        host
    }

    /// A step; what it wants durable is durable at once.
    fn step(&mut self, input: Input) {
        let done = self.out.len();
        self.core.step(NOW, input, &mut self.lanes, &mut self.out);
        let persisted = self.out[done..].iter().filter_map(|output| match output {
            Output::Persist { id, .. } => Some(*id),
            _ => None,
        });
        if let Some(id) = persisted.max() {
            self.step(Input::Persisted(id));
        }
    }

    fn receive(&mut self, from: usize, message: ConsensusMessage) {
        let from = operator(from);
        self.step(Input::Message { from, message });
    }
}

/// The proposal of view 1, and its leader.
fn proposal(members: usize) -> (usize, Proposal) {
    let leader = Host::new(0, members).core.status().leader;
    let leader = leader.expect("a committee has leaders").0 as usize;
    let proposals = Host::new(leader, members)
        .out
        .into_iter()
        .find_map(|output| {
            let Output::Broadcast { message, .. } = output else {
                return None;
            };
            match message {
                ConsensusMessage::Proposal(proposal) => Some(*proposal),
                _ => None,
            }
        });
    (leader, proposals.expect("a leader with work proposes"))
}

pub(crate) fn bench(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("consensus");
    for members in COMMITTEES {
        let (leader, proposal) = proposal(members);
        let me = (leader + 1) % members;
        let statement = proposal.vote(&NETWORK).statement;
        let mut others = votes(statement, members);
        others.retain(|vote| vote.signer != operator(me) && vote.signer != operator(leader));
        let with_proposal = || {
            let mut host = Host::new(me, members);
            host.receive(
                leader,
                ConsensusMessage::Proposal(Box::new(proposal.clone())),
            );
            host
        };
        let receive_votes = |mut host: Host, count: usize| {
            for vote in &others[..count] {
                host.receive(vote.signer.0 as usize, ConsensusMessage::Vote(vote.clone()));
            }
            host
        };
        // Leader's and own vote are there already.
        let missing = quorum(members) - 2;
        let entered = receive_votes(with_proposal(), missing).core.status().at;
        assert_eq!(entered.view.0, 2, "a quorum of votes ends the view");

        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("proposal", members), |bencher| {
            bencher.iter_batched(
                || (Host::new(me, members), Box::new(proposal.clone())),
                |(mut host, proposal)| {
                    host.receive(leader, ConsensusMessage::Proposal(proposal));
                    host
                },
                BatchSize::SmallInput,
            );
        });
        group.bench_function(BenchmarkId::new("quorum", members), |bencher| {
            bencher.iter_batched(
                with_proposal,
                |host| receive_votes(host, missing),
                BatchSize::SmallInput,
            );
        });
        if missing > 1 {
            group.throughput(Throughput::Elements(missing as u64 - 1));
            group.bench_function(BenchmarkId::new("vote", members), |bencher| {
                bencher.iter_batched(
                    with_proposal,
                    |host| receive_votes(host, missing - 1),
                    BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
}
