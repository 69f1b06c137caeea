//! `squad-torture`: breaks a local network for a given time and audits it after each fault.

use clap::Parser;
use squad_torture::episode::Runner;
use squad_torture::network::Network;
use squad_torture::plan::Plan;
use squad_torture::report::Report;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Break a local network of real processes at random, and audit it after each fault
///
/// Exit codes: 0 nothing wrong, 1 the run could not go on, 14 something is wrong.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
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
    let network = Network::create(&args.dir.join("net"), nodes, seed).await?;
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
