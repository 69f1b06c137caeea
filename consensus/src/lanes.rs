//! The lanes of the mempool as the core asks them.

use crate::{CutCheck, CutError, LaneView};
use squad_mempool::Lanes;
use squad_mempool::lanes;
use squad_primitives::{Cut, Epoch, Now, OperatorId};

impl LaneView for Lanes {
    fn propose(&mut self, _now: Now, parent: &Cut, epoch: Epoch) -> Cut {
        self.propose_cut(parent, epoch)
    }

    fn check(&mut self, parent: &Cut, cut: &Cut, epoch: Epoch) -> CutCheck {
        match self.check_cut(parent, cut, epoch) {
            lanes::CutCheck::Ok => CutCheck::Ok,
            lanes::CutCheck::Missing(tips) => CutCheck::Missing(tips),
            lanes::CutCheck::Illegal(error) => CutCheck::Illegal(error.into()),
        }
    }

    fn uncovered(&mut self, now: Now, parent: &Cut, cut: &Cut) -> Option<OperatorId> {
        Self::uncovered(self, now, parent, cut)
    }

    fn has_work(&self, cut: &Cut) -> bool {
        Self::has_work(self, cut)
    }
}
