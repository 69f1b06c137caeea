//! What one step works with besides the core's own state.

use crate::{LaneView, Output};
use squad_primitives::message::ConsensusMessage;
use squad_primitives::{Now, OperatorId, Time};

/// Borrowed for one step.
pub(crate) struct Context<'a> {
    pub(crate) now: Now,
    pub(crate) lanes: &'a mut dyn LaneView,
    pub(crate) out: &'a mut Vec<Output>,
    /// Earliest time at which something is due without further input.
    pub(crate) deadline: Option<Time>,
}

impl Context<'_> {
    /// Asks to be stepped again at `time` at the latest.
    pub(crate) fn wake(&mut self, time: Time) {
        self.deadline = Some(self.deadline.map_or(time, |earlier| earlier.min(time)));
    }

    /// Whether `time` has come; if not, asks to be stepped then.
    pub(crate) fn due(&mut self, time: Time) -> bool {
        let due = self.now.time >= time;
        if !due {
            self.wake(time);
        }
        due
    }

    pub(crate) fn send(&mut self, to: OperatorId, message: ConsensusMessage) {
        self.out.push(Output::Send {
            to,
            message,
            after: None,
        });
    }
}
