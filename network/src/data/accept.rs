//! Taking connections, most of which may come from strangers.
//!
//! In order of cost, so that a flood is turned away by the cheapest step that can tell:
//!
//! 1. source limits (nothing is kept): an unproven source above its rate, or any while many handshakes
//!    are under way, must first prove with QUIC Retry that it receives at its address; a proven one
//!    above its rate is refused. Forged sources can't use up the share of the address they forge;
//! 2. at most 64 handshakes at once, 5 s each, TLS and hello together;
//! 3. the key must belong to the committee, looked up before its signature is checked;
//! 4. the hello must name this network; the peer must be one that dials us.

use super::{
    config::HANDSHAKE_TIMEOUT,
    fetch,
    hello::{self, CloseCode},
    limits::SourceLimiter,
    link::{self, LinkError},
    node::Node,
    peer::PeerState,
    tls,
};
use quinn::{Connection, Incoming};
use std::{sync::Arc, time::Instant};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// Why a connection was not taken.
#[derive(Debug, thiserror::Error)]
enum AcceptError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("refused: {}", .0.name())]
    Refused(CloseCode),
}

/// Accepts connections until the endpoint closes.
pub(crate) async fn run(node: Arc<Node>) {
    let limits = node.config.handshakes;
    let now = Instant::now();
    let mut unproven = SourceLimiter::new(limits.per_address, limits.per_network, now);
    let mut proven = SourceLimiter::new(limits.per_address, limits.per_network, now);
    let places = Arc::new(Semaphore::new(limits.concurrent));
    while let Some(incoming) = node.endpoint.accept().await {
        let source = incoming.remote_address().ip();
        let busy = limits.concurrent - places.available_permits();
        let refusal = if incoming.remote_address_validated() {
            (!proven.admit(source, Instant::now())).then_some("rate")
        } else if busy >= limits.retry_above || !unproven.admit(source, Instant::now()) {
            node.metrics.handshake_failures.count("retry");
            // Fails only for a source that is already proven.
            let _ = incoming.retry();
            continue;
        } else {
            None
        };
        let place = places.clone().try_acquire_owned();
        match (refusal, place) {
            (None, Ok(place)) => {
                node.tracker.spawn(handshake(node.clone(), incoming, place));
            }
            (refusal, _) => {
                node.metrics
                    .handshake_failures
                    .count(refusal.unwrap_or("busy"));
                incoming.refuse();
            }
        }
    }
}

async fn handshake(node: Arc<Node>, incoming: Incoming, place: OwnedSemaphorePermit) {
    let greeted = tokio::select! {
        greeted = timeout(HANDSHAKE_TIMEOUT, welcome(&node, incoming)) => greeted,
        () = node.stop.cancelled() => return,
    };
    drop(place);
    match greeted {
        Ok(Ok((connection, peer))) => link::run(&node, &peer, connection).await,
        Ok(Err(error)) => {
            node.metrics.handshake_failures.count(match &error {
                AcceptError::Link(error) => error.reason(),
                AcceptError::Refused(code) => code.name(),
            });
            tracing::debug!(%error, "connection refused");
        }
        Err(_elapsed) => node.metrics.handshake_failures.count("timeout"),
    }
}

async fn welcome(
    node: &Node,
    incoming: Incoming,
) -> Result<(Connection, Arc<PeerState>), AcceptError> {
    let connection = incoming.await.map_err(LinkError::from)?;
    let peer = greet(node, &connection).await.inspect_err(|error| {
        if let AcceptError::Refused(code) = error {
            link::close(&connection, *code);
        }
    })?;
    Ok((connection, peer))
}

async fn greet(node: &Node, connection: &Connection) -> Result<Arc<PeerState>, AcceptError> {
    let peer = identify(node, connection).ok_or(AcceptError::Refused(CloseCode::NotMember))?;
    if node.config.me < peer.operator {
        // We dial this one; see `dial`.
        return Err(AcceptError::Refused(CloseCode::Violation));
    }
    let (mut send, mut recv) = connection.accept_bi().await.map_err(LinkError::from)?;
    let hello = fetch::read_frame(&mut recv, hello::HELLO_BYTES_LIMIT).await?;
    let hello = hello.ok_or(AcceptError::Refused(CloseCode::Violation))?;
    hello::check(&hello, &node.config.network).map_err(AcceptError::Refused)?;
    let reply = hello::encode(&node.config.network).into();
    fetch::write_frame(&mut send, reply).await?;
    Ok(peer)
}

/// The committee member whose key TLS has proven.
fn identify(node: &Node, connection: &Connection) -> Option<Arc<PeerState>> {
    let identity = connection.peer_identity()?;
    let keys = identity
        .downcast::<Vec<rustls::pki_types::CertificateDer<'static>>>()
        .ok()?;
    node.directory.by_key(&tls::public_key(keys.first()?)?)
}
