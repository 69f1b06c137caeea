//! Lanes that always have one more certified batch, at constant cost.

use squad_consensus::{CutCheck, LaneView};
use squad_primitives::{BatchSeq, Cut, Digest, Epoch, Now, OperatorId, Tip};

/// Every cut moves every lane by one batch; every cut is legal and available.
#[derive(Clone, Debug)]
pub struct BusyLanes {
    lanes: Vec<OperatorId>,
}

impl BusyLanes {
    /// Lanes of the first `members` operators.
    #[must_use]
    pub fn new(members: usize) -> Self {
        Self {
            lanes: (0..members).map(crate::committee::operator).collect(),
        }
    }
}

fn tip(lane: OperatorId, seq: u64) -> Tip {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&seq.to_le_bytes());
    digest[8..12].copy_from_slice(&lane.0.to_le_bytes());
    Tip {
        lane,
        seq: BatchSeq(seq),
        digest: Digest(digest),
    }
}

impl LaneView for BusyLanes {
    fn propose(&mut self, _: Now, parent: &Cut, _: Epoch) -> Cut {
        let lanes = self.lanes.iter();
        let tips = lanes.map(|lane| tip(*lane, parent.seq(*lane).0 + 1));
        Cut::new(tips.collect())
    }

    fn check(&mut self, _: &Cut, _: &Cut, _: Epoch) -> CutCheck {
        CutCheck::Ok
    }

    fn uncovered(&mut self, _: Now, _: &Cut, _: &Cut) -> Option<OperatorId> {
        None
    }

    fn has_work(&self, _: &Cut) -> bool {
        true
    }
}
