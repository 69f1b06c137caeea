//! Figures of finality.

use super::alerts::AlertKind;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use squad_primitives::Height;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct MachMetrics {
    /// Attestations signed.
    pub(crate) attested: Counter,
    /// Results that the sign-once guard refused to sign.
    pub(crate) refused: Counter,
    /// Signatures and certificates of peers that do not verify.
    pub(crate) bad_signatures: Counter,
    /// Executed blocks and messages dropped because too much waited.
    pub(crate) dropped: Counter,
    alerts: Family<KindLabel, Counter>,
    certificates: Counter,
    height: Gauge<i64>,
    lag: Gauge<i64>,
    halted: Gauge<i64>,
    signed_stake: Gauge<f64, AtomicU64>,
    certificate: Histogram,
}

impl MachMetrics {
    /// Registers the figures.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            attested: Counter::default(),
            refused: Counter::default(),
            bad_signatures: Counter::default(),
            dropped: Counter::default(),
            alerts: Family::default(),
            certificates: Counter::default(),
            height: Gauge::default(),
            lag: Gauge::default(),
            halted: Gauge::default(),
            signed_stake: Gauge::default(),
            // 1 ms to 2 s in steps of 30 %.
            certificate: Histogram::new(exponential_buckets(0.001, 1.3, 30)),
        };
        let sub = registry.sub_registry_with_prefix("squad_mach");
        sub.register("attestations", "Results signed", metrics.attested.clone());
        sub.register(
            "refusals",
            "Results not signed because of what was signed before",
            metrics.refused.clone(),
        );
        sub.register(
            "bad_signatures",
            "Attestations and certificates of peers that do not verify",
            metrics.bad_signatures.clone(),
        );
        sub.register(
            "dropped",
            "Executed blocks and messages dropped because too much waited",
            metrics.dropped.clone(),
        );
        sub.register("alerts", "Alerts", metrics.alerts.clone());
        sub.register(
            "certificates",
            "Heights certified",
            metrics.certificates.clone(),
        );
        sub.register(
            "final_height",
            "Height up to which blocks are final",
            metrics.height.clone(),
        );
        sub.register(
            "lag_blocks",
            "Executed blocks that are not final",
            metrics.lag.clone(),
        );
        sub.register(
            "halted",
            "1 if a quorum contradicted this node and it signs nothing more",
            metrics.halted.clone(),
        );
        sub.register(
            "signed_stake_ratio",
            "Share of stake that signed the last certificate",
            metrics.signed_stake.clone(),
        );
        sub.register_with_unit(
            "final",
            "Time from a block's being ordered and stored to the certificate that covers it",
            Unit::Seconds,
            metrics.certificate.clone(),
        );
        metrics
    }

    /// An alert was raised.
    pub(super) fn alert(&self, kind: AlertKind) {
        let kind = kind.name();
        self.alerts.get_or_create(&KindLabel { kind }).inc();
    }

    /// A height was certified.
    pub(super) fn certified(&self, height: Height, signed: f64) {
        self.certificates.inc();
        self.height.set(level(height));
        self.signed_stake.set(signed);
    }

    /// A block became final this long after it was executed here.
    pub(super) fn covered(&self, after: Duration) {
        self.certificate.observe(after.as_secs_f64());
    }

    /// Where execution and certificates are.
    pub(super) fn observe(&self, executed: Height, certified: Height) {
        self.lag
            .set(level(Height(executed.0.saturating_sub(certified.0))));
    }

    /// This node signs nothing more.
    pub(super) fn halt(&self) {
        self.halted.set(1);
    }
}

fn level(height: Height) -> i64 {
    i64::try_from(height.0).unwrap_or(i64::MAX)
}
