//! Random paths to their ends: all views, the next epoch, every crash.

use crate::{assert_sound, scope};
use squad_model::{Limits, Search, explore};

const EXAMPLES: [&str; 5] = [
    "a block is committed",
    "a block of a Byzantine leader can be committed",
    "a second block is committed",
    "a view is skipped",
    "honest votes are split by an equivocating leader",
];

fn walk(name: &str, depth: usize) {
    let limits = Limits {
        search: Search::Walks { seed: 1 },
        steps: Some(50_000),
        threads: 1,
        until: None,
    };
    let report = explore(scope(name), limits);
    assert_sound(&report, 50_000);
    assert_eq!(report.seen, EXAMPLES);
    assert!(
        report.depth >= depth,
        "no path is longer than {}",
        report.depth
    );
}

#[test]
fn four_views_with_a_byzantine_second_leader() {
    walk("views", 30);
}

#[test]
fn a_first_leader_that_equivocates() {
    walk("equivocation", 20);
}

#[test]
fn two_crashes() {
    walk("crashes", 30);
}

#[test]
fn disks_that_take_their_time_and_a_crash() {
    walk("disks", 40);
}

#[test]
fn a_committee_that_changes() {
    walk("epochs", 45);
}
