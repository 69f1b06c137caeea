//! The load generator, `squad-loadtest`, as a process of its own: it knows the network only as a client
//! does, and the audit of what it was promised is its own.

use crate::network::beside;
use anyhow::Context as _;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::{Child, Command};

/// When transactions are sent.
#[derive(Clone, Debug)]
pub enum Shape {
    /// At equal distances.
    Constant {
        /// Transactions per second.
        rate: u64,
        /// How long.
        seconds: u64,
    },
    /// Constant rates one after another.
    Steps {
        /// Transactions per second of each step.
        rates: Vec<u64>,
        /// Length of one step.
        seconds: u64,
    },
}

/// Load of incompressible payloads of 512 bytes, in an open loop.
#[derive(Clone, Debug)]
pub struct Load {
    /// Numbers of the rollups, separated by commas; each gets the same share.
    pub rollups: String,
    /// When.
    pub shape: Shape,
    /// Blocks after which a transaction expires.
    pub expiry_blocks: u64,
    /// Longest wait for what is under way at the end.
    pub drain_seconds: u64,
}

/// Bytes of a payload.
pub const PAYLOAD_BYTES: u64 = 512;

impl Load {
    /// Starts the generator; its files go to `out`.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn start(&self, genesis: &Path, endpoints: &str, out: &Path) -> anyhow::Result<Generator> {
        std::fs::create_dir_all(out)?;
        let log = std::fs::File::create(out.join("load.log"))?;
        let mut command = Command::new(beside("squad-loadtest")?);
        command
            .args(["run", "--no-audit", "--quiet", "--genesis"])
            .arg(genesis)
            .args(["--endpoints", endpoints, "--rollups", &self.rollups])
            .args(["--size", &PAYLOAD_BYTES.to_string()])
            .args(["--expiry-blocks", &self.expiry_blocks.to_string()])
            .args(["--drain", &format!("{}s", self.drain_seconds)])
            .arg("--out")
            .arg(out);
        match &self.shape {
            Shape::Constant { rate, seconds } => command
                .args(["--rate", &rate.to_string()])
                .args(["--duration", &format!("{seconds}s")]),
            Shape::Steps { rates, seconds } => {
                let steps: Vec<_> = rates.iter().map(|r| format!("{r}x{seconds}s")).collect();
                command.args(["--steps", &steps.join(",")])
            }
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("squad-loadtest")?;
        Ok(Generator {
            child,
            run: Run {
                genesis: genesis.to_owned(),
                endpoints: endpoints.to_owned(),
                out: out.to_owned(),
            },
        })
    }
}

/// A running generator.
#[derive(Debug)]
pub struct Generator {
    child: Child,
    run: Run,
}

impl Generator {
    /// Where its files go.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.run.out
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// If it left no record.
    pub async fn finish(mut self) -> anyhow::Result<Run> {
        self.child.wait().await?;
        if !self.run.out.join("audit.bin").is_file() {
            let log = std::fs::read_to_string(self.run.out.join("load.log")).unwrap_or_default();
            anyhow::bail!("the load ended without a record: {log}");
        }
        Ok(self.run)
    }
}

/// A run that has ended.
#[derive(Clone, Debug)]
pub struct Run {
    genesis: PathBuf,
    endpoints: String,
    out: PathBuf,
}

impl Run {
    /// Its figures.
    ///
    /// # Errors
    /// If the report can't be read.
    pub fn figures(&self) -> anyhow::Result<Figures> {
        let path = self.out.join("report.json");
        let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
        serde_json::from_slice(&text).with_context(|| path.display().to_string())
    }

    /// Reads all operators' chains and compares: every acknowledged transaction ordered exactly once
    /// everywhere, nothing else in its rollups, equal blocks, valid certificates and roots.
    ///
    /// # Errors
    /// If there was no audit; what it found is no error.
    pub async fn audit(&self) -> anyhow::Result<Audit> {
        let output = Command::new(beside("squad-loadtest")?)
            .args(["audit", "--genesis"])
            .arg(&self.genesis)
            .args(["--endpoints", &self.endpoints, "--file"])
            .arg(self.out.join("audit.bin"))
            .stdin(Stdio::null())
            .output()
            .await?;
        let mut found: Audit = serde_json::from_slice(&output.stdout).map_err(|_| {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            anyhow::anyhow!("no audit ({}): {text}", output.status)
        })?;
        if !output.status.success() && found.findings.is_empty() {
            let status = output.status;
            found
                .findings
                .push(format!("the audit ended with {status}"));
        }
        Ok(found)
    }
}

/// What an audit found.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Audit {
    /// Transactions that an operator accepted.
    pub acknowledged: u64,
    /// Of these, ordered once on every operator.
    pub ordered: u64,
    /// Of these, expired with a reason.
    pub excused: u64,
    /// Sent without an answer, and ordered all the same.
    pub unanswered_ordered: u64,
    /// Everything that is wrong.
    pub findings: Vec<String>,
}

/// Figures of a run: the part of the generator's report that is judged here.
#[derive(Clone, Debug, Deserialize)]
pub struct Figures {
    /// Transactions by fate.
    pub counts: Counts,
    /// Refusals and broken connections by reason.
    pub errors: BTreeMap<String, u64>,
    /// Intended time to ordered, in microseconds.
    pub ordered: Quantiles,
    /// The generator's own delay, in microseconds.
    pub send_lag: Quantiles,
    /// Delays that refusals named, in microseconds.
    pub retry_after: Quantiles,
    /// One row per second.
    pub seconds: Vec<Second>,
}

/// Transactions by fate.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Counts {
    /// In the schedule.
    pub intended: u64,
    /// Due while no connection had room.
    pub dropped: u64,
    /// Accepted by an operator.
    pub accepted: u64,
    /// Refused.
    pub refused: u64,
    /// Sent without an answer.
    pub unanswered: u64,
    /// Seen in a block.
    pub ordered: u64,
}

/// A distribution in a few figures.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Quantiles {
    /// Entries.
    pub count: u64,
    /// Median.
    pub p50_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// Largest.
    pub max_us: u64,
}

/// One second of a run.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Second {
    /// Seconds since the start, at its end.
    pub second: u64,
    /// Seen in blocks.
    pub ordered: u64,
    /// Height of the last block seen.
    pub height: u64,
}

impl Figures {
    /// Ordered transactions per second between two moments, in seconds since the start.
    #[must_use]
    pub fn goodput(&self, from: u64, to: u64) -> f64 {
        let rows = self.seconds.iter();
        let inside = rows.filter(|row| row.second > from && row.second <= to);
        let (count, sum) = inside.fold((0_u64, 0_u64), |(count, sum), row| {
            (count + 1, sum + row.ordered)
        });
        sum as f64 / count.max(1) as f64
    }

    /// Blocks per second between two moments.
    #[must_use]
    pub fn block_rate(&self, from: u64, to: u64) -> f64 {
        let height = |second| {
            let row = self.seconds.iter().find(|row| row.second == second);
            row.map_or(0, |row| row.height)
        };
        height(to).saturating_sub(height(from)) as f64 / to.saturating_sub(from).max(1) as f64
    }
}
