//! One episode: load, a fault, its end, and the audit.

use crate::broken_disk::{Damage, Flipped};
use crate::generator::{Generator, Load, Shape};
use crate::network::{Limits, Network, STEP_TIMEOUT};
use crate::plan::Fault;
use crate::probe::Probe;
use crate::report::EpisodeReport;
use crate::weather::Link;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rustix::process::Signal;
use squad_primitives::EXPIRY_BLOCKS_DEFAULT;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Load before the fault.
const LEAD: Duration = Duration::from_secs(2);
/// Load after the network is in step again.
const TAIL: Duration = Duration::from_secs(3);
/// Length of the load: longer than any fault with its recovery should take.
const LOAD_SECONDS: u64 = 25;
/// Longest wait of the load for what is under way when it ends.
const DRAIN_SECONDS: u64 = 30;
/// Longest wait until a process that can't write, or found damage, has ended.
pub(crate) const END_TIMEOUT: Duration = Duration::from_secs(12);
/// Longest time without a commit while at most a third of the operators is touched. Far above what is
/// expected (about one view timeout), so that only a stuck network fails, not a slow machine.
const GAP_MAX: Duration = Duration::from_secs(10);
/// Runs episodes on one network.
#[derive(Debug)]
pub struct Runner {
    pub(crate) network: Network,
    probe: Probe,
    pub(crate) directory: PathBuf,
    rate: u64,
    /// Damage that an operator runs with.
    pub(crate) flipped: Option<Flipped>,
    /// Longest time until all are in step after this episode's fault.
    pub(crate) patience: Duration,
}

impl Runner {
    /// Starts the operators of a network.
    ///
    /// # Errors
    /// If they don't take part.
    pub async fn start(mut network: Network, directory: &Path, rate: u64) -> anyhow::Result<Self> {
        network.start_all()?;
        network.in_step().await?;
        let endpoints = network
            .operators
            .iter()
            .map(|operator| operator.endpoint.clone())
            .collect();
        Ok(Self {
            probe: Probe::start(endpoints),
            network,
            directory: directory.to_owned(),
            rate,
            flipped: None,
            patience: STEP_TIMEOUT,
        })
    }

    /// Ends all operators.
    pub async fn stop(mut self) {
        self.network.stop().await;
    }

    /// One episode. Everything that is wrong is in the report; an error means that the run can't go on.
    ///
    /// # Errors
    /// If a process can't be started or ended, or a file not be read.
    pub async fn run(
        &mut self,
        number: usize,
        seed: u64,
        fault: &Fault,
    ) -> anyhow::Result<EpisodeReport> {
        let out = self.directory.join(format!("episode-{number}"));
        let mut report = EpisodeReport::new(number, fault.clone());
        let load = self.load(&out)?;
        tokio::time::sleep(LEAD).await;

        self.probe.reset();
        let before = self.probe.height();
        self.patience = STEP_TIMEOUT;
        let mut rng = StdRng::seed_from_u64(seed ^ (number as u64).rotate_left(32));
        self.inject(fault, &mut rng, &mut report).await?;
        self.network.sky.clear();
        report.longest_gap_ms = millis(self.probe.longest());
        report.blocks = self.probe.height().saturating_sub(before);
        if fault.commits_go_on() && self.probe.longest() > GAP_MAX {
            report.violation(format!("no commit for {:?}", self.probe.longest()));
        }

        let mut step = self.network.in_step_within(self.patience).await;
        if self.noticed_late(&mut report)? {
            step = self.network.in_step_within(self.patience).await;
        }
        match step {
            Ok(time) => report.recovery_ms = millis(time),
            Err(error) => report.violation(error.to_string()),
        }
        tokio::time::sleep(TAIL).await;
        if self.noticed_late(&mut report)? {
            self.network.in_step_within(self.patience).await?;
        }
        self.audit(load, &mut report).await?;
        self.read_logs(fault, &mut report)?;
        if self.mend()? {
            self.network.in_step().await?;
        }
        Ok(report)
    }

    fn load(&self, out: &Path) -> anyhow::Result<Generator> {
        Load {
            rollups: "901,7".to_owned(),
            shape: Shape::Constant {
                rate: self.rate,
                seconds: LOAD_SECONDS,
            },
            expiry_blocks: EXPIRY_BLOCKS_DEFAULT,
            drain_seconds: DRAIN_SECONDS,
        }
        .start(&self.network.genesis(), &self.network.endpoints(), out)
    }

    async fn audit(&self, load: Generator, report: &mut EpisodeReport) -> anyhow::Result<()> {
        let out = load.directory().to_owned();
        let audit = match load.finish().await {
            Ok(done) => done.audit().await,
            Err(error) => Err(error),
        };
        let found = match audit {
            Ok(found) => found,
            Err(error) => {
                report.violation(format!("{error:#}"));
                return Ok(());
            }
        };
        report.acknowledged = found.acknowledged;
        report.ordered = found.ordered;
        report.excused = found.excused;
        report.unanswered_ordered = found.unanswered_ordered;
        for finding in found.findings {
            report.violation(finding);
        }
        // Only a failed episode's record is worth its space.
        if report.violations.is_empty() {
            std::fs::remove_dir_all(out)?;
        }
        Ok(())
    }

    fn read_logs(&mut self, fault: &Fault, report: &mut EpisodeReport) -> anyhow::Result<()> {
        let broken_disk = matches!(
            fault,
            Fault::CutTail { .. } | Fault::FlipBit { .. } | Fault::DiskFull { .. }
        );
        for (node, operator) in self.network.operators.iter_mut().enumerate() {
            for line in operator.new_log()?.lines() {
                if line.contains("panicked at") {
                    report.violation(format!("operator {node}: {line}"));
                } else if line.contains(" ERROR ") && !broken_disk {
                    report.violation(format!("operator {node} logs an error: {line}"));
                }
            }
        }
        Ok(())
    }

    async fn inject(
        &mut self,
        fault: &Fault,
        rng: &mut StdRng,
        report: &mut EpisodeReport,
    ) -> anyhow::Result<()> {
        match fault {
            Fault::Kill { node, down } => self.kill(*node, *down, report).await,
            Fault::KillLeader { down } => {
                let node = self.leader().await;
                self.kill(node, *down, report).await
            }
            Fault::KillTwice { node, alive } => {
                self.kill(*node, Duration::ZERO, report).await?;
                tokio::time::sleep(*alive).await;
                self.kill(*node, Duration::ZERO, report).await
            }
            Fault::KillAll { down } => {
                for operator in &mut self.network.operators {
                    operator.kill()?;
                    report.kills += 1;
                }
                tokio::time::sleep(*down).await;
                self.network.start_all()
            }
            Fault::Freeze { node, length } => {
                let operator = &self.network.operators[*node];
                operator.signal(Signal::STOP)?;
                tokio::time::sleep(*length).await;
                operator.signal(Signal::CONT)
            }
            Fault::Rolling => self.rolling(report).await,
            Fault::Isolate { .. } | Fault::Split { .. } | Fault::Storm { .. } => {
                self.weather(fault, rng, report).await;
                Ok(())
            }
            Fault::CutTail { node } => self.damage(*node, Damage::Tail, rng, report).await,
            Fault::FlipBit { node } => self.damage(*node, Damage::Bit, rng, report).await,
            Fault::DiskFull { node, file_kib } => self.disk_full(*node, *file_kib, report).await,
        }
    }

    async fn leader(&self) -> usize {
        for operator in &self.network.operators {
            let mut client = operator.endpoint.operators();
            let request = squad_client::v1::GetLeaderRequest::default();
            if let Ok(answer) = client.get_leader(request).await {
                let leader = answer.get_ref().operator_id as usize;
                if leader < self.network.operators.len() {
                    return leader;
                }
            }
        }
        0
    }

    async fn kill(
        &mut self,
        node: usize,
        down: Duration,
        report: &mut EpisodeReport,
    ) -> anyhow::Result<()> {
        self.network.operators[node].kill()?;
        report.kills += 1;
        tokio::time::sleep(down).await;
        self.network.start(node, Limits::default())
    }

    async fn rolling(&mut self, report: &mut EpisodeReport) -> anyhow::Result<()> {
        for node in 0..self.network.operators.len() {
            let operator = &mut self.network.operators[node];
            operator.signal(Signal::TERM)?;
            match operator.wait_end(END_TIMEOUT).await? {
                Some(status) if status.success() => {}
                Some(status) => report.violation(format!("operator {node} stopped with {status}")),
                None => {
                    report.violation(format!("operator {node} ignores SIGTERM"));
                    operator.kill()?;
                }
            }
            report.restarts += 1;
            self.network.start(node, Limits::default())?;
            if let Err(error) = self.network.in_step().await {
                report.violation(error.to_string());
            }
        }
        Ok(())
    }

    async fn weather(&self, fault: &Fault, rng: &mut StdRng, report: &mut EpisodeReport) {
        let cut = Link {
            cut: true,
            ..Link::default()
        };
        let length = match fault {
            Fault::Isolate {
                node,
                deaf,
                mute,
                length,
            } => {
                self.network.sky.change(|weather| {
                    weather.set(|from, to| {
                        ((*deaf && to == *node) || (*mute && from == *node)).then_some(cut)
                    });
                });
                *length
            }
            Fault::Split { group, length } => {
                self.network.sky.change(|weather| {
                    weather.set(|from, to| {
                        (group.contains(&from) != group.contains(&to)).then_some(cut)
                    });
                });
                *length
            }
            Fault::Storm {
                delay_ms,
                loss_permille,
                duplicate_permille,
                length,
            } => {
                let links: Vec<Link> = (0..self.network.operators.len().pow(2))
                    .map(|_| Link {
                        cut: false,
                        delay: Duration::from_millis(rng.random_range(0..=*delay_ms)),
                        jitter: Duration::from_millis(rng.random_range(0..=*delay_ms / 4)),
                        loss: f64::from(*loss_permille) / 1e3,
                        duplicate: f64::from(*duplicate_permille) / 1e3,
                    })
                    .collect();
                let nodes = self.network.operators.len();
                self.network.sky.change(|weather| {
                    weather.set(|from, to| links.get(from * nodes + to).copied());
                });
                *length
            }
            _ => return,
        };
        report.partitions += u64::from(!matches!(fault, Fault::Storm { .. }));
        tokio::time::sleep(length).await;
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
