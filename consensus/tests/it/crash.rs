//! One of four stops: the others go on, and soon no longer wait for it.

use crate::net::{Setup, World};
use squad_primitives::Duration;

#[test]
fn a_dead_leader_costs_one_timeout_at_a_time_and_is_then_skipped() {
    for seed in 0..10 {
        let mut world = World::start(Setup::new(seed, 4));
        world.run_for(Duration::from_secs(2));
        let before = world.height_max();
        let healthy = before as f64 / 2.0;
        world.crash(3);
        let timeout = world.setup.config.view_timeout;
        // The longest time without a commit, over the first ten seconds.
        let mut longest = Duration::ZERO;
        let crashed = world.now;
        while world.now.since(crashed) < Duration::from_secs(10) {
            let target = world.height(0) + 1;
            let took = world.run_until("next commit", Duration::from_secs(5), |world| {
                world.height(0) >= target
            });
            longest = longest.max(took);
        }
        assert!(
            longest <= timeout + Duration::from_millis(100),
            "seed {seed}: {longest:?} without a commit"
        );
        let status = world.nodes[0].core.as_ref().unwrap().status();
        assert_eq!(status.suspects, [squad_primitives::OperatorId(3)]);
        assert!(status.views_skipped > 0);
        let start = world.height(0);
        world.run_for(Duration::from_secs(10));
        let rate = (world.height(0) - start) as f64 / 10.0;
        assert!(
            rate >= healthy * 2.0 / 3.0,
            "seed {seed}: {rate} blocks/s, healthy {healthy}"
        );
    }
}

#[test]
fn a_returned_operator_is_heard_and_leads_again() {
    let mut world = World::start(Setup::new(5, 4));
    world.run_for(Duration::from_secs(1));
    world.crash(2);
    world.run_for(Duration::from_secs(10));
    world.boot(2);
    world.run_for(Duration::from_secs(2));
    let lag = world.height_max() - world.height(2);
    assert!(lag <= 3, "{lag} blocks behind");
    let timed_out = |world: &World| {
        world.nodes[0]
            .core
            .as_ref()
            .unwrap()
            .status()
            .views_timed_out
    };
    let before = timed_out(&world);
    world.run_for(Duration::from_secs(2));
    let status = world.nodes[0].core.as_ref().unwrap().status();
    assert!(status.suspects.is_empty());
    assert_eq!(timed_out(&world), before, "no view times out any more");
}

#[test]
fn without_a_quorum_nothing_is_committed_and_with_it_everything_is() {
    let mut world = World::start(Setup::new(6, 4));
    world.run_for(Duration::from_secs(1));
    world.crash(0);
    world.crash(1);
    world.run_for(Duration::from_millis(100));
    let stuck = world.height_max();
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.height_max(), stuck);
    world.boot(0);
    world.boot(1);
    world.run_to_height(stuck + 10, Duration::from_secs(2));
}
