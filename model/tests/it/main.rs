//! The smoke run: small bounds on every scope, which the checker must really reach.
//!
//! One thread each, so that a run judges the same states every time.

mod breadth;
mod controls;
mod walks;

use squad_model::{Report, Scope};

fn scope(name: &str) -> Scope {
    Scope::named(name).expect("the name of a scope")
}

/// Nothing is broken, the abstraction stood every comparison, and the run was not empty.
fn assert_sound(report: &Report, judged: u64) {
    assert!(report.broken.is_empty(), "{:#?}", report.broken);
    let (compared, differed) = report.compared;
    assert!(
        compared > 0 && differed == 0,
        "{differed} of {compared} answers differ"
    );
    assert!(report.schedules > 0, "no fair schedule was run");
    assert!(
        report.judged >= judged,
        "only {} states were judged",
        report.judged
    );
}
