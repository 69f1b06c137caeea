//! Settings and limits of the control plane.

use super::metrics::ControlMetrics;
use crate::domain;
use libp2p::{Multiaddr, PeerId, identity::Keypair};
use squad_primitives::{IdentityKey, NetworkId, OperatorId, PublicKey};
use std::time::Duration;
use zeroize::Zeroizing;

/// Who this node is on the control plane.
#[derive(Clone, Debug)]
// One value per process: a box would gain nothing.
#[allow(clippy::large_enum_variant)]
pub enum Role {
    /// An operator. Its libp2p key is derived from the identity, which also signs the record that
    /// says where to find it.
    Operator {
        /// Own number.
        me: OperatorId,
        /// Own identity.
        identity: IdentityKey,
    },
    /// Anybody else, under a libp2p key of its own.
    Observer {
        /// Seed of the key, from the node's key file.
        seed: Zeroizing<[u8; 32]>,
    },
}

impl Role {
    /// The libp2p key pair of this role on `network`.
    pub(crate) fn keypair(&self, network: &NetworkId) -> Option<Keypair> {
        let mut seed = match self {
            Self::Operator { identity, .. } => {
                domain::derive(domain::CONTROL_KEY, network, identity)
            }
            Self::Observer { seed } => seed.clone(),
        };
        Keypair::ed25519_from_bytes(seed.as_mut_slice()).ok()
    }

    /// The libp2p id of this role on `network`, for bootnode addresses.
    #[must_use]
    pub fn peer_id(&self, network: &NetworkId) -> Option<PeerId> {
        Some(self.keypair(network)?.public().to_peer_id())
    }
}

/// Everything the control plane needs to start.
#[derive(Clone, Debug)]
pub struct ControlPlaneConfig {
    /// Where to listen; `None` for a node that can't be reached from outside. TCP only.
    pub listen: Option<Multiaddr>,
    /// Addresses to tell others instead of those listened on.
    pub announce: Vec<Multiaddr>,
    /// Nodes to start from, best with their id: `/ip4/…/tcp/…/p2p/…`.
    pub bootnodes: Vec<Multiaddr>,
    /// The network. Its id is part of every protocol name, so nodes of others have nothing to say.
    pub network: NetworkId,
    /// Who this node is.
    pub role: Role,
    /// Keys that may sign operator records.
    pub operators: Vec<(OperatorId, PublicKey)>,
    /// Whether this node answers sync requests.
    pub serve_sync: bool,
    /// Most connections. Operators are let in above it. Default 64.
    pub peers_max: u32,
    /// Connections below which the node looks for more. Default 16.
    pub peers_target: usize,
    /// Where the figures go.
    pub metrics: ControlMetrics,
}

impl ControlPlaneConfig {
    /// A configuration with default limits.
    #[must_use]
    pub fn new(network: NetworkId, role: Role, metrics: ControlMetrics) -> Self {
        Self {
            listen: None,
            announce: Vec::new(),
            bootnodes: Vec::new(),
            network,
            role,
            operators: Vec::new(),
            serve_sync: true,
            peers_max: 64,
            peers_target: 16,
            metrics,
        }
    }
}

/// Largest announced block, in bytes: a header with one tip per lane and its certificate, for 100
/// operators with room to spare.
pub const BLOCK_BYTES_LIMIT: usize = 256 << 10;
/// Largest sync request, in bytes.
pub const SYNC_REQUEST_BYTES_LIMIT: usize = 64 << 10;
/// Largest sync reply, in bytes.
pub const SYNC_REPLY_BYTES_LIMIT: usize = 8 << 20;

/// Time for a request, dial included.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the node checks whether it has enough peers and fresh records.
pub(crate) const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);
/// Announced blocks under validation at once; further ones are ignored.
pub(crate) const VALIDATIONS_MAX: usize = 256;
/// Sync requests answered at once, all peers together, and of one peer.
pub(crate) const ANSWERS_MAX: usize = 16;
pub(crate) const ANSWERS_PER_PEER_MAX: usize = 4;
/// Own requests waiting for a reply.
pub(crate) const REQUESTS_MAX: usize = 256;
/// Commands of this node waiting for the swarm.
pub(crate) const COMMANDS_MAX: usize = 256;
/// Addresses kept of what one peer says about itself.
pub(crate) const ADDRESSES_PER_PEER_MAX: usize = 8;
