//! From an ordered block to what is signed about it.

use crate::node::record::OrderedBlock;
use squad_mach::{BlockResult, LedgerTree, MachCommittee, Statement};
use squad_primitives::{Digest, Epoch, NetworkId};

/// The ledger tree of an epoch. The members of the next committee are those of this one: stake comes
/// from the genesis.
pub(super) fn ledger(committee: &MachCommittee, epoch: Epoch) -> LedgerTree {
    LedgerTree::of_next_committee(epoch.next(), &committee.root())
}

/// The result of a block. Nothing is sealed yet, so what was opened is what was ordered.
pub(super) fn result_of(
    network: &NetworkId,
    committee: &MachCommittee,
    block: &OrderedBlock,
    rollups_root: Digest,
) -> BlockResult {
    let result = &block.result;
    BlockResult {
        network: *network,
        epoch: result.epoch,
        height: result.height,
        block: result.block,
        order_root: result.order_root,
        opened_root: result.order_root,
        ledger_root: ledger(committee, result.epoch).root(),
        rollups_root,
    }
}

/// What is signed about a block.
pub(crate) fn statement_of(
    network: &NetworkId,
    committee: &MachCommittee,
    block: &OrderedBlock,
    rollups_root: Digest,
) -> Statement {
    result_of(network, committee, block, rollups_root).statement()
}
