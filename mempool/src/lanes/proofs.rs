//! Proofs of availability: keeping them, and verifying them when needed.
//!
//! A proof from outside is checked in form at once (bounds, epoch, stake) and in its signatures only
//! when something depends on it. A second, different proof for the same batch is the exception: it is
//! verified on arrival, so that a forged proof that came first can't keep a good one out. So is a proof
//! that would end idleness: an operator alone can't make the others start their view timers.

use super::config::POAS_PER_LANE_MAX;
use super::lane::{Key, Orphan, Proof, key};
use super::{LaneFault, LaneOutput, Lanes};
use squad_primitives::{Epoch, OperatorId, Poa, Time, Tip};

impl Lanes {
    /// A proof arrived from a peer.
    pub(super) fn on_poa(
        &mut self,
        now: Time,
        from: OperatorId,
        poa: Poa,
        out: &mut Vec<LaneOutput>,
    ) {
        let tip = poa.tip;
        let Some(lane) = self.lanes.get(&tip.lane) else {
            return out.push(LaneOutput::Fault {
                peer: from,
                fault: LaneFault::UnknownLane,
            });
        };
        let useful = tip.seq > lane.committed.seq && lane.in_range(tip.seq, &self.config);
        let Some(committee) = self.committees.of(poa.epoch).filter(|_| useful) else {
            return;
        };
        let well_formed = poa.signers.is_canonical(committee)
            && poa.signatures.len() == poa.signers.indices().count()
            && committee.is_one_honest(poa.signers.stake(committee));
        let known = lane.proofs.get(&key(&tip));
        if known.is_some_and(|proof| proof.verified || proof.poa == poa) {
            return;
        }
        let verify_now = known.is_some() || self.is_idle();
        if !well_formed || (verify_now && !self.is_valid(&poa)) {
            return out.push(LaneOutput::Fault {
                peer: from,
                fault: LaneFault::Poa,
            });
        }
        if lane.entry(&tip).is_none() {
            self.keep_orphan(now, from, poa);
            return;
        }
        self.keep_proof(now, poa, verify_now, out);
    }

    /// Keeps a proof for a known header.
    pub(super) fn keep_proof(
        &mut self,
        now: Time,
        poa: Poa,
        verified: bool,
        out: &mut Vec<LaneOutput>,
    ) {
        let tip = poa.tip;
        let Some(lane) = self.lanes.get_mut(&tip.lane) else {
            return;
        };
        if tip.seq <= lane.committed.seq {
            return;
        }
        let slot = lane.proofs.entry(key(&tip)).or_insert_with(|| Proof {
            poa: poa.clone(),
            verified,
            since: now,
            broadcast_at: None,
        });
        if verified && !slot.verified {
            (slot.poa, slot.verified) = (poa, true);
        }
        if lane.proofs.len() > POAS_PER_LANE_MAX {
            // The newest speaks for those below it, except in time: the coverage rule counts from a
            // broadcast, and asks for the headers between. Without the highest one that was broadcast
            // and is known to descend, a lane that goes on could be left out for as long as so many of
            // its proofs wait.
            let owes = |(key, proof): &(&Key, &Proof)| {
                proof.broadcast_at.is_some() && lane.descends(&lane.tip_of(key), &lane.committed)
            };
            let owed = lane.proofs.iter().rev().find(owes).map(|(key, _)| *key);
            let mut others = lane.proofs.keys().rev().skip(1);
            if let Some(key) = others.find(|key| owed != Some(**key)).copied() {
                lane.proofs.remove(&key);
            }
        }
        self.wake(now.after(self.coverage_half()));
        self.wake(now.after(self.config.rebroadcast));
        out.push(LaneOutput::TipsChanged);
        self.tell_awaited(tip.lane, out);
    }

    fn keep_orphan(&mut self, now: Time, from: OperatorId, poa: Poa) {
        let due = now.after(self.config.rebroadcast);
        if let Some(lane) = self.lanes.get_mut(&poa.tip.lane) {
            let newer = lane
                .orphans
                .get(&from)
                .is_none_or(|old| old.poa.tip.seq < poa.tip.seq);
            if newer && self.committees.has_lane(from) {
                lane.orphans.insert(from, Orphan { poa, since: now });
                self.wake(due);
            }
        }
    }

    /// A header became known: proofs that waited for it are proofs now.
    pub(super) fn adopt_orphans(&mut self, now: Time, tip: &Tip, out: &mut Vec<LaneOutput>) {
        let Some(lane) = self.lanes.get_mut(&tip.lane) else {
            return;
        };
        let senders: Vec<_> = lane
            .orphans
            .iter()
            .filter(|(_, orphan)| orphan.poa.tip == *tip)
            .map(|(sender, _)| *sender)
            .collect();
        for sender in senders {
            let lane = self.lanes.get_mut(&tip.lane);
            if let Some(orphan) = lane.and_then(|lane| lane.orphans.remove(&sender)) {
                self.on_poa(now, sender, orphan.poa, out);
            }
        }
    }

    /// Whether no verified proof that a cut may use waits to be committed in any lane.
    fn is_idle(&self) -> bool {
        let epoch = self.committees.epoch();
        !self.lanes.values().any(|lane| {
            lane.proofs.values().any(|proof| {
                proof.verified && self.is_legal_epoch(lane.owner, proof.poa.epoch, epoch)
            })
        })
    }

    pub(super) fn is_valid(&self, poa: &Poa) -> bool {
        self.committees.of(poa.epoch).is_some_and(|committee| {
            poa.verify(&self.config.network, committee, self.verifier.as_ref())
        })
    }

    /// Verifies a held proof unless that was done before; a bad one is forgotten.
    pub(super) fn verify_proof(&mut self, lane: OperatorId, key: &Key) -> bool {
        let Some(proof) = self.lanes.get(&lane).and_then(|l| l.proofs.get(key)) else {
            return false;
        };
        let valid = proof.verified || self.is_valid(&proof.poa);
        if let Some(lane) = self.lanes.get_mut(&lane) {
            if !valid {
                lane.proofs.remove(key);
            } else if let Some(proof) = lane.proofs.get_mut(key) {
                proof.verified = true;
            }
        }
        valid
    }

    /// Whether a proof of epoch `of` for a batch of `lane` is legal in a block of `epoch`: proofs of
    /// the same epoch and of the one before. The lane of an operator that left advances only by the
    /// latter.
    pub(super) fn is_legal_epoch(&self, lane: OperatorId, of: Epoch, epoch: Epoch) -> bool {
        let member = self
            .committees
            .of(epoch)
            .is_some_and(|committee| committee.member(lane).is_some());
        of.next() == epoch || (member && of == epoch)
    }
}
