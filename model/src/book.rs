//! Numbers for what is signed, so that a state of the network is a few small integers.

use squad_primitives::{
    Block, CommittedBlock, Digest, NetworkId, OperatorId, Proposal, Statement, ViewId,
};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// Values by number; equal keys share a number.
#[derive(Debug)]
pub(crate) struct Numbered<K, V> {
    numbers: HashMap<K, u16>,
    values: Vec<V>,
}

impl<K: Eq + Hash, V> Numbered<K, V> {
    fn new() -> Self {
        Self {
            numbers: HashMap::new(),
            values: Vec::new(),
        }
    }

    pub(crate) fn number(&mut self, key: K, value: impl FnOnce() -> V) -> u16 {
        let values = &mut self.values;
        *self.numbers.entry(key).or_insert_with(|| {
            values.push(value());
            u16::try_from(values.len() - 1).expect("a scope has fewer than 65,536 of each thing")
        })
    }

    pub(crate) fn get(&self, number: u16) -> &V {
        &self.values[usize::from(number)]
    }

    pub(crate) fn find(&self, key: &K) -> Option<u16> {
        self.numbers.get(key).copied()
    }
}

/// Something that an honest operator signed and sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Item {
    /// A statement by its number, and the signer.
    Said(u16, u8),
    /// A proposal by its number; also its leader's vote.
    Proposal(u16),
}

/// What tells proposals of one leader apart.
type ProposalKey = (ViewId, Digest, Option<Statement>);
/// What tells committed blocks with their proofs apart: which quorum signed makes no difference.
type SyncedKey = (Digest, Statement, usize);

/// Everything that was ever signed in any state.
#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) network: NetworkId,
    pub(crate) blocks: Numbered<Digest, Block>,
    pub(crate) statements: Numbered<Statement, Statement>,
    pub(crate) proposals: Numbered<ProposalKey, Proposal>,
    pub(crate) synced: Numbered<SyncedKey, Arc<CommittedBlock>>,
}

impl Book {
    pub(crate) fn new(network: NetworkId) -> Self {
        Self {
            network,
            blocks: Numbered::new(),
            statements: Numbered::new(),
            proposals: Numbered::new(),
            synced: Numbered::new(),
        }
    }

    pub(crate) fn statement(&mut self, statement: Statement) -> u16 {
        self.statements.number(statement, || statement)
    }

    pub(crate) fn proposal(&mut self, proposal: &Proposal) -> u16 {
        let hash = proposal.block.hash(&self.network);
        self.blocks.number(hash, || proposal.block.clone());
        self.statement(Statement::vote(proposal.at, hash));
        let justify = proposal.justify.as_ref();
        let key = (proposal.at, hash, justify.map(|it| it.statement));
        self.proposals.number(key, || proposal.clone())
    }

    pub(crate) fn synced(&mut self, block: &Arc<CommittedBlock>) -> u16 {
        let proof = &block.proof;
        let key = (
            block.hash,
            proof.certificate.statement,
            proof.descendants.len(),
        );
        self.synced.number(key, || Arc::clone(block))
    }

    /// What an item says, and who.
    pub(crate) fn said(&self, item: Item) -> (Statement, OperatorId) {
        match item {
            Item::Said(statement, signer) => {
                let signer = OperatorId(u32::from(signer));
                (*self.statements.get(statement), signer)
            }
            Item::Proposal(number) => {
                let vote = self.proposals.get(number).vote(&self.network);
                (vote.statement, vote.signer)
            }
        }
    }

    /// A block that was proposed.
    pub(crate) fn block(&self, hash: &Digest) -> Option<&Block> {
        self.blocks.find(hash).map(|number| self.blocks.get(number))
    }

    /// Whether `hash` is `ancestor` or descends from it.
    pub(crate) fn descends(&self, hash: Digest, ancestor: Digest) -> bool {
        let mut at = hash;
        loop {
            if at == ancestor {
                return true;
            }
            match self.block(&at) {
                Some(block) => at = block.parent.hash,
                None => return false,
            }
        }
    }
}
