//! What the other operators have shown of themselves.

use squad_primitives::{Duration, OperatorId, Time, ViewId};
use std::collections::BTreeMap;

/// Most operators remembered: members of two overlapping committees, and observers.
const PEERS_MAX: usize = 512;
/// Pages of certificates and blocks by hash that one peer gets per `rebroadcast`. A page of 16
/// certificates of 100 operators is 100 kB, so a peer can draw at most 8 MB/s.
const ANSWERS_MAX: u32 = 8;

#[derive(Clone, Debug, Default)]
struct Peer {
    /// View in which it was seen, and when.
    seen: ViewId,
    seen_at: Time,
    /// It still sends commit votes for something that is committed here.
    lacks_commit: bool,
    /// It spoke in an epoch that is over here, since the last retransmission.
    left_behind: bool,
    answers: u32,
}

/// Peers by operator.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peers {
    peers: BTreeMap<OperatorId, Peer>,
}

impl Peers {
    fn entry(&mut self, operator: OperatorId) -> Option<&mut Peer> {
        if self.peers.len() >= PEERS_MAX && !self.peers.contains_key(&operator) {
            return None;
        }
        Some(self.peers.entry(operator).or_default())
    }

    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    /// The operator is, or was, in `view`.
    pub(crate) fn see(&mut self, operator: OperatorId, view: ViewId, now: Time) {
        if let Some(peer) = self.entry(operator)
            && peer.seen <= view
        {
            peer.seen = view;
            peer.seen_at = now;
        }
    }

    /// The operator speaks in a view lower than the one in which it was seen. If that is longer ago
    /// than messages overtake each other, it has restarted and knows less than before.
    pub(crate) fn see_again(
        &mut self,
        operator: OperatorId,
        view: ViewId,
        now: Time,
        overtaking: Duration,
    ) {
        if let Some(peer) = self.peers.get_mut(&operator)
            && view < peer.seen
            && now.since(peer.seen_at) > overtaking
        {
            peer.seen = view;
            peer.seen_at = now;
        }
    }

    pub(crate) fn seen(&self, operator: OperatorId) -> ViewId {
        self.peers
            .get(&operator)
            .map_or_else(ViewId::default, |peer| peer.seen)
    }

    pub(crate) fn lacks_commit(&mut self, operator: OperatorId) {
        if let Some(peer) = self.entry(operator) {
            peer.lacks_commit = true;
        }
    }

    /// The operator speaks in an epoch that is over here.
    pub(crate) fn left_behind(&mut self, operator: OperatorId) {
        if let Some(peer) = self.entry(operator) {
            peer.left_behind = true;
        }
    }

    /// Operators that spoke in an epoch that is over here, since this was last asked.
    pub(crate) fn take_left_behind(&mut self) -> Vec<OperatorId> {
        let peers = self.peers.iter_mut();
        peers
            .filter_map(|(operator, peer)| {
                std::mem::take(&mut peer.left_behind).then_some(*operator)
            })
            .collect()
    }

    pub(crate) fn any_lacks_commit(&self) -> bool {
        self.peers.values().any(|peer| peer.lacks_commit)
    }

    pub(crate) fn take_lacks_commit(&mut self, operator: OperatorId) -> bool {
        self.peers
            .get_mut(&operator)
            .is_some_and(|peer| std::mem::take(&mut peer.lacks_commit))
    }

    /// Whether one more answer to this peer is within its allowance.
    pub(crate) fn may_answer(&mut self, operator: OperatorId) -> bool {
        self.entry(operator).is_some_and(|peer| {
            peer.answers += 1;
            peer.answers <= ANSWERS_MAX
        })
    }

    /// A new interval: allowances are full again.
    pub(crate) fn refill(&mut self) {
        for peer in self.peers.values_mut() {
            peer.answers = 0;
        }
    }
}
