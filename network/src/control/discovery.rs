//! Finding peers: bootnodes, then whoever Kademlia and the operator records lead to.
//!
//! - With no connection, the bootnodes are dialled at every upkeep.
//! - A new peer says where it listens (identify); its addresses become routes, and it is asked for
//!   operator records, now and again at upkeep, one peer at a time.
//! - Below the target of connections, routes and operators are dialled. A node that knows one bootnode
//!   so finds the operators even if that bootnode is no operator itself.

use super::{
    behaviour::Behaviour,
    config::{ADDRESSES_PER_PEER_MAX, ControlPlaneConfig, Role},
    metrics::ControlMetrics,
    peers::Peers,
    record::{OperatorRecord, RecordBook},
};
use libp2p::{
    Multiaddr, PeerId, Swarm, identify,
    multiaddr::Protocol,
    request_response::ResponseChannel,
    swarm::{DialError, dial_opts::DialOpts},
};
use squad_primitives::{NetworkId, OperatorId, PublicKey};
use std::time::SystemTime;

#[derive(Debug)]
pub(crate) struct Discovery {
    network: NetworkId,
    role: Role,
    announce: Vec<Multiaddr>,
    bootnodes: Vec<Multiaddr>,
    peers_target: usize,
    records: RecordBook,
    /// Peer that was last asked for records.
    last_asked: Option<PeerId>,
    metrics: ControlMetrics,
}

impl Discovery {
    pub(crate) fn new(config: &ControlPlaneConfig) -> Self {
        let mut records = RecordBook::new(config.network);
        records.set_operators(config.operators.clone());
        Self {
            network: config.network,
            role: config.role.clone(),
            announce: config.announce.clone(),
            bootnodes: config.bootnodes.clone(),
            peers_target: config.peers_target,
            records,
            last_asked: None,
            metrics: config.metrics.clone(),
        }
    }

    pub(crate) fn operator_of(&self, peer: &PeerId) -> Option<OperatorId> {
        self.records.operator_of(peer)
    }

    pub(crate) fn set_operators(
        &mut self,
        operators: Vec<(OperatorId, PublicKey)>,
        swarm: &mut Swarm<Behaviour>,
    ) {
        for record in self.records.iter() {
            swarm.behaviour_mut().limits.remove_peer_id(&record.peer());
        }
        self.records.set_operators(operators);
        for record in self.records.iter() {
            swarm.behaviour_mut().limits.bypass_peer_id(&record.peer());
        }
        self.sign_own_record(swarm);
    }

    /// Signs where this operator is found, unless nobody could reach it there.
    pub(crate) fn sign_own_record(&mut self, swarm: &Swarm<Behaviour>) {
        let Role::Operator { me, identity } = &self.role else {
            return;
        };
        let addresses: Vec<_> = match self.announce.as_slice() {
            [] => swarm.listeners().cloned().collect(),
            announced => announced.to_vec(),
        };
        if addresses.is_empty() {
            return;
        }
        let now = SystemTime::now();
        let peer = *swarm.local_peer_id();
        let record = OperatorRecord::sign(&self.network, identity, *me, peer, addresses, now);
        if let Err(error) = self.records.insert(record, now) {
            // An operator outside the committee: it has not joined yet, or has left.
            tracing::debug!(%error, "own record not published");
        }
    }

    /// Dials an address, remembering the route if it names the peer.
    pub(crate) fn dial(&self, swarm: &mut Swarm<Behaviour>, address: Multiaddr) {
        if let Some(Protocol::P2p(peer)) = address.iter().last() {
            if peer == *swarm.local_peer_id() {
                return;
            }
            let kad = &mut swarm.behaviour_mut().kad;
            kad.add_address(&peer, address.clone());
        }
        match swarm.dial(address) {
            Ok(()) | Err(DialError::DialPeerConditionFalse(_)) => {}
            Err(error) => tracing::debug!(%error, "dial refused"),
        }
    }

    /// Regular work; see the module's head.
    pub(crate) fn upkeep(&mut self, swarm: &mut Swarm<Behaviour>, peers: &Peers) {
        if peers.len() == 0 {
            for bootnode in self.bootnodes.clone() {
                self.dial(swarm, bootnode);
            }
            return;
        }
        let next = peers
            .ids()
            .find(|peer| self.last_asked.is_none_or(|last| **peer > last))
            .or_else(|| peers.ids().next());
        if let Some(peer) = next {
            self.last_asked = Some(*peer);
            swarm.behaviour_mut().records.send_request(peer, Vec::new());
        }
        if peers.len() < self.peers_target {
            for record in self.records.iter() {
                dial_peer(swarm, record.peer(), record.addresses());
            }
            swarm
                .behaviour_mut()
                .kad
                .get_closest_peers(PeerId::random());
        }
    }

    /// A peer said who it is; `connected` is the address of its connection.
    pub(crate) fn on_identified(
        &self,
        swarm: &mut Swarm<Behaviour>,
        peer: PeerId,
        info: identify::Info,
        connected: Option<Multiaddr>,
    ) {
        let local = connected.as_ref().is_some_and(is_loopback);
        let behaviour = swarm.behaviour_mut();
        let plausible = info
            .listen_addrs
            .into_iter()
            .filter(|address| local || !is_loopback(address));
        for address in plausible.take(ADDRESSES_PER_PEER_MAX) {
            behaviour.kad.add_address(&peer, address);
        }
        behaviour.records.send_request(&peer, Vec::new());
    }

    /// A route became known.
    pub(crate) fn on_route(
        &self,
        swarm: &mut Swarm<Behaviour>,
        peers: &Peers,
        peer: PeerId,
        is_new: bool,
    ) {
        if is_new && !peers.is_connected(&peer) && peers.len() < self.peers_target {
            dial_peer(swarm, peer, &[]);
        }
    }

    /// Tells a peer all records.
    pub(crate) fn answer(
        &self,
        swarm: &mut Swarm<Behaviour>,
        channel: ResponseChannel<Option<Vec<u8>>>,
    ) {
        let records = &mut swarm.behaviour_mut().records;
        // Fails if the peer has gone.
        let _ = records.send_response(channel, Some(self.records.encode()));
    }

    /// Takes the records that a peer told.
    pub(crate) fn on_records(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        from: PeerId,
        bytes: &[u8],
        now: SystemTime,
    ) {
        let Ok(records) = RecordBook::decode(bytes) else {
            self.metrics.record("undecodable");
            return;
        };
        for record in records {
            let (peer, addresses) = (record.peer(), record.addresses().to_vec());
            match self.records.insert(record, now) {
                Ok(true) => {
                    self.metrics.record("taken");
                    if peer != *swarm.local_peer_id() {
                        self.on_operator(swarm, peer, &addresses);
                    }
                }
                Ok(false) => self.metrics.record("known"),
                Err(error) => {
                    tracing::debug!(%from, %error, "operator record refused");
                    self.metrics.record("refused");
                }
            }
        }
        self.metrics
            .operators
            .set(self.records.iter().count() as i64);
    }

    /// An operator's place became known.
    fn on_operator(&self, swarm: &mut Swarm<Behaviour>, peer: PeerId, addresses: &[Multiaddr]) {
        let behaviour = swarm.behaviour_mut();
        behaviour.limits.bypass_peer_id(&peer);
        for address in addresses {
            behaviour.kad.add_address(&peer, address.clone());
        }
        if swarm.connected_peers().count() < self.peers_target {
            dial_peer(swarm, peer, addresses);
        }
    }
}

/// Dials a peer unless it is connected or being dialled; libp2p adds the routes it knows.
fn dial_peer(swarm: &mut Swarm<Behaviour>, peer: PeerId, addresses: &[Multiaddr]) {
    let options = DialOpts::peer_id(peer)
        .addresses(addresses.to_vec())
        .extend_addresses_through_behaviour()
        .build();
    match swarm.dial(options) {
        Ok(()) | Err(DialError::DialPeerConditionFalse(_) | DialError::LocalPeerId { .. }) => {}
        Err(error) => tracing::debug!(%peer, %error, "dial refused"),
    }
}

fn is_loopback(address: &Multiaddr) -> bool {
    match address.iter().next() {
        Some(Protocol::Ip4(ip)) => ip.is_loopback(),
        Some(Protocol::Ip6(ip)) => ip.is_loopback(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_recognised_in_both_families() {
        for (address, expected) in [
            ("/ip4/127.0.0.1/tcp/1", true),
            ("/ip6/::1/tcp/1", true),
            ("/ip4/10.0.0.1/tcp/1", false),
            ("/dns4/localhost/tcp/1", false),
        ] {
            assert_eq!(
                is_loopback(&address.parse().unwrap()),
                expected,
                "{address}"
            );
        }
    }
}
