//! Settings and limits of the data plane.

use super::{class::Class, metrics::Metrics};
use squad_primitives::{IdentityKey, NetworkId, OperatorId, PublicKey};
use std::{net::SocketAddr, time::Duration};

/// Another committee member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its number.
    pub operator: OperatorId,
    /// Its identity; a connection that can't prove it is refused during the handshake.
    pub key: PublicKey,
    /// Where it listens, `host:port`. Resolved again at every dial.
    pub address: String,
}

/// Bounds of the frames that wait for one peer in one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimit {
    /// Most frames waiting.
    pub frames: usize,
    /// Most payload bytes waiting.
    pub bytes: usize,
}

/// Everything the data plane needs to start.
#[derive(Clone, Debug)]
pub struct DataPlaneConfig {
    /// UDP address to bind. Port 0 lets the system choose; see `DataPlane::local_addr`.
    pub listen: SocketAddr,
    /// Network that peers must name in their hello.
    pub network: NetworkId,
    /// Own identity; it signs the TLS handshake.
    pub identity: IdentityKey,
    /// Own number.
    pub me: OperatorId,
    /// The rest of the committee. An entry with the own number or key is ignored.
    pub peers: Vec<Peer>,
    /// Largest UDP payload to try, in bytes: 1,200 to 65,527. QUIC probes upwards from 1,200, so a
    /// ceiling above what the path carries costs a few lost probes, nothing else. Default 1,452.
    pub mtu_max: u16,
    /// Bytes that a peer may have on the way to us in one class: 64 KiB to 16 MiB. Bounds a lane to this
    /// much per round trip (2 MiB: 14 MB/s at 150 ms), and what can pile up in the kernel's buffer while
    /// this process waits for a processor. Default 2 MiB.
    pub stream_window_bytes: u32,
    /// Kernel buffer to ask for, each way, in bytes. The kernel may grant less
    /// (`net.core.rmem_max`); the difference is logged. Default 4 MiB.
    pub socket_buffer_bytes: usize,
    /// Consensus frames waiting per peer. Default 256 frames, 1 MiB.
    pub consensus_queue: QueueLimit,
    /// Acknowledgement frames waiting per peer. Default 256 frames, 512 KiB.
    pub acks_queue: QueueLimit,
    /// Batches waiting per peer. Default 64 frames, 8 MiB.
    pub batches_queue: QueueLimit,
    /// Connection attempts accepted from strangers.
    pub handshakes: HandshakeLimits,
    /// Where the figures go.
    pub metrics: Metrics,
}

/// Limits on what strangers can cost before they have proven who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeLimits {
    /// Handshakes under way at once; more are refused. Default 64.
    pub concurrent: usize,
    /// Above this many, an address must first prove that it receives (QUIC Retry). Default 32.
    pub retry_above: usize,
    /// Sustained attempts per second from one address (IPv6: one /64); four seconds' worth may come
    /// at once. Default 4.
    pub per_address: u32,
    /// The same for one /24 (IPv6: /48). Default 16.
    pub per_network: u32,
}

impl Default for HandshakeLimits {
    fn default() -> Self {
        Self {
            concurrent: 64,
            retry_above: 32,
            per_address: 4,
            per_network: 16,
        }
    }
}

impl DataPlaneConfig {
    /// A configuration with default limits.
    #[must_use]
    pub fn new(
        listen: SocketAddr,
        network: NetworkId,
        identity: IdentityKey,
        me: OperatorId,
        peers: Vec<Peer>,
        metrics: Metrics,
    ) -> Self {
        Self {
            listen,
            network,
            identity,
            me,
            peers,
            mtu_max: MTU_DEFAULT,
            stream_window_bytes: 2 << 20,
            socket_buffer_bytes: 4 << 20,
            consensus_queue: QueueLimit {
                frames: 256,
                bytes: 1 << 20,
            },
            acks_queue: QueueLimit {
                frames: 256,
                bytes: 512 << 10,
            },
            batches_queue: QueueLimit {
                frames: 64,
                bytes: 8 << 20,
            },
            handshakes: HandshakeLimits::default(),
            metrics,
        }
    }

    pub(crate) fn queue_limit(&self, class: Class) -> QueueLimit {
        match class {
            Class::Consensus => self.consensus_queue,
            Class::Acks => self.acks_queue,
            Class::Batches => self.batches_queue,
        }
    }
}

/// What every path on the public internet carries.
pub const MTU_DEFAULT: u16 = 1_452;
/// Smallest datagram QUIC works with (RFC 9000, section 14).
pub const MTU_MIN: u16 = 1_200;
/// Largest payload of a UDP datagram that QUIC may announce (RFC 9000, section 18.2).
pub const MTU_MAX: u16 = 65_527;

/// Smallest and largest `stream_window_bytes`.
pub(crate) const WINDOW_MIN: u32 = 64 << 10;
pub(crate) const WINDOW_MAX: u32 = 16 << 20;
/// Time for TLS and the hello together.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Silence after which a ping is sent.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// Silence after which a peer counts as gone: four lost pings.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(5);
/// First and longest wait between two dials of one peer.
pub(crate) const BACKOFF_MIN: Duration = Duration::from_millis(50);
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(2);
