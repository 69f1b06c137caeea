//! What one peer may cost the lanes: signatures checked and memory kept, counted while it floods one
//! operator. The number of headers is that of the head of `lanes`: twice the window, four branches.

use crate::keys::committee;
use crate::world::{Alone, NETWORK, ack, batch, chain, id, poa, tip};
use squad_fuzz::held_bytes;
use squad_mempool::lanes::LaneFault;
use squad_mempool::{LaneInput, LaneOutput, LanesConfig};
use squad_primitives::message::LaneMessage;
use squad_primitives::{BatchSeq, Digest, Signature, SignedHeader, Tip};

const LIAR: u32 = 3;
const WINDOW: u64 = 8;
const HEADERS_MAX: usize = 2 * WINDOW as usize * 4;
const FLOOD: u64 = 10_000;

fn alone() -> Alone {
    let config = LanesConfig {
        window_batches: WINDOW,
        ..LanesConfig::new(NETWORK, Some(id(0)))
    };
    Alone::with(config, &[1; 4])
}

fn faults(out: &[LaneOutput]) -> Vec<LaneFault> {
    let fault = |output: &LaneOutput| match output {
        LaneOutput::Fault { fault, .. } => Some(*fault),
        _ => None,
    };
    out.iter().filter_map(fault).collect()
}

fn headers(lane: u32, headers: Vec<SignedHeader>) -> LaneMessage {
    LaneMessage::Headers {
        lane: id(lane),
        headers,
        poa: None,
    }
}

/// A forged header costs one check and is a fault; beyond the window not even that.
#[test]
fn forged_headers_cost_one_check_each() {
    let mut alone = alone();
    for salt in 0..1_000 {
        let mut forged = batch(1, None, salt, 20);
        forged.signature = Signature([1; 64]);
        let out = alone.offer(0, LIAR, forged);
        assert_eq!(faults(&out), [LaneFault::HeaderSignature]);
    }
    assert_eq!(alone.verifier.count(), 1_000);
    for salt in 0..1_000 {
        let mut far = batch(1, None, salt, 20);
        far.header.seq = BatchSeq(2 * WINDOW + 1 + salt);
        far.header.parent = Digest([9; 32]);
        alone.offer(0, LIAR, far);
    }
    assert_eq!(alone.verifier.count(), 1_000, "cheap before dear");
    assert_eq!(alone.lanes.usage().headers, 0);
}

/// An owner may sign as many branches as it likes; four are kept per position.
#[test]
fn branches_without_end_are_kept_up_to_the_limit() {
    let mut alone = alone();
    for round in 0..40 {
        for signed in chain(LIAR, 2 * WINDOW + 5, 20) {
            let mut parent = Some(tip(&signed)).filter(|_| round % 2 == 0);
            for salt in 0..3 {
                let next = batch(LIAR, parent, 1_000 * round + salt, 20);
                alone.offer(0, LIAR, next);
                parent = Some(tip(&next));
            }
        }
    }
    let usage = alone.lanes.usage();
    assert!(usage.headers <= HEADERS_MAX, "{usage:?}");
    assert!(usage.targets <= 8 && usage.fetches <= 16, "{usage:?}");
}

/// Headers that were not asked for are not looked at.
#[test]
fn unasked_answers_cost_nothing() {
    let mut alone = alone();
    let answer = headers(1, chain(1, 10, 20));
    let held = held_bytes(|| {
        for _ in 0..1_000 {
            alone.message(0, LIAR, answer.clone());
        }
    });
    assert_eq!(alone.verifier.count(), 0);
    assert!(held <= 1 << 10, "{held} bytes kept");
}

/// Acknowledgements and proofs for batches that nobody knows, of positions up to the end of numbers.
#[test]
fn what_names_unknown_batches_is_not_kept() {
    let mut alone = alone();
    let all = committee(0, &[1; 4]);
    let held = held_bytes(|| {
        for number in 0..FLOOD {
            let nobodys = Tip {
                lane: id(number as u32 % 5),
                seq: BatchSeq(u64::MAX - number),
                digest: Digest([number as u8; 32]),
            };
            alone.message(0, LIAR, LaneMessage::Ack(ack(LIAR, 0, nobodys)));
            let proof = poa(&all, nobodys, &[1, 2]);
            alone.message(0, LIAR, LaneMessage::Poa(Box::new(proof)));
            alone.message(0, LIAR, LaneMessage::Status(vec![nobodys; 4]));
        }
    });
    let usage = alone.lanes.usage();
    assert!(usage.orphans <= 16, "{usage:?}");
    assert!(held <= 64 << 10, "{held} bytes kept");
}

/// The same messages for a long time: known ones are recognised before a signature is checked.
#[test]
fn duplicates_cost_no_checks() {
    let mut alone = alone();
    let all = committee(0, &[1; 4]);
    let batches = chain(1, WINDOW, 20);
    for signed in &batches {
        alone.receive(0, 1, *signed);
    }
    let top = tip(&batches[batches.len() - 1]);
    let proof = poa(&all, top, &[1, 2]);
    let again = |alone: &mut Alone| {
        for signed in &batches {
            alone.offer(0, LIAR, *signed);
        }
        alone.message(0, LIAR, headers(1, batches.clone()));
        alone.message(0, LIAR, LaneMessage::Poa(Box::new(proof.clone())));
        alone.message(0, LIAR, LaneMessage::Status(vec![top]));
    };
    again(&mut alone);
    let first = alone.verifier.count();
    let held = held_bytes(|| (0..1_000).for_each(|_| again(&mut alone)));
    assert_eq!(alone.verifier.count(), first);
    assert!(held <= 1 << 10, "{held} bytes kept");
}

/// Headers are looked through for a peer as far as its allowance goes, however much it asks. Others have
/// their own, and it is full again after 100 ms.
#[test]
fn a_flood_of_requests_for_headers_gets_few_answers() {
    let mut alone = alone();
    let batches = chain(1, WINDOW, 20);
    for signed in &batches {
        alone.receive(0, 1, *signed);
    }
    let mut wanted = tip(&batches[WINDOW as usize - 1]);
    let mut answers = |micros: u64, from: u32, wanted: Tip| {
        let is_answer = |output: &LaneOutput| {
            matches!(
                output,
                LaneOutput::ServeHeaders { .. }
                    | LaneOutput::Send {
                        message: LaneMessage::Headers { .. },
                        ..
                    }
            )
        };
        let after = BatchSeq(0);
        let mut number = 0;
        for _ in 0..FLOOD {
            let request = LaneMessage::HeadersRequest { after, tip: wanted };
            let out = alone.message(micros, from, request);
            number += out.iter().filter(|output| is_answer(output)).count();
        }
        number
    };
    let first = answers(0, LIAR, wanted);
    assert!((100..=512).contains(&first), "{first} short ones");
    assert_eq!(answers(99_999, LIAR, wanted), 0);
    assert_eq!(answers(0, 2, wanted), first, "another peer");
    assert_eq!(answers(100_000, LIAR, wanted), first);
    // What spans more costs more, whether it exists or not.
    wanted.seq = BatchSeq(u64::MAX);
    let long = answers(200_000, LIAR, wanted);
    assert!((1..=4).contains(&long), "{long} long ones");
}

/// Requests of any kind are answered or refused at once and leave nothing behind.
#[test]
fn floods_of_requests_leave_nothing_behind() {
    let mut alone = alone();
    for signed in chain(1, WINDOW, 20) {
        alone.receive(0, 1, signed);
    }
    let held = held_bytes(|| {
        for number in 0..FLOOD {
            let wanted = Tip {
                lane: id(number as u32 % 6),
                seq: BatchSeq(number),
                digest: Digest([number as u8; 32]),
            };
            let after = BatchSeq(number / 2);
            let request = LaneMessage::HeadersRequest { after, tip: wanted };
            alone.message(0, LIAR, request);
            alone.step(
                0,
                LaneInput::FetchFailed {
                    from: id(LIAR),
                    digest: wanted.digest,
                },
            );
        }
    });
    assert!(held <= 1 << 10, "{held} bytes kept");
    assert_eq!(alone.verifier.count(), WINDOW as usize);
}
