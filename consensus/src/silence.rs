//! Operators that have been silent, whose turns as leader are skipped.
//!
//! An operator is suspected when nothing came from it during `2n` consecutive views that were entered
//! in real time; a restart, a jump over views or a sync starts the count anew, since then the silence
//! may be our own. Any message lifts the suspicion, and so does a signature inside a certificate.
//! Suspects together stay below a third of stake, longest silent first.
//!
//! Some turns of a suspect get a full timer all the same, in case that it can be heard only as a
//! leader: the 8th, 16th, 32nd, 64th … of the epoch, a function of the view on which replicas agree.
//! They become rare because a full timer every eighth turn would cost half of the rate of blocks: one
//! timer of 500 ms per 32 views of 15 ms.

use squad_primitives::{Committee, OperatorId};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// First turn of an epoch, counted from 1, that gets a full timer in any case.
const FULL_TIMER_TURN: u64 = 8;

/// Views since each operator was heard.
#[derive(Clone, Debug, Default)]
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

    /// Whether a turn of `leader`, who had `turn` turns before in the epoch, is skipped.
    pub(crate) fn skips(&self, committee: &Committee, leader: OperatorId, turn: u64) -> bool {
        let number = turn.saturating_add(1);
        let full_timer = number >= FULL_TIMER_TURN && number.is_power_of_two();
        !full_timer
            && self
                .views
                .get(&leader)
                .is_some_and(|views| *views >= 2 * committee.len() as u64)
            && self.suspects(committee).contains(&leader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squad_primitives::committee::Member;
    use squad_primitives::{Epoch, PublicKey, Stake};

    fn committee(stakes: &[u64]) -> Committee {
        let members = stakes.iter().zip(0_u32..).map(|(stake, index)| Member {
            operator: OperatorId(index),
            key: PublicKey([index as u8 + 1; 32]),
            stake: Stake(*stake),
        });
        Committee::new(Epoch(0), members.collect()).unwrap()
    }

    #[test]
    fn suspicion_needs_2n_views_and_ends_with_a_message() {
        let four = committee(&[1; 4]);
        let mut silence = Silence::default();
        for _ in 0..7 {
            silence.count_view(&four, Some(OperatorId(0)));
        }
        for operator in [1, 2] {
            silence.heard(OperatorId(operator));
        }
        assert!(silence.suspects(&four).is_empty());
        silence.count_view(&four, Some(OperatorId(0)));
        assert_eq!(silence.suspects(&four), [OperatorId(3)]);
        assert!(silence.skips(&four, OperatorId(3), 0));
        silence.heard(OperatorId(3));
        assert!(!silence.skips(&four, OperatorId(3), 0));
    }

    #[test]
    fn suspects_stay_below_a_third_of_stake_longest_silent_first() {
        let committee = committee(&[10, 10, 10, 4, 4, 4]);
        let mut silence = Silence::default();
        silence.count_view(&committee, None);
        for operator in [0, 1, 2, 3, 5] {
            silence.heard(OperatorId(operator));
        }
        for _ in 0..20 {
            silence.count_view(&committee, None);
        }
        // Of 42, less than 14: operator 4, silent longest, and after it those that still fit.
        let suspects = silence.suspects(&committee);
        assert_eq!(suspects, [OperatorId(3), OperatorId(4), OperatorId(5)]);
    }

    #[test]
    fn full_timers_become_rare() {
        let four = committee(&[1; 4]);
        let mut silence = Silence::default();
        for _ in 0..8 {
            silence.count_view(&four, Some(OperatorId(0)));
        }
        for operator in [1, 2] {
            silence.heard(OperatorId(operator));
        }
        let full = (0..1_000).filter(|turn| !silence.skips(&four, OperatorId(3), *turn));
        assert_eq!(full.collect::<Vec<_>>(), [7, 15, 31, 63, 127, 255, 511]);
    }
}
