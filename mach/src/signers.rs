//! Which members of a committee signed: one bit per member, by index.
//!
//! Member i is bit i mod 8 of byte i / 8, least significant bit first. The bitmap is as long as the
//! committee, and unused bits of the last byte are zero, so a set has one encoding.

use crate::{MachCommittee, wire};
use squad_primitives::Stake;
use squad_primitives::codec::{DecodeError, Reader};
use squad_primitives::committee::COMMITTEE_SIZE_MAX;

/// A set of members of a committee with a known size.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Signers {
    bits: Vec<u8>,
    size: u16,
}

impl Signers {
    /// No member of a committee of `size`.
    #[must_use]
    pub fn none(size: u16) -> Self {
        Self {
            bits: vec![0; usize::from(size).div_ceil(8)],
            size,
        }
    }

    /// Size of the committee that the bitmap is for.
    #[must_use]
    pub const fn size(&self) -> u16 {
        self.size
    }

    /// The bitmap.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bits
    }

    /// Adds a member; indices outside the committee change nothing.
    pub fn insert(&mut self, member: u16) {
        if member < self.size
            && let Some(byte) = self.bits.get_mut(usize::from(member / 8))
        {
            *byte |= 1 << (member % 8);
        }
    }

    /// Whether a member is in the set.
    #[must_use]
    pub fn contains(&self, member: u16) -> bool {
        self.bits
            .get(usize::from(member / 8))
            .is_some_and(|byte| byte & (1 << (member % 8)) != 0)
    }

    /// Indices in the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        (0..self.size).filter(|member| self.contains(*member))
    }

    /// Number of members in the set.
    #[must_use]
    pub fn count(&self) -> u16 {
        self.iter().fold(0, |count, _| count + 1)
    }

    /// Stake of the set.
    #[must_use]
    pub fn power(&self, committee: &MachCommittee) -> Stake {
        Stake(
            self.iter()
                .filter_map(|member| committee.at(member))
                .fold(0, |sum, member| member.stake.0.saturating_add(sum)),
        )
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.size.to_be_bytes());
        out.extend_from_slice(&self.bits);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        const FIELD: &str = "signers";
        let size = wire::short(reader, FIELD)?;
        if usize::from(size) > COMMITTEE_SIZE_MAX {
            return Err(DecodeError::TooLong {
                field: FIELD,
                length: u64::from(size),
                limit: COMMITTEE_SIZE_MAX as u64,
            });
        }
        let bits = reader.take(FIELD, usize::from(size).div_ceil(8))?.to_vec();
        let unused = bits.len() * 8 - usize::from(size);
        if let Some(last) = bits.last()
            && (last.leading_zeros() as usize) < unused
        {
            return Err(DecodeError::Illegal { field: FIELD });
        }
        Ok(Self { bits, size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_has_one_encoding() {
        for size in [1_u16, 7, 8, 9, 64, 128] {
            let mut set = Signers::none(size);
            set.insert(0);
            set.insert(size - 1);
            set.insert(size);
            assert_eq!(set.count(), if size == 1 { 1 } else { 2 });
            let mut bytes = Vec::new();
            set.encode(&mut bytes);
            assert_eq!(bytes.len(), 2 + usize::from(size).div_ceil(8));
            assert_eq!(wire::whole(&bytes, Signers::decode), Ok(set));
            if size % 8 != 0 {
                *bytes.last_mut().unwrap() |= 0x80;
                assert_eq!(
                    wire::whole(&bytes, Signers::decode),
                    Err(DecodeError::Illegal { field: "signers" })
                );
            }
        }
    }

    #[test]
    fn sizes_above_every_committee_are_refused() {
        assert!(matches!(
            wire::whole(&[0, 129], Signers::decode),
            Err(DecodeError::TooLong { length: 129, .. })
        ));
    }
}
