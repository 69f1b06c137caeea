//! Proofs of availability: threshold, who counts, how they travel, when they are verified.

use crate::keys::committee;
use crate::world::{Alone, MS, ack, acks_in, batch, chain, id, poa, tip};
use squad_mempool::lanes::LaneFault;
use squad_mempool::{LaneInput, LaneOutput};
use squad_primitives::message::LaneMessage;
use squad_primitives::{Cut, Epoch, Poa, Signature, Tip};

fn own_batch(alone: &mut Alone, micros: u64) -> Tip {
    let signed = batch(0, alone.lanes.own_tip(), 1, 100);
    alone.step(micros, LaneInput::OwnBatch(signed));
    tip(&signed)
}

fn give_ack(alone: &mut Alone, micros: u64, signer: u32, tip: Tip) -> Vec<LaneOutput> {
    alone.message(micros, signer, LaneMessage::Ack(ack(signer, 0, tip)))
}

fn sent_poas(out: &[LaneOutput]) -> Vec<u32> {
    out.iter()
        .filter_map(|output| match output {
            LaneOutput::Send {
                to,
                message: LaneMessage::Poa(_),
            } => Some(to.0),
            _ => None,
        })
        .collect()
}

fn broadcast_poas(out: &[(u64, LaneOutput)]) -> Vec<u64> {
    out.iter()
        .filter(|(_, output)| matches!(output, LaneOutput::Broadcast(LaneMessage::Poa(_))))
        .map(|(micros, _)| *micros)
        .collect()
}

#[test]
fn exactly_one_third_of_stake_is_not_enough() {
    let mut six = Alone::new(0, &[1; 6]);
    let tip = own_batch(&mut six, 0);
    give_ack(&mut six, 1, 1, tip);
    assert_eq!(six.lanes.own_window().in_flight, 1, "2 of 6");
    give_ack(&mut six, 2, 1, tip);
    assert_eq!(six.lanes.own_window().in_flight, 1, "the same twice");
    give_ack(&mut six, 3, 2, tip);
    assert_eq!(six.lanes.own_window().in_flight, 0, "3 of 6");
    let mut weighted = Alone::new(0, &[1, 4, 10]);
    let tip = own_batch(&mut weighted, 0);
    give_ack(&mut weighted, 1, 1, tip);
    assert_eq!(weighted.lanes.own_window().in_flight, 1, "5 of 15");
}

#[test]
fn acks_for_different_batches_do_not_add_up() {
    let mut seven = Alone::new(0, &[1; 7]);
    let first = own_batch(&mut seven, 0);
    let second = own_batch(&mut seven, 1);
    give_ack(&mut seven, 2, 1, first);
    give_ack(&mut seven, 3, 2, second);
    assert_eq!(seven.lanes.own_window().in_flight, 2);
    give_ack(&mut seven, 4, 3, second);
    assert_eq!(
        seven.lanes.own_window().in_flight,
        0,
        "the tip stands for both"
    );
}

#[test]
fn a_receiver_acks_the_last_batch_of_a_group_and_each_meeting_point() {
    let mut alone = Alone::new(0, &[1; 7]);
    let mut last = None;
    for signed in chain(1, 7, 100) {
        last = alone
            .offer(0, 1, signed)
            .iter()
            .filter_map(crate::world::persist_id)
            .max()
            .or(last);
    }
    let out = alone.step(1, LaneInput::Persisted(last.unwrap()));
    let seqs: Vec<_> = acks_in(&out).iter().map(|ack| ack.tip.seq.0).collect();
    assert_eq!(seqs, [4, 7]);
}

#[test]
fn owner_and_receiver_are_enough_among_four_but_not_among_seven() {
    for (count, work) in [(4, true), (7, false)] {
        let mut alone = Alone::new(0, &vec![1; count]);
        let before = alone.verifier.count();
        alone.receive(0, 1, batch(1, None, 1, 100));
        assert_eq!(alone.lanes.has_work(&Cut::default()), work, "{count}");
        assert_eq!(alone.verifier.count() - before, 1, "the owner's signature");
    }
}

#[test]
fn nothing_is_certified_before_it_is_durable() {
    let mut alone = Alone::new(0, &[1; 4]);
    let out = alone.offer(0, 1, batch(1, None, 1, 100));
    assert!(acks_in(&out).is_empty());
    assert!(!alone.lanes.has_work(&Cut::default()));
}

#[test]
fn a_bad_ack_is_blamed_and_good_ones_still_count() {
    let mut seven = Alone::new(0, &[1; 7]);
    let tip = own_batch(&mut seven, 0);
    let mut bad = ack(1, 0, tip);
    bad.signature = Signature([9; 64]);
    seven.message(1, 1, LaneMessage::Ack(bad));
    let out = give_ack(&mut seven, 2, 2, tip);
    assert!(out.contains(&LaneOutput::Fault {
        peer: id(1),
        fault: LaneFault::AckSignature
    }));
    assert_eq!(seven.lanes.own_window().in_flight, 1);
    give_ack(&mut seven, 3, 3, tip);
    assert_eq!(seven.lanes.own_window().in_flight, 0);
    let stolen = LaneMessage::Ack(ack(4, 0, tip));
    let out = seven.message(4, 5, stolen);
    assert!(
        matches!(out[..], [LaneOutput::Fault { .. }]),
        "in another's name"
    );
}

#[test]
fn acks_of_another_epoch_do_not_count() {
    let mut four = Alone::new(0, &[1; 4]);
    let tip = own_batch(&mut four, 0);
    let later = LaneMessage::Ack(ack(1, 1, tip));
    four.message(1, 1, later.clone());
    assert_eq!(four.lanes.own_window().in_flight, 1);
    four.step(2, LaneInput::EpochReady(committee(1, &[1; 4])));
    four.message(3, 2, LaneMessage::Ack(ack(2, 0, tip)));
    assert_eq!(four.lanes.own_window().in_flight, 1, "of the epoch before");
    four.message(4, 1, later);
    assert_eq!(four.lanes.own_window().in_flight, 0);
}

#[test]
fn a_proof_that_two_epochs_made_void_is_collected_anew() {
    let mut four = Alone::new(0, &[1; 4]);
    let tip = own_batch(&mut four, 0);
    give_ack(&mut four, 1, 1, tip);
    four.step(2, LaneInput::EpochReady(committee(1, &[1; 4])));
    assert_eq!(four.lanes.own_window().in_flight, 0, "legal for one more");
    four.step(3, LaneInput::EpochReady(committee(2, &[1; 4])));
    assert_eq!(four.lanes.own_window().in_flight, 1);
    assert!(!four.lanes.has_work(&Cut::default()));
    let asked = four.run_to(300 * MS).into_iter().any(|(_, output)| {
        matches!(output, LaneOutput::Send { to, message: LaneMessage::Status(_) } if to == id(1))
    });
    assert!(asked, "who acknowledged before is asked again");
    four.message(300 * MS, 1, LaneMessage::Ack(ack(1, 2, tip)));
    assert_eq!(four.lanes.own_window().in_flight, 0);
    let cut = four.lanes.propose_cut(&Cut::default(), Epoch(2));
    assert_eq!(cut, Cut::new(vec![tip]));
}

#[test]
fn a_proof_goes_to_the_leaders_at_once_and_to_all_after_five_milliseconds() {
    let mut four = Alone::new(0, &[1; 4]);
    four.step(0, LaneInput::LeadersChanged([id(2), id(3)]));
    let tip = own_batch(&mut four, 0);
    let out = give_ack(&mut four, MS, 1, tip);
    assert_eq!(sent_poas(&out), [2, 3]);
    let later = four.run_to(20 * MS);
    assert_eq!(broadcast_poas(&later), [6 * MS]);
}

#[test]
fn a_proof_travels_with_the_next_batch_instead() {
    let mut four = Alone::new(0, &[1; 4]);
    let first = own_batch(&mut four, 0);
    give_ack(&mut four, MS, 1, first);
    let signed = batch(0, Some(first), 2, 100);
    let out = four.step(2 * MS, LaneInput::OwnBatch(signed));
    let carried = out.iter().any(|output| {
        matches!(output, LaneOutput::BroadcastBatch { poas, .. }
            if poas.iter().map(|poa| poa.tip).eq([first]))
    });
    assert!(carried);
    assert!(broadcast_poas(&four.run_to(50 * MS)).is_empty());
    let repeated = broadcast_poas(&four.run_to(350 * MS));
    assert!(
        repeated.len() >= 2,
        "again while no block takes it in: {repeated:?}"
    );
}

/// A committee of seven, a batch of lane 1 held, nothing certified.
fn seven_with_batch() -> (Alone, Tip) {
    let mut seven = Alone::new(0, &[1; 7]);
    let signed = batch(1, None, 1, 100);
    seven.receive(0, 1, signed);
    (seven, tip(&signed))
}

fn forged(tip: Tip) -> Poa {
    let mut forged = poa(&committee(0, &[1; 7]), tip, &[1, 2, 3]);
    forged.signatures[2] = Signature([7; 64]);
    forged
}

#[test]
fn a_forged_proof_makes_no_work_on_an_idle_network() {
    let (mut seven, tip) = seven_with_batch();
    let out = seven.message(1, 6, LaneMessage::Poa(Box::new(forged(tip))));
    assert!(matches!(out[..], [LaneOutput::Fault { .. }]));
    assert!(!seven.lanes.has_work(&Cut::default()));
}

#[test]
fn under_load_proofs_are_verified_when_they_are_proposed_and_forged_ones_dropped() {
    let (mut seven, busy) = seven_with_batch();
    let members = committee(0, &[1; 7]);
    seven.message(
        1,
        1,
        LaneMessage::Poa(Box::new(poa(&members, busy, &[1, 2, 3]))),
    );
    let other = batch(2, None, 1, 100);
    seven.receive(2, 2, other);
    let before = seven.verifier.count();
    seven.message(3, 6, LaneMessage::Poa(Box::new(forged(tip(&other)))));
    assert_eq!(seven.verifier.count(), before, "not verified on arrival");
    let cut = seven.lanes.propose_cut(&Cut::default(), Epoch(0));
    assert_eq!(cut, Cut::new(vec![busy]));
    // It was forgotten, so a good one finds its place.
    let good = poa(&members, tip(&other), &[2, 3, 4]);
    seven.message(4, 2, LaneMessage::Poa(Box::new(good)));
    let cut = seven.lanes.propose_cut(&Cut::default(), Epoch(0));
    assert_eq!(cut, Cut::new(vec![busy, tip(&other)]));
}

#[test]
fn a_forged_proof_that_came_first_keeps_no_good_one_out() {
    let (mut seven, busy) = seven_with_batch();
    let members = committee(0, &[1; 7]);
    seven.message(
        1,
        1,
        LaneMessage::Poa(Box::new(poa(&members, busy, &[1, 2, 3]))),
    );
    let other = batch(2, None, 1, 100);
    seven.receive(2, 2, other);
    seven.message(3, 6, LaneMessage::Poa(Box::new(forged(tip(&other)))));
    let good = poa(&members, tip(&other), &[2, 3, 4]);
    seven.message(4, 2, LaneMessage::Poa(Box::new(good)));
    let cut = seven.lanes.propose_cut(&Cut::default(), Epoch(0));
    assert_eq!(cut, Cut::new(vec![busy, tip(&other)]));
}

#[test]
fn a_proof_below_the_threshold_or_with_strangers_is_refused() {
    let (mut seven, tip) = seven_with_batch();
    let members = committee(0, &[1; 7]);
    let mut short = poa(&members, tip, &[1, 2, 3]);
    short.signatures.pop();
    let of_others = poa(&committee(0, &[1; 30]), tip, &(9..22).collect::<Vec<_>>());
    for bad in [short, of_others] {
        let out = seven.message(1, 6, LaneMessage::Poa(Box::new(bad)));
        assert!(matches!(out[..], [LaneOutput::Fault { .. }]));
    }
}

#[test]
fn a_proof_that_arrives_before_its_batch_is_kept() {
    let mut seven = Alone::new(0, &[1; 7]);
    let signed = batch(1, None, 1, 100);
    let early = poa(&committee(0, &[1; 7]), tip(&signed), &[1, 2, 3]);
    seven.message(0, 1, LaneMessage::Poa(Box::new(early)));
    assert!(!seven.lanes.has_work(&Cut::default()), "no header yet");
    seven.offer(1, 1, signed);
    assert!(seven.lanes.has_work(&Cut::default()));
}

#[test]
fn the_batch_of_an_early_proof_is_asked_for_in_time() {
    let mut seven = Alone::new(0, &[1; 7]);
    let signed = batch(1, None, 1, 100);
    let early = poa(&committee(0, &[1; 7]), tip(&signed), &[1, 2, 3]);
    seven.message(0, 5, LaneMessage::Poa(Box::new(early)));
    let asked = seven.run_to(101 * MS).into_iter().any(|(_, output)| {
        matches!(output, LaneOutput::Send { to, message: LaneMessage::HeadersRequest { .. } }
            if to == id(5))
    });
    assert!(asked);
}

/// Found by the simulator: the owner sent a forged proof of its own lane on, and was blamed for it.
#[test]
fn an_owner_sends_no_forged_proof_of_its_own_lane_on() {
    let stakes = [1; 7];
    let mut alone = Alone::new(0, &stakes);
    let own = batch(0, None, 1, 100);
    alone.step(0, LaneInput::OwnBatch(own));
    // Something certified waits in another lane, so a proof is not verified when it comes.
    let other = batch(1, None, 2, 100);
    alone.receive(0, 1, other);
    let members = committee(0, &stakes);
    let proof = poa(&members, tip(&other), &[1, 2, 3]);
    alone.message(0, 1, LaneMessage::Poa(Box::new(proof)));
    let mut forged = poa(&members, tip(&own), &[1, 2, 3]);
    forged.signatures[0].0[0] ^= 1;
    alone.message(1, 4, LaneMessage::Poa(Box::new(forged.clone())));
    let sent = alone.run_to(1_000 * MS);
    let forged = LaneOutput::Broadcast(LaneMessage::Poa(Box::new(forged)));
    assert!(sent.iter().all(|(_, output)| *output != forged));
}
