//! The seam between the ordering core and the lanes of the mempool.

use squad_primitives::{Cut, Epoch, Now, OperatorId};

pub use squad_mempool::lanes::{CutCheck, CutError};

/// What the core asks about lanes. Answers may change between calls; the shell then gives
/// [`Input::TipsChanged`](crate::Input::TipsChanged) or [`Input::DataArrived`](crate::Input::DataArrived).
pub trait LaneView {
    /// The best legal cut for a block of `epoch` whose parent has the cut `parent`: no lane moves back,
    /// each moved tip descends from the parent's and is certified, bodies fit into one block. Equal to
    /// `parent` if nothing can move.
    fn propose(&mut self, now: Now, parent: &Cut, epoch: Epoch) -> Cut;

    /// Judges a proposed cut: the header chain of each moved tip, and data or a proof for it.
    fn check(&mut self, parent: &Cut, cut: &Cut, epoch: Epoch) -> CutCheck;

    /// A lane that `cut` leaves out against the coverage rule, if there is one.
    fn uncovered(&mut self, now: Now, parent: &Cut, cut: &Cut) -> Option<OperatorId>;

    /// Whether a certified tip above `cut`, the cut of the highest certified block, waits to be
    /// ordered.
    fn has_work(&self, cut: &Cut) -> bool;

    /// Whether so many committed blocks wait for their batches that no older ones should be synced.
    fn is_behind(&self) -> bool {
        false
    }
}

/// The lanes of the mempool answer directly.
impl LaneView for squad_mempool::Lanes {
    fn propose(&mut self, _now: Now, parent: &Cut, epoch: Epoch) -> Cut {
        self.propose_cut(parent, epoch)
    }

    fn check(&mut self, parent: &Cut, cut: &Cut, epoch: Epoch) -> CutCheck {
        self.check_cut(parent, cut, epoch)
    }

    fn uncovered(&mut self, now: Now, parent: &Cut, cut: &Cut) -> Option<OperatorId> {
        Self::uncovered(self, now, parent, cut)
    }

    fn has_work(&self, cut: &Cut) -> bool {
        Self::has_work(self, cut)
    }

    fn is_behind(&self) -> bool {
        Self::is_behind(self)
    }
}
