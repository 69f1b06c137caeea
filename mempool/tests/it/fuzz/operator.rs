//! The operator under attack, with its disk and what it has promised.

use super::{LIAR, ME, STAKES, WINDOW};
use crate::keys::{CountingVerifier, committee, key_of};
use crate::world::{NETWORK, at, batch_in, id, tip};
use squad_mempool::{LaneInput, LaneOutput, LaneRecord, Lanes, LanesConfig, PersistId, Recovered};
use squad_primitives::message::LaneMessage;
use squad_primitives::{
    Ack, BatchSeq, Cut, Digest, Epoch, Evidence, Height, OperatorId, SignedHeader, Tip,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A write that is not durable yet.
pub(super) enum Write {
    Store(Tip),
    Record(LaneRecord),
}

/// The operator under test, its disk, and everything that was ever made in any lane.
pub(super) struct Operator {
    pub(super) lanes: Lanes,
    pub(super) micros: u64,
    pub(super) epoch: u64,
    pub(super) made: BTreeMap<Tip, SignedHeader>,
    pub(super) queue: Vec<(PersistId, Write)>,
    pub(super) stored: BTreeSet<Tip>,
    pub(super) records: BTreeMap<OperatorId, LaneRecord>,
    /// Every acknowledgement that left, over all lives.
    pub(super) acked: BTreeMap<(OperatorId, BatchSeq), Digest>,
    pub(super) committed: Vec<Cut>,
    pub(super) ready: u64,
    pub(super) processed: u64,
    /// Batches that were asked for.
    pub(super) wanted: BTreeSet<Tip>,
    /// Lane messages that went to the other operators.
    pub(super) sent: Vec<(OperatorId, LaneMessage)>,
}

pub(super) fn config() -> LanesConfig {
    LanesConfig {
        window_batches: WINDOW,
        ..LanesConfig::new(NETWORK, Some(id(ME)))
    }
}

pub(super) fn recover(epoch: u64, recovered: Recovered) -> Lanes {
    Lanes::recover(
        config(),
        committee(epoch, &STAKES),
        Some(Arc::new(key_of(ME))),
        Arc::new(CountingVerifier::default()),
        recovered,
    )
}

impl Operator {
    pub(super) fn new() -> Self {
        let mut operator = Self {
            lanes: recover(0, Recovered::default()),
            micros: 0,
            epoch: 0,
            made: BTreeMap::new(),
            queue: Vec::new(),
            stored: BTreeSet::new(),
            records: BTreeMap::new(),
            acked: BTreeMap::new(),
            committed: Vec::new(),
            ready: 0,
            processed: 0,
            wanted: BTreeSet::new(),
            sent: Vec::new(),
        };
        operator.connect();
        operator
    }

    pub(super) fn connect(&mut self) {
        for peer in 1..4 {
            self.input(LaneInput::PeerConnected(id(peer)));
        }
    }

    pub(super) fn input(&mut self, input: LaneInput) {
        let given = match &input {
            LaneInput::Batch { signed, .. } => Some(tip(signed)),
            _ => None,
        };
        let mut out = Vec::new();
        self.lanes.step(at(self.micros), input, &mut out);
        for output in out {
            self.execute(given, output);
        }
        self.check_usage();
    }

    pub(super) fn execute(&mut self, given: Option<Tip>, output: LaneOutput) {
        match output {
            LaneOutput::Store { id, tip } => {
                assert_eq!(given, Some(tip), "the batch of this step");
                self.queue.push((id, Write::Store(tip)));
            }
            LaneOutput::Persist(id, record) => self.queue.push((id, Write::Record(record))),
            LaneOutput::Send { to, message } => {
                if let LaneMessage::Ack(ack) = &message {
                    self.check_ack(ack);
                }
                assert_ne!(to, id(ME), "a message to itself");
                self.sent.push((to, message));
            }
            LaneOutput::FetchBatch { from, tip } => {
                assert_ne!(from, id(ME), "asks itself");
                self.wanted.insert(tip);
            }
            LaneOutput::BlockReady { height, batches } => {
                self.ready += 1;
                assert_eq!(height.0, self.ready, "blocks become ready in order");
                for tip in batches {
                    let own = tip.lane == id(ME);
                    assert!(own || self.stored.contains(&tip), "{tip:?} is not durable");
                }
            }
            LaneOutput::Evidence(evidence) => {
                assert_eq!(evidence.operator(), id(LIAR));
                let all = committee(self.epoch, &STAKES);
                let by = CountingVerifier::default();
                assert!(evidence.verify(&NETWORK, &all, &by), "{evidence:?}");
                assert!(matches!(evidence, Evidence::Lane(..)));
            }
            LaneOutput::ForeignOwnBatch(digest) => panic!("{digest} was made by nobody"),
            _ => {}
        }
    }

    /// An acknowledgement is signed only for what is durable, and never on two branches.
    pub(super) fn check_ack(&mut self, ack: &Ack) {
        assert_eq!(ack.signer, id(ME));
        let record = self.records.get(&ack.tip.lane).map(|record| record.acked);
        assert!(
            record.is_some_and(|record| record.seq >= ack.tip.seq),
            "{ack:?} without its record, which is {record:?}"
        );
        assert!(
            self.stored.contains(&ack.tip) || self.is_committed(&ack.tip),
            "{ack:?} without its batch"
        );
        let place = (ack.tip.lane, ack.tip.seq);
        let before = *self.acked.entry(place).or_insert(ack.tip.digest);
        assert_eq!(before, ack.tip.digest, "two branches acknowledged");
    }

    pub(super) fn is_committed(&self, tip: &Tip) -> bool {
        self.committed
            .last()
            .is_some_and(|cut| cut.seq(tip.lane) >= tip.seq)
    }

    /// The limits in the head of `lanes`.
    pub(super) fn check_usage(&self) {
        let usage = self.lanes.usage();
        let lanes = STAKES.len();
        assert!(
            usage.headers <= lanes * 2 * WINDOW as usize * 4,
            "{usage:?}"
        );
        assert!(usage.proofs <= lanes * 64, "{usage:?}");
        assert!(usage.orphans <= lanes * lanes, "{usage:?}");
        assert!(usage.targets <= lanes * 8, "{usage:?}");
        assert!(usage.fetches <= lanes * 16, "{usage:?}");
        assert!(usage.acks <= lanes * 2 * WINDOW as usize, "{usage:?}");
    }

    /// Everything up to the first `count` writes becomes durable, or is reported again.
    pub(super) fn sync(&mut self, count: usize) {
        let count = count.min(self.queue.len());
        let mut last = PersistId(0);
        for (id, write) in self.queue.drain(..count) {
            last = id;
            match write {
                Write::Store(tip) => drop(self.stored.insert(tip)),
                Write::Record(record) => drop(self.records.insert(record.acked.lane, record)),
            }
        }
        self.input(LaneInput::Persisted(last));
    }

    /// Loses what is not durable and starts again.
    pub(super) fn crash(&mut self) {
        self.queue.clear();
        self.wanted.clear();
        let cut = self.cut_at(self.processed);
        let headers = self.stored.iter().filter_map(|tip| self.made.get(tip));
        let recovered = Recovered {
            processed: Height(self.processed),
            cut,
            records: self.records.values().copied().collect(),
            headers: headers.copied().collect(),
        };
        self.lanes = recover(self.epoch, recovered);
        self.ready = self.processed;
        self.connect();
        for height in self.processed + 1..=self.committed.len() as u64 {
            let cut = self.cut_at(height);
            self.input(LaneInput::Committed {
                height: Height(height),
                cut,
            });
        }
    }

    pub(super) fn cut_at(&self, height: u64) -> Cut {
        let index = usize::try_from(height)
            .ok()
            .and_then(|height| height.checked_sub(1));
        let cut = index.and_then(|index| self.committed.get(index));
        cut.cloned().unwrap_or_default()
    }

    pub(super) fn head(&self) -> Cut {
        self.cut_at(self.committed.len() as u64)
    }

    pub(super) fn commit(&mut self, cut: Cut) {
        self.committed.push(cut.clone());
        let height = Height(self.committed.len() as u64);
        self.input(LaneInput::Committed { height, cut });
    }

    pub(super) fn process(&mut self) {
        if self.processed < self.ready {
            self.processed += 1;
            self.input(LaneInput::Processed(Height(self.processed)));
        }
    }

    pub(super) fn make(&mut self, lane: u32, parent: Option<Tip>, salt: u64) -> SignedHeader {
        let signed = batch_in(Epoch(self.epoch), lane, parent, salt, 20);
        self.made.insert(tip(&signed), signed);
        signed
    }

    pub(super) fn own_batch(&mut self) {
        if self.lanes.own_window().full {
            return;
        }
        let parent = self.lanes.own_tip();
        let signed = self.make(ME, parent, 0);
        self.stored.insert(tip(&signed));
        self.input(LaneInput::OwnBatch(signed));
    }

    /// Top of an honest lane.
    pub(super) fn top(&self, lane: u32) -> Option<Tip> {
        let tips = self.made.keys().filter(|tip| tip.lane == id(lane));
        tips.max_by_key(|tip| tip.seq).copied()
    }

    /// Whether `above` descends from what `cut` holds of its lane.
    pub(super) fn extends(&self, above: &Tip, cut: &Cut) -> bool {
        let base = cut
            .tip(above.lane)
            .map(|tip| tip.digest)
            .unwrap_or(Digest::ZERO);
        let mut digest = above.digest;
        let mut seq = above.seq;
        while seq > cut.seq(above.lane) {
            let place = Tip {
                lane: above.lane,
                seq,
                digest,
            };
            let Some(signed) = self.made.get(&place) else {
                return false;
            };
            digest = signed.header.parent;
            seq = BatchSeq(seq.0 - 1);
        }
        digest == base
    }

    /// Headers of a lane down from `tip`, ascending, above `after`.
    pub(super) fn headers(&self, after: BatchSeq, top: Tip) -> Vec<SignedHeader> {
        let mut headers = Vec::new();
        let mut place = top;
        while let Some(signed) = self.made.get(&place).filter(|_| place.seq > after) {
            headers.push(*signed);
            place.digest = signed.header.parent;
            place.seq = BatchSeq(place.seq.0 - 1);
        }
        headers.reverse();
        headers
    }
}
