//! Figures of the data plane, as `squad_network_*`. The registry is passed in, so that one process can
//! hold several nodes. Labels are class names and our own reasons: strangers can't choose any.

use super::class::Class;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Handles of the data plane's metrics. Clones share the figures.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pub(crate) peers: Gauge,
    pub(crate) sent: PerClass<Counter>,
    pub(crate) received: PerClass<Counter>,
    pub(crate) dropped: PerClass<Counter>,
    pub(crate) queue: PerClass<Gauge>,
    pub(crate) handshake_failures: Reasons,
    pub(crate) closed: Reasons,
    pub(crate) offences: Reasons,
    pub(crate) fetches: Reasons,
}

/// One figure for each class, reached without hashing labels.
#[derive(Clone, Debug, Default)]
pub(crate) struct PerClass<M> {
    consensus: M,
    acks: M,
    batches: M,
}

impl<M> PerClass<M> {
    pub(crate) const fn of(&self, class: Class) -> &M {
        match class {
            Class::Consensus => &self.consensus,
            Class::Acks => &self.acks,
            Class::Batches => &self.batches,
        }
    }
}

/// Counters by reason.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reasons(Family<Reason, Counter>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

impl Reasons {
    pub(crate) fn count(&self, reason: &'static str) {
        self.0.get_or_create(&Reason { reason }).inc();
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClassLabel {
    class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BytesLabels {
    direction: &'static str,
    class: &'static str,
}

impl Metrics {
    /// Creates the metrics and adds them to `registry`, which must not carry a prefix of its own.
    pub fn register(registry: &mut Registry) -> Self {
        let bytes = Family::<BytesLabels, Counter>::default();
        let dropped = Family::<ClassLabel, Counter>::default();
        let queue = Family::<ClassLabel, Gauge>::default();
        let traffic = |direction| {
            per_class(|class| {
                bytes
                    .get_or_create(&BytesLabels { direction, class })
                    .clone()
            })
        };
        let metrics = Self {
            sent: traffic("out"),
            received: traffic("in"),
            dropped: per_class(|class| dropped.get_or_create(&ClassLabel { class }).clone()),
            queue: per_class(|class| queue.get_or_create(&ClassLabel { class }).clone()),
            ..Self::default()
        };
        let registry = registry.sub_registry_with_prefix("squad_network");
        registry.register("peers", "Connected operators", metrics.peers.clone());
        registry.register("bytes", "Payload bytes of frames", bytes);
        registry.register(
            "dropped",
            "Frames that made way for newer ones, or whose peer went away",
            dropped,
        );
        registry.register("queue", "Frames waiting, all peers together", queue);
        registry.register(
            "handshake_failures",
            "Connections that failed before the hello was done",
            metrics.handshake_failures.0.clone(),
        );
        registry.register(
            "closed",
            "Connections that ended after the hello",
            metrics.closed.0.clone(),
        );
        registry.register(
            "offences",
            "Misbehaviour of peers, as reported by the node",
            metrics.offences.0.clone(),
        );
        registry.register(
            "fetches",
            "Own requests to peers, by outcome",
            metrics.fetches.0.clone(),
        );
        metrics
    }
}

fn per_class<M>(mut make: impl FnMut(&'static str) -> M) -> PerClass<M> {
    PerClass {
        consensus: make(Class::Consensus.name()),
        acks: make(Class::Acks.name()),
        batches: make(Class::Batches.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_convention() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        metrics.sent.of(Class::Acks).inc_by(7);
        metrics.handshake_failures.count("timeout");
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(
            text.contains(r#"squad_network_bytes_total{direction="out",class="acks"} 7"#),
            "{text}"
        );
        assert!(
            text.contains(r#"squad_network_handshake_failures_total{reason="timeout"} 1"#),
            "{text}"
        );
    }
}
