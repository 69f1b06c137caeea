//! Acknowledging what others sent, and collecting acknowledgements for the own lane.
//!
//! Receiver: a batch that extends what was acknowledged moves the lane's record at once, and record and
//! body go to disk together. When both are durable the highest batch is acknowledged: one signature per
//! lane and group commit. Proofs need acknowledgements for exactly one batch, and receivers sync at
//! different moments, so a group that steps over a multiple of [`RENDEZVOUS`] acknowledges that batch
//! too; there all receivers meet.
//!
//! The owner's signature on the header is its acknowledgement. Where owner and receiver together hold
//! more than a third of stake (any network of four or five equal operators) a receiver therefore has a
//! proof as soon as its own disk has the batch, without another message.

use super::collect::Reason;
use super::lane::{Body, Key, Lane};
use super::{LaneFault, LaneOutput, LaneRecord, Lanes, PersistId};
use squad_primitives::message::LaneMessage;
use squad_primitives::{Ack, BatchSeq, OperatorId, Poa, Time, Tip};
use std::collections::BTreeSet;

/// Positions that are acknowledged even if the same group commit holds later ones.
pub(super) const RENDEZVOUS: u64 = 4;

/// A write that was put out and is not reported durable yet.
#[derive(Debug)]
pub(super) enum Write {
    Body { lane: OperatorId, key: Key },
    Record(Tip),
}

impl Lanes {
    /// Moves the record of a lane as far as its bodies reach. Asks for the body of what comes next if
    /// only its header is here.
    pub(super) fn advance_ack(&mut self, now: Time, owner: OperatorId, out: &mut Vec<LaneOutput>) {
        if self.config.me.is_none() || self.config.me == Some(owner) {
            return;
        }
        let Some(lane) = self.lanes.get_mut(&owner) else {
            return;
        };
        if let Some(tip) = lane.next_ack() {
            assert!(tip.seq >= lane.acked.seq, "a record never moves back");
            lane.acked = tip;
            lane.record_ahead = false;
            let id = self.next_write(Write::Record(tip));
            out.push(LaneOutput::Persist(id, LaneRecord { acked: tip }));
        }
        let next = self.lanes.get(&owner).map(Lane::next_without_body);
        for tip in next.unwrap_or_default() {
            self.want(now, tip, Reason::Gap, Some(owner), out);
        }
    }

    pub(super) fn next_write(&mut self, write: Write) -> PersistId {
        self.last_write.0 += 1;
        self.writes.push_back((self.last_write, write));
        self.last_write
    }

    /// Everything up to `id` is durable.
    pub(super) fn on_persisted(&mut self, now: Time, id: PersistId, out: &mut Vec<LaneOutput>) {
        let mut lanes = BTreeSet::new();
        let mut acked = Vec::new();
        while let Some((_, write)) = self.writes.pop_front_if(|(first, _)| *first <= id) {
            match write {
                Write::Body { lane, key } => {
                    lanes.insert(lane);
                    let entry = self
                        .lanes
                        .get_mut(&lane)
                        .and_then(|lane| lane.entries.get_mut(&key));
                    if let Some(entry) = entry {
                        entry.body = Body::Held;
                    }
                }
                Write::Record(tip) => acked.push(tip),
            }
        }
        // The last record of a lane is its highest.
        acked.reverse();
        acked.sort_by_key(|tip| tip.lane);
        acked.dedup_by_key(|tip| tip.lane);
        for tip in acked {
            self.acknowledge(now, tip, out);
        }
        for lane in lanes {
            self.tell_awaited(lane, out);
            self.collect(now, lane, out);
        }
        self.report_ready(out);
    }

    /// Record and bodies up to `tip` are durable: signs for it.
    fn acknowledge(&mut self, now: Time, tip: Tip, out: &mut Vec<LaneOutput>) {
        let Some(lane) = self.lanes.get_mut(&tip.lane) else {
            return;
        };
        // Below these another branch may have been acknowledged.
        let from = lane.acked_durable.seq.max(lane.committed.seq);
        let from = from.max(lane.recovered);
        if tip.seq <= lane.acked_durable.seq {
            return;
        }
        lane.acked_durable = tip;
        let meeting = BatchSeq(tip.seq.0 - tip.seq.0 % RENDEZVOUS);
        let mut tips = vec![tip];
        if meeting > from && meeting < tip.seq {
            let below = lane.committed;
            let chain = lane.chain(&tip, &below).unwrap_or_default();
            tips.extend(chain.into_iter().filter(|tip| tip.seq == meeting));
        }
        for tip in tips.into_iter().rev() {
            if let Some(ack) = self.sign_ack(tip) {
                self.certify_locally(now, &ack, out);
                out.push(LaneOutput::Send {
                    to: tip.lane,
                    message: LaneMessage::Ack(ack),
                });
            }
        }
    }

    /// Signs for a batch that is durable here, if this operator is in the committee.
    pub(super) fn sign_ack(&self, tip: Tip) -> Option<Ack> {
        let me = self.config.me?;
        self.committees.current().member(me)?;
        let epoch = self.committees.epoch();
        let key = self.key.as_deref()?;
        Some(Ack::sign(&self.config.network, epoch, tip, me, key))
    }

    /// After a restart: proofs that need no message, for what was acknowledged or sealed before it.
    pub(super) fn certify_recovered(&mut self, now: Time, out: &mut Vec<LaneOutput>) {
        let acked: Vec<_> = self
            .lanes
            .values()
            .filter(|lane| lane.acked_durable.seq > lane.committed.seq)
            .map(|lane| lane.acked_durable)
            .collect();
        for tip in acked {
            if let Some(ack) = self.sign_ack(tip) {
                self.certify_locally(now, &ack, out);
            }
        }
        if let Some(tip) = self.own.tip {
            self.own.acks.entry(tip).or_default();
            self.certify_own(now, tip, out);
            self.wake(now.after(self.config.rebroadcast));
        }
    }

    /// Joins the own acknowledgement with the owner's, if that is enough.
    fn certify_locally(&mut self, now: Time, ack: &Ack, out: &mut Vec<LaneOutput>) {
        let Some(entry) = self
            .lanes
            .get(&ack.tip.lane)
            .and_then(|lane| lane.entry(&ack.tip))
        else {
            return;
        };
        let owner = entry.signed.ack(&self.config.network);
        if let Some(poa) = Poa::from_acks(self.committees.current(), ack.tip, [&owner, ack]) {
            self.keep_proof(now, poa, true, out);
        }
    }

    /// An acknowledgement for the own lane arrived.
    pub(super) fn on_ack(
        &mut self,
        now: Time,
        from: OperatorId,
        ack: Ack,
        out: &mut Vec<LaneOutput>,
    ) {
        let Some(lane) = self
            .config
            .me
            .filter(|me| ack.tip.lane == *me && ack.signer == from)
            .and_then(|me| self.lanes.get(&me))
        else {
            return out.push(LaneOutput::Fault {
                peer: from,
                fault: LaneFault::Ack,
            });
        };
        if ack.tip.seq <= lane.base.seq {
            return;
        }
        if lane.entry(&ack.tip).is_none() {
            return out.push(LaneOutput::Fault {
                peer: from,
                fault: LaneFault::Ack,
            });
        }
        if self.committees.current().member(from).is_none() {
            return;
        }
        self.own.holds(from, ack.tip.seq);
        if ack.tip.seq > self.own.certified.max(lane.committed.seq)
            && ack.epoch >= self.committees.epoch()
        {
            let tip = ack.tip;
            self.own.acks.entry(tip).or_default().insert(from, ack);
            self.certify_own(now, tip, out);
        }
    }

    /// Builds a proof for an own batch if enough acknowledgements are there and valid. Signatures are
    /// only checked once their stake would be enough.
    pub(super) fn certify_own(&mut self, now: Time, tip: Tip, out: &mut Vec<LaneOutput>) {
        let Some(own) = self.own_ack(&tip) else {
            return;
        };
        let committee = self.committees.current();
        let Some(acks) = self.own.acks.get_mut(&tip) else {
            return;
        };
        let joined = |acks: &std::collections::BTreeMap<OperatorId, Ack>| {
            Poa::from_acks(committee, tip, acks.values().chain([&own]))
        };
        let Some(poa) = joined(acks) else {
            return;
        };
        let network = &self.config.network;
        let poa = if poa.verify(network, committee, self.verifier.as_ref()) {
            poa
        } else {
            // Somebody's signature is bad: keep the good ones.
            let bad = acks.extract_if(.., |_, ack| {
                ack.epoch == committee.epoch()
                    && !ack.verify(network, committee, self.verifier.as_ref())
            });
            for (peer, _) in bad {
                out.push(LaneOutput::Fault {
                    peer,
                    fault: LaneFault::AckSignature,
                });
            }
            let Some(poa) = joined(acks) else {
                return;
            };
            poa
        };
        self.own.certified = tip.seq;
        self.own.acks.retain(|other, _| other.seq > tip.seq);
        self.keep_proof(now, poa.clone(), true, out);
        self.publish_own(now, poa, out);
    }

    /// The own acknowledgement of an own batch: the header's signature, or in a later epoch a fresh one.
    fn own_ack(&self, tip: &Tip) -> Option<Ack> {
        let entry = self.lanes.get(&tip.lane)?.entry(tip)?;
        if entry.signed.header.epoch == self.committees.epoch() {
            Some(entry.signed.ack(&self.config.network))
        } else {
            self.sign_ack(*tip)
        }
    }
}
