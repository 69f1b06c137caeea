//! The UDP socket and the QUIC parameters.
//!
//! Each value has its reason beside it; the measurements are in `docs/adr/0004-quinn-and-libp2p.md`.

use super::{
    config::{DataPlaneConfig, IDLE_TIMEOUT, KEEP_ALIVE, MTU_MAX, MTU_MIN, WINDOW_MAX, WINDOW_MIN},
    socket::BurstLimit,
    tls::{self, Admission},
};
use crate::domain;
use quinn::{
    Endpoint, EndpointConfig, MtuDiscoveryConfig, Runtime, ServerConfig, TokioRuntime,
    TransportConfig, VarInt,
    congestion::CubicConfig,
    crypto::{CryptoError, HmacKey, rustls::QuicServerConfig},
};
use quinn_proto::HashedConnectionIdGenerator;
use socket2::{Domain, Protocol, Socket, Type};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use zeroize::Zeroizing;

/// Streams a peer may open: one per class.
const UNI_STREAMS: u32 = 3;
/// Bidirectional streams: 32 fetches, and the hello.
const BIDI_STREAMS: u32 = 33;
/// Bytes a peer may send on a connection ahead of our reading: more than on any one stream
/// ([`WINDOW_MAX`]), so that unread batches can't shut out votes.
const CONNECTION_WINDOW: u32 = 32 << 20;
/// Bytes we keep for one connection until the peer has them. Above a stream's window, for the same
/// reason.
pub(crate) const SEND_WINDOW: u64 = 32 << 20;
/// Start of congestion control. Committee links carry half-megabyte batches from the first moment;
/// slow start from the usual ten packets would cost each of them several round trips.
const INITIAL_WINDOW: u64 = 256 << 10;

/// Why a data plane could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting is out of range.
    #[error("mtu_max: {value} is not within {MTU_MIN} to {MTU_MAX}")]
    Mtu {
        /// The value given.
        value: u16,
    },
    /// A setting is out of range.
    #[error("stream_window_bytes: {value} is not within {WINDOW_MIN} to {WINDOW_MAX}")]
    Window {
        /// The value given.
        value: u32,
    },
    /// The address could not be bound.
    #[error("listen: cannot bind {address}")]
    Bind {
        /// The address given.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The identity key could not be used for TLS.
    #[error("identity: TLS refuses the key")]
    Tls(#[from] rustls::Error),
}

/// Binds the socket and starts QUIC on it.
pub(crate) fn bind(
    config: &DataPlaneConfig,
    admission: Arc<dyn Admission>,
) -> Result<Endpoint, StartError> {
    if !(WINDOW_MIN..=WINDOW_MAX).contains(&config.stream_window_bytes) {
        return Err(StartError::Window {
            value: config.stream_window_bytes,
        });
    }
    if !(MTU_MIN..=MTU_MAX).contains(&config.mtu_max) {
        return Err(StartError::Mtu {
            value: config.mtu_max,
        });
    }
    let tls = tls::server(&config.identity, admission)?;
    let crypto = QuicServerConfig::try_from(tls)
        .map_err(|_| rustls::Error::General("no cipher suite for QUIC".into()))?;
    let mut server = ServerConfig::with_crypto(Arc::new(crypto));
    server
        .transport_config(transport(config))
        // Operators have fixed addresses; a packet from elsewhere is not theirs.
        .migration(false)
        .max_incoming(config.handshakes.concurrent);
    socket(config)
        .and_then(|socket| {
            let socket = BurstLimit::new(TokioRuntime.wrap_udp_socket(socket)?, config.mtu_max);
            Endpoint::new_with_abstract_socket(
                endpoint_config(config)?,
                Some(server),
                Arc::new(socket),
                Arc::new(TokioRuntime),
            )
        })
        .map_err(|source| StartError::Bind {
            address: config.listen,
            source,
        })
}

fn socket(config: &DataPlaneConfig) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(config.listen),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.bind(&config.listen.into())?;
    let asked = config.socket_buffer_bytes;
    // Bursts of several batches arrive faster than a busy process reads them; what doesn't fit in the
    // kernel's buffer is lost and sent again.
    socket.set_recv_buffer_size(asked)?;
    socket.set_send_buffer_size(asked)?;
    let granted = socket.recv_buffer_size()?;
    if granted < asked {
        tracing::warn!(
            asked,
            granted,
            "the kernel grants a smaller socket buffer; raise net.core.rmem_max and wmem_max"
        );
    }
    Ok(socket.into())
}

fn endpoint_config(config: &DataPlaneConfig) -> io::Result<EndpointConfig> {
    let secret = domain::derive(domain::RESET_KEY, &config.network, &config.identity);
    let cid_key = u64::from_le_bytes(*secret.first_chunk().unwrap_or(&[0; 8]));
    let mut endpoint = EndpointConfig::new(Arc::new(ResetKey(secret)));
    endpoint
        .cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(cid_key)))
        .max_udp_payload_size(config.mtu_max)
        .map_err(io::Error::other)?;
    Ok(endpoint)
}

/// QUIC parameters of both directions.
pub(crate) fn transport(config: &DataPlaneConfig) -> Arc<TransportConfig> {
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(config.mtu_max);
    let mut congestion = CubicConfig::default();
    congestion.initial_window(INITIAL_WINDOW);
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_uni_streams(VarInt::from_u32(UNI_STREAMS))
        .max_concurrent_bidi_streams(VarInt::from_u32(BIDI_STREAMS))
        .stream_receive_window(VarInt::from_u32(config.stream_window_bytes))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(SEND_WINDOW)
        .max_idle_timeout(Some(
            VarInt::from_u32(IDLE_TIMEOUT.as_millis() as u32).into(),
        ))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .mtu_discovery_config(Some(discovery))
        .initial_rtt(Duration::from_millis(100))
        .congestion_controller_factory(Arc::new(congestion))
        .datagram_receive_buffer_size(None);
    Arc::new(transport)
}

/// Signs stateless resets with a key that outlives the process (see [`domain::RESET_KEY`]).
struct ResetKey(Zeroizing<[u8; 32]>);

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        let mac = blake3::keyed_hash(&self.0, data);
        for (to, from) in signature_out.iter_mut().zip(mac.as_bytes()) {
            *to = *from;
        }
    }

    fn signature_len(&self) -> usize {
        blake3::OUT_LEN
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        // `Hash` compares in constant time.
        match <[u8; 32]>::try_from(signature) {
            Ok(given) if blake3::keyed_hash(&self.0, data) == blake3::Hash::from(given) => Ok(()),
            _ => Err(CryptoError),
        }
    }
}
