//! The seam between the ordering core and the lanes of the mempool.

use squad_primitives::{Cut, Epoch, Now, OperatorId, Tip};

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
}

/// Verdict about a proposed cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CutCheck {
    /// Legal, and available.
    Ok,
    /// Can't be judged before headers, bodies or proofs up to these tips arrive.
    Missing(Vec<Tip>),
    /// Never legal.
    Illegal(CutError),
}

/// Why a cut is illegal after a given parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CutError {
    /// A lane moves back, or to another batch at the same position.
    #[error("cut: lane {0} moves back")]
    Back(OperatorId),
    /// A tip doesn't descend from the parent's tip of its lane.
    #[error("cut: tip of lane {0} does not descend from the parent's")]
    Branch(OperatorId),
    /// A lane that may not advance in this epoch.
    #[error("cut: lane {0} is closed in this epoch")]
    Closed(OperatorId),
    /// Bodies of more bytes than a block may hold.
    #[error("cut: bodies are larger than one block may hold")]
    TooLarge,
}
