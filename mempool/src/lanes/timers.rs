//! What happens by time alone.

use super::collect::Reason;
use super::lane::Key;
use super::{LaneOutput, Lanes};
use squad_primitives::message::LaneMessage;
use squad_primitives::{Duration, OperatorId, Time, Tip};

impl Lanes {
    pub(super) fn tick(&mut self, now: Time, out: &mut Vec<LaneOutput>) {
        self.deadline = None;
        if std::mem::take(&mut self.recovering) {
            self.certify_recovered(now, out);
        }
        self.tick_own(now, out);
        let owners: Vec<_> = self.lanes.keys().copied().collect();
        for owner in owners {
            self.tick_orphans(now, owner, out);
            self.collect(now, owner, out);
            self.tick_coverage(now, owner, out);
        }
        self.tick_stalled(now, out);
    }

    /// How long a certified tip may stay uncovered before its proof is broadcast.
    pub(super) fn coverage_half(&self) -> Duration {
        self.config.coverage_delay / 2
    }

    /// A proof whose batch did not arrive in time: asks its sender for the headers.
    fn tick_orphans(&mut self, now: Time, owner: OperatorId, out: &mut Vec<LaneOutput>) {
        let Some(lane) = self.lanes.get_mut(&owner) else {
            return;
        };
        let limit = self.config.rebroadcast;
        let due: Vec<(OperatorId, Tip)> = lane
            .orphans
            .iter_mut()
            .filter(|(_, orphan)| now.since(orphan.since) >= limit)
            .map(|(sender, orphan)| {
                orphan.since = now;
                (*sender, orphan.poa.tip)
            })
            .collect();
        for (sender, tip) in due {
            self.want(now, tip, Reason::Gap, Some(sender), out);
        }
        let next = self
            .lanes
            .get(&owner)
            .and_then(|lane| lane.orphans.values().map(|orphan| orphan.since).min());
        if let Some(since) = next {
            self.wake(since.after(limit));
        }
    }

    /// Coverage: broadcasts the highest proof that no cut took in for half of the delay.
    fn tick_coverage(&mut self, now: Time, owner: OperatorId, out: &mut Vec<LaneOutput>) {
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

    /// Nothing was committed for a while although a tip is certified: shows one proof to all.
    fn tick_stalled(&mut self, now: Time, out: &mut Vec<LaneOutput>) {
        if self.config.me.is_none() {
            return;
        }
        let span = self.config.rebroadcast;
        let oldest = self
            .lanes
            .values()
            .flat_map(|lane| lane.proofs.values().map(|proof| proof.since))
            .min();
        let Some(oldest) = oldest else {
            return;
        };
        let due = oldest
            .max(self.last_commit)
            .after(span)
            .max(self.stalled_at);
        if now < due {
            return self.wake(due);
        }
        self.stalled_at = now.after(span);
        self.wake(self.stalled_at);
        let tops: Vec<(OperatorId, Key)> = self
            .lanes
            .iter()
            .filter(|(owner, _)| self.config.me != Some(**owner))
            .filter_map(|(owner, lane)| Some((*owner, *lane.proofs.keys().next_back()?)))
            .collect();
        for (owner, key) in tops {
            if self.verify_proof(owner, &key)
                && let Some(proof) = self.lanes.get(&owner).and_then(|l| l.proofs.get(&key))
            {
                let poa = Box::new(proof.poa.clone());
                return out.push(LaneOutput::Broadcast(LaneMessage::Poa(poa)));
            }
        }
    }
}
