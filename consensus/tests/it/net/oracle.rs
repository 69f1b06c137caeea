//! Sees everything, and fails the test when safety breaks.

use super::keys::TestVerifier;
use squad_primitives::evidence::contradict;
use squad_primitives::message::ConsensusMessage;
use squad_primitives::{CommittedBlock, Committee, Digest, NetworkId, StatementKind, Vote};
use std::collections::BTreeMap;

/// Hash of the block at each height, and every vote that an honest node sent, over all its lives.
pub(crate) struct Oracle {
    network: NetworkId,
    chain: BTreeMap<u64, Digest>,
    last: BTreeMap<usize, u64>,
    votes: BTreeMap<(u64, u64, usize), Vec<Vote>>,
}

impl Oracle {
    pub(super) fn new(network: NetworkId) -> Self {
        Self {
            network,
            chain: BTreeMap::new(),
            last: BTreeMap::new(),
            votes: BTreeMap::new(),
        }
    }

    pub(super) fn on_commit(&mut self, node: usize, block: &CommittedBlock, committee: &Committee) {
        let height = block.block.height.0;
        assert_eq!(block.block.hash(&self.network), block.hash);
        let agreed = *self.chain.entry(height).or_insert(block.hash);
        assert_eq!(agreed, block.hash, "node {node} differs at height {height}");
        if height > 1
            && let Some(parent) = self.chain.get(&(height - 1))
        {
            assert_eq!(block.block.parent.hash, *parent);
        }
        block
            .proof
            .verify(&self.network, &block.block, committee, &TestVerifier)
            .expect("every committed block is proven");
        self.last.insert(node, height);
    }

    /// No two messages of an honest node ever contradict each other, and none votes in a view after its
    /// timeout there, restarts included.
    pub(super) fn on_sent(&mut self, node: usize, message: &ConsensusMessage) {
        let vote = match message {
            ConsensusMessage::Vote(vote) => vote.clone(),
            ConsensusMessage::Proposal(proposal) => proposal.vote(&self.network),
            _ => return,
        };
        let at = vote.statement.at;
        let said = self.votes.entry((at.epoch.0, at.view.0, node)).or_default();
        for earlier in said.iter() {
            assert!(
                !contradict(earlier, &vote),
                "node {node} contradicts itself: {earlier:?} {vote:?}"
            );
        }
        if !said.contains(&vote) {
            let left = said
                .iter()
                .any(|earlier| earlier.statement.kind == StatementKind::Timeout);
            assert!(
                !(left && vote.statement.kind == StatementKind::Vote),
                "node {node} votes in a view that it has left: {vote:?}"
            );
            said.push(vote);
        }
    }
}
