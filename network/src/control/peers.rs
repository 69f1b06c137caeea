//! Who is connected, and what they offer.

use libp2p::{Multiaddr, PeerId, identify, request_response::OutboundFailure};
use squad_primitives::OperatorId;
use std::{collections::BTreeMap, sync::Arc};

/// A connected peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// Its libp2p id.
    pub peer: PeerId,
    /// Where it is connected from or to.
    pub address: Multiaddr,
    /// The operator that it proves to be by a signed record.
    pub operator: Option<OperatorId>,
    /// Whether it answers sync requests.
    pub serves_sync: bool,
    /// Whether it takes part in the gossip of blocks.
    pub follows_blocks: bool,
}

/// Why a sync request brought nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The request is larger than [`super::SYNC_REQUEST_BYTES_LIMIT`].
    #[error("request: {0} bytes exceed the limit of {limit}", limit = super::SYNC_REQUEST_BYTES_LIMIT)]
    TooLarge(usize),
    /// Too many own requests are waiting.
    #[error("too many requests are waiting")]
    Busy,
    /// The peer doesn't have what was asked for.
    #[error("peer: does not have it")]
    NotFound,
    /// The peer can't be reached.
    #[error("peer: not reachable")]
    Unreachable,
    /// The peer doesn't answer sync requests.
    #[error("peer: does not serve sync")]
    Unsupported,
    /// No reply in time.
    #[error("timed out")]
    Timeout,
    /// The connection broke, or the peer broke off, or its reply breaks the limits.
    #[error("peer: broke off")]
    Aborted,
    /// The control plane has stopped.
    #[error("stopped")]
    Stopped,
}

impl RequestError {
    /// Label in metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => "too_large",
            Self::Busy => "busy",
            Self::NotFound => "not_found",
            Self::Unreachable => "unreachable",
            Self::Unsupported => "unsupported",
            Self::Timeout => "timeout",
            Self::Aborted => "aborted",
            Self::Stopped => "stopped",
        }
    }
}

impl From<OutboundFailure> for RequestError {
    fn from(failure: OutboundFailure) -> Self {
        match failure {
            OutboundFailure::DialFailure => Self::Unreachable,
            OutboundFailure::Timeout => Self::Timeout,
            OutboundFailure::UnsupportedProtocols => Self::Unsupported,
            OutboundFailure::ConnectionClosed | OutboundFailure::Io(_) => Self::Aborted,
        }
    }
}

/// The driver's own list. Its size is bounded by the connection limits.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    connected: BTreeMap<PeerId, Connected>,
    changed: bool,
}

#[derive(Debug)]
struct Connected {
    address: Multiaddr,
    serves_sync: bool,
    follows_blocks: bool,
}

impl Peers {
    pub(crate) fn connected(&mut self, peer: PeerId, address: Multiaddr) {
        self.connected.entry(peer).or_insert(Connected {
            address,
            serves_sync: false,
            follows_blocks: false,
        });
        self.changed = true;
    }

    pub(crate) fn disconnected(&mut self, peer: &PeerId) {
        self.connected.remove(peer);
        self.changed = true;
    }

    /// Notes what a peer says about itself. Returns the address it is connected through.
    pub(crate) fn identified(
        &mut self,
        peer: &PeerId,
        serves_sync: bool,
        info: &identify::Info,
    ) -> Option<Multiaddr> {
        let known = self.connected.get_mut(peer)?;
        tracing::debug!(%peer, agent = info.agent_version, serves_sync, "peer identified");
        known.serves_sync = serves_sync;
        self.changed = true;
        Some(known.address.clone())
    }

    pub(crate) fn follows(&mut self, peer: &PeerId, follows_blocks: bool) {
        if let Some(known) = self.connected.get_mut(peer) {
            known.follows_blocks = follows_blocks;
            self.changed = true;
        }
    }

    pub(crate) fn is_connected(&self, peer: &PeerId) -> bool {
        self.connected.contains_key(peer)
    }

    pub(crate) fn len(&self) -> usize {
        self.connected.len()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = &PeerId> {
        self.connected.keys()
    }

    /// Marks the list as changed because what is known about operators has.
    pub(crate) fn touch(&mut self) {
        self.changed = true;
    }

    /// Whether anything has changed since the last call.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    pub(crate) fn list(
        &self,
        operator_of: impl Fn(&PeerId) -> Option<OperatorId>,
    ) -> Arc<[PeerInfo]> {
        self.connected
            .iter()
            .map(|(peer, known)| PeerInfo {
                peer: *peer,
                address: known.address.clone(),
                operator: operator_of(peer),
                serves_sync: known.serves_sync,
                follows_blocks: known.follows_blocks,
            })
            .collect()
    }
}
