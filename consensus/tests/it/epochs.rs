//! Committees change, and an epoch ends for everybody even if its last certificate is lost.

use crate::net::{Setup, World};
use squad_primitives::message::ConsensusMessage;
use squad_primitives::{Duration, Epoch, StatementKind};

#[test]
fn epochs_follow_each_other_under_loss_and_changing_committees() {
    for seed in 0..20 {
        let mut setup = Setup::new(seed, 5);
        setup.config.epoch_blocks = 7;
        setup.loss_percent = seed % 4 * 5;
        setup.committees = vec![
            vec![(0, 1), (1, 1), (2, 1), (3, 1)],
            vec![(1, 1), (2, 1), (3, 1), (4, 1)],
            vec![(0, 3), (2, 2), (3, 2), (4, 2)],
        ];
        let mut world = World::start(setup);
        world.run_to_height(40, Duration::from_secs(60));
        let status = world.nodes[0].core.as_ref().unwrap().status();
        assert!(status.at.epoch >= Epoch(5));
    }
}

#[test]
fn a_last_block_whose_commit_votes_are_lost_is_proposed_again() {
    for seed in 0..10 {
        let mut setup = Setup::new(seed, 4);
        setup.config.epoch_blocks = 10;
        let mut world = World::start(setup);
        // The first two views that certify block 10 get no commit vote through; with them, timeouts
        // of the replicas that never saw the QC. Only proposing the block again can end the epoch.
        let mut ends = std::collections::BTreeSet::new();
        let mut reproposed = 0;
        let seen = std::rc::Rc::new(std::cell::Cell::new(0));
        let counter = seen.clone();
        world.filter = Some(Box::new(move |_, _, message| match message {
            ConsensusMessage::Proposal(proposal) if proposal.block.height.0 == 10 => {
                if proposal.at > proposal.block.at {
                    reproposed += 1;
                    counter.set(reproposed);
                }
                ends.insert(proposal.at);
                false
            }
            ConsensusMessage::Vote(vote) if vote.statement.kind == StatementKind::CommitVote => {
                ends.iter().take(2).any(|at| *at == vote.statement.at)
            }
            _ => false,
        }));
        world.run_to_height(12, Duration::from_secs(10));
        assert!(seen.get() > 0, "seed {seed}: nothing was proposed again");
    }
}

#[test]
fn who_missed_the_end_of_an_epoch_is_told() {
    let mut setup = Setup::new(3, 4);
    setup.config.epoch_blocks = 10;
    let mut world = World::start(setup);
    world.run_to_height(9, Duration::from_secs(2));
    world.partition = vec![[0, 1, 2].into(), [3].into()];
    world.run_for(Duration::from_secs(3));
    assert!(world.height(0) > 30 && world.height(3) <= 10);
    world.partition.clear();
    let ahead = world.height_max();
    world.run_to_height(ahead, Duration::from_secs(2));
}

/// Operator 0 leaves, and only it sees the commit that ends its last epoch; then another one dies. Two of
/// three that are left can't end the epoch again, so they depend on what the leaver knows.
#[test]
fn who_leaves_tells_the_others_how_its_last_epoch_ended() {
    let mut setup = Setup::new(5, 5);
    setup.config.epoch_blocks = 5;
    setup.committees = vec![
        vec![(0, 1), (1, 1), (2, 1), (3, 1)],
        vec![(1, 1), (2, 1), (3, 1), (4, 1)],
    ];
    let mut world = World::start(setup);
    let mut ends = std::collections::BTreeSet::new();
    world.filter = Some(Box::new(move |_, to, message| match message {
        ConsensusMessage::Proposal(proposal) => {
            if proposal.block.height.0 == 5 {
                ends.insert(proposal.at);
            }
            false
        }
        ConsensusMessage::Vote(vote) => {
            let ends_epoch = ends.contains(&vote.statement.at);
            to != 0 && ends_epoch && vote.statement.kind == StatementKind::CommitVote
        }
        _ => to != 0,
    }));
    world.run_until("operator 0 is through", Duration::from_secs(2), |world| {
        world.height(0) == 5
    });
    assert!((1..5).all(|other| world.height(other) < 5));
    world.crash(1);
    world.filter = None;
    world.run_until("the next epoch", Duration::from_secs(10), |world| {
        (2..5).all(|member| world.height(member) > 5)
    });
}
