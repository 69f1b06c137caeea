//! All nodes commit the same chain, whatever the network does. The oracle of the world checks every
//! commit and every vote; these tests add that there is progress.

use crate::net::{Setup, World};
use squad_primitives::Duration;

#[test]
fn four_nodes_commit_in_three_delays() {
    let mut setup = Setup::new(1, 4);
    setup.delay_us = (5_000, 5_000);
    setup.disk_us = (0, 0);
    let mut world = World::start(setup);
    world.run_to_height(1, Duration::from_millis(200));
    let start = world.height_max();
    world.run_for(Duration::from_secs(10));
    // Two delays per view: the next leader proposes when it has the QC.
    let blocks = world.height_max() - start;
    assert!((950..=1_000).contains(&blocks), "{blocks} blocks in 10 s");
    for node in &world.nodes {
        let status = node.core.as_ref().unwrap().status();
        assert_eq!(status.views_timed_out, 0);
        assert!(node.disk.records() < 50, "records are forgotten");
        assert_eq!(node.faults, 0);
    }
}

#[test]
fn a_block_commits_three_delays_after_its_proposal() {
    for (members, p50_ms, seconds) in [(4, 78, 10), (20, 80, 5), (100, 90, 1)] {
        let mut setup = Setup::new(1, members);
        setup.delay_us = (25_000, 25_000);
        let mut world = World::start(setup);
        world.run_for(Duration::from_secs(seconds));
        let latencies = &mut world.latencies_ms;
        latencies.sort_unstable();
        let p50 = latencies[latencies.len() / 2];
        assert!(p50 <= p50_ms, "n = {members}: p50 {p50} ms");
        assert!(p50 >= 75, "three delays of 25 ms can't take {p50} ms");
    }
}

#[test]
fn lossy_slow_networks_agree_and_progress() {
    for seed in 0..60 {
        let nodes = [4, 5, 7][usize::try_from(seed % 3).unwrap()];
        let mut setup = Setup::new(seed, nodes);
        setup.loss_percent = [0, 2, 10, 25][usize::try_from(seed % 4).unwrap()];
        setup.delay_us = (1_000, [10_000, 60_000][usize::try_from(seed % 2).unwrap()]);
        let mut world = World::start(setup);
        world.run_to_height(20, Duration::from_secs(120));
    }
}

#[test]
fn one_seed_gives_one_history() {
    let history = || {
        let mut setup = Setup::new(77, 4);
        setup.loss_percent = 10;
        let mut world = World::start(setup);
        world.run_for(Duration::from_secs(5));
        let chain = world.nodes[0].disk.chain.iter().map(|block| block.hash);
        (chain.collect::<Vec<_>>(), world.sent)
    };
    assert_eq!(history(), history());
}
