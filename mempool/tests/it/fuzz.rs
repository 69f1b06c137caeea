//! One operator's lanes against a faulty peer with a quarter of the stake that says anything it can
//! sign, in any order, between honest batches, commits, crashes and restarts.
//!
//! Asserted: nothing panics; nothing is acknowledged before it is durable, nor twice on different
//! branches, restarts included; memory stays within the declared limits; only the faulty operator is
//! accused; and once its noise ends, every committed block becomes ready.

use crate::keys::{CountingVerifier, committee, key_of};
use crate::world::{NETWORK, ack, at, batch_in, id, poa, tip};
use squad_fuzz::{Bound, Result, Unstructured, bounded, damage, hostile, run, run_with};
use squad_mempool::{LaneInput, LaneOutput, LaneRecord, Lanes, LanesConfig, PersistId, Recovered};
use squad_primitives::codec::{Encode, decode};
use squad_primitives::message::LaneMessage;
use squad_primitives::{
    Ack, BatchSeq, Cut, Digest, Epoch, Evidence, Height, OperatorId, Poa, Signature, SignedHeader,
    Tip,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const ME: u32 = 0;
const LIAR: u32 = 3;
const STAKES: [u64; 4] = [1; 4];
const WINDOW: u64 = 16;
const ENTROPY_BYTES: u32 = 16 << 10;

/// A write that is not durable yet.
enum Write {
    Store(Tip),
    Record(LaneRecord),
}

/// The operator under test, its disk, and everything that was ever made in any lane.
struct Operator {
    lanes: Lanes,
    micros: u64,
    epoch: u64,
    made: BTreeMap<Tip, SignedHeader>,
    queue: Vec<(PersistId, Write)>,
    stored: BTreeSet<Tip>,
    records: BTreeMap<OperatorId, LaneRecord>,
    /// Every acknowledgement that left, over all lives.
    acked: BTreeMap<(OperatorId, BatchSeq), Digest>,
    committed: Vec<Cut>,
    ready: u64,
    processed: u64,
    /// Batches that were asked for.
    wanted: BTreeSet<Tip>,
    /// Lane messages that went to the other operators.
    sent: Vec<(OperatorId, LaneMessage)>,
}

fn config() -> LanesConfig {
    LanesConfig {
        window_batches: WINDOW,
        ..LanesConfig::new(NETWORK, Some(id(ME)))
    }
}

fn recover(epoch: u64, recovered: Recovered) -> Lanes {
    Lanes::recover(
        config(),
        committee(epoch, &STAKES),
        Some(Arc::new(key_of(ME))),
        Arc::new(CountingVerifier::default()),
        recovered,
    )
}

impl Operator {
    fn new() -> Self {
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

    fn connect(&mut self) {
        for peer in 1..4 {
            self.input(LaneInput::PeerConnected(id(peer)));
        }
    }

    fn input(&mut self, input: LaneInput) {
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

    fn execute(&mut self, given: Option<Tip>, output: LaneOutput) {
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
    fn check_ack(&mut self, ack: &Ack) {
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

    fn is_committed(&self, tip: &Tip) -> bool {
        self.committed
            .last()
            .is_some_and(|cut| cut.seq(tip.lane) >= tip.seq)
    }

    /// The limits in the head of `lanes`.
    fn check_usage(&self) {
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
    fn sync(&mut self, count: usize) {
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
    fn crash(&mut self) {
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

    fn cut_at(&self, height: u64) -> Cut {
        let index = usize::try_from(height)
            .ok()
            .and_then(|height| height.checked_sub(1));
        let cut = index.and_then(|index| self.committed.get(index));
        cut.cloned().unwrap_or_default()
    }

    fn head(&self) -> Cut {
        self.cut_at(self.committed.len() as u64)
    }

    fn commit(&mut self, cut: Cut) {
        self.committed.push(cut.clone());
        let height = Height(self.committed.len() as u64);
        self.input(LaneInput::Committed { height, cut });
    }

    fn process(&mut self) {
        if self.processed < self.ready {
            self.processed += 1;
            self.input(LaneInput::Processed(Height(self.processed)));
        }
    }

    fn make(&mut self, lane: u32, parent: Option<Tip>, salt: u64) -> SignedHeader {
        let signed = batch_in(Epoch(self.epoch), lane, parent, salt, 20);
        self.made.insert(tip(&signed), signed);
        signed
    }

    fn own_batch(&mut self) {
        if self.lanes.own_window().full {
            return;
        }
        let parent = self.lanes.own_tip();
        let signed = self.make(ME, parent, 0);
        self.stored.insert(tip(&signed));
        self.input(LaneInput::OwnBatch(signed));
    }

    /// Top of an honest lane.
    fn top(&self, lane: u32) -> Option<Tip> {
        let tips = self.made.keys().filter(|tip| tip.lane == id(lane));
        tips.max_by_key(|tip| tip.seq).copied()
    }

    /// Whether `above` descends from what `cut` holds of its lane.
    fn extends(&self, above: &Tip, cut: &Cut) -> bool {
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
    fn headers(&self, after: BatchSeq, top: Tip) -> Vec<SignedHeader> {
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

/// Makes what the faulty peer sends.
struct Noise<'a, 'b> {
    u: &'a mut Unstructured<'b>,
    operator: &'a mut Operator,
}

impl Noise<'_, '_> {
    fn tip(&mut self) -> Result<Tip> {
        if self.u.ratio(4, 5)?
            && let Ok(known) = self.u.choose_iter(self.operator.made.keys())
        {
            return Ok(*known);
        }
        Ok(Tip {
            lane: id(self.u.int_in_range(0..=4)?),
            seq: BatchSeq(
                *self
                    .u
                    .choose(&[0, 1, 2, 5, 17, 40, u64::MAX - 1, u64::MAX])?,
            ),
            digest: Digest([self.u.int_in_range(0..=3)?; 32]),
        })
    }

    /// A header of its own lane, on any branch, of any epoch; or a known one of another lane.
    fn header(&mut self) -> Result<SignedHeader> {
        if self.u.ratio(1, 4)?
            && let Ok(known) = self.u.choose_iter(self.operator.made.values())
        {
            return Ok(*known);
        }
        let parent = match self.u.int_in_range(0..=9)? {
            0 => None,
            1 => Some(self.tip()?).filter(|tip| tip.seq.0 < 1_000),
            2 | 3 => {
                let own = self.operator.made.keys().filter(|tip| tip.lane == id(LIAR));
                self.u.choose_iter(own.copied().collect::<Vec<_>>()).ok()
            }
            _ => self.operator.top(LIAR),
        };
        let salt = self.u.int_in_range(0..=3)?;
        let mut signed = self.operator.make(LIAR, parent, salt);
        match self.u.int_in_range(0..=15)? {
            0 => signed.signature = Signature([1; 64]),
            1 => signed.header.seq = BatchSeq(self.u.arbitrary()?),
            2 => signed.header.epoch = Epoch(self.u.arbitrary()?),
            3 => signed.header.body_bytes = u32::MAX,
            _ => {}
        }
        Ok(signed)
    }

    /// Any two operators but the one under test could have signed it.
    fn poa(&mut self) -> Result<Poa> {
        let tip = self.tip()?;
        let signers = *self.u.choose(&[[1, 2], [1, 3], [2, 3]])?;
        let epoch = match self.u.int_in_range(0..=7)? {
            0 => self.operator.epoch + 1,
            1 => self.operator.epoch.saturating_sub(1),
            _ => self.operator.epoch,
        };
        let mut poa = poa(&committee(epoch, &STAKES), tip, &signers);
        // An honest operator signs only what was made.
        if !self.operator.made.contains_key(&tip) || self.u.ratio(1, 8)? {
            poa.signatures[0] = Signature([2; 64]);
        }
        Ok(poa)
    }

    fn message(&mut self) -> Result<LaneMessage> {
        Ok(match self.u.int_in_range(0..=7)? {
            0 => {
                let tip = self.tip()?;
                let mut ack = ack(LIAR, self.u.int_in_range(0..=self.operator.epoch + 1)?, tip);
                match self.u.int_in_range(0..=7)? {
                    0 => ack.signature = Signature([3; 64]),
                    1 => ack.signer = id(self.u.int_in_range(0..=4)?),
                    _ => {}
                }
                LaneMessage::Ack(ack)
            }
            1 | 2 => LaneMessage::Poa(Box::new(self.poa()?)),
            3 => {
                let mut tips = Vec::new();
                for _ in 0..*self.u.choose(&[0, 1, 4, 300])? {
                    tips.push(self.tip()?);
                }
                LaneMessage::Status(tips)
            }
            4 => LaneMessage::HeadersRequest {
                after: BatchSeq(self.u.int_in_range(0..=20)?),
                tip: self.tip()?,
            },
            5 | 6 => {
                let mut headers = match self.u.arbitrary()? {
                    true => {
                        let top = self.tip()?;
                        self.operator
                            .headers(BatchSeq(self.u.int_in_range(0..=4)?), top)
                    }
                    false => Vec::new(),
                };
                for _ in 0..self.u.int_in_range(0..=4)? {
                    headers.push(self.header()?);
                }
                LaneMessage::Headers {
                    lane: id(self.u.int_in_range(0..=4)?),
                    headers,
                    poa: Some(Box::new(self.poa()?)),
                }
            }
            _ => LaneMessage::BatchRequest(self.tip()?.digest),
        })
    }

    fn input(&mut self) -> Result<LaneInput> {
        let from = id(LIAR);
        Ok(match self.u.int_in_range(0..=9)? {
            0..=4 => {
                let mut poas = Vec::new();
                for _ in 0..self.u.int_in_range(0..=4)? {
                    poas.push(self.poa()?);
                }
                LaneInput::Batch {
                    from,
                    signed: self.header()?,
                    poas,
                }
            }
            5..=7 => LaneInput::Message {
                from,
                message: self.message()?,
            },
            8 => {
                let mut tips = Vec::new();
                for _ in 0..self.u.int_in_range(0..=4)? {
                    tips.push(self.tip()?);
                }
                LaneInput::Missing {
                    tips,
                    proposer: id(self.u.int_in_range(1..=3)?),
                }
            }
            _ => LaneInput::FetchFailed {
                from,
                digest: self.tip()?.digest,
            },
        })
    }
}

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
