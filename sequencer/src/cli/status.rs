//! `squad status`

use super::args::GlobalArgs;
use super::connect::{self, ANSWER_TIMEOUT, EndpointArgs};
use super::exit::{Code, Failure, Outcome};
use super::output;
use crate::config::parse_duration;
use clap::{Args, ValueEnum};
use serde::Serialize;
use squad_client::{Endpoint, v1};
use squad_primitives::{Digest, NetworkId};
use std::time::Duration;
use tokio::time::Instant;

/// How often a node that is not ready is asked again.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// `squad status`
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    endpoint: EndpointArgs,
    /// Wait until the node is in this state
    #[arg(long, value_enum)]
    wait: Option<WaitFor>,
    /// Longest wait, with unit
    #[arg(long, default_value = "60s", value_name = "DURATION", value_parser = parse_duration)]
    timeout: Duration,
}

/// States to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WaitFor {
    /// Connected to peers and not catching up
    Ready,
}

/// Status as it is printed.
#[derive(Debug, Serialize)]
struct Report {
    network_id: NetworkId,
    network: String,
    version: String,
    protocol_version: u32,
    role: &'static str,
    operator_id: Option<u32>,
    committed_height: u64,
    ordered_height: u64,
    ordered_block: Option<Digest>,
    earliest_height: u64,
    final_height: Option<u64>,
    epoch: u64,
    view: u64,
    syncing: bool,
    target_height: u64,
    peers_connected: usize,
    peers: Vec<Peer>,
    queued_transactions: u64,
    queued_bytes: u64,
    lane_tip: u64,
    lane_ordered: u64,
}

#[derive(Debug, Serialize)]
struct Peer {
    operator_id: u32,
    connected: bool,
    rtt_us: u64,
    lane_seq: u64,
    acked_seq: u64,
}

/// Asks the node and prints.
pub(crate) fn run(global: &GlobalArgs, args: &StatusArgs) -> Outcome {
    connect::block_on(async {
        let endpoint = args.endpoint.connect(global)?;
        let (network, status) = match args.wait {
            None => connect::status(global, &endpoint, ANSWER_TIMEOUT.min(args.timeout)).await?,
            Some(WaitFor::Ready) => wait_ready(global, &endpoint, args.timeout).await?,
        };
        let report = report(network, status);
        output::print(global.format, &text(&report), &report)
    })
}

/// Whether a node does its work: an operator takes transactions, an observer is not catching up. A full
/// lane passes by itself.
#[must_use]
pub(crate) fn is_ready(status: &v1::GetStatusResponse) -> bool {
    match status.intake() {
        v1::Intake::Unspecified => status.role() == v1::Role::Observer && !status.syncing,
        intake => matches!(intake, v1::Intake::Open | v1::Intake::LaneWindow),
    }
}

async fn wait_ready(
    global: &GlobalArgs,
    endpoint: &Endpoint,
    timeout: Duration,
) -> Outcome<(NetworkId, v1::GetStatusResponse)> {
    let deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let last = connect::status(global, endpoint, left.min(ANSWER_TIMEOUT)).await;
        let why = match last {
            Ok((network, status)) if is_ready(&status) => return Ok((network, status)),
            Ok((_, status)) if status.syncing => {
                format!(
                    "syncing: {} of {}",
                    status.ordered_height, status.target_height
                )
            }
            Ok((_, status)) => match status.intake() {
                v1::Intake::Syncing => "it has not heard from a quorum yet".to_owned(),
                v1::Intake::NoQuorum => {
                    "not connected to more than two thirds of stake, or nothing is committed"
                        .to_owned()
                }
                v1::Intake::ShuttingDown => "it is stopping".to_owned(),
                other => format!("it takes no transactions ({})", other.as_str_name()),
            },
            Err(failure) if matches!(failure.code, Code::Unreachable | Code::TimedOut) => {
                failure.to_string()
            }
            Err(failure) => return Err(failure),
        };
        if Instant::now() + POLL_INTERVAL >= deadline {
            return Err(Failure::new(
                Code::TimedOut,
                format!("{} is not ready after {timeout:?}: {why}", endpoint.uri()),
            ));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

fn report(network_id: NetworkId, status: v1::GetStatusResponse) -> Report {
    let role = match status.role() {
        v1::Role::Operator => "operator",
        v1::Role::Observer => "observer",
        v1::Role::Unspecified => "unknown",
    };
    let view = status.view.unwrap_or_default();
    let lane = status.lane.unwrap_or_default();
    let peers: Vec<_> = status
        .peers
        .iter()
        .map(|peer| Peer {
            operator_id: peer.operator_id,
            connected: peer.connected,
            rtt_us: peer.rtt_us,
            lane_seq: peer.lane_seq,
            acked_seq: peer.acked_seq,
        })
        .collect();
    Report {
        network_id,
        network: status.network,
        version: status.version,
        protocol_version: status.protocol_version,
        role,
        operator_id: status.operator_id,
        committed_height: status.committed_height,
        ordered_height: status.ordered_height,
        ordered_block: Digest::try_from(&status.ordered_block[..]).ok(),
        earliest_height: status.earliest_height,
        final_height: status.final_height,
        epoch: view.epoch,
        view: view.view,
        syncing: status.syncing,
        target_height: status.target_height,
        peers_connected: peers.iter().filter(|peer| peer.connected).count(),
        peers,
        queued_transactions: lane.queued_transactions,
        queued_bytes: lane.queued_bytes,
        lane_tip: lane.tip_seq,
        lane_ordered: lane.ordered_seq,
    }
}

fn text(report: &Report) -> String {
    let who = match report.operator_id {
        Some(number) => format!("{} {number}", report.role),
        None => report.role.to_owned(),
    };
    let progress = match report.syncing {
        true => format!("catching up to {}", report.target_height),
        false => "in step".to_owned(),
    };
    let finality = match report.final_height {
        Some(height) => {
            let behind = report.ordered_height.saturating_sub(height);
            format!("up to {height}; {behind} blocks behind")
        }
        None => "no certificates here".to_owned(),
    };
    let mut out = format!(
        "network   {} ({})\nnode      {who}, squad {}\nheight    {} ordered, {} committed, from {}; {progress}\nfinal     {finality}\n\
         view      {}/{}\npeers     {} of {} connected\nlane      {} made, {} ordered; {} transactions wait\n",
        report.network,
        report.network_id,
        report.version,
        report.ordered_height,
        report.committed_height,
        report.earliest_height,
        report.epoch,
        report.view,
        report.peers_connected,
        report.peers.len(),
        report.lane_tip,
        report.lane_ordered,
        report.queued_transactions,
    );
    for peer in &report.peers {
        let state = match peer.connected {
            true => format!("{:.1} ms", peer.rtt_us as f64 / 1_000.0),
            false => "away".to_owned(),
        };
        out.push_str(&format!(
            "  operator {:<3} {state:>9}  lane {:<8} acknowledged {}\n",
            peer.operator_id, peer.lane_seq, peer.acked_seq
        ));
    }
    out
}
