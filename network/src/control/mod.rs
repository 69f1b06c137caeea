//! The control plane: anybody finds the network, follows its blocks, and asks for what it missed.
//!
//! Rules:
//!
//! - **Who.** Anybody with a libp2p key. Operators derive theirs from the identity and prove which
//!   operator they are by a signed record; see [`Role`]. Network ids are part of every protocol name.
//! - **Finding.** From a few bootnodes, through Kademlia routes and operator records.
//! - **Blocks.** Gossip on one topic. A block is forwarded only after the node has judged it
//!   ([`ControlInbound::validate_block`]); who sends invalid ones is soon ignored.
//! - **Sync.** Bytes for bytes, with limits on size, time and number ([`ControlPlane::request`]).
//! - **Bounds.** Connections, of which strangers can't take all; validations, answers, requests and
//!   commands under way; addresses per peer. Operators are let in above the connection limit.
//!
//! TCP, Noise and Yamux only: see `docs/adr/0004-quinn-and-libp2p.md` for why not QUIC here.

mod behaviour;
mod codec;
mod config;
mod discovery;
mod driver;
mod inbound;
mod metrics;
mod peers;
mod record;

pub use config::{
    BLOCK_BYTES_LIMIT, ControlPlaneConfig, Role, SYNC_REPLY_BYTES_LIMIT, SYNC_REQUEST_BYTES_LIMIT,
};
pub use inbound::{ControlInbound, Verdict};
pub use libp2p::{Multiaddr, PeerId};
pub use metrics::ControlMetrics;
pub use peers::{PeerInfo, RequestError};

use behaviour::{Behaviour, Names};
use bytes::Bytes;
use config::COMMANDS_MAX;
use driver::{Command, Driver, Parts};
use futures::StreamExt;
use libp2p::{Swarm, SwarmBuilder, multiaddr::Protocol, noise, swarm::SwarmEvent, tcp, yamux};
use squad_primitives::{OperatorId, PublicKey};
use std::{
    error::Error,
    net::{IpAddr, TcpListener},
    sync::Arc,
    time::Duration,
};
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot, watch,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A connection that no protocol needs is closed after this time.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Why a control plane could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlStartError {
    /// The key seed makes no valid key.
    #[error("keypair: invalid seed")]
    Key,
    /// libp2p refuses the configuration.
    #[error("libp2p configuration")]
    Setup(#[source] Box<dyn Error + Send + Sync>),
    /// The address could not be listened on.
    #[error("listen: cannot listen on {address}")]
    Listen {
        /// The address given.
        address: Multiaddr,
        /// What libp2p said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Why a block was not taken for publishing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The block is larger than [`BLOCK_BYTES_LIMIT`].
    #[error("block: {0} bytes exceed the limit of {BLOCK_BYTES_LIMIT}")]
    TooLarge(usize),
    /// Too many commands wait. Followers notice the gap and ask.
    #[error("queue: full")]
    QueueFull,
    /// The control plane has stopped.
    #[error("stopped")]
    Stopped,
}

/// A running control plane. Clones share it. It runs until [`ControlPlane::shutdown`].
#[derive(Clone, Debug)]
pub struct ControlPlane {
    local: PeerId,
    listen: Option<Multiaddr>,
    commands: mpsc::Sender<Command>,
    peers: watch::Receiver<Arc<[PeerInfo]>>,
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl ControlPlane {
    /// Listens, then starts looking for peers. Must be called inside a tokio runtime.
    pub async fn start(
        config: ControlPlaneConfig,
        handler: Arc<dyn ControlInbound>,
    ) -> Result<Self, ControlStartError> {
        let (mut swarm, names) = build(&config)?;
        let listen = match &config.listen {
            Some(address) => Some(listen(&mut swarm, address).await?),
            None => None,
        };
        for address in &config.announce {
            swarm.add_external_address(address.clone());
        }
        let local = *swarm.local_peer_id();
        let (command_sender, commands) = mpsc::channel(COMMANDS_MAX);
        let (shown, peers) = watch::channel(Arc::from([]));
        let stop = CancellationToken::new();
        let tracker = TaskTracker::new();
        let driver = Driver::new(Parts {
            config,
            names,
            swarm,
            handler,
            commands,
            shown,
            stop: stop.clone(),
        });
        tracker.spawn(driver.run());
        Ok(Self {
            local,
            listen,
            commands: command_sender,
            peers,
            stop,
            tracker,
        })
    }

    /// Own libp2p id.
    #[must_use]
    pub fn local_peer(&self) -> PeerId {
        self.local
    }

    /// First address listened on, with the own id: what others may use as bootnode.
    #[must_use]
    pub fn local_addr(&self) -> Option<Multiaddr> {
        let address = self.listen.clone()?;
        Some(address.with(Protocol::P2p(self.local)))
    }

    /// Announces a committed block to followers. Never blocks.
    pub fn publish_block(&self, block: Bytes) -> Result<(), PublishError> {
        if block.len() > BLOCK_BYTES_LIMIT {
            return Err(PublishError::TooLarge(block.len()));
        }
        self.commands
            .try_send(Command::Publish(block))
            .map_err(|error| match error {
                TrySendError::Full(_) => PublishError::QueueFull,
                TrySendError::Closed(_) => PublishError::Stopped,
            })
    }

    /// Asks `peer` and waits for the reply, ten seconds at most. Dropping the future gives up.
    pub async fn request(&self, peer: PeerId, request: Bytes) -> Result<Bytes, RequestError> {
        if request.len() > SYNC_REQUEST_BYTES_LIMIT {
            return Err(RequestError::TooLarge(request.len()));
        }
        let (reply, received) = oneshot::channel();
        let command = Command::Request {
            peer,
            request,
            reply,
        };
        self.commands
            .try_send(command)
            .map_err(|error| match error {
                TrySendError::Full(_) => RequestError::Busy,
                TrySendError::Closed(_) => RequestError::Stopped,
            })?;
        received.await.unwrap_or(Err(RequestError::Stopped))
    }

    /// Connected peers.
    #[must_use]
    pub fn peers(&self) -> Arc<[PeerInfo]> {
        self.peers.borrow().clone()
    }

    /// The list of [`ControlPlane::peers`] as it changes.
    #[must_use]
    pub fn watch_peers(&self) -> watch::Receiver<Arc<[PeerInfo]>> {
        self.peers.clone()
    }

    /// Replaces the committee: whose records are believed.
    pub async fn set_operators(&self, operators: Vec<(OperatorId, PublicKey)>) {
        // Fails only after a shutdown.
        let _ = self.commands.send(Command::SetOperators(operators)).await;
    }

    /// Connects to an address, besides what the node does by itself.
    pub async fn dial(&self, address: Multiaddr) {
        // Fails only after a shutdown.
        let _ = self.commands.send(Command::Dial(address)).await;
    }

    /// Closes all connections and ends all tasks.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

fn build(config: &ControlPlaneConfig) -> Result<(Swarm<Behaviour>, Names), ControlStartError> {
    let setup = |error: Box<dyn Error + Send + Sync>| ControlStartError::Setup(error);
    let keypair = config
        .role
        .keypair(&config.network)
        .ok_or(ControlStartError::Key)?;
    let names = Names::new(&config.network).map_err(|error| setup(error.into()))?;
    let behaviour = Behaviour::new(config, &names, &keypair).map_err(setup)?;
    let swarm = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(
            tcp::Config::default().nodelay(true),
            noise::Config::new,
            yamux::Config::default,
        )
        .map_err(|error| setup(error.into()))?
        .with_behaviour(|_| behaviour)
        .map_err(|error| setup(error.into()))?
        .with_swarm_config(|swarm| swarm.with_idle_connection_timeout(IDLE_TIMEOUT))
        .build();
    Ok((swarm, names))
}

/// Listens and waits until the first address is known.
async fn listen(
    swarm: &mut Swarm<Behaviour>,
    address: &Multiaddr,
) -> Result<Multiaddr, ControlStartError> {
    let failed = |source: Box<dyn Error + Send + Sync>| ControlStartError::Listen {
        address: address.clone(),
        source,
    };
    probe(address).map_err(|error| failed(error.into()))?;
    swarm
        .listen_on(address.clone())
        .map_err(|error| failed(error.into()))?;
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::NewListenAddr { address, .. } => return Ok(address),
            SwarmEvent::ListenerClosed {
                reason: Err(error), ..
            }
            | SwarmEvent::ListenerError { error, .. } => return Err(failed(error.into())),
            _ => {}
        }
    }
}

/// Fails if another process listens on `address`. libp2p shares ports (`SO_REUSEPORT`), so two nodes
/// configured alike would otherwise each get some of the connections, and nobody would notice.
fn probe(address: &Multiaddr) -> std::io::Result<()> {
    let mut parts = address.iter();
    let ip = match parts.next() {
        Some(Protocol::Ip4(ip)) => IpAddr::from(ip),
        Some(Protocol::Ip6(ip)) => IpAddr::from(ip),
        // Anything else is libp2p's to judge.
        _ => return Ok(()),
    };
    match parts.next() {
        Some(Protocol::Tcp(port)) => TcpListener::bind((ip, port)).map(drop),
        _ => Ok(()),
    }
}
