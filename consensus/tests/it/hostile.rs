//! A peer that sends anything at all stops nobody, and what it sends is bounded.

use crate::net::{Setup, TestKey, World, committee, public_key};
use squad_consensus::Input;
use squad_primitives::certificate::CommitProof;
use squad_primitives::message::{ConsensusMessage, SyncedBlock};
use squad_primitives::{
    Block, BlockRef, Certificate, Cut, Digest, Duration, Epoch, Height, OperatorId, Proposal,
    Signature, SignerSet, Statement, StatementKind, View, ViewId, Vote,
};
use std::cell::RefCell;
use std::rc::Rc;

const LIAR: OperatorId = OperatorId(3);

/// A world with some history, in which node 3 is down and the test speaks in its name.
fn world() -> World {
    let mut world = World::start(Setup::new(11, 4));
    world.run_for(Duration::from_secs(1));
    world.crash(3);
    world
}

fn say(world: &mut World, message: ConsensusMessage) {
    for node in 0..3 {
        world.step(
            node,
            Input::Message {
                from: LIAR,
                message: message.clone(),
            },
        );
    }
}

fn faults(world: &World) -> usize {
    world.nodes[0].faults
}

fn at(world: &World) -> ViewId {
    world.nodes[0].core.as_ref().unwrap().status().at
}

/// A certificate of `signers`, with signatures by the liar's key only.
fn forged(world: &World, statement: Statement, signers: &[usize]) -> Certificate {
    let all = committee(Epoch(0), &world.setup.committees[0]);
    let network = world.setup.config.network;
    let parts = signers.iter().map(|index| {
        let operator = OperatorId(u32::try_from(*index).unwrap());
        let vote = Vote::sign(&network, statement, LIAR, &TestKey(public_key(3)));
        (operator, vote.signature)
    });
    let (signers, signatures) = SignerSet::collect(&all, parts);
    Certificate {
        statement,
        signers,
        signatures,
    }
}

fn block(world: &World, at: ViewId) -> Block {
    let last = world.nodes[0].disk.chain.last().unwrap();
    Block {
        at,
        height: last.block.height.next(),
        parent: BlockRef {
            hash: last.hash,
            at: last.block.at,
        },
        timestamp_ms: last.block.timestamp_ms + 1,
        cut: Cut::default(),
    }
}

#[test]
fn forged_certificates_lead_nowhere() {
    let mut world = world();
    let (before, height) = (at(&world), world.height(0));
    let next = at(&world);
    let far = ViewId::new(Epoch(0), View(1 << 60));
    for view in [next, far] {
        for statement in [
            Statement::vote(view, Digest([1; 32])),
            Statement::timeout(view),
            Statement::commit_vote(view, Digest([1; 32])),
        ] {
            for signers in [&[0, 1, 2][..], &[3], &[0, 1, 2, 3]] {
                let faults_before = faults(&world);
                let forged = forged(&world, statement, signers);
                say(
                    &mut world,
                    ConsensusMessage::Certificate(Box::new(forged.clone())),
                );
                say(
                    &mut world,
                    ConsensusMessage::Certificates(vec![forged.clone(); 16]),
                );
                assert!(faults(&world) > faults_before);
                let faults_before = faults(&world);
                say(&mut world, ConsensusMessage::Certificates(vec![forged; 17]));
                assert_eq!(faults(&world), faults_before + 1, "one for the page");
            }
        }
    }
    assert_eq!((at(&world), world.height(0)), (before, height));
}

#[test]
fn votes_of_others_and_with_bad_signatures_count_for_nothing() {
    let mut world = world();
    let view = at(&world);
    let network = world.setup.config.network;
    let key = TestKey(public_key(3));
    for signer in [OperatorId(0), OperatorId(1), OperatorId(77)] {
        let vote = Vote::sign(&network, Statement::timeout(view), signer, &key);
        let before = faults(&world);
        say(&mut world, ConsensusMessage::Vote(vote));
        assert_eq!(faults(&world), before + 1);
    }
    // Its own vote with a bad signature is stored, found out when it would matter, and harms nobody.
    for ahead in 0..200 {
        let view = ViewId::new(Epoch(0), View(view.view.0 + ahead));
        let mut vote = Vote::sign(&network, Statement::timeout(view), LIAR, &key);
        vote.signature = Signature([1; 64]);
        say(&mut world, ConsensusMessage::Vote(vote));
    }
    let before = faults(&world);
    let height = world.height_max();
    world.run_for(Duration::from_secs(5));
    assert!(world.height_max() > height + 20, "three of four go on");
    assert!(faults(&world) > before, "its signature was needed for a TC");
}

#[test]
fn illegal_proposals_are_refused() {
    let mut world = world();
    let network = world.setup.config.network;
    let key = TestKey(public_key(3));
    // The next view that the liar leads.
    let mut view = at(&world);
    while !view.view.0.is_multiple_of(4) {
        view = view.next();
    }
    let honest = block(&world, view);
    let changed = |change: &dyn Fn(&mut Block)| {
        let mut block = honest.clone();
        change(&mut block);
        block
    };
    let blocks = [
        changed(&|block| block.height = Height(1)),
        changed(&|block| block.height = Height(1 << 60)),
        changed(&|block| block.at = ViewId::new(Epoch(0), View(view.view.0 + 1))),
        changed(&|block| block.at = ViewId::new(Epoch(0), View(1))),
        changed(&|block| block.parent = BlockRef::genesis(network)),
        changed(&|block| block.parent.at = view),
    ];
    for block in blocks {
        for justify in [
            None,
            Some(forged(
                &world,
                Statement::vote(block.parent.at, block.parent.hash),
                &[0, 1, 2],
            )),
            Some(forged(
                &world,
                Statement::timeout(block.parent.at),
                &[0, 1, 2],
            )),
        ] {
            let before = faults(&world);
            let proposal = Proposal::sign(&network, view, block.clone(), LIAR, justify, &key);
            say(&mut world, ConsensusMessage::Proposal(Box::new(proposal)));
            assert!(faults(&world) > before, "{block:?}");
        }
    }
    let not_its_turn = view.next();
    let before = faults(&world);
    let block = changed(&|block| block.at = not_its_turn);
    let proposal = Proposal::sign(&network, not_its_turn, block, LIAR, None, &key);
    say(&mut world, ConsensusMessage::Proposal(Box::new(proposal)));
    assert_eq!(faults(&world), before + 1);
}

/// The heart of safety: without a TC nobody may vote past a view that could have committed.
#[test]
fn a_proposal_that_skips_a_certified_view_without_its_timeout_certificate_gets_no_vote() {
    let mut world = World::start(Setup::new(12, 4));
    world.crash(3);
    let proposals: Rc<RefCell<Vec<Proposal>>> = Rc::default();
    let votes: Rc<RefCell<Vec<Statement>>> = Rc::default();
    let (seen_proposals, seen_votes) = (proposals.clone(), votes.clone());
    // Nothing commits, so that only certificates can tell what may be built upon.
    world.filter = Some(Box::new(move |_, _, message| match message {
        ConsensusMessage::Proposal(proposal) => {
            seen_proposals.borrow_mut().push((**proposal).clone());
            false
        }
        ConsensusMessage::Vote(vote) => {
            seen_votes.borrow_mut().push(vote.statement);
            vote.statement.kind == StatementKind::CommitVote
        }
        _ => false,
    }));
    let view = |world: &World, node: usize| world.nodes[node].core.as_ref().unwrap().status().at;
    world.run_until(
        "a view that the liar leads",
        Duration::from_secs(2),
        |world| {
            let first = view(world, 0);
            first.view.0 >= 4
                && first.view.0.is_multiple_of(4)
                && (1..3).all(|node| view(world, node) == first)
        },
    );
    let at = view(&world, 0);
    let before = proposals.borrow().last().unwrap().clone();
    assert_eq!(before.at.next(), at, "its view has just been certified");
    let rival = Block {
        at,
        timestamp_ms: before.block.timestamp_ms + 1,
        ..before.block.clone()
    };
    let network = world.setup.config.network;
    let key = TestKey(public_key(3));
    let justify = before.justify.clone();
    let proposal = Proposal::sign(&network, at, rival, LIAR, justify, &key);
    say(&mut world, ConsensusMessage::Proposal(Box::new(proposal)));
    world.run_for(Duration::from_millis(400));
    assert_eq!(faults(&world), 0, "only the missing TC is wrong with it");
    assert_eq!(view(&world, 0), at, "the view is still open");
    let voted = votes
        .borrow()
        .iter()
        .any(|statement| statement.kind == StatementKind::Vote && statement.at == at);
    assert!(
        !voted,
        "somebody helps to skip a view that may be committed"
    );
}

#[test]
fn false_blocks_are_not_synced() {
    let mut world = world();
    let height = world.height(0);
    let next = block(&world, at(&world).next());
    let statement = Statement::commit_vote(next.at, next.hash(&world.setup.config.network));
    let proof = CommitProof {
        certificate: forged(&world, statement, &[0, 1, 2]),
        descendants: Vec::new(),
    };
    let before = faults(&world);
    // The shell of node 0 may not have stored its last blocks yet; those are skipped, not judged.
    let synced = SyncedBlock { block: next, proof };
    say(&mut world, ConsensusMessage::Sync(vec![synced.clone()]));
    say(&mut world, ConsensusMessage::Sync(vec![synced; 65]));
    assert!(faults(&world) > before);
    assert_eq!(world.height(0), height);
}

#[test]
fn messages_of_far_epochs_and_floods_of_requests_are_bounded() {
    let mut world = world();
    let network = world.setup.config.network;
    let key = TestKey(public_key(3));
    for epoch in 1..500 {
        let view = ViewId::new(Epoch(epoch), View(epoch));
        let vote = Vote::sign(&network, Statement::timeout(view), LIAR, &key);
        say(&mut world, ConsensusMessage::Vote(vote));
    }
    world.sent = Default::default();
    for _ in 0..500 {
        say(&mut world, ConsensusMessage::SyncRequest(Height(1)));
        say(&mut world, ConsensusMessage::BlockRequest(network));
        let (after, up_to) = (ViewId::default(), at(&world));
        say(
            &mut world,
            ConsensusMessage::CertificatesRequest { after, up_to },
        );
    }
    assert!(world.sent.others <= 3 * 8, "{:?}", world.sent);
    let height = world.height_max();
    world.run_for(Duration::from_secs(3));
    assert!(world.height_max() > height + 20);
}
