//! Committees by epoch, as far as lanes need them.

use squad_primitives::{Committee, Epoch, OperatorId};
use std::collections::BTreeMap;

/// Committees kept: the current one, the one before (its proofs stay legal for one epoch), and
/// derived ones for headers of other epochs.
const KEPT: u64 = 2;

/// The current committee, the previous one, and the keys of both for headers of any epoch.
#[derive(Debug)]
pub(super) struct Committees {
    current: Committee,
    by_epoch: BTreeMap<Epoch, Committee>,
}

impl Committees {
    pub(super) fn new(committee: Committee) -> Self {
        Self {
            by_epoch: BTreeMap::from([(committee.epoch(), committee.clone())]),
            current: committee,
        }
    }

    pub(super) const fn current(&self) -> &Committee {
        &self.current
    }

    pub(super) const fn epoch(&self) -> Epoch {
        self.current.epoch()
    }

    /// The committee of exactly this epoch, for stake.
    pub(super) fn of(&self, epoch: Epoch) -> Option<&Committee> {
        self.by_epoch.get(&epoch)
    }

    /// A later epoch starts; older ones are ignored.
    pub(super) fn advance(&mut self, committee: Committee) -> bool {
        if committee.epoch() <= self.epoch() {
            return false;
        }
        self.current = committee.clone();
        self.by_epoch.insert(committee.epoch(), committee);
        let oldest = Epoch(self.epoch().0.saturating_sub(KEPT - 1));
        self.by_epoch = self.by_epoch.split_off(&oldest);
        true
    }

    /// Whether the operator is in the current committee or was in the one before.
    pub(super) fn has_lane(&self, operator: OperatorId) -> bool {
        self.by_epoch
            .values()
            .any(|committee| committee.member(operator).is_some())
    }

    /// A committee that knows the operator's key, renamed to `epoch`: an operator keeps its key, so
    /// its own signature can be checked in every epoch. Not for stake.
    pub(super) fn for_signature(&self, epoch: Epoch, operator: OperatorId) -> Option<Committee> {
        let knows = |committee: &&Committee| committee.member(operator).is_some();
        match self.of(epoch).filter(knows) {
            Some(committee) => Some(committee.clone()),
            None => Some(self.by_epoch.values().rev().find(knows)?.in_epoch(epoch)),
        }
    }
}
