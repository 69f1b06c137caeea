//! Negative controls: with more than a third of stake behind the same adversaries the harness must see a
//! fork. A harness that finds nothing there is broken.

use squad_simulator::plan::Options;
use squad_simulator::world::run_guarded;

#[test]
fn with_twins_of_half_of_the_stake_a_fork_is_reported() {
    for (members, excess_twins) in [(4, 2), (7, 4), (10, 6)] {
        let options = Options {
            members: Some(members),
            excess_twins,
            without: squad_simulator::fault::Fault::ALL.into_iter().collect(),
            ..Options::default()
        };
        let broken = (0..10).filter_map(|seed| run_guarded(seed, &options, false).failure);
        let rules: Vec<_> = broken.map(|failure| failure.violation.invariant).collect();
        assert!(rules.len() >= 5, "{members} operators: {rules:?}");
        assert!(
            rules
                .iter()
                .all(|rule| ["agreement", "certificates"].contains(rule)),
            "{members} operators: {rules:?}"
        );
    }
}
