//! Operators that have been silent, whose turns as leader are skipped.
//!
//! An operator is suspected when nothing came from it during `2n` consecutive views that were entered
//! in real time; a restart, a jump over views or a sync starts the count anew, since then the silence
//! may be our own. Any message lifts the suspicion, and so does a signature inside a certificate.
//! Suspects together stay below a third of stake, longest silent first. Every eighth turn of a suspect
//! gets a full timer; which one is a function of the view, so that replicas don't disagree about it.

use squad_primitives::{Committee, OperatorId};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Turns of a suspect between two full timers.
const FULL_TIMER_TURNS: u64 = 8;

/// Views since each operator was heard.
#[derive(Debug, Default)]
pub(crate) struct Silence {
    views: BTreeMap<OperatorId, u64>,
}

impl Silence {
    /// Counts one view entered in real time.
    pub(crate) fn count_view(&mut self, committee: &Committee, me: Option<OperatorId>) {
        for member in committee.members() {
            if Some(member.operator) != me {
                let views = self.views.entry(member.operator).or_default();
                *views = views.saturating_add(1);
            }
        }
    }

    /// Something came from an operator.
    pub(crate) fn heard(&mut self, operator: OperatorId) {
        self.views.remove(&operator);
    }

    /// Forgets all silence.
    pub(crate) fn reset(&mut self) {
        self.views.clear();
    }

    /// Forgets operators that are no members.
    pub(crate) fn retain(&mut self, committee: &Committee) {
        self.views
            .retain(|operator, _| committee.index(*operator).is_some());
    }

    /// Suspected operators, in operator order.
    pub(crate) fn suspects(&self, committee: &Committee) -> Vec<OperatorId> {
        let limit = 2 * committee.len() as u64;
        let mut silent: Vec<_> = self
            .views
            .iter()
            .filter(|(_, views)| **views >= limit)
            .map(|(operator, views)| (Reverse(*views), *operator))
            .collect();
        silent.sort_unstable();
        let mut stake = 0_u128;
        let mut suspects = Vec::new();
        for (_, operator) in silent {
            let with = stake + u128::from(committee.stake(operator).0);
            if with * 3 < u128::from(committee.total().0) {
                stake = with;
                suspects.push(operator);
            }
        }
        suspects.sort_unstable();
        suspects
    }

    /// Whether a turn of `leader` is skipped.
    pub(crate) fn skips(&self, committee: &Committee, leader: OperatorId, turn: u64) -> bool {
        turn % FULL_TIMER_TURNS != FULL_TIMER_TURNS - 1
            && self
                .views
                .get(&leader)
                .is_some_and(|views| *views >= 2 * committee.len() as u64)
            && self.suspects(committee).contains(&leader)
    }
}
