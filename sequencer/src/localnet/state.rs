//! The description of a local network, `localnet.json`. Anybody may read it; it is changed through
//! [`super::Exclusive`] alone.

use super::process::ProcessId;
use serde::{Deserialize, Serialize};
use squad_primitives::{NetworkId, RollupId};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

const FILE: &str = "localnet.json";

/// A local network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Id of the network.
    pub network_id: NetworkId,
    /// Its rollups.
    pub rollups: Vec<RollupId>,
    /// Its operators, by number.
    pub nodes: Vec<NodeState>,
}

/// One operator of a local network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeState {
    /// Home directory.
    pub home: PathBuf,
    /// Data plane.
    pub data: SocketAddr,
    /// Control plane.
    pub control: SocketAddr,
    /// gRPC services.
    pub grpc: SocketAddr,
    /// Metrics and health.
    pub http: SocketAddr,
    /// The process that was started last; it may have ended since.
    pub process: Option<ProcessId>,
}

impl NodeState {
    /// The process, if it is still running.
    #[must_use]
    pub fn running(&self) -> Option<ProcessId> {
        self.process.filter(ProcessId::is_running)
    }

    /// gRPC address for clients.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.grpc)
    }

    /// Log file.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.home.join("node.log")
    }
}

/// Why a description can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// There is none: nothing was started here.
    #[error("{0} holds no local network: start one with `squad localnet up`")]
    Missing(PathBuf),
    /// It or its directory can't be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not a description.
    #[error("{path}: {source}")]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
}

impl State {
    /// Reads the description of a directory.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn read(directory: &Path) -> Result<Self, StateError> {
        let path = Self::path(directory);
        let bytes = std::fs::read(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => StateError::Missing(directory.to_owned()),
            _ => StateError::Io {
                path: path.clone(),
                source,
            },
        })?;
        serde_json::from_slice(&bytes).map_err(|source| StateError::Json { path, source })
    }

    /// Path of the description in a directory.
    #[must_use]
    pub fn path(directory: &Path) -> PathBuf {
        directory.join(FILE)
    }

    /// Processes that are running.
    #[must_use]
    pub fn running(&self) -> Vec<ProcessId> {
        self.nodes.iter().filter_map(NodeState::running).collect()
    }
}
