//! What replicas sign in consensus: votes, timeouts and commit votes.

use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::key::{Claim, Signer, Verifier};
use crate::{
    Committee, Digest, NetworkId, OperatorId, PublicKey, Signature, ViewId, canonical, domain,
};

/// What a statement says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum StatementKind {
    /// "I accept this block in this view"; made by the leader it is its proposal.
    Vote = 1,
    /// "I leave this view without having committed to a block of it."
    Timeout = 2,
    /// "I saw the QC of this block while in this view, and will never say `Timeout` for it."
    CommitVote = 3,
}

impl StatementKind {
    const fn tag(self) -> &'static str {
        match self {
            Self::Vote => domain::VOTE,
            Self::Timeout => domain::TIMEOUT,
            Self::CommitVote => domain::COMMIT_VOTE,
        }
    }
}

/// The signed content of a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Statement {
    /// Vote, timeout or commit vote.
    pub kind: StatementKind,
    /// View spoken of. For a block proposed again it is later than the block's own.
    pub at: ViewId,
    /// Hash of the block; zero for timeouts.
    pub block: Digest,
}

impl Statement {
    /// A first-phase vote.
    #[must_use]
    pub const fn vote(at: ViewId, block: Digest) -> Self {
        Self {
            kind: StatementKind::Vote,
            at,
            block,
        }
    }

    /// A timeout.
    #[must_use]
    pub const fn timeout(at: ViewId) -> Self {
        Self {
            kind: StatementKind::Timeout,
            at,
            block: Digest::ZERO,
        }
    }

    /// A second-phase vote.
    #[must_use]
    pub const fn commit_vote(at: ViewId, block: Digest) -> Self {
        Self {
            kind: StatementKind::CommitVote,
            at,
            block,
        }
    }

    /// The signed bytes: tag of the kind, network, epoch, view, block.
    #[must_use]
    pub fn message(&self, network: &NetworkId) -> Vec<u8> {
        let mut message = Vec::with_capacity(128);
        self.kind.tag().encode(&mut message);
        network.encode(&mut message);
        self.at.encode(&mut message);
        self.block.encode(&mut message);
        message
    }
}

impl Encode for Statement {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.kind as u8);
        self.at.encode(out);
        self.block.encode(out);
    }
}

impl Decode for Statement {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = match u8::decode(reader)? {
            1 => StatementKind::Vote,
            2 => StatementKind::Timeout,
            3 => StatementKind::CommitVote,
            _ => return Err(DecodeError::Illegal { field: "kind" }),
        };
        let statement = Self {
            kind,
            at: Decode::decode(reader)?,
            block: Decode::decode(reader)?,
        };
        if (kind == StatementKind::Timeout) == statement.block.is_zero() {
            Ok(statement)
        } else {
            Err(DecodeError::Illegal { field: "block" })
        }
    }
}

/// A statement with its signer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// What is said.
    pub statement: Statement,
    /// Who says it.
    pub signer: OperatorId,
    /// Signature over [`Statement::message`].
    pub signature: Signature,
}

canonical!(Vote {
    statement,
    signer,
    signature
});

impl Vote {
    /// Signs a statement. It may leave the node only after its record is durable.
    #[must_use]
    pub fn sign(
        network: &NetworkId,
        statement: Statement,
        signer: OperatorId,
        key: &dyn Signer,
    ) -> Self {
        Self {
            statement,
            signer,
            signature: key.sign(&statement.message(network)),
        }
    }

    /// Whether the signer belongs to the committee of the statement's epoch and signed it.
    #[must_use]
    pub fn verify(&self, network: &NetworkId, committee: &Committee, by: &dyn Verifier) -> bool {
        committee.epoch() == self.statement.at.epoch
            && committee
                .member(self.signer)
                .is_some_and(|member| self.verify_key(network, &member.key, by))
    }

    /// Whether the signature is that of `key`.
    #[must_use]
    pub fn verify_key(&self, network: &NetworkId, key: &PublicKey, by: &dyn Verifier) -> bool {
        by.verify(Claim {
            key,
            message: &self.statement.message(network),
            signature: &self.signature,
        })
    }
}
