//! The operators of an epoch with their BLS keys, and the root that stands for them.
//!
//! A key counts only with a proof of possession: otherwise whoever registers last could choose a key
//! that cancels the others. [`MachCommittee::admit`] checks the proofs; where a committee is vouched for
//! by its predecessor, the ledger has checked them, and [`MachCommittee::with_root`] compares the root.
//!
//! The root is a SHA-256 tree over the members by index; it binds neither epoch nor network, so an
//! unchanged committee keeps its root. What binds the epoch is the key under which the ledger holds it.

use crate::tree::{self, Path, Tree};
use crate::{BlsPublicKey, KeyError, Possession, RawSignature, bls, domain, wire};
use squad_primitives::codec::{DecodeError, Reader};
use squad_primitives::committee::COMMITTEE_SIZE_MAX;
use squad_primitives::{Digest, Epoch, OperatorId, PublicKey as IdentityPublicKey, Stake};
use std::collections::BTreeSet;

/// Encoded length of a member.
pub const MEMBER_BYTES: usize = 4 + 32 + bls::PUBLIC_KEY_BYTES + 8;

/// One operator in a committee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachMember {
    /// Registration number.
    pub operator: OperatorId,
    /// Ed25519 identity.
    pub identity: IdentityPublicKey,
    /// Key that signs attestations.
    pub key: BlsPublicKey,
    /// Voting power; at least 1.
    pub stake: Stake,
}

impl MachMember {
    /// operator u32 ‖ identity 32 ‖ key 48 ‖ stake u64.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.operator.0.to_be_bytes());
        out.extend_from_slice(&self.identity.0);
        out.extend_from_slice(&self.key.to_bytes());
        out.extend_from_slice(&self.stake.0.to_be_bytes());
    }

    fn leaf(&self) -> Digest {
        let mut data = Vec::with_capacity(MEMBER_BYTES);
        self.encode(&mut data);
        tree::leaf(domain::COMMITTEE_LEAF, &data)
    }
}

/// A member with the proof that lets it in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// The member.
    pub member: MachMember,
    /// Its key's proof of possession, for its identity.
    pub possession: Possession,
}

/// Why a list of members is no committee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitteeError {
    /// Bytes that are no committee.
    #[error("committee: {0}")]
    Decode(#[from] DecodeError),
    /// No member, or more than [`COMMITTEE_SIZE_MAX`].
    #[error("committee: {0} members, must be 1 to {COMMITTEE_SIZE_MAX}")]
    Size(usize),
    /// A member without stake.
    #[error("committee: operator {0} has no stake")]
    NoStake(OperatorId),
    /// Two members share a number, an identity or a key.
    #[error("committee: operator {0} or one of its keys appears twice")]
    Repeated(OperatorId),
    /// Members are not sorted by operator.
    #[error("committee: operator {0} is out of order")]
    Order(OperatorId),
    /// Total stake above 2^62, where three times a sum could overflow.
    #[error("committee: total stake is above 2^62")]
    StakeOverflow,
    /// A key or its proof of possession is refused.
    #[error("committee: operator {operator}: {error}")]
    Key {
        /// Whose key.
        operator: OperatorId,
        /// Why.
        error: KeyError,
    },
    /// The members are not those that the root stands for.
    #[error("committee: the members have another root")]
    Root,
}

/// The members of one epoch, sorted by operator. A member's index is its bit in certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachCommittee {
    epoch: Epoch,
    members: Vec<MachMember>,
    total: Stake,
    root: Digest,
}

impl MachCommittee {
    /// Checks every proof of possession and sorts the members. Costs about 1 ms per member.
    ///
    /// # Errors
    /// See [`CommitteeError`].
    pub fn admit(epoch: Epoch, admissions: Vec<Admission>) -> Result<Self, CommitteeError> {
        if admissions.is_empty() || admissions.len() > COMMITTEE_SIZE_MAX {
            return Err(CommitteeError::Size(admissions.len()));
        }
        let mut members = Vec::with_capacity(admissions.len());
        for Admission { member, possession } in admissions {
            possession
                .check(&member.identity, &member.key)
                .map_err(|error| CommitteeError::Key {
                    operator: member.operator,
                    error,
                })?;
            members.push(member);
        }
        members.sort_by_key(|member| member.operator);
        Self::checked(epoch, members)
    }

    /// Takes members over whose root somebody trusted has vouched, and who checked the possessions.
    ///
    /// # Errors
    /// [`CommitteeError::Root`] if the members are others; see also [`CommitteeError`].
    pub fn with_root(
        epoch: Epoch,
        members: Vec<MachMember>,
        root: &Digest,
    ) -> Result<Self, CommitteeError> {
        let committee = Self::checked(epoch, members)?;
        if committee.root == *root {
            Ok(committee)
        } else {
            Err(CommitteeError::Root)
        }
    }

    fn checked(epoch: Epoch, members: Vec<MachMember>) -> Result<Self, CommitteeError> {
        if members.is_empty() || members.len() > COMMITTEE_SIZE_MAX {
            return Err(CommitteeError::Size(members.len()));
        }
        let mut identities = BTreeSet::new();
        let mut keys = BTreeSet::new();
        let mut before = None;
        let mut total = 0_u64;
        for member in &members {
            if member.stake.0 == 0 {
                return Err(CommitteeError::NoStake(member.operator));
            }
            if before == Some(member.operator)
                || !identities.insert(member.identity)
                || !keys.insert(member.key.to_bytes())
            {
                return Err(CommitteeError::Repeated(member.operator));
            }
            if before > Some(member.operator) {
                return Err(CommitteeError::Order(member.operator));
            }
            before = Some(member.operator);
            total = total
                .checked_add(member.stake.0)
                .filter(|sum| *sum <= 1 << 62)
                .ok_or(CommitteeError::StakeOverflow)?;
        }
        let root = tree::root(members.iter().map(MachMember::leaf).collect());
        Ok(Self {
            epoch,
            members,
            total: Stake(total),
            root,
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

    /// Epoch in which the members sign.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Members by index.
    #[must_use]
    pub fn members(&self) -> &[MachMember] {
        &self.members
    }

    /// Number of members; 1 to [`COMMITTEE_SIZE_MAX`].
    #[must_use]
    pub fn size(&self) -> u16 {
        u16::try_from(self.members.len()).unwrap_or(u16::MAX)
    }

    /// Stake of all members together.
    #[must_use]
    pub const fn total(&self) -> Stake {
        self.total
    }

    /// SHA-256 root over the members.
    #[must_use]
    pub const fn root(&self) -> Digest {
        self.root
    }

    /// The member at an index.
    #[must_use]
    pub fn at(&self, member: u16) -> Option<&MachMember> {
        self.members.get(usize::from(member))
    }

    /// Index of an operator.
    #[must_use]
    pub fn index(&self, operator: OperatorId) -> Option<u16> {
        let index = self
            .members
            .binary_search_by_key(&operator, |member| member.operator)
            .ok()?;
        u16::try_from(index).ok()
    }

    /// Whether `power` is strictly above two thirds of the total.
    #[must_use]
    pub const fn is_quorum(&self, power: Stake) -> bool {
        power.0 as u128 * 3 > self.total.0 as u128 * 2
    }

    /// Shows that a member is in the committee, to somebody who knows only the root.
    #[must_use]
    pub fn path(&self, member: u16) -> Option<Path> {
        Tree::new(self.members.iter().map(MachMember::leaf).collect()).path(member.into())
    }
}

pub(crate) fn encode_members(members: &[MachMember], out: &mut Vec<u8>) {
    wire::put_count(out, members.len());
    for member in members {
        member.encode(out);
    }
}

/// A member as it stands in bytes; its key is not decoded yet, since that costs time.
struct RawMember {
    operator: OperatorId,
    identity: IdentityPublicKey,
    key: [u8; bls::PUBLIC_KEY_BYTES],
    stake: Stake,
}

impl RawMember {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            operator: OperatorId(wire::word(reader, "operator")?),
            identity: IdentityPublicKey(reader.array("identity key")?),
            key: reader.array("BLS key")?,
            stake: Stake(wire::long(reader, "stake")?),
        })
    }

    fn decode(self) -> Result<MachMember, CommitteeError> {
        let key = BlsPublicKey::from_bytes(&self.key).map_err(|error| CommitteeError::Key {
            operator: self.operator,
            error,
        })?;
        Ok(MachMember {
            operator: self.operator,
            identity: self.identity,
            key,
            stake: self.stake,
        })
    }
}

fn member_count(reader: &mut Reader<'_>, bytes: usize) -> Result<usize, CommitteeError> {
    Ok(wire::count(reader, "members", COMMITTEE_SIZE_MAX, bytes)?)
}

pub(crate) fn decode_members(reader: &mut Reader<'_>) -> Result<Vec<MachMember>, CommitteeError> {
    (0..member_count(reader, MEMBER_BYTES)?)
        .map(|_| RawMember::read(reader)?.decode())
        .collect()
}

pub(crate) fn encode_admissions(admissions: &[Admission], out: &mut Vec<u8>) {
    wire::put_count(out, admissions.len());
    for admission in admissions {
        admission.member.encode(out);
        out.extend_from_slice(&admission.possession.0.0);
    }
}

pub(crate) fn decode_admissions(reader: &mut Reader<'_>) -> Result<Vec<Admission>, CommitteeError> {
    (0..member_count(reader, MEMBER_BYTES + bls::SIGNATURE_BYTES)?)
        .map(|_| {
            Ok(Admission {
                member: RawMember::read(reader)?.decode()?,
                possession: Possession(RawSignature(reader.array("proof of possession")?)),
            })
        })
        .collect()
}
