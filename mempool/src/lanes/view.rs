//! How far lanes are, for status and metrics.

use super::Lanes;
use squad_primitives::{BatchSeq, OperatorId};

impl Lanes {
    /// Position up to which this operator holds a lane durably; for the own lane its last durable batch.
    #[must_use]
    pub fn held_seq(&self, lane: OperatorId) -> BatchSeq {
        if self.config.me == Some(lane) {
            return self.own.tip.map_or(BatchSeq::ZERO, |tip| tip.seq);
        }
        self.lanes
            .get(&lane)
            .map_or(BatchSeq::ZERO, |lane| lane.held_tip().seq)
    }

    /// Position up to which another operator said that it holds the own lane.
    #[must_use]
    pub fn acked_seq(&self, by: OperatorId) -> BatchSeq {
        self.own.held.get(&by).copied().unwrap_or_default()
    }

    /// Position of a lane in the last committed cut.
    #[must_use]
    pub fn committed_seq(&self, lane: OperatorId) -> BatchSeq {
        self.lanes
            .get(&lane)
            .map_or(BatchSeq::ZERO, |lane| lane.committed.seq)
    }
}
