//! `squad start`

use super::args::{ConfigArgs, GlobalArgs, read_genesis};
use super::exit::{Code, Failure, Outcome, problems};
use crate::config::{Config, Role};
use crate::home::Home;
use crate::keys;
use crate::logging;
use crate::node::{self, NodeError, OperatorKeys, Until};
use crate::version::{COMMIT, VERSION};
use clap::Args;
use squad_primitives::genesis::Genesis;
use squad_primitives::{Height, NetworkId, Signer as _};
use squad_storage::{Lock, forget_synced, holds_safety_records};
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Longest graceful stop: admission ends, queues drain, the store flushes.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// What is left of tasks after the node has stopped is given this long.
const RUNTIME_STOP_TIMEOUT: Duration = Duration::from_millis(500);

/// `squad start`
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    #[command(flatten)]
    settings: ConfigArgs,
    /// Stop, as SIGTERM would, once the block at this height is stored
    #[arg(long, value_name = "HEIGHT")]
    until_height: Option<u64>,
    /// Start although records of what the key has signed are gone, all or the last ones. The operator may
    /// contradict what it signed before, which costs its stake
    #[arg(long)]
    unsafe_reset_safety_state: bool,
}

/// Runs a node until it is asked to stop.
pub(crate) fn run(global: &GlobalArgs, args: &StartArgs) -> Outcome {
    let home = global.home()?;
    let loaded = args.settings.load(global, &home)?;
    let genesis = read_genesis(&home.genesis_file())?;
    let network = genesis.network_id();
    global.check_network(&network)?;
    loaded
        .config
        .validate(Some(&genesis))
        .map_err(|list| problems("configuration", &list))?;
    let mut config = loaded.config;
    for file in [&mut config.grpc.tls_cert, &mut config.grpc.tls_key] {
        *file = file.as_deref().map(|path| home.resolve(path));
    }
    logging::start(&config.log);

    let _lock = Lock::acquire(home.root())?;
    let keys = match config.node.role {
        Role::Operator => Some(load_keys(global, &home, &config, &genesis)?),
        Role::Observer => None,
    };
    if keys.is_some() {
        let key = home.resolve(&config.keys.identity);
        let data = home.resolve(&config.storage.path);
        claim_key(&key, &data, &network, args.unsafe_reset_safety_state)?;
    }
    if args.unsafe_reset_safety_state {
        let data = home.resolve(&config.storage.path);
        tracing::warn!(data = %data.display(), "records that the disk lost are given up, as asked");
        forget_synced(&data)?;
    }
    use_ring();
    tracing::info!(
        name = node::name(&config, &genesis, keys.as_ref().map(|keys| &keys.identity)),
        version = VERSION,
        commit = COMMIT.unwrap_or("unknown"),
        network = genesis.network,
        network_id = %network,
        role = ?config.node.role,
        identity = keys.as_ref().map(|keys| tracing::field::display(keys.identity.public_key())),
        home = %home.root().display(),
        "starting"
    );

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.node.worker_threads)
        .thread_name("net")
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(async {
        tokio::spawn(logging::report_left_out());
        let until = Until {
            height: args.until_height.map(Height),
            ..Until::default()
        };
        let shutdown = until.shutdown.clone();
        let node = node::run(config, genesis, keys, home.root(), until);
        supervise(Box::pin(node), &shutdown).await
    });
    runtime.shutdown_timeout(RUNTIME_STOP_TIMEOUT);
    if outcome.is_ok() {
        tracing::info!("stopped");
    }
    outcome
}

/// Refuses a key that has signed in this network, if the records of that are gone; marks it otherwise.
fn claim_key(key: &Path, data: &Path, network: &NetworkId, reset: bool) -> Outcome {
    if keys::is_used(key, network)? && !holds_safety_records(data) {
        let missing = format!(
            "{} holds no records, but the key has signed in this network ({})",
            data.display(),
            keys::mark_path(key).display()
        );
        if !reset {
            return Err(Failure::new(
                Code::Safety,
                format!(
                    "{missing}: starting could contradict what it signed. Restore the directory, or let the \
                     operator be replaced by one with a new key; --unsafe-reset-safety-state starts all the same"
                ),
            ));
        }
        tracing::warn!("{missing}; starting all the same, as asked");
    }
    Ok(keys::mark_used(key, network)?)
}

/// Decrypts the keys that the genesis asks of an operator.
fn load_keys(
    global: &GlobalArgs,
    home: &Home,
    config: &Config,
    genesis: &Genesis,
) -> Outcome<OperatorKeys> {
    let password = global
        .password(home, config)
        .read()
        .map_err(keys::KeyError::from)?;
    let identity = keys::load_identity(&home.resolve(&config.keys.identity), &password)?;
    if genesis.operator_by_key(&identity.public_key()).is_none() {
        return Err(Failure::new(
            Code::Network,
            format!(
                "keys.identity: the genesis of network {} lists no operator with key {}",
                genesis.network_id(),
                identity.public_key()
            ),
        ));
    }
    let finality = (genesis.has_finality() && config.mach.enabled)
        .then(|| keys::load_finality(&home.resolve(&config.keys.finality), &password))
        .transpose()?;
    Ok(OperatorKeys { identity, finality })
}

/// Libraries that build TLS settings themselves take the process' provider; two are never compiled in,
/// but rustls only picks one alone if exactly one is known to it.
fn use_ring() {
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        tracing::debug!("a TLS provider is installed already");
    }
}

/// Runs the node until a signal or its last height, then gives it [`STOP_TIMEOUT`]. A second signal ends the process.
async fn supervise(
    mut node: impl Future<Output = Result<(), NodeError>> + Unpin,
    shutdown: &CancellationToken,
) -> Outcome {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let asked = tokio::select! {
        ended = &mut node => return ended.map_err(Failure::from),
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
        () = shutdown.cancelled() => "--until-height",
    };
    tracing::info!(asked_by = asked, "stopping; a second signal forces the end");
    shutdown.cancel();
    tokio::select! {
        ended = tokio::time::timeout(STOP_TIMEOUT, node) => match ended {
            Ok(ended) => ended.map_err(Failure::from),
            Err(_) => Err(Failure::new(
                Code::Other,
                format!("the node did not stop within {STOP_TIMEOUT:?}"),
            )),
        },
        _ = terminate.recv() => Err(forced()),
        _ = interrupt.recv() => Err(forced()),
    }
}

fn forced() -> Failure {
    Failure::new(Code::Other, "forced to end by a second signal")
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        let code = match &error {
            NodeError::Open(error) => Code::of_open(error),
            NodeError::Storage(_) => Code::Storage,
            NodeError::Safety(_) | NodeError::FinalityRecord(_) => Code::Safety,
            NodeError::NoKey | NodeError::NoFinalityKey => Code::Key,
            NodeError::UnknownOperator | NodeError::OtherFinalityKey => Code::Network,
            NodeError::Committee(_) | NodeError::FinalityCommittee(_) => Code::Config,
            _ if is_address_in_use(&error) => Code::InUse,
            _ => Code::Other,
        };
        Self {
            code,
            error: error.into(),
        }
    }
}

fn is_address_in_use(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::AddrInUse)
        {
            return true;
        }
        cause = error.source();
    }
    false
}
