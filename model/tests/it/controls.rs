//! Negative controls: where the protocol promises nothing, the checker must find the violation.

use crate::scope;
use squad_model::{Limits, Search, explore, rules};

fn assert_breaks(name: &str, rule: &'static str) {
    let limits = Limits {
        search: Search::Breadth { depth: None },
        steps: Some(5_000_000),
        threads: 1,
        until: Some(rule),
    };
    let report = explore(scope(name), limits);
    let found = report.broken.iter().any(|(broken, _)| *broken == rule);
    assert!(found, "{rule}: not broken in {} states", report.judged);
}

/// Half of the stake lies: two blocks are committed at one height.
#[test]
fn two_liars_of_four_break_agreement() {
    assert_breaks("two-liars", rules::AGREEMENT);
    assert_breaks("two-liars", rules::EXCLUSION);
}

#[test]
fn a_restart_without_its_promises_breaks_them() {
    assert_breaks("forgetful", rules::PROMISES);
}

/// And what they are there for: one honest operator that forgets is one too many.
#[test]
fn a_restart_without_its_promises_breaks_certificates() {
    assert_breaks("forgetful", rules::ONE_CERTIFIED);
}

#[test]
fn messages_that_leave_before_their_records_break_promises() {
    assert_breaks("hasty", rules::PROMISES);
}
