//! `squad-simulator`: runs seeds, finds failures, repeats and shrinks them.

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use squad_simulator::adversary::Behaviour;
use squad_simulator::corpus;
use squad_simulator::fault::Fault;
use squad_simulator::plan::{Options, Plan};
use squad_simulator::plot;
use squad_simulator::report::Report;
use squad_simulator::shrink;
use squad_simulator::world::{Map, Outcome, measure, run_guarded};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

#[derive(Debug, Parser)]
#[command(
    name = "squad-simulator",
    about = "Whole networks under virtual time, faults and adversaries"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Shape {
    /// Views after which faults stop [default: 400]
    #[arg(long)]
    views: Option<u64>,
    /// Size of the committee [default: drawn]
    #[arg(long)]
    members: Option<usize>,
    /// Classes of faults to leave out, by name
    #[arg(long, value_delimiter = ',')]
    without: Vec<String>,
    /// The one behaviour of all Byzantine operators [default: drawn]
    #[arg(long)]
    behaviour: Option<String>,
    /// Operators that run twice, whatever the protocol allows: expects a fork
    #[arg(long, default_value_t = 0)]
    excess_twins: usize,
}

impl Shape {
    fn options(&self) -> Result<Options> {
        let fault = |name: &String| {
            Fault::parse(name).with_context(|| format!("no class of faults is called {name}"))
        };
        let behaviour = |name: &String| {
            Behaviour::parse(name).with_context(|| format!("no behaviour is called {name}"))
        };
        Ok(Options {
            views: self.views,
            members: self.members,
            without: self.without.iter().map(fault).collect::<Result<_>>()?,
            behaviour: self.behaviour.as_ref().map(behaviour).transpose()?,
            excess_twins: self.excess_twins,
        })
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one seed and say what happened.
    Run {
        /// The seed
        #[arg(long)]
        seed: u64,
        /// Write every packet, commit and fault to standard output
        #[arg(long)]
        trace: bool,
        #[command(flatten)]
        shape: Shape,
    },
    /// Run many seeds; fails if one does.
    Many {
        /// First seed and the one after the last, as in 0..500
        #[arg(long, value_parser = parse_range)]
        seeds: (u64, u64),
        /// Seeds at once
        #[arg(long, default_value_t = 2)]
        jobs: usize,
        /// Stop at the first failure
        #[arg(long)]
        first: bool,
        #[command(flatten)]
        shape: Shape,
    },
    /// Run the seeds of a corpus, which failed once and must not fail again.
    Replay {
        /// Folder with the corpus
        #[arg(default_value = "simulator/corpus")]
        corpus: PathBuf,
    },
    /// Commit latency and messages by size of the committee, as a table or a figure.
    Scale {
        /// Sizes
        #[arg(long, value_delimiter = ',', default_values_t = [4, 20, 50, 100])]
        members: Vec<usize>,
        /// Simulated seconds for each
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// Write the figure here as well
        #[arg(long)]
        svg: Option<PathBuf>,
    },
    /// Leave out as much as possible while a seed keeps failing in the same way.
    Shrink {
        /// The seed
        #[arg(long)]
        seed: u64,
        #[command(flatten)]
        shape: Shape,
    },
}

fn parse_range(text: &str) -> Result<(u64, u64), String> {
    let (from, to) = text.split_once("..").ok_or("expected A..B")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| error.to_string());
    Ok((number(from)?, number(to)?))
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Run { seed, trace, shape } => run_one(seed, &shape.options()?, trace),
        Command::Many {
            seeds,
            jobs,
            first,
            shape,
        } => run_many(seeds, jobs, first, &shape.options()?),
        Command::Replay { corpus } => replay(&corpus),
        Command::Scale {
            members,
            seconds,
            svg,
        } => scale(&members, seconds, svg.as_deref()),
        Command::Shrink { seed, shape } => shrink_one(seed, shape.options()?),
    }
}

fn run_one(seed: u64, options: &Options, trace: bool) -> Result<()> {
    let start = Instant::now();
    let outcome = run_guarded(seed, options, trace);
    for line in &outcome.trace {
        println!("{line}");
    }
    println!("{:#?}", Plan::draw(seed, options));
    let mut report = Report::default();
    report.add(&outcome);
    println!("{report}");
    println!(
        "hash {:016x}, {:.2} s",
        outcome.hash,
        start.elapsed().as_secs_f64()
    );
    judge(&outcome, options)
}

fn judge(outcome: &Outcome, options: &Options) -> Result<()> {
    match &outcome.failure {
        None => Ok(()),
        Some(failure) => bail!("{}", failure.with_command(options)),
    }
}

fn run_many((from, to): (u64, u64), jobs: usize, first: bool, options: &Options) -> Result<()> {
    let start = Instant::now();
    let next = AtomicU64::new(from);
    let report = Mutex::new(Report::default());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= to {
                        return;
                    }
                    let outcome = run_guarded(seed, options, false);
                    if let Some(failure) = &outcome.failure {
                        eprintln!("{}", failure.with_command(options));
                        if first {
                            next.store(to, Ordering::Relaxed);
                        }
                    }
                    report
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .add(&outcome);
                }
            });
        }
    });
    let report = report
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    println!("{report}");
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{seconds:.1} s, {:.0} events/s, {jobs} at once",
        report.events as f64 / seconds
    );
    if report.failures > 0 {
        bail!("{} of {} seeds failed", report.failures, report.seeds);
    }
    Ok(())
}

fn replay(folder: &std::path::Path) -> Result<()> {
    let mut failed = 0;
    for entry in std::fs::read_dir(folder).context("corpus")? {
        let path = entry?.path();
        let text = std::fs::read_to_string(&path)?;
        for case in corpus::parse(&text).map_err(anyhow::Error::msg)? {
            let outcome = run_guarded(case.seed, &case.options, false);
            if let Some(failure) = &outcome.failure {
                failed += 1;
                eprintln!(
                    "{}: {}",
                    path.display(),
                    failure.with_command(&case.options)
                );
            }
        }
    }
    if failed > 0 {
        bail!("{failed} old seeds fail again");
    }
    println!("no old seed fails");
    Ok(())
}

fn shrink_one(seed: u64, options: Options) -> Result<()> {
    let Some(shrunk) = shrink::shrink(seed, options, |attempt| eprintln!("{attempt}")) else {
        bail!("seed {seed} does not fail");
    };
    println!("{}", shrunk.failure.with_command(&shrunk.options));
    Ok(())
}

fn scale(members: &[usize], seconds: u64, svg: Option<&std::path::Path>) -> Result<()> {
    let mut lines = Vec::new();
    println!(
        "| delays | operators | p50 ms | p99 ms | blocks/s | packets per operator and block |"
    );
    println!("|---|---|---|---|---|---|");
    for map in [Map::Even(25), Map::World] {
        let mut points = Vec::new();
        for size in members {
            let row = measure(*size, map, seconds);
            println!(
                "| {} | {} | {} | {} | {:.1} | {:.0} |",
                map.name(),
                row.members,
                row.p50_ms,
                row.p99_ms,
                row.blocks_per_second,
                row.packets_per_block
            );
            points.push(row);
        }
        lines.push((map.name(), points));
    }
    if let Some(path) = svg {
        std::fs::write(path, plot::latency(&lines))?;
    }
    Ok(())
}
