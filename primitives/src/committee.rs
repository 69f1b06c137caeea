//! The operators of one epoch and the arithmetic of their stake.

use crate::{Epoch, OperatorId, PublicKey, Stake};

/// One operator in a committee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Registration number.
    pub operator: OperatorId,
    /// Identity key that signs consensus and lane messages.
    pub key: PublicKey,
    /// Voting power; at least 1.
    pub stake: Stake,
}

/// Most members that a committee may have (ledger parameter `committee_max` never exceeds it).
pub const COMMITTEE_SIZE_MAX: usize = 128;

/// Why a list of members is no committee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitteeError {
    /// No member, or more than [`COMMITTEE_SIZE_MAX`].
    #[error("committee: {0} members, must be 1 to {COMMITTEE_SIZE_MAX}")]
    Size(usize),
    /// A member without stake.
    #[error("committee: operator {0} has no stake")]
    NoStake(OperatorId),
    /// Two members share a number or a key.
    #[error("committee: operator {0} or its key appears twice")]
    Repeated(OperatorId),
    /// Total stake above 2^62, where three times a sum could overflow.
    #[error("committee: total stake is above 2^62")]
    StakeOverflow,
}

/// The members of one epoch, sorted by operator, with their total stake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committee {
    epoch: Epoch,
    members: Vec<Member>,
    total: Stake,
}

impl Committee {
    /// Checks and sorts the members.
    ///
    /// # Errors
    /// See [`CommitteeError`].
    pub fn new(epoch: Epoch, mut members: Vec<Member>) -> Result<Self, CommitteeError> {
        if members.is_empty() || members.len() > COMMITTEE_SIZE_MAX {
            return Err(CommitteeError::Size(members.len()));
        }
        members.sort_by_key(|member| member.operator);
        let mut keys = std::collections::BTreeSet::new();
        let mut operators = std::collections::BTreeSet::new();
        let mut total = 0_u64;
        for member in &members {
            if member.stake.0 == 0 {
                return Err(CommitteeError::NoStake(member.operator));
            }
            if !keys.insert(member.key) || !operators.insert(member.operator) {
                return Err(CommitteeError::Repeated(member.operator));
            }
            total = total
                .checked_add(member.stake.0)
                .filter(|sum| *sum <= 1 << 62)
                .ok_or(CommitteeError::StakeOverflow)?;
        }
        Ok(Self {
            epoch,
            members,
            total: Stake(total),
        })
    }

    /// The same members in another epoch.
    #[must_use]
    pub fn in_epoch(&self, epoch: Epoch) -> Self {
        Self {
            epoch,
            ..self.clone()
        }
    }

    /// Epoch of this committee.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Members, sorted by operator.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Number of members.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // never empty
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Stake of all members together.
    #[must_use]
    pub const fn total(&self) -> Stake {
        self.total
    }

    /// Index of an operator in [`Committee::members`].
    #[must_use]
    pub fn index(&self, operator: OperatorId) -> Option<usize> {
        self.members
            .binary_search_by_key(&operator, |member| member.operator)
            .ok()
    }

    /// The member with this number.
    #[must_use]
    pub fn member(&self, operator: OperatorId) -> Option<&Member> {
        self.members.get(self.index(operator)?)
    }

    /// The member at an index.
    #[must_use]
    pub fn at(&self, index: usize) -> Option<&Member> {
        self.members.get(index)
    }

    /// The member with this key.
    #[must_use]
    pub fn by_key(&self, key: &PublicKey) -> Option<&Member> {
        self.members.iter().find(|member| member.key == *key)
    }

    /// Stake of an operator; zero for strangers.
    #[must_use]
    pub fn stake(&self, operator: OperatorId) -> Stake {
        self.member(operator)
            .map_or(Stake::ZERO, |member| member.stake)
    }

    /// Whether `stake` is strictly above two thirds of the total.
    #[must_use]
    pub const fn is_quorum(&self, stake: Stake) -> bool {
        // Both sides fit: the total is at most 2^62 and the product is taken in 128 bits.
        stake.0 as u128 * 3 > self.total.0 as u128 * 2
    }

    /// Whether `stake` is strictly above one third of the total: at least one honest operator.
    #[must_use]
    pub const fn is_one_honest(&self, stake: Stake) -> bool {
        stake.0 as u128 * 3 > self.total.0 as u128
    }

    /// Stake of a set of operators, each counted once.
    #[must_use]
    pub fn stake_of<'a>(&self, operators: impl IntoIterator<Item = &'a OperatorId>) -> Stake {
        let distinct: std::collections::BTreeSet<_> = operators.into_iter().collect();
        // Bounded by the total, which fits.
        Stake(
            distinct
                .into_iter()
                .map(|operator| self.stake(*operator).0)
                .fold(0, u64::saturating_add),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committee(stakes: &[u64]) -> Committee {
        let members = stakes
            .iter()
            .enumerate()
            .map(|(i, stake)| Member {
                operator: OperatorId(i as u32),
                key: PublicKey([i as u8 + 1; 32]),
                stake: Stake(*stake),
            })
            .collect();
        Committee::new(Epoch(0), members).unwrap()
    }

    #[test]
    fn thresholds_are_strict() {
        let three = committee(&[1, 1, 1]);
        assert!(!three.is_quorum(Stake(2)), "exactly 2/3 is no quorum");
        assert!(three.is_quorum(Stake(3)));
        assert!(!three.is_one_honest(Stake(1)), "exactly 1/3 is not enough");
        assert!(three.is_one_honest(Stake(2)));
        let four = committee(&[1, 1, 1, 1]);
        assert!(four.is_quorum(Stake(3)));
        assert!(four.is_one_honest(Stake(2)));
    }

    #[test]
    fn thresholds_hold_at_the_largest_total() {
        let big = committee(&[1 << 60, 1 << 60, 1 << 60, 1 << 60]);
        assert!(big.is_quorum(Stake(3 << 60)));
        assert!(!big.is_quorum(Stake(2 << 60)));
        let result = Committee::new(
            Epoch(0),
            vec![Member {
                operator: OperatorId(0),
                key: PublicKey([1; 32]),
                stake: Stake(u64::MAX),
            }],
        );
        assert_eq!(result, Err(CommitteeError::StakeOverflow));
    }

    #[test]
    fn repeated_operators_count_once() {
        let four = committee(&[1, 1, 1, 1]);
        let ids = [OperatorId(2), OperatorId(2), OperatorId(3), OperatorId(9)];
        assert_eq!(four.stake_of(&ids), Stake(2));
    }
}
