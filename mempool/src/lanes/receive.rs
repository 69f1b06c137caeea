//! Batches from peers.

use super::acks::Write;
use super::collect::Reason;
use super::lane::{Body, Inserted, Key};
use super::{LaneFault, LaneOutput, Lanes};
use squad_primitives::message::POAS_PER_BATCH;
use squad_primitives::{Evidence, OperatorId, Poa, SignedHeader, Time, Tip};

impl Lanes {
    /// A batch whose body belongs to its header.
    pub(super) fn on_batch(
        &mut self,
        now: Time,
        from: OperatorId,
        signed: SignedHeader,
        poas: Vec<Poa>,
        out: &mut Vec<LaneOutput>,
    ) {
        let tip = signed.header.tip(&self.config.network);
        if !self.lanes.contains_key(&tip.lane) {
            return out.push(LaneOutput::Fault {
                peer: from,
                fault: LaneFault::UnknownLane,
            });
        }
        if self.keep_header(now, from, signed, tip, out) {
            self.keep_body(now, from, &tip, out);
            self.fill_gap(now, from, &tip, out);
            self.advance_ack(now, tip.lane, out);
            self.collect(now, tip.lane, out);
        }
        for poa in poas.into_iter().take(POAS_PER_BATCH) {
            self.on_poa(now, from, poa, out);
        }
    }

    /// Whether the header is kept, now or since before.
    fn keep_header(
        &mut self,
        now: Time,
        from: OperatorId,
        signed: SignedHeader,
        tip: Tip,
        out: &mut Vec<LaneOutput>,
    ) -> bool {
        let Some(lane) = self.lanes.get(&tip.lane) else {
            return false;
        };
        if lane.entry(&tip).is_some() {
            return true;
        }
        // Cheap before dear: what could not be kept is not verified.
        if !lane.in_range(tip.seq, &self.config) {
            return false;
        }
        if !self.is_signed(&signed) {
            out.push(LaneOutput::Fault {
                peer: from,
                fault: LaneFault::HeaderSignature,
            });
            return false;
        }
        self.insert_header(now, signed, tip, false, out)
    }

    pub(super) fn is_signed(&self, signed: &SignedHeader) -> bool {
        self.committees
            .for_signature(signed.header.epoch, signed.header.lane)
            .is_some_and(|committee| {
                signed.verify(&self.config.network, &committee, self.verifier.as_ref())
            })
    }

    /// Keeps a header whose signature is verified; reports a fork.
    pub(super) fn insert_header(
        &mut self,
        now: Time,
        signed: SignedHeader,
        tip: Tip,
        required: bool,
        out: &mut Vec<LaneOutput>,
    ) -> bool {
        let Some(lane) = self.lanes.get_mut(&tip.lane) else {
            return false;
        };
        let position: Key = (tip.seq, tip.digest);
        let required = required || Self::is_wanted(lane, &position);
        if self.config.me == Some(tip.lane) {
            out.push(LaneOutput::ForeignOwnBatch(tip.digest));
        } else if !lane.evidence_given
            && let Some(rival) = lane.rival(&position)
        {
            out.push(LaneOutput::Evidence(Evidence::Lane(
                Box::new(*rival),
                Box::new(signed),
            )));
            lane.evidence_given = true;
        }
        match lane.insert(signed, tip.digest, required, &self.config) {
            Inserted::New => {
                self.adopt_orphans(now, &tip, out);
                self.tell_awaited(tip.lane, out);
                true
            }
            Inserted::Known => true,
            Inserted::Refused => false,
        }
    }

    /// Puts a body out for writing, unless it is here already, another branch has the position and this
    /// one can't be acknowledged, or the lane is too far ahead.
    fn keep_body(&mut self, now: Time, from: OperatorId, tip: &Tip, out: &mut Vec<LaneOutput>) {
        let position = (tip.seq, tip.digest);
        let Some(lane) = self.lanes.get(&tip.lane) else {
            return;
        };
        match lane.entry(tip).map(|entry| entry.body) {
            Some(Body::Missing) => {}
            // The owner sends again what was not acknowledged in time.
            Some(Body::Held) if from == tip.lane => {
                return self.acknowledge_again(now, from, out);
            }
            _ => return,
        }
        let rival = lane
            .at(tip.seq)
            .any(|(key, entry)| *key != position && entry.body != Body::Missing);
        // Twice the window, like headers: a commit may be known to the owner first.
        let far = lane.bytes >= self.config.window_bytes.saturating_mul(2);
        let refused = (rival && !lane.is_next(tip)) || far;
        if refused && !Self::is_wanted(lane, &position) {
            return;
        }
        let id = self.next_write(Write::Body {
            lane: tip.lane,
            key: position,
        });
        if let Some(lane) = self.lanes.get_mut(&tip.lane) {
            lane.set_writing(position, id);
        }
        out.push(LaneOutput::Store { id, tip: *tip });
    }

    /// A batch arrived whose parent is not known: collects what lies between.
    fn fill_gap(&mut self, now: Time, from: OperatorId, tip: &Tip, out: &mut Vec<LaneOutput>) {
        let Some(lane) = self.lanes.get(&tip.lane) else {
            return;
        };
        let Some(entry) = lane.entry(tip) else {
            return;
        };
        let parent = Tip {
            lane: tip.lane,
            seq: tip.seq.prev(),
            digest: entry.signed.header.parent,
        };
        let reaches = parent.seq <= lane.base.seq
            || lane
                .entry(&parent)
                .is_some_and(|entry| entry.body != Body::Missing);
        if !reaches {
            self.want(now, parent, Reason::Gap, Some(from), out);
        }
    }
}
