//! A leader that proposes two blocks is exposed, and breaks nothing.

use crate::net::{Setup, World, verifier};
use squad_primitives::{Duration, OperatorId};

#[test]
fn two_proposals_of_one_leader_become_evidence() {
    for seed in 0..10 {
        let mut world = World::start(Setup::new(seed, 4));
        world.equivocators = [1].into();
        world.run_for(Duration::from_secs(3));
        assert!(world.height_max() > 20, "seed {seed}: no progress");
        assert!(!world.evidence.is_empty(), "seed {seed}: no evidence");
        for (_, evidence) in &world.evidence {
            assert_eq!(evidence.operator(), OperatorId(1));
            let epoch = world.committee(squad_primitives::Epoch(0));
            let network = world.setup.config.network;
            assert!(evidence.verify(&network, &epoch, &*verifier()));
        }
    }
}

#[test]
fn honest_networks_produce_no_evidence() {
    let mut setup = Setup::new(8, 4);
    setup.loss_percent = 20;
    let mut world = World::start(setup);
    world.run_for(Duration::from_secs(20));
    assert!(world.evidence.is_empty());
    assert!(world.nodes.iter().all(|node| node.faults == 0));
}
