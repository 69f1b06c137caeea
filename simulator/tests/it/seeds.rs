//! Seeds: none fails, each gives one hash, and every class of faults happens.
//!
//! Half of the seeds are the same for ever; the other half may be moved with `SIMULATOR_FROM`, so that a
//! build server meets new ones. `SIMULATOR_SEEDS` sets how many there are of each.

use squad_simulator::fault::Fault;
use squad_simulator::plan::Options;
use squad_simulator::report::Report;
use squad_simulator::world::run_guarded;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Seeds of each half that meet every class of faults; a shorter run only checks the rules.
const COVERING: u64 = 100;

#[test]
fn no_seed_breaks_a_rule_and_every_fault_happens() {
    let count = number("SIMULATOR_SEEDS", 250);
    let from = number("SIMULATOR_FROM", 1_000_000);
    let seeds: Vec<u64> = (0..count).chain(from..from + count).collect();
    let options = Options::default();
    let next = AtomicU64::new(0);
    let report = Mutex::new(Report::default());
    let failures = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    let outcome = run_guarded(*seed, &options, false);
                    if let Some(failure) = &outcome.failure {
                        failures
                            .lock()
                            .unwrap()
                            .push(failure.with_command(&options));
                    }
                    report.lock().unwrap().add(&outcome);
                }
            });
        }
    });
    let (report, failures) = (report.into_inner().unwrap(), failures.into_inner().unwrap());
    println!("{report}");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let happened = [
        "loss",
        "duplicate",
        "hold",
        "partition",
        "clock-jump",
        "crash",
        "crash-between",
        "failed-write",
        "lost-write",
        "kept-unsynced-write",
        "torn-record",
        "wipe",
        "burst",
        "resubmit",
        "expiring",
        "evidence",
        "equivocating-leader",
        "equivocating-lane",
        "withheld-batch",
        "silent",
        "late",
        "stale-certificates",
        "double-vote",
        "bad-signatures",
        "far-views",
        "censor",
        "twin",
    ];
    // Rare classes need more seeds than a short run has.
    if count < COVERING {
        return;
    }
    let never: Vec<_> = happened
        .iter()
        .filter(|what| report.coverage.of(what) == 0)
        .collect();
    assert!(never.is_empty(), "never happened: {never:?}");
}

#[test]
fn a_seed_gives_one_hash() {
    let options = Options {
        views: Some(60),
        ..Options::default()
    };
    let mut hashes = std::collections::BTreeSet::new();
    for seed in 0..12 {
        let first = run_guarded(seed, &options, false);
        let second = run_guarded(seed, &options, true);
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert_eq!(first.events, second.events, "seed {seed}");
        hashes.insert(first.hash);
    }
    assert_eq!(hashes.len(), 12, "seeds differ");
}

#[test]
fn names_of_faults_are_read_back() {
    for fault in Fault::ALL {
        assert_eq!(Fault::parse(fault.name()), Some(fault));
    }
}
