//! The smallest lanes: there is always work, and everything named is available.
//!
//! A leader's cut moves its own lane by one, so that blocks of different leaders differ and blocks of
//! one leader on one parent don't. That a proposal waits for batches looks to the core like a proposal
//! that arrives later.

use squad_consensus::{CutCheck, CutError, LaneView};
use squad_primitives::{BatchSeq, Cut, Digest, Epoch, Now, OperatorId, Tip};

/// The lanes as one operator sees them.
#[derive(Debug)]
pub(crate) struct Lanes(pub(crate) OperatorId);

/// `parent` with one more batch of `lane`.
pub(crate) fn moved(parent: &Cut, lane: OperatorId) -> Cut {
    let seq = parent.seq(lane).next();
    let mut cut = parent.clone();
    cut.set(Tip {
        lane,
        seq,
        digest: digest(lane, seq),
    });
    cut
}

fn digest(lane: OperatorId, seq: BatchSeq) -> Digest {
    let parts = [&lane.0.to_le_bytes()[..], &seq.0.to_le_bytes()];
    Digest::of_parts("model/batch", &Digest::ZERO, &parts)
}

impl LaneView for Lanes {
    fn propose(&mut self, _: Now, parent: &Cut, _: Epoch) -> Cut {
        moved(parent, self.0)
    }

    fn check(&mut self, parent: &Cut, cut: &Cut, _: Epoch) -> CutCheck {
        let back = |old: &&Tip| cut.seq(old.lane) < old.seq;
        if let Some(old) = parent.tips().iter().find(back) {
            return CutCheck::Illegal(CutError::Back(old.lane));
        }
        let foreign = |tip: &&Tip| tip.digest != digest(tip.lane, tip.seq);
        match cut.moved(parent).find(foreign) {
            Some(tip) => CutCheck::Illegal(CutError::Branch(tip.lane)),
            None => CutCheck::Ok,
        }
    }

    fn uncovered(&mut self, _: Now, _: &Cut, _: &Cut) -> Option<OperatorId> {
        None
    }

    fn has_work(&self, _: &Cut) -> bool {
        true
    }
}
