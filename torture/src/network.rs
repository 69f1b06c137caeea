//! The network under torture: homes, processes, relays.

use crate::relay::{Front, Sky};
use anyhow::{Context as _, bail};
use rustix::process::Signal;
use squad_client::{Endpoint, v1};
use squad_primitives::Stake;
use squad_primitives::genesis::ConsensusParams;
use squad_sequencer::localnet::{Exclusive, NodeState, ProcessId, RollupSpec, Spec, create};
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// Stake of each operator.
const STAKE: u64 = 100;
/// Longest wait for an answer to a status call.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Distance between two looks at something that is waited for.
const POLL: Duration = Duration::from_millis(50);
/// How long operators have to be in step after the last fault: far more than they should need, so that
/// only a network that is stuck fails.
pub const STEP_TIMEOUT: Duration = Duration::from_secs(90);

/// One operator.
#[derive(Debug)]
pub struct Operator {
    /// Home and addresses.
    pub state: NodeState,
    /// Its gRPC services.
    pub endpoint: Endpoint,
    process: Option<(Child, ProcessId)>,
    log_read: u64,
}

/// A network to be made.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Operators, all with the same stake.
    pub nodes: usize,
    /// The rollups.
    pub rollups: Vec<RollupSpec>,
    /// Parameters of consensus in the genesis.
    pub consensus: ConsensusParams,
    /// Settings that every operator is started with, as `--set` takes them.
    pub settings: Vec<String>,
    /// Seed of what happens to packets.
    pub seed: u64,
}

/// Limits that a process is started with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Largest file it may write, in KiB.
    pub file_kib: Option<u64>,
}

/// A local network whose links pass relays.
#[derive(Debug)]
pub struct Network {
    /// The operators.
    pub operators: Vec<Operator>,
    /// Rules of the links.
    pub sky: std::sync::Arc<Sky>,
    directory: PathBuf,
    program: PathBuf,
    settings: Vec<String>,
}

impl Network {
    /// Makes homes below `directory` and starts the relays, but no operator.
    ///
    /// # Errors
    /// If something can't be made.
    pub async fn create(directory: &Path, setup: Setup) -> anyhow::Result<Self> {
        let Setup { nodes, seed, .. } = setup;
        let mut fronts = Vec::with_capacity(nodes);
        for _ in 0..nodes {
            fronts.push(Front::bind().await.context("relay")?);
        }
        let spec = Spec {
            control_in_genesis: true,
            stakes: vec![Stake(STAKE); nodes],
            rollups: setup.rollups,
            base_port: None,
            published: fronts.iter().map(Front::address).collect(),
            consensus: setup.consensus,
        };
        let exclusive = Exclusive::acquire_or_make(directory)?;
        let state = create(&exclusive, &spec).context("homes")?;
        drop(exclusive);
        let sky = Sky::new(nodes);
        let addresses: Vec<_> = state.nodes.iter().map(|node| node.data).collect();
        for (me, front) in fronts.into_iter().enumerate() {
            let seed = seed.wrapping_mul(31).wrapping_add(me as u64);
            front.start(me, addresses.clone(), sky.clone(), seed);
        }
        let operators = state.nodes.into_iter().map(|state| {
            Ok(Operator {
                endpoint: Endpoint::new(&state.endpoint())?,
                state,
                process: None,
                log_read: 0,
            })
        });
        Ok(Self {
            operators: operators.collect::<anyhow::Result<_>>()?,
            sky,
            directory: directory.to_owned(),
            program: beside("squad")?,
            settings: setup.settings,
        })
    }

    /// The genesis, as clients get it.
    #[must_use]
    pub fn genesis(&self) -> PathBuf {
        self.directory.join("node-0/config/genesis.json")
    }

    /// gRPC addresses, separated by commas.
    #[must_use]
    pub fn endpoints(&self) -> String {
        let all: Vec<_> = self
            .operators
            .iter()
            .map(|operator| operator.state.endpoint())
            .collect();
        all.join(",")
    }

    /// Starts an operator that is not running.
    ///
    /// # Errors
    /// If the process can't be started.
    pub fn start(&mut self, node: usize, limits: Limits) -> anyhow::Result<()> {
        let operator = &mut self.operators[node];
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(operator.state.log())?;
        let mut command = match limits.file_kib {
            None => Command::new(&self.program),
            // With the signal ignored, writes beyond the limit fail as they do on a full disk. The
            // shell counts in blocks of 512 bytes and becomes the operator: same process.
            Some(kib) => {
                let mut shell = Command::new("sh");
                shell
                    .arg("-c")
                    .arg("trap '' XFSZ; ulimit -f \"$1\"; shift; exec \"$@\"")
                    .args(["sh", &(kib * 2).to_string()])
                    .arg(&self.program);
                shell
            }
        };
        let child = command
            .args(["start", "--home"])
            .arg(&operator.state.home)
            .args(
                self.settings
                    .iter()
                    .map(|setting| format!("--set={setting}")),
            )
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let id = ProcessId::of(i32::try_from(child.id())?)?;
        operator.process = Some((child, id));
        Ok(())
    }

    /// Starts all that are not running.
    ///
    /// # Errors
    /// If a process can't be started.
    pub fn start_all(&mut self) -> anyhow::Result<()> {
        for node in 0..self.operators.len() {
            if !self.operators[node].is_running() {
                self.start(node, Limits::default())?;
            }
        }
        Ok(())
    }

    /// Waits until every operator that was started has ordered what any of them had committed when the
    /// wait began. Returns how long that took.
    ///
    /// # Errors
    /// After [`STEP_TIMEOUT`], or when an operator ends meanwhile.
    pub async fn in_step(&mut self) -> anyhow::Result<Duration> {
        self.in_step_within(STEP_TIMEOUT).await
    }

    /// The same, within another time.
    ///
    /// # Errors
    /// After `longest`, or when an operator ends meanwhile.
    pub async fn in_step_within(&mut self, longest: Duration) -> anyhow::Result<Duration> {
        let start = Instant::now();
        let mut target = None;
        while start.elapsed() < longest {
            let mut statuses = Vec::with_capacity(self.operators.len());
            let mut started = 0;
            for (node, operator) in self.operators.iter_mut().enumerate() {
                if operator.process.is_none() {
                    continue;
                }
                started += 1;
                if let Some(status) = operator.ended()? {
                    bail!("operator {node} ended by itself: {status}");
                }
                statuses.extend(operator.status().await);
            }
            if statuses.len() == started {
                let highest = statuses.iter().map(|status| status.committed_height).max();
                let target = *target.get_or_insert(highest.unwrap_or_default());
                let in_step = |status: &v1::GetStatusResponse| {
                    status.ordered_height >= target && !status.syncing
                };
                if statuses.iter().all(in_step) {
                    return Ok(start.elapsed());
                }
            }
            tokio::time::sleep(POLL).await;
        }
        bail!("not all operators are in step after {longest:?}")
    }

    /// Ends all processes and waits for them: SIGTERM, and SIGKILL to those that don't listen.
    pub async fn stop(&mut self) {
        let ids: Vec<_> = self.operators.iter().filter_map(Operator::id).collect();
        // A process that is gone needs no signal.
        let _ = squad_sequencer::localnet::stop_all(&ids).await;
        for operator in &mut self.operators {
            if let Some((mut child, _)) = operator.process.take() {
                let _ = child.wait();
            }
        }
    }
}

impl Drop for Network {
    /// Nothing outlives the run, not even after a panic.
    fn drop(&mut self) {
        for operator in &mut self.operators {
            if let Some((child, _)) = &mut operator.process {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

impl Operator {
    /// Number of its process, if it was started.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        self.id().map(|id| id.pid)
    }

    fn id(&self) -> Option<ProcessId> {
        self.process.as_ref().map(|(_, id)| *id)
    }

    /// Whether its process runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.ended(), Ok(None)) && self.process.is_some()
    }

    /// How its process ended, if it did by itself.
    ///
    /// # Errors
    /// If the system can't say.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        match &mut self.process {
            Some((child, _)) => Ok(child.try_wait()?),
            None => Ok(None),
        }
    }

    /// Sends a signal to its process.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        match self.id() {
            Some(id) => Ok(id.signal(signal)?),
            None => Ok(()),
        }
    }

    /// `kill -9`, and waits until it is gone.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        if let Some((mut child, _)) = self.process.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Waits until the process ends by itself, or ends it. Returns how it ended by itself.
    ///
    /// # Errors
    /// If the system can't say.
    pub async fn wait_end(&mut self, limit: Duration) -> anyhow::Result<Option<ExitStatus>> {
        let start = Instant::now();
        while start.elapsed() < limit {
            if let Some(status) = self.ended()? {
                self.process = None;
                return Ok(Some(status));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(None)
    }

    /// What it says of itself, if it answers.
    pub async fn status(&self) -> Option<v1::GetStatusResponse> {
        let mut client = self.endpoint.operators();
        let call = client.get_status(v1::GetStatusRequest {});
        let answer = timeout(ANSWER_TIMEOUT, call).await.ok()?.ok()?;
        Some(answer.into_inner())
    }

    /// What it serves to Prometheus.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn metrics(&self) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(self.state.http).await?;
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok(text)
    }

    /// Lines of its log since the last call.
    ///
    /// # Errors
    /// If the log can't be read.
    pub fn new_log(&mut self) -> anyhow::Result<String> {
        let bytes = std::fs::read(self.state.log())?;
        let from = usize::try_from(self.log_read)?.min(bytes.len());
        self.log_read = bytes.len() as u64;
        Ok(String::from_utf8_lossy(&bytes[from..]).into_owned())
    }

    /// Its data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.state.home.join("data")
    }
}

/// A program that was built together with this one.
///
/// # Errors
/// If it is not there.
pub fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    // Tests run from a directory below.
    let found = own
        .ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file());
    found.with_context(|| format!("{name} is not beside {}: run `make build`", own.display()))
}
