//! The load generator, a program of its own: it knows the network only as a client does.

use super::process::{ProcessId, spawn};
use super::state::State;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::Duration;

/// Name of the program.
const PROGRAM: &str = "squad-loadtest";

/// Load to put on a network.
#[derive(Clone, Debug)]
pub struct Load {
    /// Transactions per second.
    pub rate: u64,
    /// Length.
    pub duration: Duration,
    /// Payload bytes.
    pub payload_bytes: usize,
}

/// A running load generator.
#[derive(Debug)]
pub struct RunningLoad {
    child: Child,
    /// Its process.
    pub process: ProcessId,
    /// Its output.
    pub log: PathBuf,
    /// Folder of its reports.
    pub reports: PathBuf,
}

impl Load {
    /// The program: beside our own executable, else in `PATH`.
    ///
    /// # Errors
    /// If it is in neither.
    pub fn find_program() -> io::Result<PathBuf> {
        let beside = std::env::current_exe()?.with_file_name(PROGRAM);
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::iter::once(beside)
            .chain(std::env::split_paths(&path).map(|directory| directory.join(PROGRAM)))
            .find(|candidate| candidate.is_file())
            .ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::NotFound,
                    format!(
                        "{PROGRAM} is neither beside squad nor in PATH: build it with `make build`"
                    ),
                )
            })
    }

    /// Starts the generator against a network.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn start(
        &self,
        program: &Path,
        directory: &Path,
        state: &State,
    ) -> io::Result<RunningLoad> {
        let reports = directory.join("load");
        std::fs::create_dir_all(&reports)?;
        let log = reports.join("load.log");
        let join = |items: Vec<String>| items.join(",");
        let endpoints = join(state.nodes.iter().map(|node| node.endpoint()).collect());
        let rollups = join(state.rollups.iter().map(ToString::to_string).collect());
        let genesis = state
            .nodes
            .first()
            .map(|node| node.home.join("config/genesis.json"))
            .unwrap_or_default();
        let arguments = [
            "run".to_owned(),
            format!("--genesis={}", genesis.display()),
            format!("--endpoints={endpoints}"),
            format!("--rollups={rollups}"),
            format!("--rate={}", self.rate),
            format!("--duration={}s", self.duration.as_secs()),
            format!("--size={}", self.payload_bytes),
            format!("--localnet={}", State::path(directory).display()),
            format!("--out={}", reports.display()),
            "--quiet".to_owned(),
        ];
        let (child, process) = spawn(program, &arguments, &log)?;
        Ok(RunningLoad {
            child,
            process,
            log,
            reports,
        })
    }
}

impl RunningLoad {
    /// How the generator ended, if it has.
    ///
    /// # Errors
    /// If the system can't say.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// What the generator printed.
    ///
    /// # Errors
    /// If its log can't be read.
    pub fn output(&self) -> io::Result<String> {
        std::fs::read_to_string(&self.log)
    }
}
