//! Every order of a number of events.

use crate::{assert_sound, scope};
use squad_model::{Limits, Report, Search, explore};

fn every_order(name: &str, depth: usize) -> Report {
    let limits = Limits {
        search: Search::Breadth { depth: Some(depth) },
        steps: None,
        threads: 1,
        until: None,
    };
    explore(scope(name), limits)
}

#[test]
fn four_views_with_a_byzantine_second_leader() {
    assert_sound(&every_order("views", 9), 138_000);
}

#[test]
fn a_first_leader_that_equivocates() {
    assert_sound(&every_order("equivocation", 11), 161_000);
}

#[test]
fn two_crashes() {
    assert_sound(&every_order("crashes", 8), 94_000);
}

#[test]
fn disks_that_take_their_time_and_a_crash() {
    assert_sound(&every_order("disks", 13), 157_000);
}

#[test]
fn a_committee_that_changes() {
    assert_sound(&every_order("epochs", 7), 1);
}

/// What is judged depends on nothing but the bound.
#[test]
fn runs_repeat() {
    let figures = || {
        let report = every_order("equivocation", 8);
        (report.judged, report.unique, report.steps, report.operators)
    };
    assert_eq!(figures(), figures());
}
