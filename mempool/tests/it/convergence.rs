//! Under loss, repetition and reordering everything that was sealed is committed, and every operator
//! gets the same batches for every block.

use crate::world::{CALM, MS, Weather, World};

const STORM: Weather = Weather {
    loss_percent: 15,
    repeat_percent: 15,
    delay_us_max: 20_000,
};

fn converge(seed: u64, stakes: &[u64], weather: Weather) {
    converge_with_epochs(seed, stakes, weather, usize::MAX);
}

fn converge_with_epochs(seed: u64, stakes: &[u64], weather: Weather, epoch_blocks: usize) {
    let mut world = World::new(seed, stakes, weather);
    world.epoch_blocks = epoch_blocks;
    for _ in 0..60 {
        for me in 0..world.len() {
            if world.random.below(3) > 0 {
                world.seal(me);
            }
        }
        world.run(8 * MS);
    }
    world.weather = CALM;
    world.run(2_000 * MS);
    for me in 0..world.len() {
        let own = world.own_tip(me).unwrap();
        assert_eq!(
            world.last_cut().tip(own.lane),
            Some(&own),
            "seed {seed}: all that {me} sealed is committed"
        );
        assert_eq!(world.ready(me), world.ready(0), "seed {seed}");
        assert_eq!(world.ready(me).len() + 1, world.cuts.len());
    }
    assert_eq!(world.faults(), 0, "seed {seed}: nobody is blamed");
    let mut batches: Vec<_> = world.ready(0).values().flatten().collect();
    let count = batches.len();
    batches.sort();
    batches.dedup();
    assert_eq!(batches.len(), count, "seed {seed}: each batch in one block");
    assert_eq!(count, world.headers.len());
}

#[test]
fn four_operators_in_a_storm() {
    for seed in 0..12 {
        converge(seed, &[1, 1, 1, 1], STORM);
    }
}

#[test]
fn seven_operators_in_a_storm_need_acks_of_three_for_one_batch() {
    for seed in 100..104 {
        converge(seed, &[1; 7], STORM);
    }
}

#[test]
fn unequal_stakes() {
    for seed in 200..204 {
        converge(seed, &[5, 1, 2, 3, 4], STORM);
    }
}

#[test]
fn epochs_of_a_few_blocks() {
    for seed in 400..406 {
        converge_with_epochs(seed, &[1, 1, 1, 1], STORM, 5);
        converge_with_epochs(seed, &[1; 7], STORM, 7);
    }
}

#[test]
fn one_operator_alone() {
    converge(300, &[1], CALM);
}

#[test]
fn a_partition_heals_without_loss() {
    let mut world = World::new(7, &[1, 1, 1, 1], CALM);
    for (a, b) in [(0, 3), (1, 3), (2, 3)] {
        world.cut_off.insert((a, b));
        world.cut_off.insert((b, a));
    }
    for _ in 0..100 {
        for me in 0..4 {
            world.seal(me);
        }
        world.run(10 * MS);
    }
    let three = world.own_tip(3).unwrap();
    assert!(world.last_cut().tip(three.lane).is_none());
    let others = world.own_tip(0).unwrap();
    assert!(world.last_cut().seq(others.lane).0 > 50, "three go on");
    world.cut_off.clear();
    world.run(2_000 * MS);
    assert_eq!(world.last_cut().tip(three.lane), Some(&three));
    for me in 0..4 {
        assert_eq!(world.ready(me), world.ready(0));
    }
}
