//! Status exchange: how operators find out what got lost between them.

use super::config::{HEADERS_ALLOWANCE, HEADERS_REQUEST_COST, HEADERS_SPAN_MAX};
use super::lane::{Body, key};
use super::{LaneFault, LaneOutput, Lanes};
use squad_primitives::cut::CUT_LANES_MAX;
use squad_primitives::message::LaneMessage;
use squad_primitives::{OperatorId, Time, Tip};

/// What is known about the link to another operator.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peer {
    pub(super) connected: bool,
    /// When it may next be answered: once per half of the interval at which it asks.
    answer_at: Time,
    /// When own batches may next be sent again to it.
    resend_at: Time,
    /// Headers looked through for it since the last refill of its allowance, and the next refill.
    headers_read: u64,
    refill_at: Time,
}

impl Lanes {
    pub(super) fn is_connected(&self, operator: OperatorId) -> bool {
        self.peers.get(&operator).is_some_and(|peer| peer.connected)
    }

    /// A link came up: tells how far each lane is held here.
    pub(super) fn on_connected(&mut self, now: Time, to: OperatorId, out: &mut Vec<LaneOutput>) {
        if !self.committees.has_lane(to) {
            return;
        }
        self.peers.insert(
            to,
            Peer {
                connected: true,
                ..Peer::default()
            },
        );
        if self.config.me.is_some() {
            let tips = self
                .lanes
                .values()
                .map(|lane| self.status_of(lane))
                .collect();
            out.push(LaneOutput::Send {
                to,
                message: LaneMessage::Status(tips),
            });
        }
        let owners: Vec<_> = self.lanes.keys().copied().collect();
        for owner in owners {
            self.collect(now, owner, out);
        }
    }

    pub(super) fn on_disconnected(&mut self, peer: OperatorId) {
        self.peers.remove(&peer);
    }

    fn status_of(&self, lane: &super::lane::Lane) -> Tip {
        match self.own.tip {
            Some(tip) if tip.lane == lane.owner => tip,
            _ => lane.held_tip(),
        }
    }

    /// How far a peer holds lanes. What it says about its own lane is how far that goes.
    pub(super) fn on_status(
        &mut self,
        now: Time,
        from: OperatorId,
        tips: &[Tip],
        out: &mut Vec<LaneOutput>,
    ) {
        if tips.len() > CUT_LANES_MAX {
            return out.push(LaneOutput::Fault {
                peer: from,
                fault: LaneFault::UnknownLane,
            });
        }
        for tip in tips {
            if self.config.me == Some(tip.lane) {
                self.on_held_by(now, from, *tip, out);
            } else if tip.lane == from {
                self.on_owner_status(now, *tip, out);
            }
        }
    }

    /// A peer holds the own lane up to a tip.
    fn on_held_by(&mut self, now: Time, from: OperatorId, tip: Tip, out: &mut Vec<LaneOutput>) {
        let Some(last) = self.own.tip.filter(|last| last.seq > tip.seq) else {
            return;
        };
        let due = now.after(self.config.rebroadcast / 2);
        match self.peers.get_mut(&from) {
            Some(peer) if peer.resend_at <= now => peer.resend_at = due,
            _ => return,
        }
        assert!(last.lane == tip.lane, "the own lane's status");
        self.resend(from, tip, out);
    }

    /// The owner of a lane says how far it goes: acknowledges again, or says what is missing here.
    fn on_owner_status(&mut self, now: Time, tip: Tip, out: &mut Vec<LaneOutput>) {
        let Some(lane) = self.lanes.get(&tip.lane) else {
            return;
        };
        if lane.held_tip().seq >= tip.seq {
            return self.acknowledge_again(now, tip.lane, out);
        }
        let on_its_way = lane
            .entries
            .get(&key(&tip))
            .is_some_and(|entry| matches!(entry.body, Body::Writing(_)));
        let held = lane.held_tip();
        if !on_its_way && self.may_answer(now, tip.lane) {
            out.push(LaneOutput::Send {
                to: tip.lane,
                message: LaneMessage::Status(vec![held]),
            });
        }
    }

    /// Repeats the acknowledgement of what is held of a lane; it may have been lost, or belong to an
    /// earlier epoch.
    pub(super) fn acknowledge_again(
        &mut self,
        now: Time,
        owner: OperatorId,
        out: &mut Vec<LaneOutput>,
    ) {
        let Some(tip) = self.lanes.get(&owner).map(|lane| lane.acked_durable) else {
            return;
        };
        let above_zero = tip.seq.0 > 0;
        if !above_zero || !self.may_answer(now, owner) {
            return;
        }
        if let Some(ack) = self.sign_ack(tip) {
            out.push(LaneOutput::Send {
                to: owner,
                message: LaneMessage::Ack(ack),
            });
        }
    }

    /// Whether a request for headers that spans so many is within the peer's allowance. One that is not
    /// has no answer: an honest asker turns to somebody else.
    pub(super) fn may_read(&mut self, now: Time, from: OperatorId, span: u64) -> bool {
        let Some(peer) = self.peers.get_mut(&from) else {
            return false;
        };
        if peer.refill_at <= now {
            peer.headers_read = 0;
            peer.refill_at = now.after(self.config.rebroadcast);
        }
        let cost = span.min(HEADERS_SPAN_MAX) + HEADERS_REQUEST_COST;
        let allowed = peer.headers_read + cost <= HEADERS_ALLOWANCE;
        if allowed {
            peer.headers_read += cost;
        }
        allowed
    }

    fn may_answer(&mut self, now: Time, to: OperatorId) -> bool {
        let due = now.after(self.config.rebroadcast / 2);
        match self.peers.get_mut(&to) {
            Some(peer) if peer.answer_at <= now => {
                peer.answer_at = due;
                true
            }
            _ => false,
        }
    }
}
