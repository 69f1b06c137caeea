//! From a node that sends to nodes that receive: adversaries, twins, links.

use super::World;
use super::event::Event;
use crate::adversary::Attack;
use crate::node::{Node, Packet};
use crate::observe::Seen;
use squad_primitives::OperatorId;

impl World {
    pub(super) fn send(&mut self, slot: usize, to: Option<OperatorId>, packet: Packet) {
        self.saw(slot, Seen::Sent(to, packet.clone()));
        let me = self.slots[slot].operator;
        match to {
            Some(to) => self.leave(slot, to, packet),
            None => {
                let others: Vec<_> = self.homes.keys().copied().filter(|to| *to != me).collect();
                for to in others {
                    self.leave(slot, to, packet.clone());
                }
            }
        }
    }

    fn leave(&mut self, slot: usize, to: OperatorId, packet: Packet) {
        let place = &mut self.slots[slot];
        let Some(adversary) = &mut place.adversary else {
            return self.route(slot, to, packet, 0);
        };
        let mut attack = Attack {
            me: place.operator,
            key: &self.keys.signers[place.operator.0 as usize],
            network: self.invariants.facts.network,
            committee: &self.invariants.facts.committee,
            random: &mut self.streams.attack,
            out: Vec::new(),
            attacks: 0,
        };
        adversary.leaving(to, packet, &mut attack);
        let (out, attacks) = (attack.out, attack.attacks);
        if attacks > 0 {
            let behaviour = self
                .plan
                .byzantine
                .iter()
                .find(|(guilty, _)| *guilty == me(place.operator));
            if let Some((_, behaviour)) = behaviour {
                self.coverage.add(behaviour.name(), attacks);
            }
        }
        for (to, packet, delay) in out {
            self.saw(slot, Seen::Sent(Some(to), packet.clone()));
            self.route(slot, to, packet, delay);
        }
    }

    fn route(&mut self, from: usize, to: OperatorId, packet: Packet, delay_us: u64) {
        let homes = self.homes.get(&to).cloned().unwrap_or_default();
        for home in homes {
            if !self.hears(from, home) {
                continue;
            }
            self.sent += 1;
            let extra = delay_us + self.slots[from].slow_us + self.slots[home].slow_us;
            let passage = self.net.pass(self.now, from, home, extra);
            if passage.lost {
                self.coverage.count("loss");
            }
            if passage.arrivals.len() > 1 {
                self.coverage.count("duplicate");
            }
            for at in passage.arrivals {
                let packet = Box::new(packet.clone());
                let to = home;
                self.events.at(at, Event::Deliver { to, from, packet });
            }
        }
    }

    /// Whether twins let a message pass: each peer hears one of a pair.
    pub(super) fn hears(&self, from: usize, to: usize) -> bool {
        let excess = !self.plan.excess_twins.is_empty();
        let Some(mask) = self.twin_mask.or(excess.then_some(0xaaaa_aaaa_aaaa_aaaa)) else {
            return true;
        };
        let side = |slot: usize| {
            let homes = self.homes.get(&self.slots[slot].operator);
            match homes.map(Vec::as_slice) {
                Some([_, second]) => Some(*second == slot),
                _ => None,
            }
        };
        let bit = |slot: usize| mask >> (slot % 64) & 1 == 1;
        match (side(from), side(to)) {
            (None, None) => !excess || bit(from) == bit(to),
            (Some(a), Some(b)) => a == b,
            (Some(twin), None) => twin == bit(to),
            (None, Some(twin)) => twin == bit(from),
        }
    }

    /// A process can be reached: both running, the link whole.
    fn is_linked(&self, a: usize, b: usize) -> bool {
        let up = |slot: usize| self.slots[slot].node.is_some();
        a != b && up(a) && up(b) && self.net.is_whole(a, b) && self.hears(a, b)
    }

    /// Both ends will notice that a link is up.
    pub(super) fn announce(&mut self, a: usize, b: usize) {
        if self.is_linked(a, b) {
            for (slot, peer) in [(a, b), (b, a)] {
                let at = self.now + self.net.delay_us(a, b) + self.streams.links.below(200_000);
                self.events.at(
                    at,
                    Event::Link {
                        slot,
                        peer,
                        up: true,
                    },
                );
            }
        }
    }

    /// Both ends will notice that a link is down, sooner or later.
    pub(super) fn lose(&mut self, a: usize, b: usize) {
        for (slot, peer) in [(a, b), (b, a)] {
            let at = self.now + self.streams.links.below(3_000_000);
            self.events.at(
                at,
                Event::Link {
                    slot,
                    peer,
                    up: false,
                },
            );
        }
    }

    pub(super) fn on_link(&mut self, slot: usize, peer: usize, up: bool) {
        if self.is_linked(slot, peer) == up
            && self.slots[slot].operator != self.slots[peer].operator
        {
            let operator = self.slots[peer].operator;
            self.with(slot, |node: &mut Node, now| node.link(now, operator, up));
        }
    }
}

fn me(operator: OperatorId) -> usize {
    operator.0 as usize
}
