//! Runs `squad-consensus` and `hotstuff_rs` 0.4.0 on the same simulated links.
//!
//! ```text
//! cargo build --release -p squad-benches --example yardstick
//! Y="cargo run --release -q -p squad-benches --example yardstick --"
//!
//! $Y steady                -n 4  --seconds 10 --runs 5          no delay: rate, CPU, messages
//! $Y steady --delay-ms 25  -n 4  --seconds 15 --runs 3          also with -n 20
//! $Y steady --delay-ms 25  -n 100 --seconds 3 --engines squad-virtual       takes minutes
//! $Y crash  --delay-ms 25  -n 4  --after-seconds 60             also with --delay-ms 0
//! $Y partition --delay-ms 25 -n 4 --cut-seconds 5               two against two
//! ```
//!
//! Every run is bounded: warm-up, `--seconds`, and what the scenario adds. Each prints one line, and
//! `--json` writes all figures. What they mean is defined in `squad_benches::record`. The rate of
//! Squad's core without delay is bounded by 1,000/s: timestamps of blocks grow by a millisecond each.
//!
//! The replicas of a run share the machine. Rates and CPU without delay vary with whatever else runs
//! there, so do several runs and look at the best and the median; latencies at 25 ms hardly vary.

mod args;
mod hotstuff;
mod run;

use args::{Cli, Scenario};
use clap::Parser;
use run::Outcome;
use squad_benches::record::median;

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let common = &cli.common;
    anyhow::ensure!(
        (2..=128).contains(&common.replicas) && common.runs > 0 && common.seconds > 0,
        "replicas must be 2 to 128, runs and seconds at least 1"
    );
    println!(
        "{:?}, n = {}, {} ms one way, jitter {} ms",
        cli.scenario, common.replicas, common.delay_ms, common.jitter_ms
    );
    println!(
        "{:>18} {:>9} {:>8} {:>8} {:>9} {:>6} {:>8} {:>9}{}",
        "engine",
        "commits/s",
        "p50 ms",
        "p99 ms",
        "CPU ms",
        "spin",
        "msg/com",
        "B/com",
        match cli.scenario {
            Scenario::Steady => "",
            _ => "   gap ms  commits/s after  silent at end  resumed first / all",
        }
    );
    let mut outcomes = Vec::new();
    for engine in &common.engines {
        let first = outcomes.len();
        for _ in 0..common.runs {
            let outcome = run::run(cli.scenario, common, *engine);
            println!("{}", line(&outcome));
            outcomes.push(outcome);
        }
        if common.runs > 1 {
            println!("{}", summary(&outcomes[first..]));
        }
    }
    if let Some(path) = &common.json {
        std::fs::write(path, serde_json::to_vec_pretty(&outcomes)?)?;
    }
    Ok(())
}

fn name(outcome: &Outcome) -> String {
    let value = serde_json::to_value(outcome.engine).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn line(outcome: &Outcome) -> String {
    let steady = &outcome.steady;
    let mut line = format!(
        "{:>18} {:>9.1} {:>8.2} {:>8.2} {:>9.3} {:>6.2} {:>8.1} {:>9.0}",
        name(outcome),
        steady.commits_per_s,
        steady.latency_p50_ms,
        steady.latency_p99_ms,
        outcome.cpu_ms_per_view_and_replica,
        outcome.spinning_cores,
        outcome.messages_per_commit,
        outcome.bytes_per_commit,
    );
    if let (Some(after), Some(resumed)) = (&outcome.after, outcome.resumed_ms) {
        let time = |time: Option<f64>| time.map_or("never".to_owned(), |ms| format!("{ms:.0} ms"));
        line += &format!(
            " {:>8.0} {:>16.1} {:>11.1} s  {:>10} / {}",
            after.longest_gap_ms,
            after.commits_per_s,
            after.silent_at_end_ms / 1e3,
            time(resumed[0]),
            time(resumed[1]),
        );
    }
    line
}

/// Median and best of several runs.
fn summary(outcomes: &[Outcome]) -> String {
    let rate = |outcome: &Outcome| outcome.steady.commits_per_s;
    let latency = |outcome: &Outcome| outcome.steady.latency_p50_ms;
    let cpu = |outcome: &Outcome| outcome.cpu_ms_per_view_and_replica;
    let of = |figure: fn(&Outcome) -> f64| median(outcomes.iter().map(figure).collect());
    let best = |figure: fn(&Outcome) -> f64| {
        let all = outcomes.iter().map(figure);
        all.min_by(f64::total_cmp).unwrap_or_default()
    };
    format!(
        "{:>18} {:>9.1} {:>8.2} {:>8} {:>9.3}\n{:>18} {:>9.1} {:>8.2} {:>8} {:>9.3}",
        "median",
        of(rate),
        of(latency),
        "",
        of(cpu),
        "best",
        -best(|outcome| -outcome.steady.commits_per_s),
        best(latency),
        "",
        best(cpu),
    )
}
