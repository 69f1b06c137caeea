//! Explores scopes and reports what was found.

use anyhow::{Context, Result, bail};
use clap::Parser;
use squad_model::{Limits, Scope, Search, explore};
use std::time::Instant;

/// Explores the states of a small network of the real ordering core, in every order of events
#[derive(Debug, Parser)]
#[command(name = "squad-model")]
struct Arguments {
    /// Scopes to explore; all in which the rules must hold, if none is named
    scopes: Vec<String>,
    /// Longest path, in states; those at its end are not judged
    #[arg(long)]
    depth: Option<usize>,
    /// Stop a scope after about so many steps, repetitions included
    #[arg(long)]
    steps: Option<usize>,
    /// Take random paths to their ends, from this seed, instead of all paths, shortest first
    #[arg(long)]
    walks: Option<u64>,
    /// Threads
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let scopes = if arguments.scopes.is_empty() {
        Scope::sound()
    } else {
        let named = arguments.scopes.iter();
        let found =
            named.map(|name| Scope::named(name).with_context(|| format!("no scope {name}")));
        found.collect::<Result<_>>()?
    };
    let depth = arguments.depth;
    let limits = Limits {
        search: arguments
            .walks
            .map_or(Search::Breadth { depth }, |seed| Search::Walks { seed }),
        steps: arguments.steps,
        threads: arguments.threads,
        until: None,
    };
    let mut failed = Vec::new();
    for scope in scopes {
        let name = scope.name;
        if !run(scope, limits) {
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("rules are broken in {}", failed.join(", "));
    }
    Ok(())
}

fn run(scope: Scope, limits: Limits) -> bool {
    let (name, started) = (scope.name, Instant::now());
    let report = explore(scope, limits);
    let seconds = started.elapsed().as_secs_f64();
    let (compared, differed) = report.compared;
    println!(
        "{name}: {} unique states, {} judged, {} steps, depth {}, {seconds:.1} s\n  \
         {} states of single operators, {} of the network; {} fair schedules; \
         {differed} of {compared} compared answers differ",
        report.unique,
        report.judged,
        report.steps,
        report.depth,
        report.operators,
        report.networks,
        report.schedules,
    );
    for rule in &report.seen {
        println!("  seen: {rule}");
    }
    for (rule, path) in &report.broken {
        println!("  BROKEN: {rule}");
        for action in path {
            println!("    {action}");
        }
    }
    report.holds()
}
