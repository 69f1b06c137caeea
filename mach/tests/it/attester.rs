//! Which blocks are attested, and when.

use crate::support::{secret, statement};
use squad_mach::attester::{Input, Output};
use squad_mach::{Attester, AttesterConfig, Refusal, SignGuard, Statement};
use squad_primitives::{Duration, Height, Time};

struct Bench {
    attester: Attester,
    now: Time,
    record: Option<Vec<u8>>,
}

impl Bench {
    fn new() -> Self {
        Self::restored(None)
    }

    fn restored(record: Option<Vec<u8>>) -> Self {
        let guard = SignGuard::restore(secret(0).public_key(), record.as_deref()).unwrap();
        Self {
            attester: Attester::new(AttesterConfig::default(), guard),
            now: Time(10_000_000),
            record,
        }
    }

    fn step(&mut self, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.attester.step(self.now, input, &mut out);
        out
    }

    fn wait_ms(&mut self, ms: u64) -> Vec<Output> {
        self.now = self.now.after(Duration::from_millis(ms));
        let mut out = Vec::new();
        self.attester.handle_timeout(self.now, &mut out);
        out
    }

    fn executed(&mut self, statement: Statement, timestamp_ms: u64) -> Vec<Output> {
        self.step(Input::Executed {
            statement,
            member: Some(0),
            timestamp_ms,
        })
    }

    /// Confirms the records among `out`; heights that were attested.
    fn settle(&mut self, out: Vec<Output>) -> Vec<u64> {
        let mut heights = Vec::new();
        for output in out {
            match output {
                Output::Persist { ticket, record } => {
                    self.record = Some(record);
                    let next = self.step(Input::Durable { ticket });
                    heights.extend(self.settle(next));
                }
                Output::Attest(permit) => heights.push(permit.statement().height.0),
                other => panic!("{other:?}"),
            }
        }
        heights
    }
}

#[test]
fn an_idle_network_attests_every_block() {
    let mut bench = Bench::new();
    let mut heights = Vec::new();
    for height in 1..=5 {
        let out = bench.executed(statement(0, height), height * 1_000);
        heights.extend(bench.settle(out));
        let out = bench.wait_ms(20);
        heights.extend(bench.settle(out));
        bench.step(Input::Certified(Height(height)));
        bench.wait_ms(980);
    }
    assert_eq!(heights, [1, 2, 3, 4, 5]);
}

/// Two operators that execute the same blocks at different moments pick the same heights, as many as
/// the configured number per second, and the last block of the burst.
#[test]
fn under_load_all_operators_pick_the_same_blocks() {
    let run = |lag: u64| {
        let mut bench = Bench::new();
        bench.now = bench.now.after(Duration::from_millis(lag));
        let mut heights = Vec::new();
        for height in 1..=205_u64 {
            let out = bench.executed(statement(0, height), 5_000 + height * 10);
            heights.extend(bench.settle(out));
            // Not every block takes the same time here.
            let out = bench.wait_ms(9 + (height * lag) % 3);
            heights.extend(bench.settle(out));
            if let Some(last) = heights.last() {
                bench.step(Input::Certified(Height(*last)));
            }
        }
        let out = bench.wait_ms(100);
        heights.extend(bench.settle(out));
        heights
    };
    let heights = run(0);
    assert_eq!(heights, run(1));
    assert_eq!(heights, run(7));
    let mut expected: Vec<u64> = (1..=20).map(|slot| slot * 10).collect();
    expected.push(205);
    assert_eq!(heights, expected, "ten per second, and the tail");
}

#[test]
fn nothing_leaves_before_the_record_and_the_newest_block_is_next() {
    let mut bench = Bench::new();
    bench.executed(statement(0, 1), 1_000);
    let out = bench.wait_ms(20);
    let [Output::Persist { ticket, .. }] = out.as_slice() else {
        panic!("{out:?}");
    };
    for height in 2..=4 {
        assert_eq!(bench.executed(statement(0, height), 1_000 + height), []);
    }
    assert_eq!(bench.wait_ms(200), [], "the disk is slow");
    let out = bench.step(Input::Durable { ticket: *ticket });
    assert_eq!(bench.settle(out), [1]);
    let out = bench.wait_ms(0);
    assert_eq!(bench.settle(out), [4]);
}

#[test]
fn catching_up_signs_little_and_nothing_that_is_certified() {
    let mut bench = Bench::new();
    bench.step(Input::Certified(Height(500)));
    let mut heights = Vec::new();
    for height in 1..=1_000 {
        let out = bench.executed(statement(0, height), height * 1_000);
        heights.extend(bench.settle(out));
    }
    let out = bench.wait_ms(100);
    heights.extend(bench.settle(out));
    assert_eq!(heights, [501, 1_000]);
}

#[test]
fn an_attestation_is_repeated_until_a_certificate_covers_it() {
    let mut bench = Bench::new();
    bench.executed(statement(0, 1), 1_000);
    let out = bench.wait_ms(20);
    assert_eq!(bench.settle(out), [1]);
    for _ in 0..3 {
        let out = bench.wait_ms(500);
        assert!(
            matches!(out.as_slice(), [Output::Repeat(permit)] if permit.statement().height == Height(1))
        );
    }
    bench.step(Input::Certified(Height(1)));
    assert_eq!(bench.attester.next_deadline(), None);
    assert_eq!(bench.wait_ms(5_000), []);
}

#[test]
fn a_result_that_changed_over_a_restart_is_an_alarm() {
    let mut bench = Bench::new();
    bench.executed(statement(0, 1), 1_000);
    let out = bench.wait_ms(20);
    bench.settle(out);
    let mut after = Bench::restored(bench.record);
    after.executed(crate::support::other_result(statement(0, 1)), 1_000);
    assert_eq!(
        after.wait_ms(20),
        [Output::Refused(Refusal::Contradiction(Height(1)))]
    );
}

#[test]
fn own_attestations_heard_from_elsewhere_raise_the_floor() {
    let mut bench = Bench::new();
    bench.step(Input::HeardOwn(Height(7)));
    bench.executed(statement(0, 7), 1_000);
    assert!(matches!(
        bench.wait_ms(20).as_slice(),
        [Output::Refused(Refusal::Floor { .. })]
    ));
    bench.executed(statement(0, 8), 2_000);
    let out = bench.wait_ms(100);
    assert_eq!(bench.settle(out), [8]);
}

#[test]
fn strangers_and_the_halted_attest_nothing() {
    let mut bench = Bench::new();
    let stranger = Input::Executed {
        statement: statement(0, 1),
        member: None,
        timestamp_ms: 1_000,
    };
    assert_eq!(bench.step(stranger), []);
    assert_eq!(bench.attester.next_deadline(), None);
    bench.executed(statement(0, 2), 2_000);
    bench.attester.halt();
    assert_eq!(bench.wait_ms(1_000), []);
    assert_eq!(bench.executed(statement(0, 3), 9_000), []);
    assert_eq!(bench.wait_ms(1_000), []);
}
