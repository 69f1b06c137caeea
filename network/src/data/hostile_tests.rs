//! Peers that break the protocol by hand. These tests sit inside the crate because they need half a
//! peer: a proven key with whatever hello and streams the test wants.

use super::{
    Class, CloseCode, Credit, DataPlane, DataPlaneConfig, Inbound, Metrics, Peer,
    REPLY_BYTES_LIMIT, REQUEST_BYTES_LIMIT,
    endpoint::{SEND_WINDOW, transport},
    fetch, hello,
    peer::SERVED_MAX,
    tls,
};
use bytes::Bytes;
use futures::future::BoxFuture;
use prometheus_client::{encoding::text, registry::Registry};
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, crypto::rustls::QuicClientConfig,
};
use squad_primitives::{Digest, IdentityKey, NetworkId, OperatorId, Signer};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::timeout;

const NETWORK: NetworkId = Digest([1; 32]);
/// Longest wait for anything; nothing is waited for in full.
const PATIENCE: Duration = Duration::from_secs(30);

struct Nothing;

impl Inbound for Nothing {
    fn frame(&self, _: OperatorId, _: Class, _: Bytes, _: Credit) {}
    fn fetch(&self, _: OperatorId, _: Bytes) -> BoxFuture<'static, Option<Bytes>> {
        Box::pin(async { None })
    }
    fn connected(&self, _: OperatorId) {}
    fn disconnected(&self, _: OperatorId) {}
}

/// Answers every request with the largest reply, and counts those that are still held.
#[derive(Clone, Default)]
struct Generous {
    held: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

struct Reply(Vec<u8>, Arc<AtomicUsize>);

impl AsRef<[u8]> for Reply {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Inbound for Generous {
    fn frame(&self, _: OperatorId, _: Class, _: Bytes, _: Credit) {}
    fn fetch(&self, _: OperatorId, _: Bytes) -> BoxFuture<'static, Option<Bytes>> {
        let held = self.held.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(held, Ordering::SeqCst);
        let reply = Reply(vec![7; REPLY_BYTES_LIMIT], self.held.clone());
        Box::pin(async move { Some(Bytes::from_owner(reply)) })
    }
    fn connected(&self, _: OperatorId) {}
    fn disconnected(&self, _: OperatorId) {}
}

struct Victim {
    plane: DataPlane,
    registry: Registry,
}

fn identity(number: u8) -> IdentityKey {
    IdentityKey::from_seed([number; 32])
}

impl Victim {
    /// Operator 5 of a committee with operators 1 (which dials it) and 9 (which it dials).
    fn start() -> Self {
        Self::with(Arc::new(Nothing))
    }

    fn with(inbound: Arc<dyn Inbound>) -> Self {
        let mut registry = Registry::default();
        let peer = |number: u8| Peer {
            operator: OperatorId(number.into()),
            key: identity(number).public_key(),
            address: "127.0.0.1:1".into(),
        };
        let config = DataPlaneConfig::new(
            "127.0.0.1:0".parse().unwrap(),
            NETWORK,
            identity(5),
            OperatorId(5),
            vec![peer(1), peer(9)],
            Metrics::register(&mut registry),
        );
        let plane = DataPlane::start(config, inbound).unwrap();
        Self { plane, registry }
    }

    /// Connects with the key of `number`, expecting the key of operator 5; no hello yet.
    async fn connect(&self, number: u8) -> Result<(Endpoint, Connection), ConnectionError> {
        let mut endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let tls = tls::client(&identity(number), identity(5).public_key()).unwrap();
        let crypto = QuicClientConfig::try_from(tls).unwrap();
        let mut config = ClientConfig::new(Arc::new(crypto));
        config.transport_config(transport(&self.plane.node.config));
        endpoint.set_default_client_config(config);
        let connecting = endpoint.connect(self.plane.local_addr(), tls::SERVER_NAME);
        let connection = connecting.unwrap().await?;
        Ok((endpoint, connection))
    }

    /// Connects as operator 1 and completes the hello.
    async fn join(&self) -> (Endpoint, Connection) {
        let (endpoint, connection) = self.connect(1).await.unwrap();
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        let hello = hello::encode(&NETWORK).into();
        fetch::write_frame(&mut send, hello).await.unwrap();
        let reply = fetch::read_frame(&mut recv, hello::HELLO_BYTES_LIMIT).await;
        assert_eq!(
            hello::check(&reply.unwrap().unwrap(), &NETWORK),
            Ok(()),
            "the victim greets back"
        );
        (endpoint, connection)
    }

    fn metric(&self, name: &str) -> u64 {
        let mut out = String::new();
        text::encode(&mut out, &self.registry).unwrap();
        out.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
            .map_or(0, |value| value.parse().unwrap())
    }

    fn failures(&self, reason: &str) -> u64 {
        self.metric(&format!(
            r#"squad_network_handshake_failures_total{{reason="{reason}"}}"#
        ))
    }
}

async fn closed_with(connection: &Connection) -> Option<CloseCode> {
    let error = timeout(PATIENCE, connection.closed()).await;
    match error.expect("closes in time") {
        ConnectionError::ApplicationClosed(close) => CloseCode::from_code(close.error_code),
        other => panic!("closed by {other}"),
    }
}

/// TLS 1.3 lets the client finish first, so a refusal may arrive just after the connection stands.
async fn refused(connected: Result<(Endpoint, Connection), ConnectionError>) -> bool {
    let error = match connected {
        Err(error) => error,
        Ok((_endpoint, connection)) => timeout(PATIENCE, connection.closed()).await.unwrap(),
    };
    matches!(error, ConnectionError::ConnectionClosed(_))
}

#[tokio::test]
async fn an_unknown_key_does_not_get_past_tls() {
    let victim = Victim::start();
    assert!(refused(victim.connect(2).await).await);
    assert_eq!(victim.failures("unknown_key"), 1);
    victim.plane.shutdown().await;
}

#[tokio::test]
async fn a_copy_of_the_own_key_is_refused_and_counted_apart() {
    let victim = Victim::start();
    assert!(refused(victim.connect(5).await).await);
    assert_eq!(victim.failures("own_key"), 1);
    victim.plane.shutdown().await;
}

#[tokio::test]
async fn a_server_with_another_key_is_refused_by_who_dials() {
    let victim = Victim::start();
    let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let tls = tls::client(&identity(1), identity(9).public_key()).unwrap();
    let crypto = QuicClientConfig::try_from(tls).unwrap();
    let config = ClientConfig::new(Arc::new(crypto));
    let connecting = endpoint
        .connect_with(config, victim.plane.local_addr(), tls::SERVER_NAME)
        .unwrap();
    assert!(matches!(
        connecting.await,
        Err(ConnectionError::TransportError(_))
    ));
    victim.plane.shutdown().await;
}

#[tokio::test]
async fn a_hello_of_another_network_is_answered_with_that_reason() {
    let victim = Victim::start();
    let (_endpoint, connection) = victim.connect(1).await.unwrap();
    let (mut send, _recv) = connection.open_bi().await.unwrap();
    let hello = hello::encode(&Digest([2; 32])).into();
    fetch::write_frame(&mut send, hello).await.unwrap();
    assert_eq!(
        closed_with(&connection).await,
        Some(CloseCode::WrongNetwork)
    );
    victim.plane.shutdown().await;
    assert_eq!(victim.failures("wrong_network"), 1);
}

#[tokio::test]
async fn who_should_be_dialled_may_not_dial() {
    let victim = Victim::start();
    let (_endpoint, connection) = victim.connect(9).await.unwrap();
    assert_eq!(closed_with(&connection).await, Some(CloseCode::Violation));
    victim.plane.shutdown().await;
}

#[tokio::test]
async fn bytes_that_break_the_protocol_close_the_connection() {
    let victim = Victim::start();
    let four_gigabytes = u32::MAX.to_le_bytes();
    let above = |class: Class| {
        let length = class.frame_bytes_limit() as u32 + 1;
        [&[class.tag()], length.to_le_bytes().as_slice()].concat()
    };
    let cases = [
        [&[Class::Batches.tag()], four_gigabytes.as_slice()].concat(),
        above(Class::Consensus),
        above(Class::Acks),
        above(Class::Batches),
        vec![0],
        vec![77, 0, 0],
    ];
    for bytes in cases {
        let (_endpoint, connection) = victim.join().await;
        let mut stream = connection.open_uni().await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        assert_eq!(
            closed_with(&connection).await,
            Some(CloseCode::Violation),
            "{bytes:?}"
        );
    }
    victim.plane.shutdown().await;
    let closed = |reason| {
        victim.metric(&format!(
            r#"squad_network_closed_total{{reason="{reason}"}}"#
        ))
    };
    assert_eq!(closed("frame_too_large"), 4);
    assert_eq!(closed("violation"), 2);
}

#[tokio::test]
async fn a_second_stream_of_a_class_closes_the_connection() {
    let victim = Victim::start();
    let (_endpoint, connection) = victim.join().await;
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = connection.open_uni().await.unwrap();
        stream.write_all(&[Class::Acks.tag()]).await.unwrap();
        streams.push(stream);
    }
    assert_eq!(closed_with(&connection).await, Some(CloseCode::Violation));
    victim.plane.shutdown().await;
}

#[tokio::test]
async fn an_oversized_request_is_stopped_and_the_link_lives_on() {
    let victim = Victim::start();
    let (_endpoint, connection) = victim.join().await;
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    let length = REQUEST_BYTES_LIMIT as u32 + 1;
    send.write_all(&length.to_le_bytes()).await.unwrap();
    let stopped = timeout(PATIENCE, send.stopped()).await.unwrap();
    assert!(stopped.unwrap().is_some());
    assert!(recv.read_to_end(100).await.is_err());

    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    let request = Bytes::from_static(b"small");
    fetch::write_frame(&mut send, request).await.unwrap();
    assert_eq!(recv.read_to_end(100).await, Ok(Vec::new()), "not found");
    victim.plane.shutdown().await;
}

/// A peer asks as often as it may and does not read: few answers are held for it. When it reads, late,
/// it gets them all.
#[tokio::test]
async fn who_asks_without_reading_is_held_few_answers() {
    let generous = Generous::default();
    let victim = Victim::with(Arc::new(generous.clone()));
    let (_endpoint, connection) = victim.join().await;
    let mut unread = Vec::new();
    for _ in 0..32 {
        let (mut send, recv) = connection.open_bi().await.unwrap();
        let request = Bytes::from_static(b"anything");
        fetch::write_frame(&mut send, request).await.unwrap();
        unread.push(recv);
    }
    let served = async {
        while generous.most.load(Ordering::SeqCst) < SERVED_MAX {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, served).await.unwrap();
    for mut recv in unread {
        let answer = fetch::read_frame(&mut recv, REPLY_BYTES_LIMIT).await;
        assert_eq!(answer.unwrap().unwrap().len(), REPLY_BYTES_LIMIT);
    }
    let most = generous.most.load(Ordering::SeqCst);
    // Those being served, and what the connection's send buffer takes.
    let buffered = SEND_WINDOW as usize / REPLY_BYTES_LIMIT;
    assert!(most <= SERVED_MAX + buffered, "{most} answers held");
    victim.plane.shutdown().await;
}
