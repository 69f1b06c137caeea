//! `squad-torture`: breaks a local network for a given time and audits it after each fault.

use clap::{Parser, Subcommand};
use squad_primitives::genesis::ConsensusParams;
use squad_torture::episode::Runner;
use squad_torture::flood;
use squad_torture::network::{Network, Setup};
use squad_torture::overload::{Options, Overload};
use squad_torture::plan::Plan;
use squad_torture::report::Report;
use squad_torture::verdict::Verdict;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Break a local network of real processes at random, and audit it after each fault
///
/// Without a command, faults follow from a seed.
///
/// Exit codes: 0 nothing wrong, 1 the run could not go on, 14 something is wrong.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Args {
    /// Something else than faults at random
    #[command(subcommand)]
    command: Option<Command>,
    /// Seconds after which no new episode starts; one takes about 30
    #[arg(long, default_value_t = 1_200)]
    seconds: u64,
    /// Most episodes
    #[arg(long, default_value_t = usize::MAX, hide_default_value = true)]
    episodes: usize,
    /// Episodes of the plan that are left out at its start
    #[arg(long, default_value_t = 0)]
    skip: usize,
    /// Seed of the plan; drawn if absent
    #[arg(long)]
    seed: Option<u64>,
    /// Operators, at least four
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(4..=16))]
    nodes: u8,
    /// Transactions per second
    #[arg(long, default_value_t = 500)]
    rate: u64,
    /// Directory of homes and reports; must not exist. It is deleted after a clean run
    #[arg(long, default_value = "torture-run")]
    dir: PathBuf,
    /// Where the report is written as JSON
    #[arg(long)]
    report: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Offer a network ten times what it can carry, 90 % of it by one rollup
    Overload(OverloadArgs),
    /// Let strangers, a broken operator or careless clients flood a network that has light load
    Flood(FloodArgs),
}

#[derive(Debug, clap::Args)]
struct FloodArgs {
    /// What floods
    #[arg(long, value_enum)]
    kind: flood::Kind,
    /// Length of the calm and of the flooded phase in seconds
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(5..=3_000))]
    seconds: u64,
    /// Light load, transactions per second
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(10..=100_000))]
    load: u64,
    /// Messages per second to each operator, where an operator forges or repeats
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(100..=1_000_000))]
    rate: u64,
    /// Directory of homes and figures; must not exist. It is deleted after a clean run
    #[arg(long, default_value = "flood-run")]
    dir: PathBuf,
    /// Where the report is written as JSON
    #[arg(long)]
    report: Option<PathBuf>,
}

/// The network's capacity is made small by its own rules, so that a small machine can offer a multiple of
/// it: about (1,000 / (2 × delay)) blocks per second of so many KiB.
#[derive(Debug, clap::Args)]
struct OverloadArgs {
    /// Length of the overload in seconds
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(10..=3_000))]
    seconds: u64,
    /// Offered load, as a multiple of the peak
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=100))]
    factor: u64,
    /// Delay of each packet between two operators, one way, in milliseconds
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=500))]
    delay_ms: u64,
    /// KiB of transactions in a block, at least 64
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(64..=16_384))]
    block_kib: u64,
    /// Operators, at least four
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(4..=16))]
    nodes: u8,
    /// Directory of homes and figures; must not exist. It is deleted after a clean run
    #[arg(long, default_value = "overload-run")]
    dir: PathBuf,
    /// Where the report is written as JSON
    #[arg(long)]
    report: Option<PathBuf>,
}

/// Exit code: something is wrong. The same as of `squad`'s and the load generator's checks.
const WRONG: u8 = 14;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(WRONG),
        Err(error) => {
            eprintln!("squad-torture: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<bool> {
    match args.command {
        Some(Command::Overload(args)) => overload(args).await,
        Some(Command::Flood(args)) => flood(args).await,
        None => torture(args).await,
    }
}

async fn overload(args: OverloadArgs) -> anyhow::Result<bool> {
    anyhow::ensure!(!args.dir.exists(), "{} exists already", args.dir.display());
    let options = Options {
        nodes: usize::from(args.nodes),
        seconds: args.seconds,
        delay: Duration::from_millis(args.delay_ms),
        block_bytes: args.block_kib << 10,
        factor: args.factor,
        seed: 0,
    };
    let mut overload = Overload::start(&args.dir, options).await?;
    let report = tokio::select! {
        report = overload.run() => report,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    overload.stop().await;
    let report = report?;
    conclude(
        &report,
        &report.verdict(),
        args.report.as_deref(),
        &args.dir,
    )
}

async fn flood(args: FloodArgs) -> anyhow::Result<bool> {
    anyhow::ensure!(!args.dir.exists(), "{} exists already", args.dir.display());
    let options = flood::Options {
        kind: args.kind,
        seconds: args.seconds,
        load: args.load,
        rate: args.rate,
    };
    let report = tokio::select! {
        report = flood::run(&args.dir, &options) => report?,
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
    };
    conclude(
        &report,
        &report.verdict(),
        args.report.as_deref(),
        &args.dir,
    )
}

/// Prints the verdict and writes the report. Homes and logs are only kept where they explain something.
fn conclude(
    report: &impl serde::Serialize,
    verdict: &Verdict,
    path: Option<&Path>,
    directory: &Path,
) -> anyhow::Result<bool> {
    print!("{verdict}");
    if let Some(path) = path {
        std::fs::write(path, serde_json::to_string_pretty(report)?)?;
    }
    if verdict.holds() {
        std::fs::remove_dir_all(directory)?;
    } else {
        println!("homes, logs and figures: {}", directory.display());
    }
    Ok(verdict.holds())
}

async fn torture(args: Args) -> anyhow::Result<bool> {
    let seed = match args.seed {
        Some(seed) => seed,
        None => SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
    };
    anyhow::ensure!(!args.dir.exists(), "{} exists already", args.dir.display());
    let nodes = usize::from(args.nodes);
    println!("seed {seed}, {nodes} operators, {} tx/s", args.rate);
    let mut report = Report {
        seed,
        nodes,
        rate: args.rate,
        episodes: Vec::new(),
    };
    let setup = Setup {
        nodes,
        rollups: vec!["opaque:901".parse()?, "kv:7".parse()?],
        consensus: ConsensusParams::default(),
        settings: Vec::new(),
        seed,
    };
    let network = Network::create(&args.dir.join("net"), setup).await?;
    let mut runner = Runner::start(network, &args.dir, args.rate).await?;
    let end = Instant::now() + Duration::from_secs(args.seconds);
    let plan = Plan::new(seed, nodes).enumerate();
    for (number, fault) in plan.skip(args.skip).take(args.episodes) {
        if Instant::now() >= end {
            break;
        }
        let episode = tokio::select! {
            episode = runner.run(number, seed, &fault) => episode?,
            _ = tokio::signal::ctrl_c() => break,
        };
        println!("{}", episode.line());
        let clean = episode.violations.is_empty();
        report.episodes.push(episode);
        if !clean {
            break;
        }
    }
    runner.stop().await;
    print!("{}", report.summary());
    if let Some(path) = &args.report {
        std::fs::write(path, serde_json::to_string_pretty(&report)?)?;
    }
    if report.is_clean() {
        std::fs::remove_dir_all(&args.dir)?;
    } else {
        let number = report.episodes.len().saturating_sub(1) + args.skip;
        println!(
            "homes and logs: {}\nagain: squad-torture --seed {seed} --skip {number} --episodes 1 --nodes {nodes} --rate {}",
            args.dir.display(),
            args.rate
        );
    }
    Ok(report.is_clean())
}
