//! Making connections. Of two operators, the one with the smaller number dials: one connection per
//! pair, without the races of two that meet halfway. It carries both directions, so acknowledgements
//! of QUIC ride on data, and each pair costs one keep-alive.

use super::{
    config::{BACKOFF_MAX, BACKOFF_MIN, HANDSHAKE_TIMEOUT},
    endpoint, fetch,
    hello::{self, CloseCode},
    link::{self, LinkError},
    node::Node,
    peer::PeerState,
    tls,
};
use quinn::{ClientConfig, Connection, crypto::rustls::QuicClientConfig};
use std::{
    hash::{BuildHasher, RandomState},
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};

/// Why a dial failed.
#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error("address does not resolve")]
    Resolve(#[source] io::Error),
    #[error("address has no entry of the socket's family")]
    NoAddress,
    #[error("key cannot be used")]
    Tls(#[from] rustls::Error),
    #[error(transparent)]
    Connect(#[from] quinn::ConnectError),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("hello refused: {}", .0.name())]
    Hello(CloseCode),
    #[error("timed out")]
    Timeout,
}

impl DialError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Resolve(_) | Self::NoAddress => "resolve",
            Self::Tls(_) | Self::Connect(_) => "local",
            Self::Link(error) => error.reason(),
            Self::Hello(code) => code.name(),
            Self::Timeout => "timeout",
        }
    }
}

/// Keeps one peer connected until it leaves the committee or the node stops.
pub(crate) async fn keep_connected(node: Arc<Node>, peer: Arc<PeerState>) {
    let mut backoff = BACKOFF_MIN;
    loop {
        let attempt = tokio::select! {
            attempt = attempt(&node, &peer) => attempt,
            () = peer.gone.cancelled() => return,
            () = node.stop.cancelled() => return,
        };
        let began = Instant::now();
        match attempt {
            // Ends by itself in the cases above, and then cleans up.
            Ok(connection) => link::run(&node, &peer, connection).await,
            Err(error) => {
                node.metrics.handshake_failures.count(error.reason());
                tracing::debug!(peer = %peer.operator, %error, "dial failed");
            }
        }
        // A peer that accepts and hangs up at once is not dialled faster than one that refuses.
        if began.elapsed() >= BACKOFF_MAX {
            backoff = BACKOFF_MIN;
        }
        tokio::select! {
            () = sleep(jittered(backoff)) => {}
            () = peer.gone.cancelled() => return,
            () = node.stop.cancelled() => return,
        }
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

/// One dial, after the peer's ban has passed.
async fn attempt(node: &Node, peer: &PeerState) -> Result<Connection, DialError> {
    if let Some(left) = peer.ban_left(Instant::now()) {
        sleep(left).await;
    }
    timeout(HANDSHAKE_TIMEOUT, dial(node, peer))
        .await
        .unwrap_or(Err(DialError::Timeout))
}

async fn dial(node: &Node, peer: &PeerState) -> Result<Connection, DialError> {
    let address = resolve(&peer.address(), node.local).await?;
    let tls = tls::client(&node.config.identity, peer.key)?;
    let crypto = QuicClientConfig::try_from(tls)
        .map_err(|_| rustls::Error::General("no cipher suite for QUIC".into()))?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(endpoint::transport(&node.config));
    let connection = node
        .endpoint
        .connect_with(config, address, tls::SERVER_NAME)?
        .await
        .map_err(LinkError::from)?;
    greet(node, &connection).await.inspect_err(|error| {
        if let DialError::Hello(code) = error {
            link::close(&connection, *code);
        }
    })?;
    Ok(connection)
}

async fn greet(node: &Node, connection: &Connection) -> Result<(), DialError> {
    let (mut send, mut recv) = connection.open_bi().await.map_err(LinkError::from)?;
    let hello = hello::encode(&node.config.network).into();
    fetch::write_frame(&mut send, hello).await?;
    let reply = fetch::read_frame(&mut recv, hello::HELLO_BYTES_LIMIT).await?;
    let reply = reply.ok_or(DialError::Hello(CloseCode::Violation))?;
    hello::check(&reply, &node.config.network).map_err(DialError::Hello)
}

/// Looks the address up again each time: it may be a name whose answer changes.
async fn resolve(address: &str, local: SocketAddr) -> Result<SocketAddr, DialError> {
    tokio::net::lookup_host(address)
        .await
        .map_err(DialError::Resolve)?
        .find(|found| found.is_ipv4() == local.is_ipv4())
        .ok_or(DialError::NoAddress)
}

/// Between half of `backoff` and all of it, so that peers cut off together don't return together.
fn jittered(backoff: Duration) -> Duration {
    // A fresh hasher state is keyed by the system's randomness, which is all that jitter needs.
    let random = RandomState::new().hash_one(0_u8) as u32;
    backoff / 2 + backoff.mul_f64(f64::from(random) / f64::from(u32::MAX) / 2.0)
}

/// Whether the own side dials `peer`.
pub(crate) fn is_dialler(node: &Node, peer: &PeerState) -> bool {
    node.config.me < peer.operator
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_between_half_and_all() {
        for _ in 0..1_000 {
            let wait = jittered(BACKOFF_MAX);
            assert!(wait >= BACKOFF_MAX / 2 && wait <= BACKOFF_MAX);
        }
    }
}
