//! `squad localnet up`

use super::report::{End, Seen, Watched};
use super::screen::Screen;
use super::{DirectoryArgs, start};
use crate::cli::args::GlobalArgs;
use crate::cli::exit::{Code, Failure, OrExit as _, Outcome};
use crate::cli::output;
use crate::config::parse_duration;
use crate::localnet::{
    Exclusive, Launcher, Load, RollupSpec, RunningLoad, SharedWatch, Spec, State, StateError,
    audit, create, follow, locked, stop_all,
};
use clap::Args;
use squad_primitives::Stake;
use squad_primitives::genesis::ConsensusParams;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const TICK: Duration = Duration::from_secs(1);
/// Stake of an operator without `--stakes`.
const STAKE: u64 = 100;

/// `squad localnet up`
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    directory: DirectoryArgs,
    /// Number of operators
    #[arg(long, default_value_t = 4, conflicts_with = "stakes")]
    nodes: usize,
    /// Stake of each operator, as 100,100,200,300 [default: equal]
    #[arg(long, value_delimiter = ',')]
    stakes: Vec<u64>,
    /// Rollups, as evm:901,kv:7
    #[arg(long, value_delimiter = ',', default_value = "evm:901,kv:7")]
    rollups: Vec<RollupSpec>,
    /// First port; each operator takes four of ten [default: free ports]
    #[arg(long)]
    base_port: Option<u16>,
    /// Leave the control addresses out of the genesis: observers then need a bootnode
    #[arg(long)]
    bootnodes_only: bool,
    /// Setting of every operator, may be repeated
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
    /// Longest wait until all operators take part, with unit
    #[arg(long, default_value = "60s", value_name = "DURATION", value_parser = parse_duration)]
    timeout: Duration,
    /// Go on with the data of the last run, and keep it at the end
    #[arg(long)]
    keep: bool,
    /// Return when all operators take part, and leave them running
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    load: LoadArgs,
}

/// The load of the run.
#[derive(Debug, Args)]
#[command(next_help_heading = "Load")]
pub(crate) struct LoadArgs {
    /// Transactions per second to submit; the run ends with the load
    #[arg(long, value_name = "TX/S", conflicts_with = "detach")]
    load: Option<u64>,
    /// Length of the load in seconds
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    load_seconds: u64,
    /// Bytes per payload
    #[arg(long, default_value_t = 512, value_name = "BYTES")]
    load_size: usize,
}

/// Makes or finds the network, runs it, and says what was seen.
pub(super) async fn run(global: &GlobalArgs, args: UpArgs) -> Outcome {
    let directory = args.directory.path()?;
    let program = match args.load.load {
        Some(_) => Some(Load::find_program()?),
        None => None,
    };
    let mut launcher = Launcher::new(args.set.clone())?;
    let mut screen = Screen::new(global.format);
    // While another command has the directory, a signal simply ends us.
    let exclusive = Exclusive::acquire_or_make(&directory)?;
    let mut signals = Signals::new()?;
    let count = match prepare(&args, &exclusive) {
        Ok(count) => count,
        Err(failure) => {
            exclusive.remove_if_empty()?;
            return Err(failure);
        }
    };
    screen.say(&format!(
        "starting {count} operators in {}",
        directory.display()
    ))?;
    let everyone: Vec<_> = (0..count).collect();
    let spawned = start(&exclusive, &mut launcher, &everyone);
    drop(exclusive);
    let started = tokio::select! {
        started = all_ready(&mut launcher, spawned, args.timeout) => started,
        () = signals.any() => Err(Failure::new(Code::Other, "stopped before all operators took part")),
    };
    let state = match started {
        Ok(state) => state,
        Err(failure) => {
            if let Some(exclusive) = acquire_again(&directory)? {
                stop_all(&exclusive.read()?.running()).await?;
            }
            let kept = format!("the logs are in {}", directory.display());
            return Err(failure.context(kept));
        }
    };
    screen.say(&addresses(&state))?;
    if args.detach {
        return detached(global, &directory, &state);
    }

    let began = Instant::now();
    let watched = watch(
        &args,
        program,
        &directory,
        &state,
        &mut launcher,
        &mut screen,
        &mut signals,
    )
    .await;
    // Whatever happened, nothing is left running. Operators may have been restarted meanwhile from
    // another terminal, and the description may be gone with a network that was stopped there.
    screen.say("stopping")?;
    let exclusive = acquire_again(&directory)?;
    let state = State::read(&directory).unwrap_or(state);
    let killed = stop_all(&state.running()).await?;
    launcher.collect()?;
    let seen = Seen {
        watched: watched?,
        killed,
        elapsed: began.elapsed(),
    };
    let kept = seen.report(global.format, args.keep, &directory)?;
    match exclusive {
        Some(exclusive) if !kept => Ok(exclusive.remove(&state)?),
        _ => Ok(()),
    }
}

/// Watches the network until a signal, the end of the load, or the end of the last operator; then
/// compares the operators.
async fn watch(
    args: &UpArgs,
    program: Option<PathBuf>,
    directory: &Path,
    state: &State,
    launcher: &mut Launcher,
    screen: &mut Screen,
    signals: &mut Signals,
) -> Outcome<Watched> {
    let stop = CancellationToken::new();
    let _stop_with_us = stop.clone().drop_guard();
    let watch = follow(&state.nodes, &stop).or_exit(Code::Other)?;
    let mut load = match (program, args.load.load) {
        (Some(program), Some(rate)) => {
            let load = Load {
                rate,
                duration: Duration::from_secs(args.load.load_seconds),
                payload_bytes: args.load.load_size,
            };
            screen.say(&format!(
                "load: {rate} transactions of {} bytes per second for {} s",
                load.payload_bytes, args.load.load_seconds
            ))?;
            Some(load.start(&program, directory, state)?)
        }
        _ => {
            screen.say("Ctrl-C stops the network")?;
            None
        }
    };
    let ended = watch_until_end(directory, launcher, screen, signals, &watch, load.as_mut()).await;
    if let Some(load) = &load {
        stop_all(&[load.process]).await?;
    }
    let end = ended?;
    screen.say("comparing the operators")?;
    let audited = match State::read(directory) {
        Ok(state) => audit(&state.nodes).await.map_err(Failure::from),
        Err(error) => Err(error.into()),
    };
    let summary = locked(&watch).summary();
    Ok(Watched {
        end,
        summary,
        audited,
        load,
    })
}

async fn watch_until_end(
    directory: &Path,
    launcher: &mut Launcher,
    screen: &mut Screen,
    signals: &mut Signals,
    watch: &SharedWatch,
    mut load: Option<&mut RunningLoad>,
) -> Outcome<End> {
    let began = Instant::now();
    loop {
        tokio::select! {
            () = signals.any() => return Ok(End::Asked),
            () = tokio::time::sleep(TICK) => {}
        }
        for (node, status) in launcher.collect()? {
            screen.say(&format!("operator {node} ended: {status}"))?;
        }
        let (views, summary) = {
            let mut watch = locked(watch);
            (watch.views(Instant::now()), watch.summary())
        };
        screen.show(&views, began.elapsed(), summary.disagreement.is_none())?;
        if let Some(load) = load.as_mut()
            && let Some(status) = load.ended()?
        {
            return Ok(End::Load(status));
        }
        if State::read(directory).map_or(true, |state| state.running().is_empty()) {
            return Ok(End::AllDown);
        }
    }
}

/// Refuses a directory that is in use, and makes the network unless the last one goes on. Returns the
/// number of operators.
fn prepare(args: &UpArgs, exclusive: &Exclusive) -> Outcome<usize> {
    match exclusive.read() {
        Ok(state) if !state.running().is_empty() => {
            return Err(Failure::new(
                Code::InUse,
                format!(
                    "{} operators are running in {}: stop them with `squad localnet down`",
                    state.running().len(),
                    exclusive.directory().display()
                ),
            ));
        }
        Ok(state) if args.keep => return Ok(state.nodes.len()),
        Ok(state) => exclusive.clear(&state)?,
        Err(StateError::Missing(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let stakes = match args.stakes.as_slice() {
        [] => vec![Stake(STAKE); args.nodes],
        stakes => stakes.iter().copied().map(Stake).collect(),
    };
    let spec = Spec {
        control_in_genesis: !args.bootnodes_only,
        stakes,
        rollups: args.rollups.clone(),
        base_port: args.base_port,
        published: Vec::new(),
        consensus: ConsensusParams::default(),
    };
    Ok(create(exclusive, &spec)?.nodes.len())
}

/// Nothing if another command has deleted the network meanwhile.
fn acquire_again(directory: &Path) -> Outcome<Option<Exclusive>> {
    match Exclusive::acquire(directory) {
        Ok(exclusive) => Ok(Some(exclusive)),
        Err(StateError::Missing(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn all_ready(
    launcher: &mut Launcher,
    spawned: Outcome<State>,
    timeout: Duration,
) -> Outcome<State> {
    let state = spawned?;
    let all: Vec<_> = state.nodes.iter().enumerate().collect();
    launcher.wait_ready(&all, timeout).await?;
    Ok(state)
}

fn addresses(state: &State) -> String {
    let mut out = format!("network {}\n", state.network_id);
    for (index, node) in state.nodes.iter().enumerate() {
        out.push_str(&format!(
            "  operator {index}: gRPC {}, metrics http://{}/metrics\n",
            node.endpoint(),
            node.http
        ));
    }
    out
}

fn detached(global: &GlobalArgs, directory: &Path, state: &State) -> Outcome {
    let dir = directory.display();
    let first = state
        .nodes
        .first()
        .map(|node| node.endpoint())
        .unwrap_or_default();
    let rollup = state.rollups.first().map_or(1, |rollup| rollup.0);
    output::print(
        global.format,
        &format!(
            "the operators go on in the background. Try\n  \
             squad tx submit --endpoint {first} --rollup {rollup} --payload 0xc0ffee\n  \
             squad localnet status --dir {dir}\n  \
             squad localnet kill 0 --dir {dir}; squad localnet restart 0 --dir {dir}\n  \
             squad localnet down --dir {dir}"
        ),
        &serde_json::to_value(state).or_exit(Code::Other)?,
    )
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Outcome<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
