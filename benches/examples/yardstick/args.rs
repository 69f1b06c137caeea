//! Command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;
use std::path::PathBuf;

/// Runs consensus engines on the same simulated links and measures them.
#[derive(Debug, Parser)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) scenario: Scenario,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What happens during a run.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum Scenario {
    /// Nothing fails.
    Steady,
    /// The last replica is stopped a second after `--seconds`; the others are watched for as long again.
    Crash {
        /// Seconds after the crash.
        #[arg(long, default_value_t = 30)]
        after_seconds: u64,
    },
    /// A second after `--seconds`, two halves stop hearing each other for a while.
    Partition {
        /// Length of the partition.
        #[arg(long, default_value_t = 5)]
        cut_seconds: u64,
        /// Seconds after it is healed.
        #[arg(long, default_value_t = 10)]
        after_seconds: u64,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Which engines to run, one after the other.
    #[arg(long, global = true, value_enum, value_delimiter = ',', default_values = ["squad", "hotstuff-rs"])]
    pub(crate) engines: Vec<Engine>,
    /// Number of replicas.
    #[arg(short = 'n', long, global = true, default_value_t = 4)]
    pub(crate) replicas: usize,
    /// One-way delay of every link.
    #[arg(long, global = true, default_value_t = 0)]
    pub(crate) delay_ms: u64,
    /// Each message takes up to this much longer.
    #[arg(long, global = true, default_value_t = 0)]
    pub(crate) jitter_ms: u64,
    /// Least time between two proposals of Squad's core; the node's default is 10.
    #[arg(long, global = true, default_value_t = 0)]
    pub(crate) block_interval_ms: u64,
    /// Seconds before anything is measured.
    #[arg(long, global = true, default_value_t = 2)]
    pub(crate) warmup_seconds: u64,
    /// Seconds measured before anything fails.
    #[arg(long, global = true, default_value_t = 10)]
    pub(crate) seconds: u64,
    /// Number of runs per engine.
    #[arg(long, global = true, default_value_t = 1)]
    pub(crate) runs: usize,
    /// Write all figures of all runs here.
    #[arg(long, global = true)]
    pub(crate) json: Option<PathBuf>,
}

/// What orders blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Engine {
    /// `squad-consensus` in real time, one thread per replica.
    Squad,
    /// `hotstuff_rs` 0.4.0 in real time, three threads per replica.
    HotstuffRs,
    /// `squad-consensus` in virtual time; handling a message takes no time. Deterministic.
    SquadVirtual,
    /// `squad-consensus` in virtual time; each replica has a core like one of this machine.
    SquadVirtualCpu,
}
