//! Who leads which view: smooth weighted round-robin over stake.
//!
//! Stake is normalised to weights that sum to about [`RESOLUTION`] and are then divided by their
//! greatest common divisor, so that the period stays short and doesn't depend on the magnitude of raw
//! stake; equal stake gives plain round-robin. In each step every member's credit grows by its weight,
//! the highest credit leads (lowest operator on ties) and pays the sum of weights: turns of one member
//! are spread as evenly as its weight allows. Everything is a function of the committee, so all
//! replicas agree on it.

use squad_primitives::{Committee, OperatorId, View};

/// Sum of weights before division. Eight slots per member at the largest committee; a member's share
/// of turns differs from its share of stake by less than one in this many, or is one turn per period.
const RESOLUTION: u128 = 1_024;

/// Leaders of one epoch.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    /// One period. With each leader, how many turns it had before in the period, and in a period.
    slots: Vec<Slot>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    leader: OperatorId,
    earlier: u64,
    per_period: u64,
}

impl Schedule {
    pub(crate) fn new(committee: &Committee) -> Self {
        let weights = weights(committee);
        let sum: i64 = weights.iter().sum();
        let mut credits = vec![0_i64; weights.len()];
        let mut turns = vec![0_u64; weights.len()];
        let mut slots = Vec::with_capacity(usize::try_from(sum).unwrap_or_default());
        for _ in 0..sum {
            for (credit, weight) in credits.iter_mut().zip(&weights) {
                *credit += weight;
            }
            let best = (0..credits.len())
                .max_by_key(|index| (credits.get(*index), std::cmp::Reverse(*index)))
                .unwrap_or_default();
            if let (Some(credit), Some(turn), Some(weight), Some(member)) = (
                credits.get_mut(best),
                turns.get_mut(best),
                weights.get(best),
                committee.at(best),
            ) {
                *credit -= sum;
                slots.push(Slot {
                    leader: member.operator,
                    earlier: *turn,
                    per_period: weight.unsigned_abs(),
                });
                *turn += 1;
            }
        }
        assert!(!slots.is_empty(), "a committee has members with stake");
        Self { slots }
    }

    fn slot(&self, view: View) -> (u64, Slot) {
        let length = self.slots.len() as u64;
        let turn = view.0.saturating_sub(1);
        // The index is below the length of a vector in memory, so it always fits.
        let index = usize::try_from(turn % length).unwrap_or_default();
        let slot = self.slots.get(index).copied().unwrap_or(Slot {
            leader: OperatorId::ZERO,
            earlier: 0,
            per_period: 1,
        });
        (turn / length, slot)
    }

    /// Leader of a view; views count from 1.
    pub(crate) fn leader(&self, view: View) -> OperatorId {
        self.slot(view).1.leader
    }

    /// How many turns the leader of `view` had earlier in the epoch.
    pub(crate) fn turn(&self, view: View) -> u64 {
        let (period, slot) = self.slot(view);
        period
            .saturating_mul(slot.per_period)
            .saturating_add(slot.earlier)
    }
}

fn weights(committee: &Committee) -> Vec<i64> {
    let total = u128::from(committee.total().0);
    let weights: Vec<i64> = committee
        .members()
        .iter()
        .map(|member| {
            let share = u128::from(member.stake.0) * RESOLUTION / total;
            // At most RESOLUTION, since no stake exceeds the total.
            i64::try_from(share).unwrap_or(1).max(1)
        })
        .collect();
    let divisor = weights.iter().copied().fold(0, gcd).max(1);
    weights.into_iter().map(|weight| weight / divisor).collect()
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squad_primitives::committee::Member;
    use squad_primitives::{Epoch, PublicKey, Stake};

    fn schedule(stakes: &[u64]) -> Schedule {
        let members = stakes.iter().enumerate().map(|(i, stake)| Member {
            operator: OperatorId(i as u32),
            key: PublicKey([i as u8 + 1; 32]),
            stake: Stake(*stake),
        });
        Schedule::new(&Committee::new(Epoch(0), members.collect()).unwrap())
    }

    fn leaders(schedule: &Schedule, views: u64) -> Vec<u32> {
        (1..=views)
            .map(|view| schedule.leader(View(view)).0)
            .collect()
    }

    #[test]
    fn equal_stake_is_round_robin_at_any_magnitude() {
        for stake in [1, 7, 1 << 59] {
            let schedule = schedule(&[stake; 4]);
            assert_eq!(leaders(&schedule, 8), [0, 1, 2, 3, 0, 1, 2, 3]);
        }
    }

    #[test]
    fn turns_follow_stake_and_are_spread() {
        let schedule = schedule(&[4, 2, 2]);
        let all = leaders(&schedule, 400);
        assert_eq!(all.iter().filter(|leader| **leader == 0).count(), 200);
        assert_eq!(all.iter().filter(|leader| **leader == 1).count(), 100);
        assert!(
            all.windows(3).all(|w| w != [0, 0, 0]),
            "half of the stake never leads three views in a row"
        );
    }

    #[test]
    fn tiny_stake_still_leads_and_the_period_stays_short() {
        let schedule = schedule(&[1, 1 << 61]);
        assert!(schedule.slots.len() <= RESOLUTION as usize + 2);
        assert!(leaders(&schedule, 2_048).contains(&0));
    }

    #[test]
    fn turns_of_a_leader_count_up_across_periods() {
        let schedule = schedule(&[2, 1]);
        let mut seen = [0_u64; 2];
        for view in 1..50 {
            let leader = schedule.leader(View(view)).0 as usize;
            assert_eq!(schedule.turn(View(view)), seen[leader]);
            seen[leader] += 1;
        }
    }
}
