//! Partitions heal quickly, because nothing that progress needs is sent only once.

use crate::net::{Setup, World};
use squad_primitives::Duration;

#[test]
fn after_five_seconds_apart_commits_return_within_half_a_second() {
    for seed in 0..20 {
        let mut world = World::start(Setup::new(seed, 4));
        world.run_for(Duration::from_millis(700 + seed * 13));
        world.partition = vec![[0, 1].into(), [2, 3].into()];
        world.run_for(Duration::from_secs(5));
        let stuck = world.height_max();
        world.partition.clear();
        world.run_to_height(stuck + 1, Duration::from_millis(500));
    }
}

#[test]
fn a_minority_cut_off_for_long_catches_up() {
    for seed in 0..10 {
        let mut world = World::start(Setup::new(seed, 4));
        world.run_for(Duration::from_millis(500));
        world.partition = vec![[0, 1, 2].into(), [3].into()];
        world.run_for(Duration::from_secs(20));
        let ahead = world.height_max();
        assert!(ahead > world.height(3) + 500);
        world.partition.clear();
        world.run_to_height(ahead, Duration::from_secs(2));
    }
}
