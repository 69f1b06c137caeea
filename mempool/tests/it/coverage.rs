//! The coverage rule, to the microsecond.

use crate::keys::committee;
use crate::world::{Alone, MS, NETWORK, at, batch, chain, id, poa, tip};
use squad_mempool::{LaneInput, LaneOutput, LanesConfig};
use squad_primitives::message::LaneMessage;
use squad_primitives::{Cut, Height, Tip};

/// Operator 0 of seven holds a batch of lane 1 and a proof for it since time 0. Empty blocks go on, so
/// that nothing looks stalled.
fn certified(payload: usize, config: LanesConfig) -> (Alone, Tip) {
    let mut seven = Alone::with(config, &[1; 7]);
    let signed = batch(1, None, 1, payload);
    seven.receive(0, 1, signed);
    let proof = poa(&committee(0, &[1; 7]), tip(&signed), &[1, 2, 3]);
    seven.message(0, 1, LaneMessage::Poa(Box::new(proof)));
    (seven, tip(&signed))
}

fn config() -> LanesConfig {
    LanesConfig::new(NETWORK, Some(id(0)))
}

/// Runs with an empty block every 50 ms; returns when proofs were broadcast.
fn run_with_blocks(alone: &mut Alone, first: u64, end: u64) -> Vec<u64> {
    let mut all = Vec::new();
    for ms in first..end {
        all.extend(alone.run_to(ms * MS));
        if ms.is_multiple_of(50) {
            let height = Height(ms / 50 + 1);
            let cut = Cut::default();
            alone.step(ms * MS, LaneInput::Committed { height, cut });
        }
    }
    broadcasts(all)
}

fn broadcasts(out: Vec<(u64, LaneOutput)>) -> Vec<u64> {
    out.into_iter()
        .filter(|(_, output)| matches!(output, LaneOutput::Broadcast(LaneMessage::Poa(_))))
        .map(|(micros, _)| micros)
        .collect()
}

#[test]
fn the_proof_is_broadcast_once_after_half_of_the_delay() {
    let (mut seven, _) = certified(100, config());
    assert_eq!(run_with_blocks(&mut seven, 0, 2_000), [250 * MS]);
}

#[test]
fn a_cut_that_leaves_the_tip_out_is_refused_a_full_delay_after_the_own_broadcast() {
    let (mut seven, tip) = certified(100, config());
    run_with_blocks(&mut seven, 0, 800);
    let (parent, without) = (Cut::default(), Cut::default());
    let at_delay = at(750 * MS);
    let before = at(750 * MS - 1);
    assert_eq!(seven.lanes.uncovered(before, &parent, &without), None);
    assert_eq!(
        seven.lanes.uncovered(at_delay, &parent, &without),
        Some(id(1))
    );
    let with = Cut::new(vec![tip]);
    assert_eq!(seven.lanes.uncovered(at_delay, &parent, &with), None);
}

#[test]
fn the_delay_counts_from_the_own_broadcast_not_from_the_owners_proof() {
    let (mut seven, _) = certified(100, config());
    // The operator was away and ticks late: it has broadcast nothing yet, so it refuses nothing.
    let late = at(2_000 * MS);
    assert_eq!(
        seven
            .lanes
            .uncovered(late, &Cut::default(), &Cut::default()),
        None
    );
    let out = seven.step(2_000 * MS, LaneInput::Tick);
    assert!(!out.is_empty());
    for (micros, expected) in [(2_500 * MS - 1, None), (2_500 * MS, Some(id(1)))] {
        let left_out = seven
            .lanes
            .uncovered(at(micros), &Cut::default(), &Cut::default());
        assert_eq!(left_out, expected);
    }
}

#[test]
fn a_lane_that_goes_on_is_owed_a_place_however_many_of_its_proofs_wait() {
    let mut seven = Alone::with(config(), &[1; 7]);
    let (mut parent, mut tips) = (None, Vec::new());
    let mut certify = |seven: &mut Alone, micros: u64| {
        let signed = batch(1, parent, 1, 20);
        parent = Some(tip(&signed));
        tips.push(tip(&signed));
        seven.receive(micros, 1, signed);
        let proof = poa(&committee(0, &[1; 7]), tip(&signed), &[1, 2, 3]);
        seven.message(micros, 1, LaneMessage::Poa(Box::new(proof)));
        tips.clone()
    };
    // More than are kept, and then more while the delay runs.
    for _ in 0..80 {
        certify(&mut seven, 0);
    }
    run_with_blocks(&mut seven, 0, 700);
    let mut tips = certify(&mut seven, 700 * MS);
    tips.extend(certify(&mut seven, 740 * MS));
    let cut = Cut::new(vec![tips[78]]);
    for (micros, expected) in [(750 * MS - 1, None), (750 * MS, Some(id(1)))] {
        let left_out = seven.lanes.uncovered(at(micros), &cut, &cut);
        assert_eq!(left_out, expected, "at {micros}");
    }
}

/// As above, but the newest batches hang in the air: their proofs must not push out the claim of those
/// that are known to descend.
#[test]
fn a_lane_with_a_gap_is_owed_a_place_up_to_the_gap() {
    let mut seven = Alone::with(config(), &[1; 7]);
    let lane = chain(1, 100, 20);
    let certify = |seven: &mut Alone, micros: u64, index: usize| {
        seven.receive(micros, 1, lane[index]);
        let proof = poa(&committee(0, &[1; 7]), tip(&lane[index]), &[1, 2, 3]);
        seven.message(micros, 1, LaneMessage::Poa(Box::new(proof)));
    };
    for index in 0..80 {
        certify(&mut seven, 0, index);
    }
    run_with_blocks(&mut seven, 0, 300);
    // Five are missing; the first that is known beyond is shown to all, and then another comes.
    certify(&mut seven, 300 * MS, 85);
    run_with_blocks(&mut seven, 301, 1_400);
    certify(&mut seven, 1_400 * MS, 86);
    let cut = Cut::new(vec![tip(&lane[78])]);
    let left_out = seven.lanes.uncovered(at(1_900 * MS), &cut, &cut);
    assert_eq!(left_out, Some(id(1)));
}

#[test]
fn a_full_block_may_leave_a_tip_out() {
    let small = LanesConfig {
        block_bytes_max: 1_500,
        ..config()
    };
    let (mut seven, _) = certified(1_000, small);
    let other = batch(2, None, 1, 1_000);
    seven.receive(1, 2, other);
    run_with_blocks(&mut seven, 0, 900);
    let full = Cut::new(vec![tip(&other)]);
    let now = at(900 * MS);
    assert_eq!(seven.lanes.uncovered(now, &Cut::default(), &full), None);
    assert_eq!(
        seven.lanes.uncovered(now, &Cut::default(), &Cut::default()),
        Some(id(1))
    );
}

#[test]
fn a_tip_that_does_not_descend_from_the_parents_need_not_be_covered() {
    let (mut seven, _) = certified(100, config());
    let rival = batch(1, None, 2, 100);
    seven.offer(1, 1, rival);
    run_with_blocks(&mut seven, 0, 900);
    let parent = Cut::new(vec![tip(&rival)]);
    let now = at(900 * MS);
    assert_eq!(seven.lanes.uncovered(now, &parent, &parent), None);
}

#[test]
fn a_committed_tip_is_not_broadcast() {
    let (mut seven, tip) = certified(100, config());
    let cut = Cut::new(vec![tip]);
    let height = Height(1);
    seven.step(249 * MS, LaneInput::Committed { height, cut });
    assert!(run_with_blocks(&mut seven, 250, 600).is_empty());
}

#[test]
fn while_nothing_commits_work_known_to_one_is_shown_to_all() {
    let (mut seven, _) = certified(100, config());
    let shown = broadcasts(seven.run_to(350 * MS));
    assert_eq!(shown, [100, 200, 250, 300].map(|ms| ms * MS));
}
