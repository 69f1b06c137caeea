//! Nodes that write down what reaches them.

use bytes::Bytes;
use futures::future::BoxFuture;
use prometheus_client::{encoding::text::encode, registry::Registry};
use squad_network::data::{Class, Credit, DataPlane, DataPlaneConfig, Inbound, Metrics, Peer};
use squad_primitives::{Digest, IdentityKey, NetworkId, OperatorId, Signer};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

pub(crate) const NETWORK: NetworkId = Digest([1; 32]);
/// A test that waits longer than this for something has failed. Nothing is ever waited for in full.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) enum Event {
    Connected(OperatorId),
    Disconnected(OperatorId),
    Frame(OperatorId, Class, Bytes, Credit),
}

/// How a node answers requests.
pub(crate) type Answer = fn(Bytes) -> BoxFuture<'static, Option<Bytes>>;

struct Recorder {
    events: UnboundedSender<Event>,
    answer: Answer,
}

impl Recorder {
    fn record(&self, event: Event) {
        // The receiver is gone only while a test ends.
        let _ = self.events.send(event);
    }
}

impl Inbound for Recorder {
    fn frame(&self, from: OperatorId, class: Class, frame: Bytes, credit: Credit) {
        self.record(Event::Frame(from, class, frame, credit));
    }

    fn fetch(&self, _from: OperatorId, request: Bytes) -> BoxFuture<'static, Option<Bytes>> {
        (self.answer)(request)
    }

    fn connected(&self, peer: OperatorId) {
        self.record(Event::Connected(peer));
    }

    fn disconnected(&self, peer: OperatorId) {
        self.record(Event::Disconnected(peer));
    }
}

pub(crate) struct TestNode {
    pub(crate) plane: DataPlane,
    pub(crate) events: UnboundedReceiver<Event>,
    registry: Registry,
    number: u8,
}

pub(crate) fn identity(number: u8) -> IdentityKey {
    IdentityKey::from_seed([number; 32])
}

pub(crate) fn operator(number: u8) -> OperatorId {
    OperatorId(number.into())
}

impl TestNode {
    pub(crate) fn start(number: u8, answer: Answer) -> Self {
        Self::start_at(number, answer, "127.0.0.1:0".parse().unwrap())
    }

    pub(crate) fn start_at(number: u8, answer: Answer, listen: SocketAddr) -> Self {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let mut config = DataPlaneConfig::new(
            listen,
            NETWORK,
            identity(number),
            operator(number),
            Vec::new(),
            metrics,
        );
        config.socket_buffer_bytes = 1 << 20;
        let (sender, events) = unbounded_channel();
        let recorder = Recorder {
            events: sender,
            answer,
        };
        Self {
            plane: DataPlane::start(config, Arc::new(recorder)).unwrap(),
            events,
            registry,
            number,
        }
    }

    pub(crate) fn peer(&self) -> Peer {
        Peer {
            operator: operator(self.number),
            key: identity(self.number).public_key(),
            address: self.plane.local_addr().to_string(),
        }
    }

    pub(crate) async fn event(&mut self) -> Event {
        tokio::time::timeout(PATIENCE, self.events.recv())
            .await
            .expect("event in time")
            .expect("node is alive")
    }

    pub(crate) async fn frame(&mut self) -> (OperatorId, Class, Bytes) {
        match self.event().await {
            Event::Frame(from, class, frame, _credit) => (from, class, frame),
            other => panic!("expected a frame, got {other:?}"),
        }
    }

    pub(crate) async fn connected(&mut self, peer: u8) {
        match self.event().await {
            Event::Connected(who) => assert_eq!(who, operator(peer)),
            other => panic!("expected a connection, got {other:?}"),
        }
    }

    pub(crate) async fn disconnected(&mut self, peer: u8) {
        match self.event().await {
            Event::Disconnected(who) => assert_eq!(who, operator(peer)),
            other => panic!("expected a disconnection, got {other:?}"),
        }
    }

    /// Value of a metric line such as `squad_network_peers`.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let mut text = String::new();
        encode(&mut text, &self.registry).unwrap();
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
            .map_or(0, |value| value.parse().unwrap())
    }
}

/// Never knows anything.
pub(crate) fn silent(_request: Bytes) -> BoxFuture<'static, Option<Bytes>> {
    Box::pin(async { None })
}

/// `count` nodes that all know each other, connected.
pub(crate) async fn committee(count: u8, answer: Answer) -> Vec<TestNode> {
    let mut nodes: Vec<_> = (0..count)
        .map(|number| TestNode::start(number, answer))
        .collect();
    let peers: Vec<_> = nodes.iter().map(TestNode::peer).collect();
    for node in &nodes {
        node.plane.set_peers(peers.clone());
    }
    for node in &mut nodes {
        for _ in 1..count {
            assert!(matches!(node.event().await, Event::Connected(_)));
        }
    }
    nodes
}

pub(crate) async fn stop(nodes: Vec<TestNode>) {
    for node in nodes {
        node.plane.shutdown().await;
    }
}
