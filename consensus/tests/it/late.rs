//! Nodes that come late or have no key follow the same chain.

use crate::net::{Setup, World};
use squad_primitives::Duration;

#[test]
fn a_late_member_syncs_and_takes_part() {
    let mut world = World::stopped(Setup::new(4, 4));
    for node in 0..3 {
        world.boot(node);
    }
    world.run_for(Duration::from_secs(20));
    let ahead = world.height_max();
    assert!(ahead > 300);
    world.boot(3);
    world.run_to_height(ahead, Duration::from_secs(3));
    world.run_for(Duration::from_secs(1));
    let status = world.nodes[3].core.as_ref().unwrap().status();
    assert!(!status.syncing, "{status:?}");
    assert!(world.height_max() - world.height(3) <= 3);
}

#[test]
fn a_late_member_syncs_across_epochs() {
    let mut setup = Setup::new(4, 4);
    setup.config.epoch_blocks = 25;
    let mut world = World::stopped(setup);
    for node in 0..3 {
        world.boot(node);
    }
    world.run_for(Duration::from_secs(10));
    let ahead = world.height_max();
    assert!(ahead > 100);
    world.boot(3);
    world.run_to_height(ahead, Duration::from_secs(5));
}

#[test]
fn observers_without_a_key_follow_and_stay_silent() {
    let mut setup = Setup::new(9, 4);
    setup.observers = 2;
    setup.loss_percent = 5;
    setup.config.epoch_blocks = 50;
    let mut world = World::start(setup);
    world.crash(5);
    world.run_for(Duration::from_secs(5));
    world.boot(5);
    let height = world.height_max();
    assert!(height > 100);
    world.run_to_height(height, Duration::from_secs(5));
    for observer in 4..6 {
        let node = &world.nodes[observer];
        assert!(!node.core.as_ref().unwrap().status().member);
        assert_eq!(node.disk.records(), 0, "an observer promises nothing");
    }
}
