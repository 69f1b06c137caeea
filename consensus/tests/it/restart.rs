//! Nodes restart with their durable records only. The oracle remembers every vote of every life and
//! fails on a contradiction.

use crate::net::{Setup, World};
use squad_primitives::Duration;

#[test]
fn restarts_at_any_moment_never_contradict_and_lose_nothing() {
    for seed in 100..140 {
        let mut setup = Setup::new(seed, 4);
        setup.disk_us = (100, 20_000);
        setup.loss_percent = seed % 3 * 5;
        let mut world = World::start(setup);
        for round in 0..30 {
            // Prime steps, so that crashes fall on ever different phases of a view.
            let victim = usize::try_from((seed + round * 7) % 4).unwrap();
            world.run_for(Duration::from_micros(37_123 + round * 1_009));
            world.crash(victim);
            world.run_for(Duration::from_micros(11_003 * (round % 5)));
            world.boot(victim);
        }
        let height = world.height_max();
        world.run_to_height(height + 10, Duration::from_secs(20));
    }
}

#[test]
fn all_stop_at_once_and_go_on() {
    for seed in 0..30 {
        let mut setup = Setup::new(seed, 4);
        setup.disk_us = (100, 5_000);
        // Committed blocks reach the disk later than records, by epochs in the end.
        setup.chain_us = (
            100,
            [1_000, 100_000, 1_000_000][usize::try_from(seed % 3).unwrap()],
        );
        setup.config.epoch_blocks = [3, 1_000][usize::try_from(seed % 2).unwrap()];
        let mut world = World::start(setup);
        for round in 0..5 {
            world.run_for(Duration::from_micros(200_000 + seed * 1_733 + round * 911));
            for node in 0..4 {
                world.crash(node);
            }
            for node in 0..4 {
                world.boot(node);
            }
        }
        let height = world.height_max();
        world.run_to_height(height + 10, Duration::from_secs(5));
    }
}
