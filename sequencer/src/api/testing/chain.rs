//! Blocks without consensus: signed by whom the test says, ordered by the code of the node.

use super::network::{EPOCH_BLOCKS, keys};
use crate::node::pipeline::{Executed, Orderer, by_lane};
use squad_primitives::certificate::CommitProof;
use squad_primitives::genesis::Genesis;
use squad_primitives::{
    Batch, Block, BlockRef, Certificate, CommittedBlock, Cut, Epoch, Height, NetworkId, OperatorId,
    Statement, StatementKind, View, ViewId, Vote,
};
use std::sync::Arc;

/// What the next block depends on.
#[derive(Debug)]
pub(super) struct Chain {
    genesis: Arc<Genesis>,
    network: NetworkId,
    last: BlockRef,
    height: Height,
    cut: Cut,
    orderer: Orderer,
    /// Committee members whose commit votes this node holds.
    signers: Vec<usize>,
}

impl Chain {
    pub(super) fn new(genesis: Arc<Genesis>, orderer: Orderer, signers: Vec<usize>) -> Self {
        let network = genesis.network_id();
        Self {
            genesis,
            network,
            last: BlockRef::genesis(network),
            height: Height::ZERO,
            cut: Cut::default(),
            orderer,
            signers,
        }
    }

    /// The next block: batches by lane, then position, that follow those ordered before.
    pub(super) fn order(&mut self, batches: &[Batch]) -> Executed {
        let height = self.height.next();
        let mut cut = self.cut.clone();
        for batch in batches {
            assert_eq!(batch.header().seq, cut.seq(batch.header().lane).next());
            cut.set(batch.tip());
        }
        let block = Block {
            at: ViewId::new(Epoch((height.0 - 1) / EPOCH_BLOCKS), View(height.0)),
            height,
            parent: self.last,
            timestamp_ms: self.genesis.genesis_time_ms + height.0 * 10,
            cut,
        };
        let committed = CommittedBlock {
            hash: block.hash(&self.network),
            parent_cut: self.cut.clone(),
            proof: Arc::new(self.commit(&block)),
            block,
        };
        self.last = committed.block.reference(&self.network);
        self.height = height;
        self.cut = committed.block.cut.clone();
        self.orderer.order(committed, &by_lane(batches.to_vec()))
    }

    /// The commit certificate of a block, by the members this node heard.
    fn commit(&self, block: &Block) -> CommitProof {
        let statement = Statement {
            kind: StatementKind::CommitVote,
            at: block.at,
            block: block.hash(&self.network),
        };
        let votes: Vec<Vote> = self
            .signers
            .iter()
            .map(|index| {
                let operator = OperatorId(*index as u32);
                Vote::sign(&self.network, statement, operator, &keys()[*index])
            })
            .collect();
        let committee = self.genesis.committee(block.at.epoch).unwrap();
        CommitProof {
            certificate: Certificate::from_votes(&committee, statement, &votes).unwrap(),
            descendants: Vec::new(),
        }
    }
}
