//! How much the lanes hold, for metrics and for tests of the bounds.

use super::Lanes;

/// Number of things held, over all lanes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LanesUsage {
    /// Headers.
    pub headers: usize,
    /// Proofs for known headers.
    pub proofs: usize,
    /// Proofs for unknown headers.
    pub orphans: usize,
    /// Tips that are being collected.
    pub targets: usize,
    /// Bodies that are asked for.
    pub fetches: usize,
    /// Acknowledgements of own batches without a proof.
    pub acks: usize,
    /// Writes that are not durable.
    pub writes: usize,
}

impl Lanes {
    /// How much is held.
    #[must_use]
    pub fn usage(&self) -> LanesUsage {
        let mut usage = LanesUsage {
            acks: self.own.acks.values().map(|acks| acks.len()).sum(),
            writes: self.writes.len(),
            ..LanesUsage::default()
        };
        for lane in self.lanes.values() {
            usage.headers += lane.entries.len();
            usage.proofs += lane.proofs.len();
            usage.orphans += lane.orphans.len();
            usage.targets += lane.targets.len();
            usage.fetches += lane.fetches.len();
        }
        usage
    }
}
