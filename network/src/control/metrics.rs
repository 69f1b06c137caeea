//! Figures of the control plane, as `squad_control_*`.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Handles of the control plane's metrics. Clones share the figures.
#[derive(Clone, Debug, Default)]
pub struct ControlMetrics {
    pub(crate) peers: Gauge,
    pub(crate) operators: Gauge,
    blocks: Family<Outcome, Counter>,
    requests: Family<Outcome, Counter>,
    served: Family<Outcome, Counter>,
    records: Family<Outcome, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

impl ControlMetrics {
    /// Creates the metrics and adds them to `registry`, which must not carry a prefix of its own.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix("squad_control");
        registry.register("peers", "Connected peers", metrics.peers.clone());
        registry.register(
            "operators",
            "Operators whose record is known",
            metrics.operators.clone(),
        );
        registry.register(
            "blocks",
            "Announced blocks, by verdict",
            metrics.blocks.clone(),
        );
        registry.register(
            "requests",
            "Own sync requests, by outcome",
            metrics.requests.clone(),
        );
        registry.register(
            "served",
            "Sync requests of others, by outcome",
            metrics.served.clone(),
        );
        registry.register(
            "records",
            "Operator records received, by outcome",
            metrics.records.clone(),
        );
        metrics
    }

    pub(crate) fn block(&self, outcome: &'static str) {
        self.blocks.get_or_create(&Outcome { outcome }).inc();
    }

    pub(crate) fn request(&self, outcome: &'static str) {
        self.requests.get_or_create(&Outcome { outcome }).inc();
    }

    pub(crate) fn served(&self, outcome: &'static str) {
        self.served.get_or_create(&Outcome { outcome }).inc();
    }

    pub(crate) fn record(&self, outcome: &'static str) {
        self.records.get_or_create(&Outcome { outcome }).inc();
    }
}
