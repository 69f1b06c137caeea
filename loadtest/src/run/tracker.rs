//! What became of each transaction of a run.
//!
//! Everything is kept in flat arrays by sequence number, about twenty bytes per transaction, because a
//! run has millions. Ids are kept as their first eight bytes: for n transactions the chance that two
//! share them is about n^2 / 2^65, one in three million for a run of 3.6 million.

use super::finality::Finality;
use crate::measure::Latency;
use crate::schedule::Schedule;
use squad_client::{Refusal, v1};
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;
use std::sync::Arc;

/// First eight bytes of a transaction id.
pub type Prefix = u64;

/// Length of an id in packed lists.
const ID_BYTES: usize = 32;

/// Most ids that are remembered because they were ordered before their answer came. In a run they are
/// few; the limit only guards against a flood of other people's transactions.
const EARLY_MAX: usize = 1 << 20;

/// The prefixes of the ids in a packed list.
pub fn prefixes(packed: &[u8]) -> impl Iterator<Item = Prefix> + '_ {
    packed.chunks_exact(ID_BYTES).map(prefix)
}

/// The prefix of one id; an id of fewer than eight bytes is filled up with zeros.
#[must_use]
pub fn prefix(id: &[u8]) -> Prefix {
    let mut bytes = [0; 8];
    let length = id.len().min(8);
    bytes[..length].copy_from_slice(&id[..length]);
    u64::from_be_bytes(bytes)
}

/// Passes prefixes through: they are hash output already.
#[derive(Clone, Copy, Debug, Default)]
pub struct PrefixHasher(u64);

impl Hasher for PrefixHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = prefix(bytes);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// A map by prefix.
pub type PrefixMap<V> = HashMap<Prefix, V, BuildHasherDefault<PrefixHasher>>;

/// Bits of a transaction's fate.
pub mod fate {
    /// Given to a connection.
    pub const SENT: u8 = 1;
    /// No connection had room when it was due.
    pub const DROPPED: u8 = 2;
    /// An operator promised to order it, or already knew it.
    pub const ACCEPTED: u8 = 4;
    /// An operator refused it.
    pub const REFUSED: u8 = 8;
    /// Seen in a block.
    pub const ORDERED: u8 = 16;
}

/// Counts of a run so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Given to a connection.
    pub sent: u64,
    /// Due while no connection had room.
    pub dropped: u64,
    /// Accepted by at least one operator.
    pub accepted: u64,
    /// Refused, and accepted by none.
    pub refused: u64,
    /// Seen in a block of the followed operator.
    pub ordered: u64,
    /// Refusals and broken connections by reason.
    pub errors: BTreeMap<String, u64>,
}

impl Counts {
    /// Sent and neither accepted nor refused.
    #[must_use]
    pub fn unanswered(&self) -> u64 {
        self.sent - self.accepted - self.refused
    }
}

/// Keeps the fate of every transaction and measures.
#[derive(Debug)]
pub struct Tracker {
    schedule: Arc<Schedule>,
    fates: Vec<u8>,
    sent_us: Vec<u32>,
    expiries: Vec<u32>,
    prefixes: Vec<Prefix>,
    waiting: PrefixMap<u32>,
    /// Height and time of what was ordered before its answer came.
    early: PrefixMap<(u64, u32)>,
    counts: Counts,
    /// Intended time to acceptance.
    pub accepted: Latency,
    /// Intended time to ordered.
    pub ordered: Latency,
    /// Actual sending to ordered.
    pub service: Latency,
    /// Intended time to actual sending: the generator's own delay.
    pub send_lag: Latency,
    /// Delays that refusals named, one entry per refused transaction.
    pub retry_after: Latency,
    /// `ordered`, for the second under way.
    pub second: Latency,
    /// Times until final, if they are measured.
    pub finality: Option<Finality>,
}

impl Tracker {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new(schedule: Arc<Schedule>) -> Self {
        let count = schedule.len();
        Self {
            schedule,
            fates: vec![0; count],
            sent_us: vec![0; count],
            expiries: vec![0; count],
            prefixes: vec![0; count],
            waiting: PrefixMap::default(),
            early: PrefixMap::default(),
            counts: Counts::default(),
            accepted: Latency::new(),
            ordered: Latency::new(),
            service: Latency::new(),
            send_lag: Latency::new(),
            retry_after: Latency::new(),
            second: Latency::new(),
            finality: None,
        }
    }

    /// Counts so far.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Accepted and not seen in a block yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Consecutive transactions are about to be given to a connection, with this expiry height. Must
    /// come before the sending itself, since the answer may be faster than the sender.
    pub fn on_sent(&mut self, seqs: Range<u32>, now_us: u32, expiry: u64) {
        let expiry = u32::try_from(expiry).unwrap_or(u32::MAX);
        for seq in seqs {
            let at = seq as usize;
            self.fates[at] |= fate::SENT;
            self.sent_us[at] = now_us;
            self.expiries[at] = expiry;
            let intended = self.schedule.times_us()[at];
            self.send_lag.record(now_us.saturating_sub(intended).into());
            self.counts.sent += 1;
        }
    }

    /// The connections had no room after all.
    pub fn on_dropped(&mut self, seqs: Range<u32>) {
        for seq in seqs {
            let fate = &mut self.fates[seq as usize];
            self.counts.sent -= u64::from(*fate & fate::SENT);
            *fate = fate::DROPPED;
            self.counts.dropped += 1;
        }
    }

    /// Answers of a stream. Those for sequence numbers that were never sent are left out.
    pub fn on_answers(&mut self, answers: v1::SubmitTransactionStreamResponse, now_us: u32) {
        for group in &answers.accepted {
            let ids = group.receipts.as_ref().map(|receipts| &receipts.tx_ids);
            let ids = ids.map_or(&[][..], |ids| &ids[..]);
            for (seq, prefix) in group.client_seqs.iter().zip(prefixes(ids)) {
                self.on_accepted(*seq, prefix, now_us);
            }
        }
        for known in &answers.known {
            self.on_accepted(known.client_seq, prefix(&known.tx_id), now_us);
        }
        for group in answers.refused {
            let count = group.client_seqs.len() as u64;
            let refusal = group.error.map(Refusal::from);
            if let Some(delay) = refusal.as_ref().and_then(|refusal| refusal.retry_after) {
                let delay_us = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
                self.retry_after.record_n(delay_us, count);
            }
            let label = refusal.map(|refusal| refusal.label());
            self.on_error(label.unwrap_or_else(|| "UNKNOWN".into()), count);
            for seq in group.client_seqs {
                self.on_refused(seq);
            }
        }
    }

    /// Counts an error by its label.
    pub fn on_error(&mut self, label: String, count: u64) {
        *self.counts.errors.entry(label).or_default() += count;
    }

    fn on_accepted(&mut self, seq: u64, prefix: Prefix, now_us: u32) {
        let Some(at) = self.sent(seq) else { return };
        if self.fates[at] & fate::ACCEPTED != 0 {
            return;
        }
        if self.fates[at] & fate::REFUSED != 0 {
            self.counts.refused -= 1;
        }
        self.fates[at] |= fate::ACCEPTED;
        self.prefixes[at] = prefix;
        self.counts.accepted += 1;
        let intended = self.schedule.times_us()[at];
        self.accepted.record(now_us.saturating_sub(intended).into());
        match self.early.remove(&prefix) {
            Some((height, ordered_us)) => self.order(at, height, ordered_us),
            None => {
                self.waiting.insert(prefix, at as u32);
            }
        }
    }

    fn on_refused(&mut self, seq: u64) {
        let Some(at) = self.sent(seq) else { return };
        if self.fates[at] & (fate::ACCEPTED | fate::REFUSED) == 0 {
            self.counts.refused += 1;
        }
        self.fates[at] |= fate::REFUSED;
    }

    /// Index of a transaction that was really sent.
    fn sent(&self, seq: u64) -> Option<usize> {
        let at = usize::try_from(seq).ok()?;
        (self.fates.get(at)? & fate::SENT != 0).then_some(at)
    }

    /// Packed ids of a block that arrived now.
    pub fn on_ordered(&mut self, height: u64, ids: &[u8], now_us: u32) {
        for prefix in prefixes(ids) {
            match self.waiting.remove(&prefix) {
                Some(seq) => self.order(seq as usize, height, now_us),
                None if self.early.len() < EARLY_MAX => {
                    self.early.insert(prefix, (height, now_us));
                }
                None => {}
            }
        }
    }

    /// A certificate for a height arrived now.
    pub fn on_certificate(&mut self, height: u64, now_us: u32) {
        if let Some(finality) = &mut self.finality {
            finality.on_certificate(height, now_us);
        }
    }

    /// Ordered and not known to be final, if that is measured.
    #[must_use]
    pub fn not_final(&self) -> usize {
        self.finality.as_ref().map_or(0, Finality::waiting)
    }

    fn order(&mut self, at: usize, height: u64, now_us: u32) {
        self.fates[at] |= fate::ORDERED;
        self.counts.ordered += 1;
        let intended = self.schedule.times_us()[at];
        let latency = now_us.saturating_sub(intended).into();
        self.ordered.record(latency);
        self.second.record(latency);
        let service = now_us.saturating_sub(self.sent_us[at]);
        self.service.record(service.into());
        if let Some(finality) = &mut self.finality {
            finality.on_ordered(height, intended, now_us);
        }
    }

    /// Sequence numbers and fates of all transactions that were sent, with expiry height and, if
    /// accepted, id prefix.
    pub fn sent_transactions(&self) -> impl Iterator<Item = SentTransaction> + '_ {
        (0..self.fates.len())
            .filter(|at| self.fates[*at] & fate::SENT != 0)
            .map(|at| {
                let accepted = self.fates[at] & fate::ACCEPTED != 0;
                SentTransaction {
                    seq: at as u32,
                    expiry: self.expiries[at].into(),
                    accepted: accepted.then(|| self.prefixes[at]),
                }
            })
    }
}

/// A transaction that left the generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentTransaction {
    /// Sequence number.
    pub seq: u32,
    /// Last height at which it may be ordered.
    pub expiry: u64,
    /// Prefix of its id if an operator accepted it.
    pub accepted: Option<Prefix>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Shape;
    use bytes::Bytes;
    use squad_client::v1::{
        AcceptedGroup, ReceiptGroup, RefusedGroup, SubmitTransactionStreamResponse,
    };
    use std::time::Duration;

    fn tracker() -> Tracker {
        let shape = Shape::Constant {
            rate: 1_000,
            duration: Duration::from_millis(10),
        };
        let mut tracker = Tracker::new(Arc::new(Schedule::new(&shape, 0).unwrap()));
        tracker.on_sent(0..10, 10_000, 300);
        tracker
    }

    fn id(seq: u64) -> [u8; 32] {
        let mut id = [0xab; 32];
        id[..8].copy_from_slice(&seq.wrapping_add(1).to_be_bytes());
        id
    }

    fn accept(seqs: &[u64]) -> SubmitTransactionStreamResponse {
        let tx_ids = seqs.iter().flat_map(|seq| id(*seq)).collect::<Bytes>();
        SubmitTransactionStreamResponse {
            accepted: vec![AcceptedGroup {
                client_seqs: seqs.to_vec(),
                receipts: Some(ReceiptGroup {
                    tx_ids,
                    ..ReceiptGroup::default()
                }),
            }],
            ..SubmitTransactionStreamResponse::default()
        }
    }

    fn refuse(seqs: &[u64]) -> SubmitTransactionStreamResponse {
        SubmitTransactionStreamResponse {
            refused: vec![RefusedGroup {
                client_seqs: seqs.to_vec(),
                error: Some(v1::Error {
                    reason: "QUEUE_FULL".into(),
                    retry_after_ms: 40,
                    ..v1::Error::default()
                }),
            }],
            ..SubmitTransactionStreamResponse::default()
        }
    }

    #[test]
    fn latency_counts_from_the_intended_time() {
        let mut tracker = tracker();
        tracker.on_answers(accept(&[0, 9]), 12_000);
        tracker.on_ordered(1, &id(0), 20_000);
        tracker.on_ordered(1, &id(9), 20_000);
        assert_eq!(tracker.ordered.quantile(0.0) / 10, 1_100); // intended at 9,000
        assert_eq!(tracker.ordered.quantile(1.0) / 100, 200); // intended at 0
        assert_eq!(tracker.service.quantile(1.0) / 100, 100); // both sent at 10,000
        assert_eq!(tracker.waiting(), 0);
    }

    #[test]
    fn a_block_may_be_faster_than_the_answer() {
        let mut tracker = tracker();
        tracker.on_ordered(1, &[id(3), id(77)].concat(), 15_000);
        tracker.on_answers(accept(&[3]), 40_000);
        assert_eq!(tracker.counts().ordered, 1);
        assert_eq!(tracker.ordered.quantile(1.0) / 10, 1_200);
        assert_eq!(tracker.waiting(), 0);
    }

    #[test]
    fn copies_count_once_and_one_acceptance_is_enough() {
        let mut tracker = tracker();
        tracker.on_answers(refuse(&[1]), 11_000);
        assert_eq!(tracker.counts().refused, 1);
        tracker.on_answers(accept(&[1]), 11_000);
        tracker.on_answers(accept(&[1]), 11_500);
        tracker.on_answers(refuse(&[1]), 12_000);
        let counts = tracker.counts();
        assert_eq!((counts.accepted, counts.refused), (1, 0));
        assert_eq!(counts.errors["QUEUE_FULL"], 2);
        assert_eq!(counts.unanswered(), 9);
        let delays = tracker.retry_after.summary();
        assert_eq!((delays.count, delays.max_us / 1_000), (2, 40));
    }

    #[test]
    fn dropped_transactions_are_not_sent_and_strangers_are_ignored() {
        let mut tracker = tracker();
        tracker.on_dropped(8..10);
        tracker.on_answers(accept(&[8, 500, u64::MAX]), 11_000);
        let counts = tracker.counts();
        assert_eq!((counts.sent, counts.dropped, counts.accepted), (8, 2, 0));
        assert_eq!(tracker.sent_transactions().count(), 8);
    }
}
