//! The node: from submitted transactions to ordered, stored and served blocks.
//!
//! ```text
//!  clients ─▶ ingress ─▶ pool ─▶ maker ──┐ own batches      ┌─▶ pipeline ─▶ store ─▶ hub ─▶ readers
//!                                        ▼                  │
//!  peers ─▶ gate ─▶ checker ─▶ core (consensus ⇄ lanes) ────┘
//!             └────────────────▶  ▲  │ records, bodies, messages
//!                                 │  ▼
//!                                store (bodies | main | safety)
//! ```
//!
//! | thread | owns | waits for |
//! |---|---|---|
//! | `core` | consensus and lanes | its channel, timers |
//! | `maker` | the own lane's next batch | the pool, the batcher's timing |
//! | `checker` | nothing; hashes received batches | its channel |
//! | `pipeline` | the order: duplicates, rollup numbers | committed blocks |
//! | `mach` | attestations and certificates ([`mach`]) | its channel, timers |
//! | store writers | files | their queues |
//! | tokio workers | sockets and API calls | |
//!
//! Nothing that a client or a peer does can make `core` wait: it only reads its channel. Every queue is
//! bounded by what fills it: receive credits of peers, the pool's limits, the lane window.

mod batches;
pub(crate) mod clock;
mod core;
mod durability;
mod effects;
pub(crate) mod expired;
mod follow;
pub(crate) mod handle;
pub(crate) mod hub;
mod inbound;
pub(crate) mod ingress;
pub(crate) mod intake;
pub(crate) mod mach;
mod maker;
mod metrics;
mod observer;
mod operator;
pub(crate) mod pipeline;
pub(crate) mod prune;
pub(crate) mod reader;
pub(crate) mod record;
mod recover;
mod serve;
mod stored;
pub(crate) mod submission;

use crate::config::{Config, Role};
use hub::Hub;
use prometheus_client::registry::Registry;
use squad_mach::BlsSecretKey;
use squad_primitives::genesis::Genesis;
use squad_primitives::{Height, IdentityKey, Signer as _};
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio_util::sync::CancellationToken;

/// Exit code: storage failed or is corrupt.
pub(crate) const EXIT_STORAGE: i32 = 6;
/// Exit code: going on could sign twice.
pub(crate) const EXIT_SAFETY: i32 = 7;

/// The registry of a node's figures, shared with the endpoint that serves it.
pub(crate) type SharedRegistry = Arc<Mutex<Registry>>;

/// Why a node could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The data directory can't be used.
    #[error("data directory")]
    Open(#[from] squad_storage::OpenError),
    /// Stored data can't be read.
    #[error("storage")]
    Storage(#[from] squad_storage::StorageError),
    /// The key is not that of an operator in the genesis.
    #[error("keys.identity: the genesis lists no operator with this key")]
    UnknownOperator,
    /// An operator without a key.
    #[error("keys.identity: an operator needs its identity key")]
    NoKey,
    /// What was signed before contradicts what is stored.
    #[error("safety state: {0}")]
    Safety(&'static str),
    /// A finality key in the genesis is refused.
    #[error("genesis: finality keys")]
    FinalityCommittee(#[from] squad_mach::CommitteeError),
    /// An operator without the finality key that the genesis names.
    #[error("keys.finality: the genesis names a finality key for this operator, and it is needed")]
    NoFinalityKey,
    /// Another finality key than the genesis names.
    #[error("keys.finality: the genesis names another finality key for this operator")]
    OtherFinalityKey,
    /// What the finality key signed before is unknown.
    #[error("safety state: finality key")]
    FinalityRecord(#[from] squad_mach::GuardError),
    /// Sockets between operators.
    #[error("network.data_listen")]
    Links(#[from] squad_network::data::StartError),
    /// The control plane.
    #[error("network.control_listen")]
    Control(#[from] squad_network::control::ControlStartError),
    /// The APIs.
    #[error("api")]
    Api(#[from] crate::api::ApiError),
    /// The genesis has no valid committee.
    #[error("genesis: no valid committee")]
    Committee(#[from] squad_primitives::committee::CommitteeError),
    /// An address of the control plane that can't be read.
    #[error("network: {0} is not a multiaddress")]
    Address(String),
    /// The system gives no randomness.
    #[error("no randomness from the system")]
    NoRandomness,
    /// A thread could not be started.
    #[error("cannot start thread {0}")]
    Thread(&'static str),
}

/// Secrets of an operator.
#[derive(Debug)]
pub struct OperatorKeys {
    /// Signs consensus and lane messages.
    pub identity: IdentityKey,
    /// Signs results of blocks; needed if the genesis names such a key and `mach.enabled` is set.
    pub finality: Option<BlsSecretKey>,
}

/// When a node stops.
#[derive(Clone, Debug, Default)]
pub struct Until {
    /// Somebody wants it to.
    pub shutdown: CancellationToken,
    /// The block at this height is stored; `shutdown` is cancelled then. Later blocks may be stored too.
    pub height: Option<Height>,
}

impl Until {
    /// Begins to watch for the height.
    fn follow(&self, hub: &Hub) {
        let Some(height) = self.height else {
            return;
        };
        let (mut head, shutdown) = (hub.subscribe(), self.shutdown.clone());
        tokio::spawn(async move {
            if head.wait_for(|head| *head >= height).await.is_ok() {
                shutdown.cancel();
            }
        });
    }
}

/// Runs a node until it is to stop, then stops it in order: admission first, then what is under way, then
/// the links, the store last.
///
/// # Errors
/// See [`NodeError`].
pub async fn run(
    config: Config,
    genesis: Genesis,
    keys: Option<OperatorKeys>,
    home: &Path,
    until: Until,
) -> Result<(), NodeError> {
    let name = name(&config, &genesis, keys.as_ref().map(|keys| &keys.identity));
    let mut registry = Registry::default();
    metrics::register_process(&mut registry, &config, genesis.network_id(), &name);
    let registry: SharedRegistry = Arc::new(Mutex::new(registry));
    match config.node.role {
        Role::Operator => {
            let keys = keys.ok_or(NodeError::NoKey)?;
            let node = operator::run(config, genesis, keys, home, registry, until);
            Box::pin(node).await
        }
        Role::Observer => Box::pin(observer::run(config, genesis, home, registry, until)).await,
    }
}

/// What the node is called: by its operator, else in the genesis.
#[must_use]
pub fn name(config: &Config, genesis: &Genesis, identity: Option<&IdentityKey>) -> String {
    if !config.node.name.is_empty() {
        return config.node.name.clone();
    }
    identity
        .and_then(|key| genesis.operator_by_key(&key.public_key()))
        .map(|(_, operator)| operator.name.clone())
        .unwrap_or_default()
}

/// Ends the process because storage failed or lies: nothing that it says can be trusted any more.
pub(crate) fn fatal(error: &dyn std::error::Error) -> ! {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let error = causes.map(ToString::to_string).collect::<Vec<_>>();
    tracing::error!(error = error.join(": "), "storage failed; the node stops");
    std::process::exit(EXIT_STORAGE)
}

fn spawn<T: Send + 'static>(
    name: &'static str,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<std::thread::JoinHandle<T>, NodeError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(|_| NodeError::Thread(name))
}
