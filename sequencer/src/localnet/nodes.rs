//! Starting the operators of a local network and waiting until they take part.

use super::process::{ProcessId, spawn};
use super::state::NodeState;
use squad_client::{Endpoint, EndpointError, v1};
use std::io;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::time::Duration;
use tokio::time::Instant;

const POLL_INTERVAL: Duration = Duration::from_millis(100);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Lines of a failed node's log that are shown.
const LOG_LINES: usize = 12;

/// Why an operator does not take part.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// The process can't be started.
    #[error("cannot start operator {node}: {source}")]
    Spawn {
        /// The operator.
        node: usize,
        /// What the system said.
        source: io::Error,
    },
    /// The process ended at once.
    #[error("operator {node} ended ({status}); the end of {log}:\n{tail}")]
    Ended {
        /// The operator.
        node: usize,
        /// How it ended.
        status: ExitStatus,
        /// Its log.
        log: String,
        /// Its last lines.
        tail: String,
    },
    /// The operator is not connected to enough others, or does not answer.
    #[error("operator {node} is not ready after {timeout:?}; the end of {log}:\n{tail}")]
    NotReady {
        /// The operator.
        node: usize,
        /// How long was waited.
        timeout: Duration,
        /// Its log.
        log: String,
        /// Its last lines.
        tail: String,
    },
    /// An address that is none.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

/// Starts operators, and collects them when they end.
#[derive(Debug)]
pub struct Launcher {
    program: PathBuf,
    settings: Vec<String>,
    children: Vec<(usize, Child)>,
}

impl Launcher {
    /// Starts nodes with our own executable; `settings` are given to each as `--set`.
    ///
    /// # Errors
    /// If the system does not name the executable.
    pub fn new(settings: Vec<String>) -> io::Result<Self> {
        Ok(Self {
            program: std::env::current_exe()?,
            settings,
            children: Vec::new(),
        })
    }

    /// Starts one operator.
    ///
    /// # Errors
    /// [`LaunchError::Spawn`].
    pub fn start(&mut self, index: usize, node: &NodeState) -> Result<ProcessId, LaunchError> {
        let home = format!("--home={}", node.home.display());
        let settings = self
            .settings
            .iter()
            .map(|setting| format!("--set={setting}"));
        let arguments: Vec<_> = ["start".to_owned(), home]
            .into_iter()
            .chain(settings)
            .collect();
        let (child, id) =
            spawn(&self.program, &arguments, &node.log()).map_err(|source| LaunchError::Spawn {
                node: index,
                source,
            })?;
        self.children.push((index, child));
        Ok(id)
    }

    /// Collects operators that have ended, with how.
    ///
    /// # Errors
    /// If the system can't say.
    pub fn collect(&mut self) -> io::Result<Vec<(usize, ExitStatus)>> {
        let mut ended = Vec::new();
        let mut left = Vec::with_capacity(self.children.len());
        for (index, mut child) in self.children.drain(..) {
            match child.try_wait()? {
                Some(status) => ended.push((index, status)),
                None => left.push((index, child)),
            }
        }
        self.children = left;
        Ok(ended)
    }

    /// Waits until operators take part: they answer, are in step, and see more than two thirds of all.
    ///
    /// # Errors
    /// [`LaunchError::Ended`] and [`LaunchError::NotReady`].
    pub async fn wait_ready(
        &mut self,
        nodes: &[(usize, &NodeState)],
        timeout: Duration,
    ) -> Result<(), LaunchError> {
        let deadline = Instant::now() + timeout;
        for (index, node) in nodes {
            let endpoint = Endpoint::new(&node.endpoint())?;
            while !is_ready(&endpoint).await {
                let ended = self.collect().map_err(|source| LaunchError::Spawn {
                    node: *index,
                    source,
                })?;
                if let Some((node, status)) = ended.into_iter().next() {
                    let state = nodes.iter().find(|(index, _)| *index == node);
                    let (log, tail) = state.map_or_else(Default::default, |(_, state)| tail(state));
                    return Err(LaunchError::Ended {
                        node,
                        status,
                        log,
                        tail,
                    });
                }
                if Instant::now() >= deadline {
                    let (log, tail) = tail(node);
                    return Err(LaunchError::NotReady {
                        node: *index,
                        timeout,
                        log,
                        tail,
                    });
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        }
        Ok(())
    }
}

async fn is_ready(endpoint: &Endpoint) -> bool {
    let mut client = endpoint.operators();
    let call = client.get_status(v1::GetStatusRequest {});
    match tokio::time::timeout(ANSWER_TIMEOUT, call).await {
        Ok(Ok(response)) => crate::cli::is_ready(response.get_ref()),
        _ => false,
    }
}

fn tail(node: &NodeState) -> (String, String) {
    let log = node.log();
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(LOG_LINES)..];
    (log.display().to_string(), last.join("\n"))
}
