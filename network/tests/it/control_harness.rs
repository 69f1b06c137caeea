//! Control-plane nodes that write down what reaches them.

use crate::harness::{NETWORK, PATIENCE, identity, operator};
use bytes::Bytes;
use futures::future::BoxFuture;
use prometheus_client::registry::Registry;
use squad_network::control::{
    ControlInbound, ControlMetrics, ControlPlane, ControlPlaneConfig, ControlStartError, Multiaddr,
    PeerId, PeerInfo, Role, Verdict,
};
use squad_primitives::Signer;
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use zeroize::Zeroizing;

/// Blocks that begin with this byte are invalid, with the next one useless.
pub(crate) const INVALID: u8 = 0xff;
pub(crate) const USELESS: u8 = 0xfe;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Judged(Bytes),
    Block(Bytes),
}

struct Recorder(UnboundedSender<Seen>);

impl ControlInbound for Recorder {
    fn validate_block(&self, block: Bytes) -> BoxFuture<'static, Verdict> {
        // The receiver is gone only while a test ends.
        let _ = self.0.send(Seen::Judged(block.clone()));
        Box::pin(async move {
            match block.first() {
                Some(&INVALID) => Verdict::Reject,
                Some(&USELESS) => Verdict::Ignore,
                _ => Verdict::Accept,
            }
        })
    }

    fn block(&self, _from: PeerId, block: Bytes) {
        let _ = self.0.send(Seen::Block(block));
    }

    /// Answers a decimal number with that many bytes, anything else with nothing.
    fn serve(&self, _from: PeerId, request: Bytes) -> BoxFuture<'static, Option<Bytes>> {
        Box::pin(async move {
            let size = std::str::from_utf8(&request).ok()?.parse().ok()?;
            Some(vec![7; size].into())
        })
    }
}

#[derive(Debug)]
pub(crate) struct ControlNode {
    pub(crate) plane: ControlPlane,
    pub(crate) seen: UnboundedReceiver<Seen>,
}

/// An operator of the committee 0, 1, 2.
pub(crate) fn operator_role(number: u8) -> Role {
    Role::Operator {
        me: operator(number),
        identity: identity(number),
    }
}

pub(crate) fn observer_role(number: u8) -> Role {
    Role::Observer {
        seed: Zeroizing::new([100 + number; 32]),
    }
}

pub(crate) fn config(role: Role, bootnodes: Vec<Multiaddr>) -> ControlPlaneConfig {
    let metrics = ControlMetrics::register(&mut Registry::default());
    ControlPlaneConfig {
        listen: Some("/ip4/127.0.0.1/tcp/0".parse().unwrap()),
        bootnodes,
        operators: (0..3)
            .map(|number| (operator(number), identity(number).public_key()))
            .collect(),
        ..ControlPlaneConfig::new(NETWORK, role, metrics)
    }
}

impl ControlNode {
    pub(crate) async fn start(config: ControlPlaneConfig) -> Self {
        Self::try_start(config).await.expect("starts")
    }

    pub(crate) async fn try_start(config: ControlPlaneConfig) -> Result<Self, ControlStartError> {
        let (sender, seen) = unbounded_channel();
        let plane = ControlPlane::start(config, Arc::new(Recorder(sender))).await?;
        Ok(Self { plane, seen })
    }

    pub(crate) fn address(&self) -> Multiaddr {
        self.plane.local_addr().unwrap()
    }

    /// Waits until the list of peers satisfies `condition`.
    pub(crate) async fn wait_for(
        &self,
        mut condition: impl FnMut(&[PeerInfo]) -> bool,
    ) -> Arc<[PeerInfo]> {
        let mut peers = self.plane.watch_peers();
        let reached = peers.wait_for(|peers| condition(peers));
        let reached = tokio::time::timeout(PATIENCE, reached).await;
        match reached {
            Ok(peers) => peers.expect("node is alive").clone(),
            Err(_elapsed) => panic!("still {:#?}", self.plane.peers()),
        }
    }

    /// Waits until `other` is connected and follows blocks.
    pub(crate) async fn follows(&self, other: &Self) {
        let peer = other.plane.local_peer();
        self.wait_for(|peers| peers.iter().any(|p| p.peer == peer && p.follows_blocks))
            .await;
    }

    pub(crate) async fn next(&mut self) -> Seen {
        tokio::time::timeout(PATIENCE, self.seen.recv())
            .await
            .expect("in time")
            .expect("node is alive")
    }
}
