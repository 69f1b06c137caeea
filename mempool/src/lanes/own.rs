//! The own lane: sending batches, publishing proofs, sending again what was lost.

use super::config::RESENDS_PER_STATUS;
use super::lane::{Body, Inserted};
use super::pace::Pace;
use super::{LaneOutput, Lanes};
use squad_primitives::message::LaneMessage;
use squad_primitives::{Ack, BatchSeq, OperatorId, Poa, SignedHeader, Time, Tip};
use std::collections::{BTreeMap, BTreeSet};

/// How far the own lane is ahead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnWindow {
    /// Durable own batches without a proof.
    pub in_flight: usize,
    /// Batches above the last committed one.
    pub batches: u64,
    /// Their bytes.
    pub bytes: u64,
    /// As many bytes keep the network busy: with more the batcher waits
    /// ([`Ahead`](crate::batcher::Ahead)), so that what can't be ordered yet stays in the pool.
    pub enough: u64,
    /// Whether a limit is reached, or so many own batches are committed and not processed that their
    /// headers would crowd out later ones: the shell then refuses transactions
    /// ([`Intake::LaneWindow`](crate::admission::Intake)) and cuts no batch.
    pub full: bool,
}

/// State of the own lane besides its headers.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// Last own batch.
    pub(super) tip: Option<Tip>,
    /// Position of the highest own proof.
    pub(super) certified: BatchSeq,
    /// Acknowledgements of batches without a proof. At most one per member and batch of the window.
    pub(super) acks: BTreeMap<Tip, BTreeMap<OperatorId, Ack>>,
    /// How far each member holds the lane.
    pub(super) held: BTreeMap<OperatorId, BatchSeq>,
    /// Newest proof that has not been sent to all, and when it is sent alone.
    pub(super) unsent: Option<(Poa, Time)>,
    /// When lost batches, acknowledgements and proofs are next looked after.
    pub(super) repeat_at: Time,
    /// Last own batch when they were last looked after: later ones may still be on their way.
    pub(super) settled: Option<Tip>,
    /// How fast the lane is ordered.
    pub(super) pace: Pace,
}

impl Own {
    pub(super) fn holds(&mut self, peer: OperatorId, seq: BatchSeq) {
        let held = self.held.entry(peer).or_default();
        *held = seq.max(*held);
    }
}

impl Lanes {
    /// Last batch of the own lane: the parent of the next one, unless the shell has sealed later ones
    /// that are not durable yet. `None` before the first batch.
    #[must_use]
    pub fn own_tip(&self) -> Option<Tip> {
        self.own.tip
    }

    /// How far the own lane is ahead of what was committed.
    #[must_use]
    pub fn own_window(&self) -> OwnWindow {
        let Some(lane) = self.config.me.and_then(|me| self.lanes.get(&me)) else {
            return OwnWindow::default();
        };
        let top = self.own.tip.map_or(BatchSeq::ZERO, |tip| tip.seq).0;
        let proven = self.own.certified.max(lane.committed.seq).0;
        let batches = top.saturating_sub(lane.committed.seq.0);
        OwnWindow {
            in_flight: usize::try_from(top.saturating_sub(proven)).unwrap_or(usize::MAX),
            batches,
            bytes: lane.bytes,
            enough: self
                .own
                .pace
                .window(self.config.block_bytes_max / 2)
                .min(self.config.window_bytes),
            full: batches >= self.config.window_batches
                || lane.bytes >= self.config.window_bytes
                || lane.entries.len() as u64 >= self.config.horizon().saturating_mul(2),
        }
    }

    /// An own batch is durable.
    pub(super) fn on_own_batch(
        &mut self,
        now: Time,
        signed: SignedHeader,
        out: &mut Vec<LaneOutput>,
    ) {
        let tip = signed.header.tip(&self.config.network);
        let (seq, parent) = self
            .own
            .tip
            .map_or_else(Default::default, |t| (t.seq, t.digest));
        let extends = tip.seq == seq.next() && signed.header.parent == parent;
        let mine = self.config.me == Some(tip.lane) && extends;
        let Some(lane) = self.lanes.get_mut(&tip.lane).filter(|_| mine) else {
            return out.push(LaneOutput::ForeignOwnBatch(tip.digest));
        };
        if matches!(
            lane.insert(signed, tip.digest, true, &self.config),
            Inserted::New
        ) {
            lane.bytes += u64::from(signed.header.body_bytes);
        }
        if let Some(entry) = lane.entries.get_mut(&(tip.seq, tip.digest)) {
            entry.body = Body::Held;
        }
        self.own.tip = Some(tip);
        self.own
            .pace
            .on_sent(now, tip.seq, self.config.window_batches);
        let poas = self.own.unsent.take().map(|(poa, _)| poa);
        out.push(LaneOutput::BroadcastBatch {
            tip,
            poas: poas.into_iter().collect(),
        });
        self.own.acks.entry(tip).or_default();
        self.certify_own(now, tip, out);
        self.wake(now.after(self.config.rebroadcast));
    }

    /// An own batch has a proof: the next two leaders get it now, the others with the next batch.
    pub(super) fn publish_own(&mut self, now: Time, poa: Poa, out: &mut Vec<LaneOutput>) {
        let leaders: BTreeSet<_> = self.leaders.into_iter().collect();
        for to in leaders {
            if Some(to) != self.config.me && self.committees.current().member(to).is_some() {
                out.push(LaneOutput::Send {
                    to,
                    message: LaneMessage::Poa(Box::new(poa.clone())),
                });
            }
        }
        let due = match &self.own.unsent {
            Some((_, due)) => *due,
            None => now.after(self.config.poa_alone_after),
        };
        self.own.unsent = Some((poa, due));
        self.wake(due);
    }

    /// Timers of the own lane.
    pub(super) fn tick_own(&mut self, now: Time, out: &mut Vec<LaneOutput>) {
        if let Some((poa, due)) = self.own.unsent.take() {
            if due <= now {
                out.push(LaneOutput::Broadcast(LaneMessage::Poa(Box::new(poa))));
            } else {
                self.wake(due);
                self.own.unsent = Some((poa, due));
            }
        }
        let Some(me) = self.config.me else {
            return;
        };
        let committed = self.lanes.get(&me).map(|lane| lane.committed.seq);
        let Some(tip) = self.own.tip.filter(|tip| Some(tip.seq) > committed) else {
            return;
        };
        if now < self.own.repeat_at {
            let due = self.own.repeat_at;
            return self.wake(due);
        }
        self.repeat_own_proof(now, me, out);
        if let Some(settled) = self.own.settled.replace(tip) {
            self.ask_who_is_behind(me, settled, out);
        }
        self.own.repeat_at = now.after(self.config.rebroadcast);
        let due = self.own.repeat_at;
        self.wake(due);
    }

    /// Sends the newest own proof again, while no cut has taken it in. It may have come from a peer.
    fn repeat_own_proof(&mut self, now: Time, me: OperatorId, out: &mut Vec<LaneOutput>) {
        let Some((newest, since)) = self.lanes.get(&me).and_then(|lane| {
            let (key, proof) = lane.proofs.last_key_value()?;
            Some((*key, proof.since))
        }) else {
            return;
        };
        if now.since(since) >= self.config.rebroadcast
            && self.verify_proof(me, &newest)
            && let Some(proof) = self
                .lanes
                .get(&me)
                .and_then(|lane| lane.proofs.get(&newest))
        {
            let poa = Box::new(proof.poa.clone());
            out.push(LaneOutput::Broadcast(LaneMessage::Poa(poa)));
        }
    }

    /// Tells those who have not acknowledged a batch for a while how far the lane goes. They answer with
    /// an acknowledgement, or with how far they hold it.
    fn ask_who_is_behind(&self, me: OperatorId, settled: Tip, out: &mut Vec<LaneOutput>) {
        // Without a proof all are asked: who holds the batch may have acknowledged it in an earlier epoch.
        let unproven = settled.seq > self.own.certified;
        for member in self.committees.current().members() {
            let to = member.operator;
            let behind = unproven || self.own.held.get(&to).is_none_or(|seq| *seq < settled.seq);
            if behind && to != me && self.is_connected(to) {
                out.push(LaneOutput::Send {
                    to,
                    message: LaneMessage::Status(vec![settled]),
                });
            }
        }
    }

    /// A peer holds the own lane up to `tip`: sends on from there.
    pub(super) fn resend(&mut self, to: OperatorId, tip: Tip, out: &mut Vec<LaneOutput>) {
        let Some((last, lane)) = self.own.tip.zip(self.lanes.get(&tip.lane)) else {
            return;
        };
        // What lies below is served from storage when the peer asks for it.
        let from = tip.seq.max(lane.base.seq);
        let Ok(mut chain) = lane.chain(&last, &lane.base) else {
            return;
        };
        chain.reverse();
        let missing = chain
            .into_iter()
            .filter(|batch| {
                batch.seq > from && batch.seq.0 <= from.0.saturating_add(RESENDS_PER_STATUS)
            })
            .map(|tip| LaneOutput::Resend { to, tip });
        out.extend(missing);
    }
}
