//! Checking a block that somebody else says is final, from nothing but the committee.
//!
//! A block is taken over if a commit certificate proves it, it extends the last block, and the headers
//! that came with it lead, lane by lane, from the parent's cut to the block's. Bodies are then fetched
//! by digest, so whoever serves them can't change them; the order is computed here.

use squad_primitives::block::BlockRef;
use squad_primitives::certificate::CommitProofError;
use squad_primitives::message::SyncedBlock;
use squad_primitives::{
    CommittedBlock, Committee, Cut, Digest, Ed25519Verifier, Height, NetworkId, OperatorId,
    SignedHeader, Tip,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why a block is not taken over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FollowError {
    /// Not the next block, or not a child of the last one.
    #[error("block {found} does not extend block {last}")]
    Chain {
        /// Height of the last block.
        last: Height,
        /// Height that came.
        found: Height,
    },
    /// It is not proven to be final.
    #[error("block {height}: {source}")]
    Proof {
        /// Its height.
        height: Height,
        /// What is wrong.
        source: CommitProofError,
    },
    /// A lane's headers don't lead to the block's tip.
    #[error("block {height}: headers of lane {lane} do not lead to its tip")]
    Headers {
        /// Its height.
        height: Height,
        /// The lane.
        lane: OperatorId,
    },
}

/// The chain as far as it is known.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    network: NetworkId,
    committee: Committee,
    last: BlockRef,
    height: Height,
    cut: Cut,
}

impl Chain {
    /// Continues after `last`, or starts at genesis.
    pub(crate) fn new(
        network: NetworkId,
        committee: Committee,
        last: Option<&CommittedBlock>,
    ) -> Self {
        match last {
            Some(last) => Self {
                network,
                committee,
                last: super::record::reference(last),
                height: last.block.height,
                cut: last.block.cut.clone(),
            },
            None => Self {
                network,
                committee,
                last: BlockRef::genesis(network),
                height: Height::ZERO,
                cut: Cut::default(),
            },
        }
    }

    /// Height of the last block.
    pub(crate) const fn height(&self) -> Height {
        self.height
    }

    /// Cut of the last block.
    pub(crate) const fn cut(&self) -> &Cut {
        &self.cut
    }

    /// Checks that a block is final and extends the chain; does not move on.
    pub(crate) fn check(&self, synced: &SyncedBlock) -> Result<CommittedBlock, FollowError> {
        let block = &synced.block;
        if block.height != self.height.next() || block.parent != self.last {
            return Err(FollowError::Chain {
                last: self.height,
                found: block.height,
            });
        }
        let epoch = synced.proof.certificate.statement.at.epoch;
        let committee = self.committee.in_epoch(epoch);
        synced
            .proof
            .verify(&self.network, block, &committee, &Ed25519Verifier)
            .map_err(|source| FollowError::Proof {
                height: block.height,
                source,
            })?;
        Ok(CommittedBlock {
            hash: block.hash(&self.network),
            block: block.clone(),
            parent_cut: self.cut.clone(),
            proof: Arc::new(synced.proof.clone()),
        })
    }

    /// Digests of the block's batches in lane order, from headers sorted by lane. `Err` names the lane
    /// whose headers are missing or wrong.
    pub(crate) fn batches(
        &self,
        block: &CommittedBlock,
        headers: &[SignedHeader],
    ) -> Result<Vec<Tip>, FollowError> {
        let mut by_lane: BTreeMap<OperatorId, Vec<&SignedHeader>> = BTreeMap::new();
        for signed in headers {
            by_lane.entry(signed.header.lane).or_default().push(signed);
        }
        let mut batches = Vec::with_capacity(headers.len());
        for tip in block.block.cut.moved(&self.cut) {
            let lane = by_lane.remove(&tip.lane).unwrap_or_default();
            self.walk(tip, &lane, &mut batches)
                .ok_or(FollowError::Headers {
                    height: block.block.height,
                    lane: tip.lane,
                })?;
        }
        Ok(batches)
    }

    fn walk(&self, tip: &Tip, lane: &[&SignedHeader], batches: &mut Vec<Tip>) -> Option<()> {
        let parent = self.cut.tip(tip.lane);
        let mut digest = parent.map_or(Digest::ZERO, |parent| parent.digest);
        let mut seq = self.cut.seq(tip.lane);
        for signed in lane {
            if signed.header.parent != digest || signed.header.seq != seq.next() {
                return None;
            }
            let next = signed.header.tip(&self.network);
            (digest, seq) = (next.digest, next.seq);
            batches.push(next);
        }
        (digest == tip.digest && seq == tip.seq).then_some(())
    }

    /// Moves on to a block that was checked.
    pub(crate) fn advance(&mut self, block: &CommittedBlock) {
        self.last = super::record::reference(block);
        self.height = block.block.height;
        self.cut = block.block.cut.clone();
    }
}
