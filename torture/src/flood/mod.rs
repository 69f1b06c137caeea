//! Floods against real processes: what strangers, a broken operator and careless clients can cost.
//!
//! Each kind runs on a network of its own in two phases of the same length, under the same light load:
//! *calm*, then *flood*. What is asked compares the two, so that a busy machine matters little. Where
//! the flood comes from an operator, that operator's process is stopped in both phases, and the flood
//! speaks with its key from its address: to the others it has come back and lost its mind.
//!
//! | kind | what | asked |
//! |---|---|---|
//! | `handshakes` | 1,000 QUIC handshakes that stop half-way, from as many networks, again and again | goodput at least 90 % of calm, memory at most 64 MiB up |
//! | `forged` | votes, acknowledgements and certificates with wrong signatures | commit p99 at most twice calm; the link is closed |
//! | `repeated` | the same 1,000 messages | processor time at most 5 % of a core up |
//! | `asks` | requests for batches, blocks, certificates and headers, as fast as they are taken; answers stay unread | goodput at least 90 % of calm, memory at most 64 MiB up; the links stay |
//! | `share` | valid batches at ten times the operator's fair share | the others' goodput at least 90 % of calm and their p99 at most twice calm, memory at most 64 MiB up; the links stay |
//! | `clients` | idle connections, streams that are dropped at once, streams that nobody reads | goodput at least 90 % of calm, memory at most 128 MiB up; refusals name a delay |

mod asks;
mod clients;
mod handshakes;
mod operator;
mod raw;
mod report;
mod share;

pub use report::FloodReport;

use crate::generator::{Figures, Load, Shape};
use crate::memory::{cpu, resident};
use crate::network::{Limits, Network, Setup};
use squad_primitives::EXPIRY_BLOCKS_DEFAULT;
use squad_primitives::genesis::{ConsensusParams, Genesis};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What floods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// 1,000 QUIC handshakes that stop half-way
    Handshakes,
    /// An operator that sends wrong signatures
    Forged,
    /// An operator that sends the same 1,000 messages
    Repeated,
    /// An operator that asks for everything and reads no answer
    Asks,
    /// An operator that fills its lane at ten times its fair share
    Share,
    /// Idle connections, dropped streams and unread streams of clients
    Clients,
}

impl Kind {
    /// The operator that floods, where one does; its process does not run.
    const fn broken(self) -> Option<usize> {
        match self {
            Self::Forged | Self::Repeated | Self::Share => Some(BROKEN),
            Self::Asks => Some(asks::BROKEN),
            Self::Handshakes | Self::Clients => None,
        }
    }

    /// Operators whose processes run.
    fn honest(self) -> impl Iterator<Item = usize> {
        let broken = self.broken();
        (0..NODES).filter(move |node| Some(*node) != broken)
    }
}

/// What is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// What floods.
    pub kind: Kind,
    /// Length of each phase.
    pub seconds: u64,
    /// Transactions per second of the light load.
    pub load: u64,
    /// Messages per second of an operator's flood.
    pub rate: u64,
}

/// Operators.
const NODES: usize = 4;
/// The operator that floods with the data plane of this program: everybody else dials it.
const BROKEN: usize = NODES - 1;
/// The operator that strangers and clients flood.
const VICTIM: usize = 0;
/// Rollup of the light load.
const LOAD: u64 = 901;
/// Rollup of the transactions that belong to floods, which the audit of the load leaves out.
const FLOOD: u64 = 902;
const DRAIN_SECONDS: u64 = 20;

/// What the flood saw itself.
#[derive(Debug, Default)]
struct Sent {
    /// Messages, handshakes or streams.
    count: u64,
    /// What else there is to say.
    notes: Vec<String>,
    /// Whether the other side did what its rules say.
    as_ruled: bool,
}

/// Runs one flood below `directory`.
///
/// # Errors
/// If it can't take place. What is wrong with the network is in the report.
pub async fn run(directory: &Path, options: &Options) -> anyhow::Result<FloodReport> {
    let kind = options.kind;
    let setup = Setup {
        nodes: NODES,
        rollups: vec![
            format!("opaque:{LOAD}").parse()?,
            format!("opaque:{FLOOD}").parse()?,
        ],
        consensus: match kind {
            Kind::Share => share::consensus(),
            _ => ConsensusParams::default(),
        },
        settings: match kind {
            Kind::Share => share::settings(),
            _ => Vec::new(),
        },
        seed: 0,
    };
    let mut network = Network::create(&directory.join("net"), setup).await?;
    if kind == Kind::Share {
        // Its lane is to be empty: its process never runs.
        network
            .sky
            .change(|weather| weather.set(|_, _| Some(share::link())));
        for node in kind.honest() {
            network.start(node, Limits::default())?;
        }
        network.in_step().await?;
    } else {
        network.start_all()?;
        network.in_step().await?;
        if let Some(broken) = kind.broken() {
            network.operators[broken].kill()?;
        }
    }
    let phases = Phases {
        directory: directory.to_owned(),
        options: options.clone(),
    };
    let report = phases.run(&mut network).await;
    network.stop().await;
    report
}

struct Phases {
    directory: PathBuf,
    options: Options,
}

/// What the honest operators used.
#[derive(Debug)]
struct Usage {
    cpu: Vec<Duration>,
    memory: Vec<u64>,
}

impl Phases {
    async fn run(&self, network: &mut Network) -> anyhow::Result<FloodReport> {
        let calm = self.phase(network, "calm", None).await?;
        let genesis = Genesis::from_json(&std::fs::read(network.genesis())?)?;
        let flood = Flood {
            kind: self.options.kind,
            rate: self.options.rate,
            genesis,
        };
        let flooded = self.phase(network, "flood", Some(&flood)).await?;
        let mut errors = Vec::new();
        for node in self.options.kind.honest() {
            let operator = &mut network.operators[node];
            if let Some(status) = operator.ended()? {
                errors.push(format!("operator {node} ended: {status}"));
            }
            let log = operator.new_log()?;
            let bad = |line: &&str| line.contains(" ERROR ") || line.contains("panicked at");
            errors.extend(log.lines().filter(bad).map(str::to_owned));
        }
        Ok(FloodReport::new(&self.options, &calm, &flooded, errors))
    }

    async fn phase(
        &self,
        network: &Network,
        name: &str,
        flood: Option<&Flood>,
    ) -> anyhow::Result<Phase> {
        let load = Load {
            rollups: LOAD.to_string(),
            shape: Shape::Constant {
                rate: self.options.load,
                seconds: self.options.seconds,
            },
            expiry_blocks: EXPIRY_BLOCKS_DEFAULT,
            drain_seconds: DRAIN_SECONDS,
        };
        let honest = self.options.kind.honest();
        let endpoints: Vec<_> = honest
            .map(|node| network.operators[node].state.endpoint())
            .collect();
        let before = usage(network, self.options.kind)?;
        let counters = counters(network, self.options.kind).await?;
        let out = self.directory.join(name);
        let generator = load.start(&network.genesis(), &endpoints.join(","), &out)?;
        let length = Duration::from_secs(self.options.seconds);
        let sent = match flood {
            Some(flood) => flood.run(network, length).await?,
            None => {
                tokio::time::sleep(length).await;
                Sent::default()
            }
        };
        let after = usage(network, self.options.kind)?;
        let run = generator.finish().await?;
        let audit = run.audit().await?;
        Ok(Phase {
            figures: run.figures()?,
            findings: audit.findings,
            cpu: after
                .cpu
                .iter()
                .zip(&before.cpu)
                .map(|(a, b)| *a - *b)
                .collect(),
            before: before.memory,
            after: after.memory,
            counters: self.counted(network, &counters).await?,
            sent,
        })
    }

    /// Counters that grew since.
    async fn counted(
        &self,
        network: &Network,
        before: &BTreeMap<String, u64>,
    ) -> anyhow::Result<BTreeMap<String, u64>> {
        let now = counters(network, self.options.kind).await?;
        let grown = now.into_iter().filter_map(|(name, value)| {
            let more = value - before.get(&name).copied().unwrap_or_default().min(value);
            (more > 0).then_some((name, more))
        });
        Ok(grown.collect())
    }
}

/// One phase.
#[derive(Debug)]
struct Phase {
    figures: Figures,
    findings: Vec<String>,
    cpu: Vec<Duration>,
    before: Vec<u64>,
    after: Vec<u64>,
    counters: BTreeMap<String, u64>,
    sent: Sent,
}

struct Flood {
    kind: Kind,
    rate: u64,
    genesis: Genesis,
}

impl Flood {
    async fn run(&self, network: &Network, length: Duration) -> anyhow::Result<Sent> {
        match self.kind {
            Kind::Handshakes => handshakes::flood(network, length).await,
            Kind::Forged => operator::forge(network, &self.genesis, self.rate, length).await,
            Kind::Repeated => operator::repeat(network, &self.genesis, self.rate, length).await,
            Kind::Asks => asks::flood(network, &self.genesis, length).await,
            Kind::Share => share::flood(network, &self.genesis, length).await,
            Kind::Clients => clients::flood(network, length).await,
        }
    }
}

fn usage(network: &Network, kind: Kind) -> anyhow::Result<Usage> {
    let mut usage = Usage {
        cpu: Vec::new(),
        memory: Vec::new(),
    };
    for node in kind.honest() {
        let pid = network.operators[node].pid();
        let gone = || anyhow::anyhow!("operator {node} is gone");
        usage.cpu.push(pid.and_then(cpu).ok_or_else(gone)?);
        usage.memory.push(pid.and_then(resident).ok_or_else(gone)?);
    }
    Ok(usage)
}

/// Counters of the data plane, summed over the honest operators.
async fn counters(network: &Network, kind: Kind) -> anyhow::Result<BTreeMap<String, u64>> {
    const NAMES: [&str; 3] = [
        "squad_network_handshake_failures_total",
        "squad_network_closed_total",
        "squad_network_offences_total",
    ];
    let mut all = BTreeMap::new();
    for node in kind.honest() {
        let text = network.operators[node].metrics().await?;
        for line in text.lines() {
            let Some((name, value)) = line.rsplit_once(' ') else {
                continue;
            };
            if let Some(prefix) = NAMES.iter().find(|prefix| name.starts_with(**prefix)) {
                let short = prefix.trim_start_matches("squad_network_");
                let short = short.trim_end_matches("_total");
                let label = name.split('"').nth(1).unwrap_or_default();
                *all.entry(format!("{short} {label}")).or_default() +=
                    value.parse::<u64>().unwrap_or_default();
            }
        }
    }
    Ok(all)
}
