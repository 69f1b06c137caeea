//! Signer sets and certificates: one statement, signed by more than two thirds of stake.

use crate::codec::{Decode, DecodeError, Encode, Reader, encode_list};
use crate::committee::COMMITTEE_SIZE_MAX;
use crate::key::{Claim, Verifier};
use crate::vote::{Statement, StatementKind, Vote};
use crate::{Committee, NetworkId, OperatorId, Signature, Stake};

/// Bytes of the largest signer bitmap.
const BITMAP_BYTES_MAX: usize = COMMITTEE_SIZE_MAX.div_ceil(8);

/// A set of committee members as a bitmap over their indices. Trailing zero bytes are never present,
/// so that a set has one encoding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SignerSet {
    bits: Vec<u8>,
}

impl SignerSet {
    /// Builds a set and the list of signatures in its order. Strangers and repetitions are left out.
    #[must_use]
    pub fn collect(
        committee: &Committee,
        parts: impl IntoIterator<Item = (OperatorId, Signature)>,
    ) -> (Self, Vec<Signature>) {
        let mut sorted: Vec<(usize, Signature)> = parts
            .into_iter()
            .filter_map(|(operator, signature)| Some((committee.index(operator)?, signature)))
            .collect();
        sorted.sort_by_key(|(index, _)| *index);
        sorted.dedup_by_key(|(index, _)| *index);
        let mut set = Self::default();
        for (index, _) in &sorted {
            set.insert(*index);
        }
        (set, sorted.into_iter().map(|(_, s)| s).collect())
    }

    fn insert(&mut self, index: usize) {
        if self.bits.len() <= index / 8 {
            self.bits.resize(index / 8 + 1, 0);
        }
        if let Some(byte) = self.bits.get_mut(index / 8) {
            *byte |= 1 << (index % 8);
        }
    }

    /// Whether the member at an index is in the set.
    #[must_use]
    pub fn contains(&self, index: usize) -> bool {
        self.bits
            .get(index / 8)
            .is_some_and(|byte| byte & (1 << (index % 8)) != 0)
    }

    /// Indices of the members, ascending.
    pub fn indices(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.bits.len() * 8).filter(|index| self.contains(*index))
    }

    /// Operators in the set, ascending.
    pub fn operators<'a>(
        &'a self,
        committee: &'a Committee,
    ) -> impl Iterator<Item = OperatorId> + 'a {
        self.indices()
            .filter_map(|index| Some(committee.at(index)?.operator))
    }

    /// Stake of the set.
    #[must_use]
    pub fn stake(&self, committee: &Committee) -> Stake {
        Stake(
            self.indices()
                .filter_map(|index| committee.at(index))
                .fold(0, |sum, member| member.stake.0.saturating_add(sum)),
        )
    }

    /// The bitmap, least significant bit first.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bits
    }

    /// Reads a bitmap.
    ///
    /// # Errors
    /// Longer than any committee, or with a trailing zero byte.
    pub fn from_bytes(bits: &[u8]) -> Result<Self, DecodeError> {
        if bits.len() > BITMAP_BYTES_MAX {
            return Err(DecodeError::TooLong {
                field: "signers",
                length: bits.len() as u64,
                limit: BITMAP_BYTES_MAX as u64,
            });
        }
        if bits.last() == Some(&0) {
            return Err(DecodeError::Illegal { field: "signers" });
        }
        Ok(Self { bits: bits.into() })
    }

    /// Whether every bit stands for a member.
    #[must_use]
    pub fn is_canonical(&self, committee: &Committee) -> bool {
        self.indices().all(|index| index < committee.len())
    }

    /// Whether each member of the set signed `message`; `signatures` are in the set's order.
    #[must_use]
    pub fn verify(
        &self,
        committee: &Committee,
        message: &[u8],
        signatures: &[Signature],
        by: &dyn Verifier,
    ) -> bool {
        let keys: Vec<_> = self
            .indices()
            .filter_map(|index| committee.at(index).map(|member| &member.key))
            .collect();
        if keys.len() != signatures.len() || keys.len() != self.indices().count() {
            return false;
        }
        let claims: Vec<_> = keys
            .into_iter()
            .zip(signatures)
            .map(|(key, signature)| Claim {
                key,
                message,
                signature,
            })
            .collect();
        by.verify_all(&claims)
    }
}

impl Encode for SignerSet {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_list(&self.bits, out);
    }
}

impl Decode for SignerSet {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = reader.length("signers", BITMAP_BYTES_MAX)?;
        Self::from_bytes(reader.take("signers", length)?)
    }
}

/// One statement signed by more than two thirds of stake: a QC (votes), TC (timeouts) or CC (commit
/// votes), told apart by the statement's kind. Two replicas may hold different signer sets for one
/// statement; nothing may depend on which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// What was signed.
    pub statement: Statement,
    /// Who signed.
    pub signers: SignerSet,
    /// Their signatures, in the order of `signers`.
    pub signatures: Vec<Signature>,
}

/// Why a certificate proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The committee is that of another epoch.
    #[error("certificate: of epoch {found}, the committee is of epoch {expected}")]
    Epoch {
        /// Epoch of the certificate.
        found: crate::Epoch,
        /// Epoch of the committee.
        expected: crate::Epoch,
    },
    /// Another kind of statement than the caller asked for.
    #[error("certificate: is a {found:?} certificate, expected {expected:?}")]
    Kind {
        /// Kind of the certificate.
        found: StatementKind,
        /// Kind asked for.
        expected: StatementKind,
    },
    /// A bit that stands for nobody.
    #[error("certificate: signer outside the committee")]
    UnknownSigner,
    /// Stake at or below two thirds.
    #[error("certificate: stake {found} of {total} is no quorum")]
    NoQuorum {
        /// Stake that signed.
        found: Stake,
        /// Stake of the committee.
        total: Stake,
    },
    /// At least one signature is wrong, or their number differs from the signers'.
    #[error("certificate: bad signature")]
    BadSignature,
}

impl Certificate {
    /// Joins votes for one statement, or `None` if their stake is no quorum. The votes' signatures
    /// must be verified.
    #[must_use]
    pub fn from_votes<'a>(
        committee: &Committee,
        statement: Statement,
        votes: impl IntoIterator<Item = &'a Vote>,
    ) -> Option<Self> {
        let parts = votes
            .into_iter()
            .filter(|vote| vote.statement == statement)
            .map(|vote| (vote.signer, vote.signature));
        let (signers, signatures) = SignerSet::collect(committee, parts);
        let quorum = committee.is_quorum(signers.stake(committee));
        quorum.then_some(Self {
            statement,
            signers,
            signatures,
        })
    }

    /// Checks everything but the signatures.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub fn check_quorum(&self, committee: &Committee) -> Result<(), CertificateError> {
        if self.statement.at.epoch != committee.epoch() {
            return Err(CertificateError::Epoch {
                found: self.statement.at.epoch,
                expected: committee.epoch(),
            });
        }
        if !self.signers.is_canonical(committee) {
            return Err(CertificateError::UnknownSigner);
        }
        let found = self.signers.stake(committee);
        if !committee.is_quorum(found) {
            return Err(CertificateError::NoQuorum {
                found,
                total: committee.total(),
            });
        }
        Ok(())
    }

    /// Checks that a quorum of the committee signed the statement.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub fn verify(
        &self,
        network: &NetworkId,
        committee: &Committee,
        by: &dyn Verifier,
    ) -> Result<(), CertificateError> {
        self.check_quorum(committee)?;
        let message = self.statement.message(network);
        if self
            .signers
            .verify(committee, &message, &self.signatures, by)
        {
            Ok(())
        } else {
            Err(CertificateError::BadSignature)
        }
    }
}

impl Encode for Certificate {
    fn encode(&self, out: &mut Vec<u8>) {
        self.statement.encode(out);
        self.signers.encode(out);
        encode_list(&self.signatures, out);
    }
}

impl Decode for Certificate {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            statement: Decode::decode(reader)?,
            signers: Decode::decode(reader)?,
            signatures: reader.list("signatures", COMMITTEE_SIZE_MAX)?,
        })
    }
}

/// A commit certificate of a block, perhaps through later blocks: when a certificate was formed only
/// for a descendant, the headers between show that the block is its ancestor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitProof {
    /// Certificate of the last block in `descendants`, or of the block itself if there is none.
    pub certificate: Certificate,
    /// Child, grandchild and so on of the block, up to the certified one.
    pub descendants: Vec<crate::Block>,
}

/// Most blocks between a block and the certified descendant that proves it.
pub const DESCENDANTS_MAX: usize = 1_024;

impl Encode for CommitProof {
    fn encode(&self, out: &mut Vec<u8>) {
        self.certificate.encode(out);
        encode_list(&self.descendants, out);
    }
}

impl Decode for CommitProof {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            certificate: Decode::decode(reader)?,
            descendants: reader.list("descendants", DESCENDANTS_MAX)?,
        })
    }
}

/// Why a commit proof proves nothing about a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitProofError {
    /// The certificate itself is bad, or is no commit certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A descendant doesn't name the block before it as its parent.
    #[error("commit proof: descendant {index} does not extend the block before it")]
    BrokenChain {
        /// Index in `descendants`.
        index: usize,
    },
    /// The certificate is for another block.
    #[error("commit proof: the certificate is for another block")]
    OtherBlock,
}

impl CommitProof {
    /// Checks that the block with this hash is final under the committee of the certificate's epoch.
    ///
    /// # Errors
    /// See [`CommitProofError`].
    pub fn verify(
        &self,
        network: &NetworkId,
        block: &crate::Block,
        committee: &Committee,
        by: &dyn Verifier,
    ) -> Result<(), CommitProofError> {
        let mut last = block.reference(network);
        let mut height = block.height;
        for (index, child) in self.descendants.iter().enumerate() {
            if child.parent != last || child.height != height.next() {
                return Err(CommitProofError::BrokenChain { index });
            }
            last = child.reference(network);
            height = child.height;
        }
        if self.certificate.statement.kind != StatementKind::CommitVote {
            return Err(CommitProofError::Certificate(CertificateError::Kind {
                found: self.certificate.statement.kind,
                expected: StatementKind::CommitVote,
            }));
        }
        if self.certificate.statement.block != last.hash {
            return Err(CommitProofError::OtherBlock);
        }
        Ok(self.certificate.verify(network, committee, by)?)
    }
}
