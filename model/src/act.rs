//! What can happen to one operator, what it leads to, and what decides whether it can.

use crate::book::Item;
use squad_primitives::ViewId;

/// Something that can happen to one operator, with the messages by their numbers in the
/// [`Book`](crate::book::Book).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// A proposal arrives, its justification signed by operators of a mask.
    Proposal(u16, u8),
    /// Votes for a statement arrive, from the operators of a mask.
    Votes(u16, u8),
    /// A certificate for a statement arrives, signed by operators of a mask.
    Certificate(u16, u8),
    /// A committed block arrives, its proof signed by operators of a mask.
    Synced(u16, u8),
    /// So much time passes that every timer runs out.
    Pause,
    /// The oldest waiting records become durable.
    Flush,
    /// The oldest waiting committed block becomes durable.
    Store,
    /// The process dies and starts again.
    Crash,
    /// The next epoch's committee is known.
    Epoch,
}

/// What an act in a state leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Effect {
    pub(crate) node: u32,
    pub(crate) sent: Vec<Item>,
    /// Heights and numbers of blocks.
    pub(crate) commits: Vec<(u64, u16)>,
    pub(crate) alarms: u8,
}

/// What decides which acts are possible.
#[derive(Clone, Debug)]
pub(crate) struct Info {
    pub(crate) at: ViewId,
    pub(crate) epoch_over: bool,
    /// Height of the last committed block, durable or not.
    pub(crate) height: u64,
    /// Durable committed blocks by their numbers, from height 1 on.
    pub(crate) chain: Vec<u16>,
    pub(crate) waiting: (usize, usize),
    pub(crate) fingerprint: u64,
}
