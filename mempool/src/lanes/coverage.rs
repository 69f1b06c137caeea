//! The coverage rule: nobody can leave a certified lane out of cuts.
//!
//! A proof that no cut took in for half of `coverage_delay` is broadcast by each holder, once. The delay
//! counts from one's own broadcast: by then every honest leader has had the proof for the delay less a
//! message, so a lane owner who shows its proof to few can't make them refuse honest leaders.

use super::lane::{Key, Lane};
use super::{LaneOutput, Lanes};
use squad_primitives::message::LaneMessage;
use squad_primitives::{Cut, Digest, Duration, Now, OperatorId, Time, Tip};

impl Lanes {
    /// How long a certified tip may stay uncovered before its proof is broadcast.
    pub(super) fn coverage_half(&self) -> Duration {
        self.config.coverage_delay / 2
    }

    /// Coverage: broadcasts the highest proof that no cut took in for half of the delay.
    pub(super) fn tick_coverage(
        &mut self,
        now: Time,
        owner: OperatorId,
        out: &mut Vec<LaneOutput>,
    ) {
        let half = self.coverage_half();
        let Some(lane) = self.lanes.get(&owner) else {
            return;
        };
        let Some(first) = lane.proofs.values().map(|proof| proof.since).min() else {
            return;
        };
        let mut due = first.after(half).max(lane.coverage_next);
        if due <= now {
            let aged: Vec<Key> = lane
                .proofs
                .iter()
                .rev()
                .filter(|(_, proof)| proof.broadcast_at.is_none())
                .filter(|(_, proof)| now >= proof.since.after(half))
                .map(|(key, _)| *key)
                .collect();
            due = now.after(self.config.coverage_delay);
            if let Some(key) = aged.into_iter().find(|key| self.verify_proof(owner, key)) {
                self.broadcast_proof(now, owner, &key, out);
            }
        }
        self.wake(due);
    }

    fn broadcast_proof(
        &mut self,
        now: Time,
        owner: OperatorId,
        key: &Key,
        out: &mut Vec<LaneOutput>,
    ) {
        let next = now.after(self.config.coverage_delay);
        if let Some(lane) = self.lanes.get_mut(&owner)
            && let Some(proof) = lane.proofs.get_mut(key)
        {
            proof.broadcast_at = Some(now);
            lane.coverage_next = next;
            let poa = Box::new(proof.poa.clone());
            out.push(LaneOutput::Broadcast(LaneMessage::Poa(poa)));
        }
    }

    /// A lane that `cut` leaves out against the coverage rule: its tip was certified, and this operator
    /// broadcast the proof at least `coverage_delay` ago; it descends from the parent's tip, and the
    /// block has room for it. Not asked when the previous view ended in a TC.
    #[must_use]
    pub fn uncovered(&self, now: Now, parent: &Cut, cut: &Cut) -> Option<OperatorId> {
        let moved: u64 = cut
            .moved(parent)
            .filter_map(|tip| self.bytes_above(parent, tip))
            .sum();
        self.lanes
            .values()
            .find(|lane| self.is_left_out(now.time, lane, parent, cut, moved))
            .map(|lane| lane.owner)
    }

    fn is_left_out(&self, now: Time, lane: &Lane, parent: &Cut, cut: &Cut, moved: u64) -> bool {
        let epoch = self.committees.epoch();
        let above = (cut.seq(lane.owner).next(), Digest::ZERO);
        let own = cut
            .tip(lane.owner)
            .and_then(|tip| self.bytes_above(parent, tip))
            .unwrap_or(0);
        lane.proofs
            .range(above..)
            .filter(|(_, proof)| {
                proof.verified && self.is_legal_epoch(lane.owner, proof.poa.epoch, epoch)
            })
            .filter(|(_, proof)| {
                proof
                    .broadcast_at
                    .is_some_and(|at| now >= at.after(self.config.coverage_delay))
            })
            .filter_map(|(key, _)| self.bytes_above(parent, &lane.tip_of(key)))
            .any(|bytes| {
                moved.saturating_sub(own).saturating_add(bytes) <= self.config.block_bytes_max
            })
    }

    /// Bytes of a tip's chain above the parent's cut, if it descends from it.
    fn bytes_above(&self, parent: &Cut, tip: &Tip) -> Option<u64> {
        let lane = self.lanes.get(&tip.lane)?;
        let chain = lane.chain(tip, &Self::tip_in(parent, tip.lane)).ok()?;
        Some(lane.body_bytes(&chain))
    }
}
