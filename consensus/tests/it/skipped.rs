//! Many views without a block: a proposal carries one certificate, however many views it skips.

use crate::net::{TestKey, TestLanes, WALL_START_MS, committee, public_key, tip, verifier};
use squad_consensus::{Config, Core, Input, Output, Recovered};
use squad_primitives::message::ConsensusMessage;
use squad_primitives::{
    Certificate, Committee, Digest, Duration, Epoch, Now, OperatorId, Statement, StatementKind,
    Time, View, ViewId, Vote,
};
use squad_proto::peer;
use std::sync::Arc;

/// Largest frame of the class that proposals travel in (`squad_network::data::Class::Consensus`).
const FRAME_BYTES_LIMIT: usize = 64 << 10;
const OPERATORS: usize = 100;
const NETWORK: Digest = Digest([9; 32]);

fn members() -> Committee {
    let members: Vec<_> = (0..OPERATORS).map(|index| (index, 1)).collect();
    committee(Epoch(0), &members)
}

fn at(view: u64) -> ViewId {
    ViewId::new(Epoch(0), View(view))
}

/// What two thirds say who waited for a view in vain.
fn timeout_certificate(view: u64) -> ConsensusMessage {
    let statement = Statement::timeout(at(view));
    let votes: Vec<_> = (0..OPERATORS * 2 / 3 + 1)
        .map(|index| {
            let key = TestKey(public_key(index));
            Vote::sign(&NETWORK, statement, OperatorId(index as u32), &key)
        })
        .collect();
    let certificate = Certificate::from_votes(&members(), statement, &votes).unwrap();
    ConsensusMessage::Certificate(Box::new(certificate))
}

struct Replica {
    core: Core,
    lanes: TestLanes,
    now: Now,
}

impl Replica {
    /// A replica that has seen the certificates of all views up to one, and a batch.
    fn after(me: usize, certificates: &[ConsensusMessage]) -> (Self, Vec<ConsensusMessage>) {
        let core = Core::new(
            Config::new(NETWORK, 1_000),
            Some((OperatorId(me as u32), Arc::new(TestKey(public_key(me))))),
            verifier(),
            members(),
            Recovered::genesis(),
        );
        let now = Now {
            time: Time(1_000_000),
            wall_ms: WALL_START_MS,
        };
        let mut lanes = TestLanes::default();
        lanes.learn(&tip(OperatorId(7), 1), now.time);
        let mut replica = Self { core, lanes, now };
        let mut said = replica.step(Input::Start);
        for message in certificates {
            said.extend(replica.hear(OperatorId(99), message.clone()));
        }
        (replica, said)
    }

    fn step(&mut self, input: Input) -> Vec<ConsensusMessage> {
        let mut out = Vec::new();
        self.core.step(self.now, input, &mut self.lanes, &mut out);
        let said = out.into_iter().filter_map(|output| match output {
            Output::Broadcast { message, .. } | Output::Send { message, .. } => Some(message),
            Output::PeerFault { fault, .. } => panic!("{fault}"),
            _ => None,
        });
        said.collect()
    }

    fn hear(&mut self, from: OperatorId, message: ConsensusMessage) -> Vec<ConsensusMessage> {
        self.step(Input::Message { from, message })
    }

    /// Lets a leader wait as long as it wants to before it proposes.
    fn wait(&mut self) -> Vec<ConsensusMessage> {
        self.now.time = self.now.time.after(Duration::from_millis(50));
        self.now.wall_ms += 50;
        self.step(Input::Tick)
    }
}

/// The proposal for the first view that was not skipped, and whether somebody else votes for it.
fn proposal_after(skipped: u64) -> (ConsensusMessage, bool) {
    let certificates: Vec<_> = (1..=skipped).map(timeout_certificate).collect();
    let (probe, _) = Replica::after(98, &certificates);
    assert_eq!(probe.core.status().at, at(skipped + 1));
    let leader = probe.core.leaders()[0];
    let (mut replica, mut said) = Replica::after(leader.0 as usize, &certificates);
    said.extend(replica.wait());
    let proposal = said
        .into_iter()
        .rfind(|message| matches!(message, ConsensusMessage::Proposal(_)))
        .expect("a leader proposes");

    let (mut voter, _) = Replica::after(97, &certificates);
    let said = voter.hear(leader, proposal.clone());
    let voted = said.iter().any(|message| {
        matches!(message, ConsensusMessage::Vote(vote)
            if vote.statement.kind == StatementKind::Vote && vote.statement.at == at(skipped + 1))
    });
    (proposal, voted)
}

#[test]
fn the_proposal_after_500_skipped_views_of_100_operators_fits_its_frame_and_is_voted_for() {
    let (one, voted) = proposal_after(1);
    assert!(voted);
    let (many, voted) = proposal_after(500);
    assert!(voted);
    let (one, many) = (peer::encode(&one).len(), peer::encode(&many).len());
    assert!(many <= FRAME_BYTES_LIMIT, "{many} bytes");
    // Numbers may take a few bytes more.
    assert!(many <= one + 16, "{many} bytes, {one} after one view");
}
