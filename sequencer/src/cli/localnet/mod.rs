//! `squad localnet`

mod report;
mod screen;
mod up;

use super::args::GlobalArgs;
use super::connect::block_on;
use super::exit::{Code, Failure, Outcome};
use super::output;
use crate::config::parse_duration;
use crate::localnet::{
    AuditError, Exclusive, LaunchError, Launcher, NodeState, PlanError, State, StateError, follow,
    locked, stop_all, table,
};
use clap::{Args, Subcommand};
use rustix::process::Signal;
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long `status` looks before it prints: rates need some seconds.
const LOOK: Duration = Duration::from_secs(3);

/// Run a whole network on this machine
#[derive(Debug, Subcommand)]
pub(crate) enum LocalnetCommand {
    /// Make a network, start it, and watch it until Ctrl-C or the end of the load
    Up(up::UpArgs),
    /// Stop a network
    Down(DownArgs),
    /// Show the operators of a network
    Status(DirectoryArgs),
    /// Kill an operator at once, as a crash would
    Kill(NodeArgs),
    /// Stop an operator if it runs, and start it again
    Restart(RestartArgs),
}

/// Which network.
#[derive(Clone, Debug, Args)]
pub(crate) struct DirectoryArgs {
    /// Directory of the network
    #[arg(long = "dir", default_value = "localnet", value_name = "DIR")]
    directory: PathBuf,
}

impl DirectoryArgs {
    /// Absolute, because processes and description outlive the working directory.
    fn path(&self) -> Outcome<PathBuf> {
        Ok(std::path::absolute(&self.directory)?)
    }
}

/// `squad localnet down`
#[derive(Debug, Args)]
pub(crate) struct DownArgs {
    #[command(flatten)]
    directory: DirectoryArgs,
    /// Keep homes and logs
    #[arg(long)]
    keep: bool,
}

/// `squad localnet kill`
#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// Number of the operator, from 0
    node: usize,
    #[command(flatten)]
    directory: DirectoryArgs,
}

/// `squad localnet restart`
#[derive(Debug, Args)]
pub(crate) struct RestartArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// Setting of the operator, may be repeated
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
    /// Longest wait until it takes part again, with unit
    #[arg(long, default_value = "60s", value_name = "DURATION", value_parser = parse_duration)]
    timeout: Duration,
}

/// Runs a verb.
pub(crate) fn run(global: &GlobalArgs, command: LocalnetCommand) -> Outcome {
    block_on(async {
        match command {
            LocalnetCommand::Up(args) => up::run(global, args).await,
            LocalnetCommand::Down(args) => down(global, &args).await,
            LocalnetCommand::Status(args) => status(global, &args).await,
            LocalnetCommand::Kill(args) => kill(global, &args),
            LocalnetCommand::Restart(args) => restart(global, args).await,
        }
    })
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        Self::new(Code::Other, error)
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        let code = match error {
            PlanError::Port { .. } => Code::InUse,
            PlanError::BasePort(_) => Code::Usage,
            PlanError::Genesis(_) => Code::Config,
            PlanError::Key(_) => Code::Key,
            _ => Code::Other,
        };
        Self::new(code, error)
    }
}

impl From<LaunchError> for Failure {
    fn from(error: LaunchError) -> Self {
        let code = match error {
            LaunchError::NotReady { .. } => Code::TimedOut,
            _ => Code::Other,
        };
        Self::new(code, error)
    }
}

impl From<AuditError> for Failure {
    fn from(error: AuditError) -> Self {
        let code = match error {
            AuditError::Disagreement { .. } | AuditError::Malformed(_) => Code::Verification,
            AuditError::TimedOut(_) => Code::TimedOut,
            _ => Code::Unreachable,
        };
        Self::new(code, error)
    }
}

fn node_of(state: &State, index: usize) -> Outcome<&NodeState> {
    state.nodes.get(index).ok_or_else(|| {
        Failure::new(
            Code::Usage,
            format!(
                "operator {index}: there are only 0 to {}",
                state.nodes.len() - 1
            ),
        )
    })
}

async fn down(global: &GlobalArgs, args: &DownArgs) -> Outcome {
    let exclusive = Exclusive::acquire(&args.directory.path()?)?;
    let state = exclusive.read()?;
    let running = state.running();
    let killed = stop_all(&running).await?;
    if !args.keep {
        exclusive.remove(&state)?;
    }
    drop(exclusive);
    let note = match killed {
        0 => String::new(),
        killed => format!(", {killed} of them killed"),
    };
    let text = format!("stopped {} operators{note}", running.len());
    output::print(
        global.format,
        &text,
        &json!({"stopped": running.len(), "killed": killed, "kept": args.keep}),
    )
}

async fn status(global: &GlobalArgs, args: &DirectoryArgs) -> Outcome {
    let state = State::read(&args.path()?)?;
    let stop = CancellationToken::new();
    let watch = follow(&state.nodes, &stop).map_err(|error| Failure::new(Code::Other, error))?;
    tokio::time::sleep(LOOK).await;
    stop.cancel();
    let (views, summary) = {
        let mut watch = locked(&watch);
        (watch.views(tokio::time::Instant::now()), watch.summary())
    };
    let agree = summary.disagreement.is_none();
    let json = json!({
        "network_id": state.network_id,
        "agree": agree,
        "nodes": state.nodes.iter().zip(&views).map(|(node, view)| json!({
            "home": node.home,
            "grpc": node.grpc,
            "http": node.http,
            "pid": node.running().map(|process| process.pid),
            "answers": view.answers,
            "height": view.height,
            "lag": view.lag,
            "syncing": view.syncing,
        })).collect::<Vec<_>>(),
    });
    output::print(global.format, &table(&views, LOOK, agree), &json)
}

fn kill(global: &GlobalArgs, args: &NodeArgs) -> Outcome {
    let exclusive = Exclusive::acquire(&args.directory.path()?)?;
    let state = exclusive.read()?;
    let process = node_of(&state, args.node)?.running().ok_or_else(|| {
        Failure::new(
            Code::Other,
            format!("operator {} is not running", args.node),
        )
    })?;
    process.signal(Signal::KILL)?;
    output::print(
        global.format,
        &format!("killed operator {} (process {})", args.node, process.pid),
        &json!({"node": args.node, "pid": process.pid}),
    )
}

async fn restart(global: &GlobalArgs, args: RestartArgs) -> Outcome {
    let index = args.node.node;
    let mut launcher = Launcher::new(args.set)?;
    let state = {
        let exclusive = Exclusive::acquire(&args.node.directory.path()?)?;
        if let Some(process) = node_of(&exclusive.read()?, index)?.running() {
            stop_all(&[process]).await?;
        }
        start(&exclusive, &mut launcher, &[index])?
        // Others may go on now: an operator may be waiting for one that they are to start.
    };
    let node = node_of(&state, index)?;
    launcher.wait_ready(&[(index, node)], args.timeout).await?;
    output::print(
        global.format,
        &format!("operator {index} takes part again"),
        &json!({"node": index, "pid": node.process.map(|process| process.pid)}),
    )
}

/// Starts operators and notes their processes.
fn start(exclusive: &Exclusive, launcher: &mut Launcher, nodes: &[usize]) -> Outcome<State> {
    let mut state = exclusive.read()?;
    for index in nodes {
        let process = launcher.start(*index, node_of(&state, *index)?)?;
        if let Some(node) = state.nodes.get_mut(*index) {
            node.process = Some(process);
        }
        // At once, so that no process is unknown should we end now.
        exclusive.write(&state)?;
    }
    Ok(state)
}
