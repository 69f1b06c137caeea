//! The data plane: opaque frames between committee members over QUIC.
//!
//! Rules:
//!
//! - **Who.** TLS 1.3 both ways; a peer is its Ed25519 key, and only keys of the committee get past the
//!   handshake ([`Peer`]). Then both sides name their network in a hello.
//! - **One connection per pair.** The operator with the smaller number dials, and dials again with
//!   jittered backoff (50 ms to 2 s). A peer that is silent for 5 s counts as gone; one that restarts
//!   says so at once with a stateless reset.
//! - **Urgency.** Each [`Class`] has its own stream, priority, queue and size limit. Consensus goes
//!   first, however many batches wait.
//! - **Bounds.** Queues towards a peer are bounded and say what they drop (see [`DataPlane::send`]);
//!   frames are capped before anything is allocated; what a peer has in our hands is bounded by
//!   [`Credit`]s, after which QUIC's flow control makes it wait.
//! - **Nothing here blocks the sender.** `send` and `broadcast` queue or refuse.
//!
//! ```text
//!   send / broadcast ──▶ queues per peer ──▶ link ═══ QUIC ═══ link ──▶ Inbound
//!                            dial (smaller number) ──▶ hello ◀── accept (limits)
//! ```

mod accept;
mod class;
mod config;
mod dial;
mod endpoint;
mod fetch;
mod frame;
#[cfg(test)]
mod fuzz_tests;
mod hello;
#[cfg(test)]
mod hostile_tests;
mod inbound;
mod limits;
mod link;
mod metrics;
mod node;
mod peer;
mod penalty;
mod queue;
mod socket;
mod tls;

pub use class::Class;
pub use config::{
    DataPlaneConfig, HandshakeLimits, MTU_DEFAULT, MTU_MAX, MTU_MIN, Peer, QueueLimit,
};
pub use endpoint::StartError;
pub use fetch::{FetchError, REPLY_BYTES_LIMIT, REQUEST_BYTES_LIMIT};
pub use frame::FrameTooLarge;
pub use hello::CloseCode;
pub use inbound::{Credit, Inbound};
pub use metrics::Metrics;
pub use penalty::Offence;

use bytes::Bytes;
use node::Node;
use peer::{Directory, PeerState};
use queue::Refusal;
use squad_primitives::{OperatorId, Signer};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Longest wait for peers to hear that we stop.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a frame was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The operator is not in the committee.
    #[error("peer: not a committee member")]
    UnknownPeer,
    /// No connection to the peer; what matters is sent again once it is there.
    #[error("peer: not connected")]
    NotConnected,
    /// The class never drops, and its queue is full: send again later.
    #[error("queue: full")]
    QueueFull,
    /// The frame is larger than its class allows.
    #[error(transparent)]
    TooLarge(#[from] FrameTooLarge),
}

/// State of one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Which one.
    pub operator: OperatorId,
    /// Address in use while connected.
    pub connected: Option<SocketAddr>,
    /// Round trip time while connected.
    pub rtt: Option<Duration>,
    /// Datagrams sent on the connection in use.
    pub datagrams_sent: u64,
    /// Those of them that got lost, here or on the way.
    pub datagrams_lost: u64,
    /// Frames waiting, all classes.
    pub queued: usize,
    /// Remaining time of a ban.
    pub banned: Option<Duration>,
}

/// A running data plane. Clones share it. It runs until [`DataPlane::shutdown`].
#[derive(Clone, Debug)]
pub struct DataPlane {
    node: Arc<Node>,
}

impl DataPlane {
    /// Binds the socket and starts dialling. Must be called inside a tokio runtime.
    pub fn start(config: DataPlaneConfig, inbound: Arc<dyn Inbound>) -> Result<Self, StartError> {
        let directory = Arc::new(Directory::new(&config, config.identity.public_key()));
        let endpoint = endpoint::bind(&config, Arc::new(Arc::downgrade(&directory)))?;
        let local = endpoint.local_addr().map_err(|source| StartError::Bind {
            address: config.listen,
            source,
        })?;
        let peers = config.peers.clone();
        let plane = Self {
            node: Arc::new(Node {
                metrics: config.metrics.clone(),
                config,
                inbound,
                directory,
                endpoint,
                local,
                tracker: TaskTracker::new(),
                stop: CancellationToken::new(),
            }),
        };
        plane.node.tracker.spawn(accept::run(plane.node.clone()));
        plane.set_peers(peers);
        Ok(plane)
    }

    /// Address the socket is bound to.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.node.local
    }

    /// Queues a frame for one peer. Never blocks. When the queue of the class is full, consensus and
    /// acks drop their oldest frame (newer ones supersede it), batches refuse the new one with
    /// [`SendError::QueueFull`] (the lane sends it again).
    pub fn send(&self, to: OperatorId, class: Class, frame: Bytes) -> Result<(), SendError> {
        check(class, &frame)?;
        let peer = self.node.directory.get(to).ok_or(SendError::UnknownPeer)?;
        push(&peer, class, frame)
    }

    /// Queues a frame for every peer, as [`DataPlane::send`] does; the bytes are shared, not copied.
    /// Returns how many took it.
    pub fn broadcast(&self, class: Class, frame: Bytes) -> Result<usize, SendError> {
        check(class, &frame)?;
        let mut taken = 0;
        self.node.directory.for_each(|peer| {
            taken += usize::from(push(peer, class, frame.clone()).is_ok());
        });
        Ok(taken)
    }

    /// Asks `to` and waits for the reply, at most `deadline`. Up to 32 requests per peer are open at
    /// once, further ones wait for a place. Dropping the future gives up.
    pub async fn fetch(
        &self,
        to: OperatorId,
        request: Bytes,
        deadline: Duration,
    ) -> Result<Bytes, FetchError> {
        let peer = self.node.directory.get(to).ok_or(FetchError::UnknownPeer)?;
        let reply = fetch::ask(&peer, request, deadline).await;
        let outcome = reply.as_ref().map_or_else(FetchError::reason, |_| "ok");
        self.node.metrics.fetches.count(outcome);
        reply
    }

    /// All peers, by number.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerStatus> {
        let mut all = Vec::new();
        self.node.directory.for_each(|peer| {
            let connection = peer.connection();
            let path = connection
                .as_ref()
                .map(|connection| connection.stats().path);
            all.push(PeerStatus {
                operator: peer.operator,
                connected: connection.as_ref().map(quinn::Connection::remote_address),
                rtt: path.map(|path| path.rtt),
                datagrams_sent: path.map_or(0, |path| path.sent_packets),
                datagrams_lost: path.map_or(0, |path| path.lost_packets),
                queued: peer.queued(),
                banned: peer.ban_left(Instant::now()),
            });
        });
        all
    }

    /// Replaces the committee. Connections to operators that stay under the same key live on; a new
    /// address counts from the next dial. Connections to others are closed.
    pub fn set_peers(&self, peers: Vec<Peer>) {
        for peer in self.node.directory.replace(peers, &self.node.config) {
            if dial::is_dialler(&self.node, &peer) {
                self.node
                    .tracker
                    .spawn(dial::keep_connected(self.node.clone(), peer));
            }
        }
    }

    /// Notes misbehaviour. The third offence within ten minutes closes the link for ten minutes.
    pub fn penalize(&self, peer: OperatorId, offence: Offence) {
        self.node.metrics.offences.count(offence.name());
        let Some(peer) = self.node.directory.get(peer) else {
            return;
        };
        if peer.note_offence(Instant::now()) {
            tracing::warn!(peer = %peer.operator, offence = offence.name(), "peer banned");
            peer.end_link(CloseCode::Banned);
        }
    }

    /// Tells peers goodbye and ends all tasks. Frames that still wait are dropped.
    pub async fn shutdown(&self) {
        let node = &self.node;
        node.endpoint.close(
            CloseCode::Shutdown.code(),
            CloseCode::Shutdown.name().as_bytes(),
        );
        node.stop.cancel();
        node.tracker.close();
        node.tracker.wait().await;
        // A peer that doesn't answer will notice by its own timeout.
        let _ = tokio::time::timeout(GOODBYE_TIMEOUT, node.endpoint.wait_idle()).await;
    }
}

fn check(class: Class, frame: &Bytes) -> Result<(), FrameTooLarge> {
    let limit = class.frame_bytes_limit();
    if frame.len() > limit {
        return Err(FrameTooLarge {
            claimed: frame.len(),
            limit,
        });
    }
    Ok(())
}

fn push(peer: &PeerState, class: Class, frame: Bytes) -> Result<(), SendError> {
    peer.push(class, frame).map_err(|refusal| match refusal {
        Refusal::Closed => SendError::NotConnected,
        Refusal::Full => SendError::QueueFull,
    })
}
