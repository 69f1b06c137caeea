//! Proofs for light clients, made when they are asked for.
//!
//! The rollup tree at a certified height is rebuilt from the stored leaves: for each rollup the last one at
//! or below the height. That is one look-up per rollup, at most 1,024.

use super::results::{ledger, result_of};
use super::view::Finality;
use crate::node::handle::NodeHandle;
use crate::node::record::OrderedBlock;
use squad_mach::ledger::committee_key;
use squad_mach::light::OLDER_LEAVES_MAX;
use squad_mach::{
    BlockResult, Certificate, Handover, RollupProof, RollupState, RollupTree, Root,
    TransactionProof,
};
use squad_primitives::{Epoch, Height, RollupId, TxId, merkle};
use squad_storage::StorageError;

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProofError {
    /// The store can't be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// No certificate covers the block yet.
    #[error("not final yet: certificates reach height {0}")]
    NotFinal(Height),
    /// What the proof needs is no longer kept.
    #[error("pruned: blocks below {0} are not kept")]
    Pruned(Height),
    /// Too many blocks of the rollup lie between this one and the next certificate.
    #[error("the next certificate is more than {OLDER_LEAVES_MAX} rollup blocks above")]
    TooFar,
    /// What is stored does not lead to the certified result: this node's results are wrong.
    #[error("this node's result differs from the certified one")]
    Differs,
}

/// A certified height with what is known below it.
struct Certified {
    certificate: Certificate,
    tree: RollupTree,
    result: BlockResult,
}

fn at(
    node: &NodeHandle,
    finality: &Finality,
    certificate: Certificate,
) -> Result<Certified, ProofError> {
    let height = certificate.statement.height;
    let earliest = node.reader.earliest();
    let block = node.block(height)?.ok_or(if height < earliest {
        ProofError::Pruned(earliest)
    } else {
        ProofError::NotFinal(finality.height())
    })?;
    let mut rollups: Vec<RollupId> = node.genesis.rollups.iter().map(|r| r.id).collect();
    rollups.sort_unstable();
    let mut states = Vec::with_capacity(rollups.len());
    for rollup in rollups {
        let state = node.reader.rollup_state(rollup, height)?;
        states.push(state.unwrap_or(RollupState::empty(rollup)));
    }
    let tree = RollupTree::new(states).map_err(|_| ProofError::Differs)?;
    let committee = finality.committee(certificate.statement.epoch);
    let result = result_of(&node.network, &committee, &block, tree.root());
    if result.statement() == certificate.statement {
        Ok(Certified {
            certificate,
            tree,
            result,
        })
    } else {
        Err(ProofError::Differs)
    }
}

/// Proof of the rollup's block in the block at `height`, which must hold transactions of the rollup.
pub(crate) fn rollup_proof(
    node: &NodeHandle,
    finality: &Finality,
    rollup: RollupId,
    height: Height,
) -> Result<RollupProof, ProofError> {
    let final_height = finality.height();
    if height > final_height {
        return Err(ProofError::NotFinal(final_height));
    }
    let certificate = node
        .reader
        .certificate_from(height)?
        .ok_or(ProofError::NotFinal(final_height))?;
    let certified = at(node, finality, certificate)?;
    let (leaf, path) = certified.tree.prove(rollup).ok_or(ProofError::Differs)?;
    let mut older: Vec<RollupState> = Vec::new();
    let mut newest = leaf.last_height;
    while newest > height {
        if older.len() >= OLDER_LEAVES_MAX {
            return Err(ProofError::TooFar);
        }
        let state = node
            .reader
            .rollup_state(rollup, newest.prev())?
            .ok_or(ProofError::Differs)?;
        newest = state.last_height;
        older.push(state);
    }
    Ok(RollupProof {
        rollups: certified.result.proof(Root::Rollups),
        certificate: certified.certificate,
        leaf,
        path,
        older,
    })
}

/// Proof of one transaction: the one at a position of a rollup's part of a block.
pub(crate) fn transaction_proof(
    node: &NodeHandle,
    finality: &Finality,
    block: &OrderedBlock,
    rollup: RollupId,
    position: usize,
) -> Result<TransactionProof, ProofError> {
    let part = block.rollup(rollup).ok_or(ProofError::Differs)?;
    let id: TxId = *part.ids.get(position).ok_or(ProofError::Differs)?;
    let path = merkle::Path::new(&part.ids, position).ok_or(ProofError::Differs)?;
    Ok(TransactionProof {
        rollup: rollup_proof(node, finality, rollup, block.height())?,
        id,
        path,
    })
}

/// The hand-over from an epoch to the next, under its first kept certificate.
pub(crate) fn handover(
    node: &NodeHandle,
    finality: &Finality,
    epoch: Epoch,
) -> Result<Handover, ProofError> {
    let first = epoch
        .0
        .saturating_mul(node.genesis.params.epoch_length_blocks)
        .saturating_add(1);
    let from = Height(first).max(node.reader.earliest());
    let certificate = node
        .reader
        .certificate_from(from)?
        .filter(|certificate| certificate.statement.epoch == epoch)
        .filter(|certificate| certificate.statement.height <= finality.height())
        .ok_or(ProofError::NotFinal(finality.height()))?;
    let certified = at(node, finality, certificate)?;
    let committee = finality.committee(epoch.next());
    let entry = ledger(&committee, epoch)
        .prove(&committee_key(epoch.next()))
        .ok_or(ProofError::Differs)?;
    Ok(Handover {
        ledger: certified.result.proof(Root::Ledger),
        certificate: certified.certificate,
        entry,
        members: committee.members().to_vec(),
    })
}
