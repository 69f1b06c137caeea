//! Proofs that an operator contradicted itself: two signed messages, checkable by anybody.

use crate::key::Verifier;
use crate::{Committee, NetworkId, OperatorId, SignedHeader, StatementKind, Vote};

/// Two messages that no honest operator signs both.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Evidence {
    /// Two votes, or two commit votes, in one view for different blocks (two proposals of a leader are
    /// two votes); or a commit vote together with a timeout of the same view.
    Votes(Box<Vote>, Box<Vote>),
    /// Two batch headers of one owner for one position of its lane.
    Lane(Box<SignedHeader>, Box<SignedHeader>),
}

impl Evidence {
    /// The operator that the evidence is against.
    #[must_use]
    pub const fn operator(&self) -> OperatorId {
        match self {
            Self::Votes(first, _) => first.signer,
            Self::Lane(first, _) => first.header.lane,
        }
    }

    /// Whether the two messages contradict each other and both are really signed by the operator.
    #[must_use]
    pub fn verify(&self, network: &NetworkId, committee: &Committee, by: &dyn Verifier) -> bool {
        match self {
            Self::Votes(a, b) => {
                contradict(a, b)
                    && a.verify(network, committee, by)
                    && b.verify(network, committee, by)
            }
            Self::Lane(a, b) => {
                a.header.lane == b.header.lane
                    && a.header.seq == b.header.seq
                    && a.header != b.header
                    && [a, b].iter().all(|signed| {
                        // The headers may name different epochs; the key stays the operator's.
                        let committee = committee.in_epoch(signed.header.epoch);
                        signed.verify(network, &committee, by)
                    })
            }
        }
    }
}

/// Whether two votes of one signer can't both come from an honest operator.
#[must_use]
pub fn contradict(a: &Vote, b: &Vote) -> bool {
    use StatementKind::{CommitVote, Timeout};
    if a.signer != b.signer || a.statement.at != b.statement.at {
        return false;
    }
    match (a.statement.kind, b.statement.kind) {
        (x, y) if x == y => a.statement.block != b.statement.block,
        (CommitVote, Timeout) | (Timeout, CommitVote) => true,
        _ => false,
    }
}
