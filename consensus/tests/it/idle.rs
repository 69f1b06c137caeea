//! With nothing to order the network is silent apart from heartbeats.

use crate::net::{Sent, Setup, World};
use squad_primitives::Duration;

#[test]
fn an_idle_network_sends_only_heartbeats() {
    let mut setup = Setup::new(1, 4);
    setup.batch_interval = Duration::ZERO;
    let mut world = World::start(setup);
    world.run_to_height(2, Duration::from_secs(5));
    world.run_for(Duration::from_millis(500));
    world.sent = Sent::default();
    let before = world.height_max();
    world.run_for(Duration::from_secs(20));
    let blocks = usize::try_from(world.height_max() - before).unwrap();
    assert!((18..=20).contains(&blocks), "{blocks} heartbeats in 20 s");
    // Per block at most one proposal, three votes and four commit votes, each to three peers. Whoever
    // has the QC before the proposal doesn't vote.
    assert_eq!(world.sent.proposals, 3 * blocks);
    assert!((3 * 6 * blocks..=3 * 7 * blocks).contains(&world.sent.votes));
    assert_eq!(world.sent.others, 0);
}

#[test]
fn one_batch_costs_one_block() {
    let mut setup = Setup::new(2, 4);
    setup.batch_interval = Duration::from_secs(3_600);
    setup.config.heartbeat_interval = Duration::from_secs(600);
    let mut world = World::start(setup);
    world.run_for(Duration::from_secs(60));
    // The four lanes' first batches arrive within a few milliseconds of each other.
    assert!(
        (1..=3).contains(&world.height_max()),
        "{} blocks",
        world.height_max()
    );
}
