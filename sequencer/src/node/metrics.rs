//! Figures of the node. The registry is passed in: one process may hold several nodes in tests.

use super::record::OrderedBlock;
use crate::config::{Config, Role};
use crate::logging::lines_left_out;
use crate::version::{COMMIT, VERSION};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use squad_consensus::Status;
use squad_primitives::{Height, NetworkId};
use squad_storage::GroupReport;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

type Level = Gauge<i64>;
type Seconds = Gauge<f64, AtomicU64>;

fn level(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn latency() -> Histogram {
    // 0.1 ms to 1.6 s.
    Histogram::new(exponential_buckets(0.0001, 2.0, 15))
}

/// Registers the figures of the process: a metric that is always 1 and says what is running, by which a
/// dashboard joins names, roles and versions to addresses; and lines that the log left out.
pub(crate) fn register_process(
    registry: &mut Registry,
    config: &Config,
    network: NetworkId,
    name: &str,
) {
    let role = match config.node.role {
        Role::Operator => "operator",
        Role::Observer => "observer",
    };
    let labels = vec![
        ("name", name.to_owned()),
        ("role", role.to_owned()),
        ("network_id", network.to_string()),
        ("version", VERSION.to_owned()),
        ("commit", COMMIT.unwrap_or("unknown").to_owned()),
    ];
    registry.register("squad_node", "What is running", Info::new(labels));
    registry.register(
        "squad_log_lines_left_out",
        "Lines about a peer that were one too many in their second",
        lines_left_out(),
    );
}

/// Figures of the core thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct CoreMetrics {
    /// Contradictions of operators.
    pub(crate) evidence: Counter,
    /// Messages that no honest peer sends.
    pub(crate) peer_faults: Counter,
    view: Level,
    epoch: Level,
    committed: Level,
    lag: Level,
    timed_out: Level,
    skipped: Level,
    suspects: Level,
    view_timeout: Seconds,
}

impl CoreMetrics {
    /// Registers the figures.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let sub = registry.sub_registry_with_prefix("squad_consensus");
        sub.register(
            "evidence",
            "Contradictions of operators that were proven",
            metrics.evidence.clone(),
        );
        sub.register(
            "peer_faults",
            "Messages that break the protocol",
            metrics.peer_faults.clone(),
        );
        sub.register(
            "view",
            "Current view, inside its epoch",
            metrics.view.clone(),
        );
        sub.register("epoch", "Current epoch", metrics.epoch.clone());
        sub.register(
            "height",
            "Height of the last committed block",
            metrics.committed.clone(),
        );
        sub.register(
            "unordered_blocks",
            "Committed blocks that are not ordered durably yet",
            metrics.lag.clone(),
        );
        sub.register(
            "views_timed_out",
            "Views left by a timeout certificate since the start",
            metrics.timed_out.clone(),
        );
        sub.register(
            "views_skipped",
            "Views of silent leaders that were not waited for since the start",
            metrics.skipped.clone(),
        );
        sub.register(
            "suspects",
            "Operators whose turns are skipped because they are silent",
            metrics.suspects.clone(),
        );
        sub.register_with_unit(
            "view_timeout",
            "Timer of the current view",
            Unit::Seconds,
            metrics.view_timeout.clone(),
        );
        metrics
    }

    /// Takes the state of consensus over.
    pub(crate) fn observe(&self, status: &Status, processed: Height) {
        self.view.set(level(status.at.view.0));
        self.epoch.set(level(status.at.epoch.0));
        self.committed.set(level(status.committed.0));
        self.lag
            .set(level(status.committed.0.saturating_sub(processed.0)));
        self.timed_out.set(level(status.views_timed_out));
        self.skipped.set(level(status.views_skipped));
        self.suspects.set(level(status.suspects.len() as u64));
        self.view_timeout.set(status.view_timeout_ms as f64 / 1e3);
    }
}

/// Figures of the ordering pipeline.
#[derive(Clone, Debug)]
pub(crate) struct PipelineMetrics {
    transactions: Counter,
    dropped: Counter,
    batches: Counter,
    bytes: Counter,
    height: Level,
    order: Histogram,
    publish: Histogram,
}

impl PipelineMetrics {
    /// Registers the figures.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            transactions: Counter::default(),
            dropped: Counter::default(),
            batches: Counter::default(),
            bytes: Counter::default(),
            height: Level::default(),
            order: latency(),
            publish: latency(),
        };
        let sub = registry.sub_registry_with_prefix("squad_pipeline");
        sub.register(
            "transactions",
            "Transactions ordered",
            metrics.transactions.clone(),
        );
        sub.register(
            "dropped",
            "Transactions in blocks that don't count",
            metrics.dropped.clone(),
        );
        sub.register("batches", "Batches ordered", metrics.batches.clone());
        sub.register_with_unit(
            "body",
            "Body bytes ordered",
            Unit::Bytes,
            metrics.bytes.clone(),
        );
        sub.register(
            "height",
            "Height of the last block that is ordered durably",
            metrics.height.clone(),
        );
        sub.register_with_unit(
            "order",
            "Time to load and order a block",
            Unit::Seconds,
            metrics.order.clone(),
        );
        sub.register_with_unit(
            "publish",
            "Time from a block's arrival to its being visible",
            Unit::Seconds,
            metrics.publish.clone(),
        );
        metrics
    }

    /// A block was ordered.
    pub(crate) fn ordered(&self, block: &OrderedBlock, took: Duration) {
        self.transactions.inc_by(u64::from(block.result.tx_count));
        self.dropped.inc_by(block.dropped.len() as u64);
        self.batches.inc_by(block.headers.len() as u64);
        let bytes = block
            .headers
            .iter()
            .map(|signed| u64::from(signed.header.body_bytes))
            .sum();
        self.bytes.inc_by(bytes);
        self.order.observe(took.as_secs_f64());
    }

    /// A block became visible.
    pub(crate) fn published(&self, block: &OrderedBlock, took: Duration) {
        self.height.set(level(block.height().0));
        self.publish.observe(took.as_secs_f64());
    }
}

/// Figures of the store's writers.
#[derive(Clone, Debug)]
pub(crate) struct StoreMetrics {
    bodies: Histogram,
    main: Histogram,
    safety: Histogram,
    bytes: Counter,
    groups: Counter,
}

impl StoreMetrics {
    /// Registers the figures.
    pub(crate) fn register(registry: &mut Registry) -> Arc<Self> {
        let metrics = Self {
            bodies: latency(),
            main: latency(),
            safety: latency(),
            bytes: Counter::default(),
            groups: Counter::default(),
        };
        let sub = registry.sub_registry_with_prefix("squad_storage");
        sub.register_with_unit(
            "bodies_sync",
            "Group commit of batch bodies",
            Unit::Seconds,
            metrics.bodies.clone(),
        );
        sub.register_with_unit(
            "main_sync",
            "Group commit of blocks and indexes",
            Unit::Seconds,
            metrics.main.clone(),
        );
        sub.register_with_unit(
            "safety_sync",
            "Group commit of safety records",
            Unit::Seconds,
            metrics.safety.clone(),
        );
        sub.register_with_unit(
            "written",
            "Bytes given to the writers",
            Unit::Bytes,
            metrics.bytes.clone(),
        );
        sub.register("groups", "Group commits", metrics.groups.clone());
        Arc::new(metrics)
    }

    /// A group became durable.
    pub(crate) fn group(&self, report: &GroupReport) {
        let histogram = match report.writer {
            "bodies" => &self.bodies,
            "safety" => &self.safety,
            _ => &self.main,
        };
        histogram.observe(report.took.as_secs_f64());
        self.bytes.inc_by(report.bytes as u64);
        self.groups.inc();
    }
}
