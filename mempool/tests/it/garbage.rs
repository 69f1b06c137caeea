//! A faulty peer may send anything: nothing panics, and what is held stays bounded.

use crate::keys::committee;
use crate::world::{Alone, NETWORK, Random, ack, batch, id, poa, tip};
use proptest::prelude::*;
use squad_mempool::{LaneInput, LanesConfig};
use squad_primitives::message::LaneMessage;
use squad_primitives::{BatchSeq, Cut, Digest, Height, Poa, Signature, SignedHeader, Tip};

const OPERATORS: u64 = 7;
const WINDOW: u64 = 8;

/// Makes inputs that are partly right, so that they get past the first checks.
struct Faulty {
    random: Random,
    /// Signed by the faulty owner 6, on many branches.
    headers: Vec<SignedHeader>,
}

impl Faulty {
    fn tip(&mut self) -> Tip {
        let known = self.random.below(self.headers.len() as u64 + 1) as usize;
        match self.headers.get(known) {
            Some(signed) if self.random.below(4) > 0 => tip(signed),
            _ => Tip {
                lane: id(self.random.below(OPERATORS + 1) as u32),
                seq: BatchSeq(match self.random.below(4) {
                    0 => u64::MAX,
                    1 => 0,
                    _ => self.random.below(40),
                }),
                digest: Digest([self.random.below(4) as u8; 32]),
            },
        }
    }

    fn header(&mut self) -> SignedHeader {
        let parent = match self.random.below(8) {
            0 => None,
            _ => Some(self.tip()).filter(|tip| tip.seq.0 < 1_000),
        };
        let lane = if self.random.below(5) == 0 { 5 } else { 6 };
        let salt = self.random.next();
        let mut signed = batch(lane, parent, salt, 20);
        match self.random.below(8) {
            0 => signed.signature = Signature([1; 64]),
            1 => signed.header.seq = BatchSeq(self.random.next()),
            _ => self.headers.push(signed),
        }
        signed
    }

    fn poa(&mut self) -> Poa {
        let tip = self.tip();
        let mut poa = poa(&committee(0, &[1; OPERATORS as usize]), tip, &[4, 5, 6]);
        if self.random.below(2) == 0 {
            poa.signatures[0] = Signature([2; 64]);
        }
        poa
    }

    fn message(&mut self) -> LaneMessage {
        match self.random.below(6) {
            0 => {
                let tip = self.tip();
                let mut message = ack(6, self.random.below(3), tip);
                message.signer = id(self.random.below(OPERATORS) as u32);
                LaneMessage::Ack(message)
            }
            1 => LaneMessage::Poa(Box::new(self.poa())),
            2 => LaneMessage::Status((0..self.random.below(300)).map(|_| self.tip()).collect()),
            3 => LaneMessage::HeadersRequest {
                after: BatchSeq(self.random.below(20)),
                tip: self.tip(),
            },
            4 => LaneMessage::Headers {
                lane: id(self.random.below(OPERATORS + 1) as u32),
                headers: (0..self.random.below(12)).map(|_| self.header()).collect(),
                poa: Some(Box::new(self.poa())),
            },
            _ => LaneMessage::BatchRequest(self.tip().digest),
        }
    }

    fn input(&mut self, micros: u64) -> LaneInput {
        let from = id(self.random.below(OPERATORS + 2) as u32);
        match self.random.below(16) {
            0..=5 => LaneInput::Batch {
                from,
                signed: self.header(),
                poas: (0..self.random.below(8)).map(|_| self.poa()).collect(),
            },
            6..=12 => {
                let message = self.message();
                LaneInput::Message { from, message }
            }
            13 => LaneInput::Missing {
                tips: (0..self.random.below(5)).map(|_| self.tip()).collect(),
                proposer: from,
            },
            14 => LaneInput::FetchFailed {
                from,
                digest: self.tip().digest,
            },
            _ => LaneInput::Persisted(squad_mempool::PersistId(micros / 20)),
        }
    }
}

fn run(seed: u64) {
    let config = LanesConfig {
        window_batches: WINDOW,
        ..LanesConfig::new(NETWORK, Some(id(0)))
    };
    let mut alone = Alone::with(config, &[1; OPERATORS as usize]);
    let mut faulty = Faulty {
        random: Random(seed),
        headers: Vec::new(),
    };
    for micros in 0..4_000_u64 {
        let input = faulty.input(micros);
        alone.step(micros * 50, input);
        if micros % 500 == 0 {
            let cut = alone
                .lanes
                .propose_cut(&Cut::default(), squad_primitives::Epoch(0));
            let tips = vec![faulty.tip(), faulty.tip(), faulty.tip()];
            let _ = alone
                .lanes
                .check_cut(&cut, &Cut::new(tips), squad_primitives::Epoch(0));
        }
    }
    let usage = alone.lanes.usage();
    let lanes = OPERATORS as usize;
    // Twice the window, four branches each; see the head of the module.
    assert!(
        usage.headers <= lanes * 2 * WINDOW as usize * 4,
        "{usage:?}"
    );
    assert!(usage.proofs <= lanes * 64, "{usage:?}");
    assert!(usage.orphans <= lanes * lanes, "{usage:?}");
    assert!(usage.targets <= lanes * 8, "{usage:?}");
    assert!(usage.fetches <= lanes * 16, "{usage:?}");
    assert_eq!(usage.acks, 0, "{usage:?}");
    // The honest lane 1 is untouched by all this.
    let honest = batch(1, None, 1, 100);
    let out = alone.receive(400_000, 1, honest);
    assert!(
        crate::world::acks_in(&out)
            .iter()
            .any(|ack| ack.tip == tip(&honest)),
        "seed {seed}"
    );
    let (height, cut) = (Height(1), Cut::new(vec![tip(&honest)]));
    alone.step(400_001, LaneInput::Committed { height, cut });
    alone.step(400_002, LaneInput::Processed(height));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn memory_stays_bounded_and_honest_lanes_go_on(seed in any::<u64>()) {
        run(seed);
    }
}
