//! Making the homes of a local network: keys, genesis, ports, configuration.

use super::exclusive::Exclusive;
use super::spec::Spec;
use super::state::{NodeState, State, StateError};
use crate::config::Config;
use crate::home::Home;
use crate::keys::{self, KdfCost, KeyError, Password};
use squad_mach::BlsSecretKey;
use squad_primitives::genesis::{GENESIS_VERSION, Genesis, GenesisOperator, Params, Problem};
use squad_primitives::{IdentityKey, Signer as _};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Name of every local network.
const NETWORK: &str = "localnet-dev";
/// Blocks per epoch: short, so that epoch changes are part of every run.
const EPOCH_LENGTH_BLOCKS: u64 = 200;
/// Distance between the port ranges of two operators.
const PORTS_STEP: u16 = 10;
/// Loopback carries 65,536 bytes. Above 8,952 nothing more is saved (ADR 0004).
const MTU_MAX: u16 = 8_952;
/// Attempts to connect per second that a node takes from one address: a stranger's share is 4, but here
/// all operators share one address and dial at once.
const HANDSHAKES_PER_OPERATOR: usize = 2;
/// Database cache per operator: they share one machine.
const CACHE: &str = "64MiB";
/// Password of the key files. They protect nothing, so it is no secret and cheap to check.
const PASSWORD: &str = "localnet";

/// Why a local network can't be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A file or directory can't be made.
    #[error("cannot make {path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A port is taken, or there is none.
    #[error("port {port}: {source}")]
    Port {
        /// The port; 0 if any would have done.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// Ports above 65,535 would be needed.
    #[error("--base-port {0}: too high for this many operators")]
    BasePort(u16),
    /// The genesis breaks a rule.
    #[error("genesis: {}", .0.iter().map(Problem::to_string).collect::<Vec<_>>().join("; "))]
    Genesis(Vec<Problem>),
    /// A key can't be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The description can't be written.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Keys of one operator.
#[derive(Debug)]
struct OperatorKeys {
    identity: IdentityKey,
    finality: BlsSecretKey,
}

/// Addresses of one operator.
#[derive(Clone, Copy, Debug)]
struct Addresses {
    data: SocketAddr,
    control: SocketAddr,
    grpc: SocketAddr,
    http: SocketAddr,
}

/// Makes homes and description; starts nothing.
///
/// # Errors
/// See [`PlanError`].
pub fn create(exclusive: &Exclusive, spec: &Spec) -> Result<State, PlanError> {
    let all = match spec.base_port {
        Some(base) => fixed_ports(base, spec.stakes.len())?,
        None => free_ports(spec.stakes.len())?,
    };
    let keys = (0..spec.stakes.len())
        .map(|_| {
            Ok(OperatorKeys {
                identity: keys::generate_identity()?,
                finality: keys::generate_finality()?,
            })
        })
        .collect::<Result<Vec<_>, KeyError>>()?;
    let genesis = genesis(spec, &keys, &all);
    genesis.validate().map_err(PlanError::Genesis)?;

    let mut nodes = Vec::with_capacity(keys.len());
    for (index, (key, addresses)) in keys.iter().zip(&all).enumerate() {
        let home = Home::new(exclusive.directory().join(format!("node-{index}")));
        let bootnodes: Vec<_> = all
            .iter()
            .filter(|other| !spec.control_in_genesis && other.control != addresses.control)
            .map(|other| multiaddr(other.control))
            .collect();
        make_home(&home, key, addresses, &bootnodes, &genesis)?;
        nodes.push(NodeState {
            home: home.root().to_owned(),
            data: addresses.data,
            control: addresses.control,
            grpc: addresses.grpc,
            http: addresses.http,
            process: None,
        });
    }
    let state = State {
        network_id: genesis.network_id(),
        rollups: genesis.rollups.iter().map(|rollup| rollup.id).collect(),
        nodes,
    };
    exclusive.write(&state)?;
    Ok(state)
}

fn genesis(spec: &Spec, keys: &[OperatorKeys], addresses: &[Addresses]) -> Genesis {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let operators = keys.iter().zip(&spec.stakes).zip(addresses).enumerate();
    Genesis {
        version: GENESIS_VERSION,
        network: NETWORK.to_owned(),
        dev: true,
        genesis_time_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
        params: Params {
            epoch_length_blocks: EPOCH_LENGTH_BLOCKS,
        },
        consensus: spec.consensus.clone(),
        operators: operators
            .map(|(index, ((key, stake), addresses))| GenesisOperator {
                name: format!("node-{index}"),
                identity: key.identity.public_key(),
                stake: *stake,
                address: *spec.published.get(index).unwrap_or(&addresses.data),
                control: spec
                    .control_in_genesis
                    .then(|| multiaddr(addresses.control)),
                finality: Some(keys::finality_entry(
                    &key.finality,
                    &key.identity.public_key(),
                )),
            })
            .collect(),
        rollups: spec.rollups.iter().map(Into::into).collect(),
    }
}

fn make_home(
    home: &Home,
    key: &OperatorKeys,
    addresses: &Addresses,
    bootnodes: &[String],
    genesis: &Genesis,
) -> Result<(), PlanError> {
    let config = format!(
        "# Made by `squad localnet up`. The key's password is no secret.\n\
         [keys]\npassword_file = \"keys/password\"\n\n\
         [network]\ndata_listen = \"{}\"\ncontrol_listen = \"{}\"\nmtu_max = {MTU_MAX}\n\
         bootnodes = {bootnodes:?}\nhandshakes_per_second = {}\n\n\
         [grpc]\nlisten = \"{}\"\nreflection = true\n\n\
         [http]\nlisten = \"{}\"\n\n\
         [storage]\ncache = \"{CACHE}\"\n",
        addresses.data,
        multiaddr(addresses.control),
        (genesis.operators.len() * HANDSHAKES_PER_OPERATOR).max(4),
        addresses.grpc,
        addresses.http,
    );
    write(&home.config_file(), &config)?;
    write(&home.genesis_file(), &genesis.to_canonical_json())?;
    let (settings, password) = (Config::default().keys, Password::new(PASSWORD));
    let identity = home.resolve(&settings.identity);
    keys::create_identity(&identity, &key.identity, &password, KdfCost::TEST)?;
    let finality = home.resolve(&settings.finality);
    keys::create_finality(&finality, &key.finality, &password, KdfCost::TEST)?;
    let password_file = home.root().join("keys/password");
    keys::create_secret_file(&password_file, PASSWORD.as_bytes())?;
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), PlanError> {
    let write = || {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, text)
    };
    write().map_err(|source| PlanError::Io {
        path: path.to_owned(),
        source,
    })
}

fn multiaddr(address: SocketAddr) -> String {
    format!("/ip4/{}/tcp/{}", address.ip(), address.port())
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn fixed_ports(base: u16, count: usize) -> Result<Vec<Addresses>, PlanError> {
    (0..count)
        .map(|index| {
            let first = u16::try_from(index)
                .ok()
                .and_then(|index| base.checked_add(index.checked_mul(PORTS_STEP)?))
                .filter(|first| *first > 0 && *first <= u16::MAX - PORTS_STEP)
                .ok_or(PlanError::BasePort(base))?;
            let addresses = Addresses {
                data: local(first),
                control: local(first + 1),
                grpc: local(first + 2),
                http: local(first + 3),
            };
            bind_udp(addresses.data.port())?;
            for address in [addresses.control, addresses.grpc, addresses.http] {
                bind_tcp(address.port())?;
            }
            Ok(addresses)
        })
        .collect()
}

/// All sockets stay open until the last port is chosen, so that none is given twice.
fn free_ports(count: usize) -> Result<Vec<Addresses>, PlanError> {
    let io = |source| PlanError::Port { port: 0, source };
    let mut held = Vec::new();
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        let data = bind_udp(0)?;
        let [control, grpc, http] = [bind_tcp(0)?, bind_tcp(0)?, bind_tcp(0)?];
        all.push(Addresses {
            data: data.local_addr().map_err(io)?,
            control: control.local_addr().map_err(io)?,
            grpc: grpc.local_addr().map_err(io)?,
            http: http.local_addr().map_err(io)?,
        });
        held.push((data, [control, grpc, http]));
    }
    Ok(all)
}

fn bind_tcp(port: u16) -> Result<TcpListener, PlanError> {
    TcpListener::bind(local(port)).map_err(|source| PlanError::Port { port, source })
}

fn bind_udp(port: u16) -> Result<UdpSocket, PlanError> {
    UdpSocket::bind(local(port)).map_err(|source| PlanError::Port { port, source })
}
