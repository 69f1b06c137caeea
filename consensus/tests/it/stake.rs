//! Votes weigh by stake, not by head.

use crate::net::{Setup, World};
use squad_primitives::Duration;
use std::collections::BTreeMap;

#[test]
fn a_quorum_of_stake_suffices_and_less_does_not() {
    let mut setup = Setup::new(1, 4);
    // Without node 0 the others have 30 of 100; without nodes 2 and 3, 80 of 100 remain.
    setup.committees = vec![vec![(0, 70), (1, 10), (2, 10), (3, 10)]];
    let mut world = World::start(setup);
    world.run_for(Duration::from_secs(1));
    world.crash(2);
    world.crash(3);
    let height = world.height_max();
    world.run_to_height(height + 20, Duration::from_secs(20));
    world.boot(2);
    world.boot(3);
    world.run_for(Duration::from_secs(1));
    world.crash(0);
    world.run_for(Duration::from_millis(50));
    let stuck = world.height_max();
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.height_max(), stuck);
}

#[test]
fn leaders_get_turns_by_stake() {
    let mut setup = Setup::new(2, 4);
    setup.committees = vec![vec![(0, 4_000), (1, 2_000), (2, 1_000), (3, 1_000)]];
    let mut world = World::start(setup);
    world.run_to_height(80, Duration::from_secs(10));
    let mut turns: BTreeMap<u64, u64> = BTreeMap::new();
    for block in world.nodes[0].disk.chain.iter().take(80) {
        *turns.entry(block.block.at.view.0 % 8).or_default() += 1;
    }
    // A period is eight views, all of them used: nobody was too slow for its turn.
    assert_eq!(turns.values().copied().collect::<Vec<_>>(), [10; 8]);
}

#[test]
fn small_committees_work_down_to_one_operator() {
    for members in 1..4 {
        let mut world = World::start(Setup::new(3, members));
        world.run_to_height(50, Duration::from_secs(5));
        let height = world.height_max();
        for node in 0..members {
            world.crash(node);
            world.boot(node);
        }
        world.run_to_height(height + 50, Duration::from_secs(5));
    }
}
