//! `squad localnet up`

use super::screen::Screen;
use super::{DirectoryArgs, start};
use crate::cli::args::GlobalArgs;
use crate::cli::exit::{Code, Failure, OrExit as _, Outcome};
use crate::cli::output;
use crate::config::parse_duration;
use crate::localnet::{
    Audit, Launcher, Load, RollupSpec, RunningLoad, Spec, State, StateError, WatchSummary, audit,
    create, follow, locked, stop_all,
};
use clap::Args;
use serde_json::json;
use squad_primitives::Stake;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
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

/// What ended the watching.
#[derive(Debug)]
enum End {
    /// A signal.
    Asked,
    /// The load generator.
    Load(ExitStatus),
    /// No operator is left.
    AllDown,
}

/// Makes or finds the network, runs it, and says what was seen.
pub(super) async fn run(global: &GlobalArgs, args: UpArgs) -> Outcome {
    let directory = args.directory.path()?;
    let program = match args.load.load {
        Some(_) => Some(Load::find_program().or_exit(Code::Usage)?),
        None => None,
    };
    let mut signals = Signals::new()?;
    prepare(&args, &directory)?;
    let mut launcher = Launcher::new(args.set.clone())?;
    let mut screen = Screen::new(global.format);

    let count = State::read(&directory)?.nodes.len();
    screen.say(&format!(
        "starting {count} operators in {}",
        directory.display()
    ))?;
    let everyone: Vec<_> = (0..count).collect();
    let started = tokio::select! {
        started = start_all(&mut launcher, &directory, &everyone, args.timeout) => started,
        () = signals.any() => Err(Failure::new(Code::Other, "stopped before all operators took part")),
    };
    let state = match started {
        Ok(state) => state,
        Err(failure) => {
            stop_all(&State::read(&directory)?.running()).await?;
            let kept = format!("the logs are in {}", directory.display());
            return Err(failure.context(kept));
        }
    };
    screen.say(&addresses(&state))?;
    if args.detach {
        return detached(global, &directory, &state);
    }

    let stop = CancellationToken::new();
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
            Some(load.start(&program, &directory, &state)?)
        }
        _ => {
            screen.say("Ctrl-C stops the network")?;
            None
        }
    };

    let began = Instant::now();
    let end = loop {
        tokio::select! {
            () = signals.any() => break End::Asked,
            () = tokio::time::sleep(TICK) => {}
        }
        for (node, status) in launcher.collect()? {
            screen.say(&format!("operator {node} ended: {status}"))?;
        }
        let (views, summary) = {
            let mut watch = locked(&watch);
            (watch.views(Instant::now()), watch.summary())
        };
        screen.show(&views, began.elapsed(), summary.disagreement.is_none())?;
        if let Some(status) = load.as_mut().map(RunningLoad::ended).transpose()?.flatten() {
            break End::Load(status);
        }
        if State::read(&directory)?.running().is_empty() {
            break End::AllDown;
        }
    };
    if let (End::Asked, Some(load)) = (&end, &load) {
        stop_all(&[load.process]).await?;
    }

    // Operators may have been restarted meanwhile from another terminal.
    let state = State::read(&directory)?;
    screen.say("comparing the operators")?;
    let audited = audit(&state.nodes).await.map_err(Failure::from);
    stop.cancel();
    let summary = locked(&watch).summary();
    screen.say("stopping")?;
    let killed = stop_all(&state.running()).await?;
    launcher.collect()?;

    let seen = Seen {
        end,
        summary,
        audited,
        killed,
        elapsed: began.elapsed(),
        load,
    };
    seen.report(global, &args, &directory, &state)
}

/// Refuses a directory that is in use, and makes the network unless the last one goes on.
fn prepare(args: &UpArgs, directory: &Path) -> Outcome {
    match State::read(directory) {
        Ok(state) if !state.running().is_empty() => {
            return Err(Failure::new(
                Code::InUse,
                format!(
                    "{} operators are running in {}: stop them with `squad localnet down`",
                    state.running().len(),
                    directory.display()
                ),
            ));
        }
        Ok(_) if args.keep => return Ok(()),
        Ok(state) => state.remove(directory)?,
        Err(StateError::Missing(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let stakes = match args.stakes.as_slice() {
        [] => vec![Stake(STAKE); args.nodes],
        stakes => stakes.iter().copied().map(Stake).collect(),
    };
    create(&Spec {
        directory: directory.to_owned(),
        stakes,
        rollups: args.rollups.clone(),
        base_port: args.base_port,
    })?;
    Ok(())
}

async fn start_all(
    launcher: &mut Launcher,
    directory: &Path,
    nodes: &[usize],
    timeout: Duration,
) -> Outcome<State> {
    let state = start(launcher, directory, nodes)?;
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

/// What a run has shown.
struct Seen {
    end: End,
    summary: WatchSummary,
    audited: Outcome<Audit>,
    killed: usize,
    elapsed: Duration,
    load: Option<RunningLoad>,
}

impl Seen {
    fn report(
        self,
        global: &GlobalArgs,
        args: &UpArgs,
        directory: &Path,
        state: &State,
    ) -> Outcome {
        let failure = self.failure();
        let keep = args.keep || failure.is_some();
        let reports = self.load.as_ref().map(|load| load.reports.clone());
        let json = json!({
            "seconds": self.elapsed.as_secs(),
            "height": self.summary.height,
            "transactions": self.summary.transactions,
            "block_latency_p50_ms": self.summary.p50_ms,
            "block_latency_p99_ms": self.summary.p99_ms,
            "agree": failure.as_ref().is_none_or(|failure| failure.code != Code::Verification),
            "audited_height": self.audited.as_ref().ok().map(|audit| audit.height),
            "audited_operators": self.audited.as_ref().ok().map(|audit| audit.operators),
            "killed": self.killed,
            "reports": reports,
            "kept": keep,
        });
        output::print(global.format, &self.text(directory, reports, keep), &json)?;
        if !keep {
            state.remove(directory)?;
        }
        failure.map_or(Ok(()), Err)
    }

    fn failure(&self) -> Option<Failure> {
        if let Some(height) = self.summary.disagreement {
            return Some(Failure::new(
                Code::Verification,
                format!("operators hold different blocks at height {height}"),
            ));
        }
        match (&self.audited, &self.end) {
            (_, End::AllDown) => Some(Failure::new(Code::Other, "no operator is left")),
            (Err(failure), _) => Some(Failure::new(failure.code, failure)),
            (_, End::Load(status)) if !status.success() => Some(Failure::new(
                Code::Other,
                format!("the load generator ended: {status}"),
            )),
            _ if self.killed > 0 => Some(Failure::new(
                Code::Other,
                format!(
                    "{} operators did not stop in time and were killed",
                    self.killed
                ),
            )),
            _ => None,
        }
    }

    fn text(&self, directory: &Path, reports: Option<PathBuf>, keep: bool) -> String {
        let mut out = String::from("\n");
        if let Some(load) = &self.load {
            out.push_str(&load.output().unwrap_or_default());
            out.push('\n');
        }
        let millis = |value: Option<u64>| value.map_or("-".to_owned(), |ms| format!("{ms} ms"));
        out.push_str(&format!(
            "seen in {} s: {} blocks, {} transactions ordered; proposal to delivery p50 {}, p99 {}\n",
            self.elapsed.as_secs(),
            self.summary.height,
            self.summary.transactions,
            millis(self.summary.p50_ms),
            millis(self.summary.p99_ms),
        ));
        match &self.audited {
            Ok(audit) => out.push_str(&format!(
                "check: {} operators hold the same chain up to block {}\n",
                audit.operators, audit.height
            )),
            Err(failure) => out.push_str(&format!("check failed: {failure}\n")),
        }
        if keep {
            out.push_str(&format!("data and logs: {}\n", directory.display()));
            if let Some(reports) = reports {
                out.push_str(&format!("load report: {}\n", reports.display()));
            }
        }
        out.push_str(
            "\nnext:\n  \
             squad localnet up --detach              a network that stays\n  \
             squad localnet up --load 20000          more load\n  \
             squad localnet kill 1                   a crash, while it runs\n  \
             squad localnet up --load 5000 --keep    keep logs and the load report\n",
        );
        out
    }
}
