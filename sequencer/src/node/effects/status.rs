//! The node's view of itself, for the API and the metrics.

use super::Effects;
use crate::node::clock::wall_ms;
use crate::node::handle::PeerStatus;
use crate::node::intake::Bearings;
use squad_consensus::Core;
use squad_mempool::Lanes;
use squad_primitives::OperatorId;
use std::collections::BTreeMap;

impl Effects {
    /// A link went up or down.
    pub(crate) fn link(&mut self, peer: OperatorId, up: bool) {
        if up {
            self.connected.insert(peer);
        } else {
            self.connected.remove(&peer);
            self.header_servers.forget(peer);
        }
    }

    /// Publishes the local view.
    pub(crate) fn report(&self, consensus: &Core, lanes: &Lanes) {
        let view = consensus.status();
        self.world.metrics.observe(&view, self.processed);
        let me = self.world.me;
        let links: BTreeMap<_, _> = self
            .world
            .links
            .peers()
            .into_iter()
            .map(|link| (link.operator, link))
            .collect();
        let peers = self
            .committee
            .members()
            .iter()
            .filter(|member| member.operator != me)
            .map(|member| PeerStatus {
                operator: member.operator,
                connected: self.connected.contains(&member.operator),
                rtt_us: links
                    .get(&member.operator)
                    .and_then(|link| link.rtt)
                    .map_or(0, |rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX)),
                lane_seq: lanes.held_seq(member.operator),
                acked_seq: lanes.acked_seq(member.operator),
            })
            .collect();
        let mut reachable = self.connected.clone();
        reachable.insert(me);
        let stake = self.committee.stake_of(&reachable);
        let bearings = Bearings {
            committed: view.committed,
            target: view.certified.max(view.committed),
            quorum_connected: self.committee.is_quorum(stake),
        };
        self.world.ingress.observe(&bearings);
        let load = self.world.ingress.lock().pool.load();
        self.status.send_modify(|status| {
            status.view = view.at;
            status.leader = view.leader;
            status.committed = view.committed;
            status.target = bearings.target;
            status.syncing = view.syncing;
            status.quorum_connected = bearings.quorum_connected;
            status.peers = peers;
            status.own_tip = lanes.held_seq(me);
            status.own_ordered = lanes.committed_seq(me);
            status.queued_transactions = load.transactions;
            status.queued_bytes = load.bytes;
            status.core_turn_ms = wall_ms().saturating_sub(status.started_at_ms);
        });
    }
}
