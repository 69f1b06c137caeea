//! What happens by time alone.

use super::collect::Reason;
use super::lane::Key;
use super::{LaneOutput, Lanes};
use squad_primitives::message::LaneMessage;
use squad_primitives::{OperatorId, Time, Tip};

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
