//! An owner names batches that nobody has. Asking for them must not keep this operator from what is
//! committed in the same lane.

use crate::world::{Alone, batch, id, tip};
use squad_mempool::{LaneInput, LaneOutput};
use squad_primitives::message::LaneMessage;
use squad_primitives::{BatchSeq, Cut, Digest, Height, SignedHeader, Tip};

const OWNER: u32 = 3;
const ROUND_MICROS: u64 = 50_000;

/// What the others answer, all of it one round after it was asked for.
fn answers(out: &[LaneOutput], known: &SignedHeader) -> Vec<LaneInput> {
    let answer = |output: &LaneOutput| match output {
        LaneOutput::Send {
            to,
            message: LaneMessage::HeadersRequest { tip: wanted, .. },
        } if *to != id(OWNER) => {
            let held = *wanted == tip(known);
            Some(LaneInput::Message {
                from: *to,
                message: LaneMessage::Headers {
                    lane: id(OWNER),
                    headers: held.then_some(*known).into_iter().collect(),
                    poa: None,
                },
            })
        }
        LaneOutput::FetchBatch { from, tip: wanted } if *wanted == tip(known) => {
            Some(LaneInput::Batch {
                from: *from,
                signed: *known,
                poas: Vec::new(),
            })
        }
        _ => None,
    };
    out.iter().filter_map(answer).collect()
}

#[test]
fn batches_that_nobody_has_do_not_keep_a_committed_one_away() {
    let mut alone = Alone::new(0, &[1; 4]);
    let committed = batch(OWNER, None, 99, 20);
    let mut out = Vec::new();
    for number in 0..8_u8 {
        let nobodys = Tip {
            lane: id(OWNER),
            seq: BatchSeq(1 + u64::from(number) / 4),
            digest: Digest([number + 1; 32]),
        };
        let child = batch(OWNER, Some(nobodys), u64::from(number), 20);
        out.extend(alone.offer(0, OWNER, child));
    }
    let cut = Cut::new(vec![tip(&committed)]);
    let height = Height(1);
    out.extend(alone.step(0, LaneInput::Committed { height, cut }));
    for round in 1..40 {
        let micros = round * ROUND_MICROS;
        let mut next = Vec::new();
        for input in answers(&out, &committed) {
            next.extend(alone.step(micros, input));
        }
        let last = next.iter().filter_map(crate::world::persist_id).max();
        if let Some(last) = last {
            next.extend(alone.step(micros, LaneInput::Persisted(last)));
        }
        let ready = |output: &LaneOutput| matches!(output, LaneOutput::BlockReady { .. });
        if next.iter().any(ready) {
            return;
        }
        let ticks = alone.run_to(micros + ROUND_MICROS - 1);
        next.extend(ticks.into_iter().map(|(_, output)| output));
        out = next;
    }
    panic!(
        "the committed batch does not arrive: {:?}",
        alone.lanes.usage()
    );
}

/// Answers every request for headers with nothing, twice and in the same instant, for a second; returns
/// how many there were. Gives up at `most`, which a loop without a pause reaches at once: the second
/// answer of the last peer of a round must not begin the next one.
fn requests_under_empty_answers(alone: &mut Alone, mut out: Vec<LaneOutput>, most: usize) -> usize {
    let mut requests = 0;
    for micros in (0..1_000_000).step_by(10_000) {
        while !out.is_empty() {
            let mut next = Vec::new();
            for output in &out {
                let LaneOutput::Send {
                    to,
                    message: LaneMessage::HeadersRequest { .. },
                } = output
                else {
                    continue;
                };
                requests += 1;
                if requests > most {
                    return requests;
                }
                let answer = LaneMessage::Headers {
                    lane: id(OWNER),
                    headers: Vec::new(),
                    poa: None,
                };
                for answer in [answer.clone(), answer] {
                    next.extend(alone.message(micros, to.0, answer));
                }
            }
            out = next;
        }
        let ticks = alone.run_to(micros + 10_000);
        out = ticks.into_iter().map(|(_, output)| output).collect();
    }
    requests
}

#[test]
fn empty_answers_do_not_cut_the_pause_between_rounds_short() {
    let mut alone = Alone::new(0, &[1; 4]);
    let nobodys = Tip {
        lane: id(OWNER),
        seq: BatchSeq(1),
        digest: Digest([1; 32]),
    };
    let mut out = alone.offer(0, OWNER, batch(OWNER, Some(nobodys), 0, 20));
    let cut = Cut::new(vec![nobodys]);
    let height = Height(1);
    out.extend(alone.step(0, LaneInput::Committed { height, cut }));
    // Three others, and a round each `rebroadcast` of 100 ms.
    let most = 3 * 11;
    let requests = requests_under_empty_answers(&mut alone, out, most);
    assert!((3..=most).contains(&requests), "{requests} requests");
}
