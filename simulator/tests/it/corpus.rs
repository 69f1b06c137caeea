//! Seeds that failed once don't fail again.

use squad_simulator::corpus;
use squad_simulator::world::run_guarded;

#[test]
fn no_old_seed_fails_again() {
    let text = include_str!("../../corpus/seeds.txt");
    let cases = corpus::parse(text).expect("the corpus can be read");
    assert!(!cases.is_empty());
    for case in cases {
        let outcome = run_guarded(case.seed, &case.options, false);
        if let Some(failure) = outcome.failure {
            panic!("{} ({})", failure.with_command(&case.options), case.reason);
        }
    }
}
