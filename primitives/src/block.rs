//! Blocks and proposals.

use crate::certificate::CommitProof;
use crate::key::{Signer, Verifier};
use crate::{
    Certificate, Committee, Cut, Digest, Height, NetworkId, OperatorId, Signature, Statement,
    ViewId, Vote, canonical, domain,
};
use std::sync::Arc;

/// A block's hash with the view in which it was first proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockRef {
    /// Hash of the block; the network id stands for genesis.
    pub hash: Digest,
    /// View of its first proposal; epoch 0, view 0 for genesis.
    pub at: ViewId,
}

canonical!(BlockRef { hash, at });

impl BlockRef {
    /// The root of the chain.
    #[must_use]
    pub const fn genesis(network: NetworkId) -> Self {
        Self {
            hash: network,
            at: ViewId::new(crate::Epoch::ZERO, crate::View::ZERO),
        }
    }
}

/// What consensus agrees on: a cut through the lanes. Certificates are not part of it, so that its
/// hash doesn't depend on which signatures a replica happened to collect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// View of the first proposal.
    pub at: ViewId,
    /// Height: the parent's plus one.
    pub height: Height,
    /// The block that this one extends.
    pub parent: BlockRef,
    /// Leader's wall clock, milliseconds since the Unix epoch; above the parent's.
    pub timestamp_ms: u64,
    /// Tips of the lanes.
    pub cut: Cut,
}

canonical!(Block {
    at,
    height,
    parent,
    timestamp_ms,
    cut
});

impl Block {
    /// Hash of the block.
    #[must_use]
    pub fn hash(&self, network: &NetworkId) -> Digest {
        Digest::of(domain::BLOCK, network, self)
    }

    /// Reference to the block.
    #[must_use]
    pub fn reference(&self, network: &NetworkId) -> BlockRef {
        BlockRef {
            hash: self.hash(network),
            at: self.at,
        }
    }
}

/// A leader's proposal of a block for a view. The leader's signature is its vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// View of this proposal; later than the block's own when an epoch's last block is proposed again.
    pub at: ViewId,
    /// The block.
    pub block: Block,
    /// Leader that proposes.
    pub leader: OperatorId,
    /// Its signature over the vote for this block in this view.
    pub signature: Signature,
    /// Certificate that justifies the proposal: QC of the parent (CC at an epoch's start; for a
    /// block proposed again, the highest QC of the block itself). `None` only for children of genesis.
    pub justify: Option<Certificate>,
}

canonical!(Proposal {
    at,
    block,
    leader,
    signature,
    justify
});

impl Proposal {
    /// Signs a proposal. It may leave the node only after its record is durable.
    #[must_use]
    pub fn sign(
        network: &NetworkId,
        at: ViewId,
        block: Block,
        leader: OperatorId,
        justify: Option<Certificate>,
        key: &dyn Signer,
    ) -> Self {
        let statement = Statement::vote(at, block.hash(network));
        let vote = Vote::sign(network, statement, leader, key);
        Self {
            at,
            block,
            leader,
            signature: vote.signature,
            justify,
        }
    }

    /// The leader's vote contained in the proposal.
    #[must_use]
    pub fn vote(&self, network: &NetworkId) -> Vote {
        Vote {
            statement: Statement::vote(self.at, self.block.hash(network)),
            signer: self.leader,
            signature: self.signature,
        }
    }

    /// Whether the named leader signed. The certificate is not looked at.
    #[must_use]
    pub fn verify(&self, network: &NetworkId, committee: &Committee, by: &dyn Verifier) -> bool {
        self.vote(network).verify(network, committee, by)
    }
}

/// A block that is final, with the proof of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedBlock {
    /// Hash of the block.
    pub hash: Digest,
    /// The block.
    pub block: Block,
    /// Cut of the parent: the block holds the batches between the two.
    pub parent_cut: Cut,
    /// Why it is final.
    pub proof: Arc<CommitProof>,
}
