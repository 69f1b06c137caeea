//! Everything at once: crashes, partitions, loss, slow disks, a leader that equivocates, short epochs
//! and unequal stake. The oracle watches safety; after the chaos ends, commits return soon.
//!
//! More seeds than the suite runs: `CHAOS_SEEDS=5000 cargo test --release -p squad-consensus --test it
//! -- chaos`.

use crate::net::{Setup, World};
use squad_primitives::Duration;
use std::collections::BTreeSet;

/// SplitMix64's increment makes neighbouring seeds differ in all bits.
fn mix(seed: u64, step: u64) -> u64 {
    let mut z = (seed << 20 | step).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 29)
}

fn setup(seed: u64) -> Setup {
    let members = 4 + usize::try_from(mix(seed, 0) % 4).unwrap();
    let mut setup = Setup::new(seed, members);
    setup.config.epoch_blocks = [5, 13, 40, 1_000][usize::try_from(mix(seed, 1) % 4).unwrap()];
    setup.loss_percent = [0, 1, 5, 20][usize::try_from(mix(seed, 2) % 4).unwrap()];
    setup.delay_us = (
        500,
        [3_000, 20_000, 80_000][usize::try_from(mix(seed, 3) % 3).unwrap()],
    );
    setup.disk_us = (
        50,
        [500, 10_000, 50_000][usize::try_from(mix(seed, 4) % 3).unwrap()],
    );
    setup.chain_us = (
        50,
        [500, 50_000, 500_000][usize::try_from(mix(seed, 8) % 3).unwrap()],
    );
    if mix(seed, 5).is_multiple_of(2) {
        for (index, stake) in &mut setup.committees[0] {
            *stake = 2 + mix(seed, 100 + *index as u64) % 3;
        }
    }
    setup
}

fn run(seed: u64) {
    let setup = setup(seed);
    let members = setup.committees[0].len();
    let mut world = World::start(setup);
    if mix(seed, 6).is_multiple_of(3) {
        world.equivocators = [usize::try_from(mix(seed, 7)).unwrap() % members].into();
    }
    for step in 0..40 {
        let dice = mix(seed, 1_000 + step);
        let node = usize::try_from(dice >> 8).unwrap() % members;
        match dice % 8 {
            0 | 1 if world.nodes[node].core.is_some() => world.crash(node),
            0..=3 if world.nodes[node].core.is_none() => world.boot(node),
            4 => {
                let split = (dice >> 24) | 1;
                let (left, right): (BTreeSet<_>, BTreeSet<_>) =
                    (0..members).partition(|node| split >> node & 1 == 1);
                world.partition = vec![left, right];
            }
            5 => world.partition.clear(),
            _ => {}
        }
        world.run_for(Duration::from_micros(1_000 + (dice >> 32) % 400_000));
    }
    world.partition.clear();
    world.setup.loss_percent = 0;
    for node in 0..members {
        if world.nodes[node].core.is_none() {
            world.boot(node);
        }
    }
    let height = world.height_max();
    world.run_to_height(height + 5, Duration::from_secs(6));
    world.run_for(Duration::from_secs(3));
    assert!(world.height_max() > height + 10, "seed {seed}");
}

#[test]
fn chaos_breaks_nothing_and_passes() {
    let seeds = std::env::var("CHAOS_SEEDS").map_or(60, |seeds| seeds.parse().unwrap());
    for seed in 0..seeds {
        run(seed);
    }
}
