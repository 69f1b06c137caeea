//! Ten times what the network can carry, for a while.
//!
//! The network's capacity is made small by its own rules, so that a small machine can offer a real
//! multiple of it: blocks of few bytes, and links that delay every packet, which bounds the blocks per
//! second. Phases, on one network:
//!
//! ```text
//!  probe ─▶ blocks per second ─▶ estimate ─▶ search: steps around it ─▶ peak goodput
//!        ─▶ calm: half of the peak ─▶ calm p99
//!        ─▶ overload: ten times the peak, 90 % of it by one rollup ─▶ audit of everything
//! ```
//!
//! Three rollups share the overload: *heavy* sends 90 %, *second* 9 % (nearly the whole capacity by
//! itself), *modest* 1 % (a tenth of the capacity: far less than its share). Each has a generator of its
//! own, which goes on at its pace whatever it is told.

mod report;

pub use report::{OverloadReport, Phase};

use crate::generator::{Audit, Figures, Generator, Load, PAYLOAD_BYTES, Run, Shape};
use crate::memory::MemoryWatch;
use crate::network::{Network, Setup};
use crate::weather::Link;
use squad_primitives::genesis::ConsensusParams;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is made and offered.
#[derive(Clone, Debug)]
pub struct Options {
    /// Operators.
    pub nodes: usize,
    /// Length of the overload.
    pub seconds: u64,
    /// Delay of every packet between two operators, one way.
    pub delay: Duration,
    /// Bytes of bodies that a block may take in.
    pub block_bytes: u64,
    /// Offered load, as a multiple of the peak.
    pub factor: u64,
    /// Seed of the relays.
    pub seed: u64,
}

/// Numbers of the rollups.
const HEAVY: &str = "901";
const SECOND: &str = "7";
const MODEST: &str = "8";

/// Smallest batch limit that a genesis may have.
const BATCH_BYTES: u64 = 64 << 10;
/// Largest payload: small, so that batches may be.
const PAYLOAD_BYTES_LIMIT: u64 = 8 << 10;
/// Size at which operators close a batch.
const BATCH_CLOSED_BYTES: u64 = 32 << 10;
/// Long against everything that a busy machine does to a view: views that are given up are not what is
/// measured here.
const VIEW_TIMEOUT: &str = "5s";
/// Bytes of a transaction besides its payload, in a body: for the estimate only.
const OVERHEAD_BYTES: u64 = 30;
/// Blocks after which a transaction expires: about half a minute with the default delay. What nodes
/// remember until then is at its full size in the second half of a run.
const EXPIRY_BLOCKS: u64 = 150;

const PROBE_RATE: u64 = 500;
/// Lengths before the overload: usually, and where the overload itself takes no longer than calm.
const PROBE_SECONDS: (u64, u64) = (8, 5);
const STEP_SECONDS: (u64, u64) = (6, 4);
const CALM_SECONDS: u64 = 20;
/// Seconds at the start of a phase or step that do not count.
const WARM_UP: u64 = 2;
/// Steps of the search, in percent of the estimate.
const STEPS: [u64; 5] = [70, 85, 100, 115, 130];
const DRAIN_SECONDS: u64 = 60;

/// A network under overload.
#[derive(Debug)]
pub struct Overload {
    network: Network,
    directory: PathBuf,
    options: Options,
}

impl Overload {
    /// Makes and starts the network below `directory`.
    ///
    /// # Errors
    /// If it can't be made or does not take part.
    pub async fn start(directory: &Path, options: Options) -> anyhow::Result<Self> {
        let setup = Setup {
            nodes: options.nodes,
            rollups: vec![
                format!("opaque:{HEAVY}").parse()?,
                format!("kv:{SECOND}").parse()?,
                format!("opaque:{MODEST}").parse()?,
            ],
            consensus: ConsensusParams {
                block_bytes_max: options.block_bytes,
                batch_bytes_limit: BATCH_BYTES,
                payload_bytes_limit: PAYLOAD_BYTES_LIMIT,
                ..ConsensusParams::default()
            },
            settings: vec![
                format!("mempool.batch_bytes={BATCH_CLOSED_BYTES}B"),
                format!("consensus.view_timeout={VIEW_TIMEOUT}"),
                // Above the longest round trip, or what is on its way is repeated.
                format!(
                    "consensus.rebroadcast={}ms",
                    (options.delay * 4).as_millis()
                ),
            ],
            seed: options.seed,
        };
        let mut network = Network::create(&directory.join("net"), setup).await?;
        let link = Link {
            delay: options.delay,
            ..Link::default()
        };
        network.sky.change(|weather| weather.set(|_, _| Some(link)));
        network.start_all()?;
        network.in_step().await?;
        Ok(Self {
            network,
            directory: directory.to_owned(),
            options,
        })
    }

    /// Ends all operators.
    pub async fn stop(mut self) {
        self.network.stop().await;
    }

    /// Runs all phases and the audit.
    ///
    /// # Errors
    /// If a phase can't take place. What is wrong with the network is in the report.
    pub async fn run(&mut self) -> anyhow::Result<OverloadReport> {
        let short = |(usual, short)| match self.options.seconds {
            seconds if seconds <= CALM_SECONDS => short,
            _ => usual,
        };
        let (probe_seconds, step_seconds) = (short(PROBE_SECONDS), short(STEP_SECONDS));
        let calm_seconds = CALM_SECONDS.min(self.options.seconds);
        let mut audit = Audit::default();
        let all = format!("{HEAVY},{SECOND},{MODEST}");

        let probe = self
            .phase("probe", &all, constant(PROBE_RATE, probe_seconds))
            .await?;
        let block_rate = probe.1.block_rate(WARM_UP, probe_seconds);
        add(&mut audit, probe.0);
        let block_transactions = self.options.block_bytes / (PAYLOAD_BYTES + OVERHEAD_BYTES);
        let estimate = (block_rate * block_transactions as f64) as u64;
        println!("probe: {block_rate:.1} blocks per second, room for {estimate} tx/s by the rules");
        anyhow::ensure!(estimate > 0, "no blocks");

        let rates: Vec<_> = STEPS
            .iter()
            .map(|percent| estimate * percent / 100)
            .collect();
        let shape = Shape::Steps {
            rates: rates.clone(),
            seconds: step_seconds,
        };
        let search = self.phase("search", &all, shape).await?;
        let peak = (0..rates.len() as u64)
            .map(|step| {
                let from = step * step_seconds;
                search.1.goodput(from + WARM_UP, from + step_seconds)
            })
            .fold(0.0, f64::max);
        add(&mut audit, search.0);
        println!("search: peak goodput {peak:.0} tx/s");

        let half = constant((peak / 2.0) as u64, calm_seconds);
        let calm = self.phase("calm", &all, half).await?;
        add(&mut audit, calm.0);
        println!(
            "calm: {:.0} tx/s, p50 {:.0} ms, p99 {:.0} ms",
            peak / 2.0,
            ms(calm.1.ordered.p50_us),
            ms(calm.1.ordered.p99_us)
        );

        let (phases, memory, over) = self.overload(peak).await?;
        for run in &over {
            add(&mut audit, run.audit().await?);
        }
        let mut errors = Vec::new();
        for (node, operator) in self.network.operators.iter_mut().enumerate() {
            if let Some(status) = operator.ended()? {
                errors.push(format!("operator {node} ended: {status}"));
            }
            let log = operator.new_log()?;
            let bad = |line: &&str| line.contains(" ERROR ") || line.contains("panicked at");
            errors.extend(
                log.lines()
                    .filter(bad)
                    .map(|line| format!("operator {node}: {line}")),
            );
        }
        Ok(OverloadReport {
            seconds: self.options.seconds,
            factor: self.options.factor,
            block_rate,
            estimate,
            peak,
            calm_p50_us: calm.1.ordered.p50_us,
            calm_p99_us: calm.1.ordered.p99_us,
            phases,
            memory,
            acknowledged: audit.acknowledged,
            ordered: audit.ordered,
            excused: audit.excused,
            findings: audit.findings,
            errors,
        })
    }

    /// Ten times the peak, in three parts at the same time.
    async fn overload(
        &mut self,
        peak: f64,
    ) -> anyhow::Result<(Vec<Phase>, Vec<Vec<u64>>, Vec<Run>)> {
        let total = peak * self.options.factor as f64;
        let parts = [
            ("heavy", HEAVY, 0.90),
            ("second", SECOND, 0.09),
            ("modest", MODEST, 0.01),
        ];
        let watch = MemoryWatch::start(self.pids());
        let mut running = Vec::new();
        for (name, rollup, part) in parts {
            let rate = (total * part) as u64;
            let shape = constant(rate, self.options.seconds);
            running.push((name, rate, self.load(name, rollup, shape)?));
        }
        // Memory counts while the load is on, not while it drains.
        tokio::time::sleep(Duration::from_secs(self.options.seconds)).await;
        let memory = watch.readings();
        drop(watch);
        let (mut phases, mut runs) = (Vec::new(), Vec::new());
        for (name, rate, generator) in running {
            let run = generator.finish().await?;
            let figures = run.figures()?;
            let phase = Phase::new(name, rate, &figures, WARM_UP, self.options.seconds);
            println!("{phase}");
            phases.push(phase);
            runs.push(run);
        }
        Ok((phases, memory, runs))
    }

    async fn phase(
        &self,
        name: &str,
        rollups: &str,
        shape: Shape,
    ) -> anyhow::Result<(Audit, Figures)> {
        let run = self.load(name, rollups, shape)?.finish().await?;
        // Before the next phase uses the same rollups.
        Ok((run.audit().await?, run.figures()?))
    }

    fn load(&self, name: &str, rollups: &str, shape: Shape) -> anyhow::Result<Generator> {
        let load = Load {
            rollups: rollups.to_owned(),
            shape,
            expiry_blocks: EXPIRY_BLOCKS,
            drain_seconds: DRAIN_SECONDS,
        };
        let out = self.directory.join(name);
        load.start(&self.network.genesis(), &self.network.endpoints(), &out)
    }

    fn pids(&self) -> Vec<i32> {
        let operators = self.network.operators.iter();
        operators.filter_map(|operator| operator.pid()).collect()
    }
}

const fn constant(rate: u64, seconds: u64) -> Shape {
    Shape::Constant { rate, seconds }
}

fn add(sum: &mut Audit, more: Audit) {
    sum.acknowledged += more.acknowledged;
    sum.ordered += more.ordered;
    sum.excused += more.excused;
    sum.unanswered_ordered += more.unanswered_ordered;
    sum.findings.extend(more.findings);
}

fn ms(us: u64) -> f64 {
    us as f64 / 1e3
}
