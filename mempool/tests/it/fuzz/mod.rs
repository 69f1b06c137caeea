//! One operator's lanes against a faulty peer with a quarter of the stake that says anything it can
//! sign, in any order, between honest batches, commits, crashes and restarts.
//!
//! Asserted: nothing panics; nothing is acknowledged before it is durable, nor twice on different
//! branches, restarts included; memory stays within the declared limits; only the faulty operator is
//! accused; and once its noise ends, every committed block becomes ready.
mod noise;
mod operator;

use crate::keys::committee;
use crate::world::{ack, batch_in, id, tip};
use noise::Noise;
use operator::Operator;
use squad_fuzz::{Bound, Result, Unstructured, bounded, damage, hostile, run, run_with};
use squad_mempool::{LaneInput, LaneRecord};
use squad_primitives::codec::{Encode, decode};
use squad_primitives::message::LaneMessage;
use squad_primitives::{Cut, Epoch};

const ME: u32 = 0;
const LIAR: u32 = 3;
const STAKES: [u64; 4] = [1; 4];
const WINDOW: u64 = 16;
const ENTROPY_BYTES: u32 = 16 << 10;

fn act(u: &mut Unstructured<'_>, operator: &mut Operator) -> Result<()> {
    let peer = u.int_in_range(1..=2)?;
    match u.int_in_range(0..=31)? {
        0 | 1 => operator.own_batch(),
        2..=4 => {
            // An honest batch, perhaps lost on its way.
            let ahead = operator.top(peer).map_or(0, |tip| tip.seq.0);
            if ahead < operator.head().seq(id(peer)).0 + WINDOW {
                let signed = operator.make(peer, operator.top(peer), 0);
                if u.ratio(3, 4)? {
                    let from = id(peer);
                    let poas = Vec::new();
                    operator.input(LaneInput::Batch { from, signed, poas });
                }
            }
        }
        5 => {
            // An honest acknowledgement of the own lane.
            if let Some(tip) = operator.lanes.own_tip() {
                let message = LaneMessage::Ack(ack(peer, operator.epoch, tip));
                operator.input(LaneInput::Message {
                    from: id(peer),
                    message,
                });
            }
        }
        6..=8 => {
            let count = u.int_in_range(0..=operator.queue.len())?;
            operator.sync(count);
        }
        9 => operator.crash(),
        10 | 11 => {
            // This operator leads.
            let (parent, epoch) = (operator.head(), Epoch(operator.epoch));
            let cut = operator.lanes.propose_cut(&parent, epoch);
            if cut != parent {
                operator.commit(cut);
            }
        }
        12 | 13 => {
            // Another one leads, and may be ahead in any lane.
            let mut cut = operator.head();
            for tip in operator.made.keys().copied().collect::<Vec<_>>() {
                let near = tip.seq.0 <= cut.seq(tip.lane).0 + 4;
                if near && u.ratio(1, 3)? && operator.extends(&tip, &cut) {
                    cut.set(tip);
                }
            }
            let (parent, epoch) = (operator.head(), Epoch(operator.epoch));
            let _ = operator.lanes.check_cut(&parent, &cut, epoch);
            if u.ratio(1, 2)? && cut != parent {
                operator.commit(cut);
            }
        }
        14 => operator.process(),
        15 => {
            operator.epoch += 1;
            let next = committee(operator.epoch, &STAKES);
            operator.input(LaneInput::EpochReady(next));
        }
        16 => operator.input(LaneInput::PeerDisconnected(id(u.int_in_range(1..=3)?))),
        17 => operator.input(LaneInput::PeerConnected(id(u.int_in_range(1..=5)?))),
        18 => operator.input(LaneInput::LeadersChanged([id(peer), id(LIAR)])),
        19 | 20 => {
            let micros = u.int_in_range(0..=200_000)?;
            pass(operator, micros);
        }
        21 => {
            let mut noise = Noise { u, operator };
            let tips = vec![noise.tip()?, noise.tip()?, noise.tip()?];
            let (parent, epoch) = (operator.head(), Epoch(operator.epoch));
            let _ = operator.lanes.check_cut(&parent, &Cut::new(tips), epoch);
        }
        _ => {
            let input = Noise { u, operator }.input()?;
            operator.input(input);
        }
    }
    operator.micros += u.int_in_range(0..=1_000)?;
    Ok(())
}

/// Time passes; deadlines are kept.
fn pass(operator: &mut Operator, micros: u64) {
    let end = operator.micros + micros;
    while let Some(due) = operator.lanes.next_deadline().filter(|due| due.0 <= end) {
        assert!(
            due.0 + 1_000_000 > operator.micros,
            "a deadline left behind"
        );
        operator.micros = operator.micros.max(due.0);
        operator.input(LaneInput::Tick);
        assert!(
            operator.lanes.next_deadline().is_none_or(|next| next > due),
            "a deadline that is due was not handled"
        );
    }
    operator.micros = end;
}

/// The others answer everything that is asked, truthfully, and what is ready is processed, until all
/// committed blocks are ready.
fn settle(operator: &mut Operator) {
    operator.connect();
    for _ in 0..400 {
        operator.sync(usize::MAX);
        operator.process();
        if operator.ready == operator.committed.len() as u64 {
            return;
        }
        for (to, message) in std::mem::take(&mut operator.sent) {
            if let LaneMessage::HeadersRequest { after, tip } = message
                && to != id(LIAR)
            {
                let mut headers = operator.headers(after, tip);
                headers.truncate(256);
                let message = LaneMessage::Headers {
                    lane: tip.lane,
                    headers,
                    poa: None,
                };
                operator.input(LaneInput::Message { from: to, message });
            }
        }
        for tip in std::mem::take(&mut operator.wanted) {
            if let Some(signed) = operator.made.get(&tip).copied() {
                operator.input(LaneInput::Batch {
                    from: id(1),
                    signed,
                    poas: Vec::new(),
                });
            }
        }
        pass(operator, 50_000);
    }
    panic!(
        "{} of {} committed blocks are ready: {:?}",
        operator.ready,
        operator.committed.len(),
        operator.lanes.usage()
    );
}

#[test]
fn a_faulty_operator_says_anything() {
    run_with("inputs of lanes", ENTROPY_BYTES, |u| {
        let mut operator = Operator::new();
        for _ in 0..u.int_in_range(1..=400)? {
            if u.is_empty() {
                break;
            }
            act(u, &mut operator)?;
        }
        settle(&mut operator);
        Ok(!operator.committed.is_empty())
    });
}

/// What is read back after a crash, from a store that lies.
#[test]
fn lane_records() {
    let valid: Vec<_> = (1..5)
        .map(|lane| {
            let acked = tip(&batch_in(Epoch(0), lane, None, 1, 20));
            LaneRecord { acked }.to_bytes()
        })
        .collect();
    run("lane records", |u| {
        let input = hostile(u, &valid, damage)?;
        let read = bounded(Bound::PEER, input.len(), || decode::<LaneRecord>(&input));
        if let Ok(record) = &read {
            assert_eq!(record.to_bytes(), input);
        }
        Ok(read.is_ok())
    });
}
