//! Crashes lose what was not synced and nothing else; no operator ever contradicts itself (the world
//! checks each acknowledgement against all earlier ones, across restarts).

use crate::world::{CALM, MS, Weather, World};

const ROUGH: Weather = Weather {
    loss_percent: 5,
    repeat_percent: 10,
    delay_us_max: 5_000,
};

#[test]
fn crashes_at_any_moment_neither_contradict_nor_stop_anybody() {
    for seed in 0..40 {
        let mut world = World::new(seed, &[1, 1, 1, 1], ROUGH);
        for round in 0..60_u64 {
            for me in 0..4 {
                world.seal(me);
            }
            let micros = world.random.below(9 * MS);
            world.run(micros);
            let victim = world.random.below(4) as u32;
            if round % 6 == 0 {
                world.crash(victim);
                world.run(30 * MS);
                world.restart(victim);
            }
        }
        world.weather = CALM;
        world.run(2_000 * MS);
        for me in 0..4 {
            let own = world.own_tip(me).unwrap();
            assert_eq!(world.last_cut().tip(own.lane), Some(&own), "seed {seed}");
            let last = world.ready(0).last_key_value().unwrap();
            assert_eq!(world.ready(me).last_key_value(), Some(last), "seed {seed}");
        }
    }
}

#[test]
fn all_operators_crash_at_once_and_go_on() {
    let mut world = World::new(3, &[1, 1, 1, 1], CALM);
    for _ in 0..20 {
        for me in 0..4 {
            world.seal(me);
        }
        world.run(5 * MS);
    }
    for me in 0..4 {
        world.crash(me);
    }
    for me in 0..4 {
        world.restart(me);
    }
    for me in 0..4 {
        world.seal(me);
    }
    world.run(1_000 * MS);
    for me in 0..4 {
        let own = world.own_tip(me).unwrap();
        assert_eq!(world.last_cut().tip(own.lane), Some(&own));
    }
}
