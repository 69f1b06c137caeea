//! The result of ordering a block: which transactions of which rollup, in which order.
//!
//! The order tree has one leaf per rollup that has transactions in the block, sorted by rollup. So one
//! path shows a rollup all and only its transactions, and two neighbouring leaves show that a rollup
//! has none.

use crate::codec::Encode;
use crate::key::{Claim, Signer, Verifier};
use crate::{
    Committee, Digest, Epoch, Height, NetworkId, OperatorId, RollupId, Signature, TxId, canonical,
    domain, merkle,
};

/// One rollup's part of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollupLeaf {
    /// The rollup.
    pub rollup: RollupId,
    /// Number of this rollup block: counts only blocks that hold transactions of the rollup, from 1.
    /// A rollup that holds number n and is given n + 1 knows that nothing lies between.
    pub number: u64,
    /// Number of transactions, at least 1.
    pub tx_count: u32,
    /// Merkle root over their ids, in order.
    pub list_root: Digest,
}

canonical!(RollupLeaf {
    rollup,
    number,
    tx_count,
    list_root
});

impl RollupLeaf {
    /// Builds the leaf of an ordered list.
    #[must_use]
    pub fn new(rollup: RollupId, number: u64, ids: &[TxId]) -> Self {
        Self {
            rollup,
            number,
            tx_count: u32::try_from(ids.len()).unwrap_or(u32::MAX),
            list_root: merkle::root(ids),
        }
    }

    /// Digest of the leaf.
    #[must_use]
    pub fn digest(&self, network: &NetworkId) -> Digest {
        Digest::of(domain::ORDER_LEAF, network, self)
    }
}

/// Root of the order tree over leaves sorted by rollup.
#[must_use]
pub fn order_root(network: &NetworkId, leaves: &[RollupLeaf]) -> Digest {
    let digests: Vec<_> = leaves.iter().map(|leaf| leaf.digest(network)).collect();
    merkle::root(&digests)
}

/// What every honest operator computes from a committed block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderResult {
    /// Epoch of the block.
    pub epoch: Epoch,
    /// Height of the block.
    pub height: Height,
    /// Hash of the block.
    pub block: Digest,
    /// Root of the order tree.
    pub order_root: Digest,
    /// Number of rollups with transactions in the block.
    pub rollup_count: u32,
    /// Number of transactions in the block.
    pub tx_count: u32,
}

canonical!(OrderResult {
    epoch,
    height,
    block,
    order_root,
    rollup_count,
    tx_count
});

impl OrderResult {
    /// Digest of the result.
    #[must_use]
    pub fn digest(&self, network: &NetworkId) -> Digest {
        Digest::of(domain::ORDER_RESULT, network, self)
    }

    fn message(&self, network: &NetworkId) -> Vec<u8> {
        let mut message = Vec::with_capacity(128);
        domain::ORDER_ATTESTATION.encode(&mut message);
        network.encode(&mut message);
        self.digest(network).encode(&mut message);
        message
    }

    /// An operator's signature over its result. Attestations of more than one third of stake show
    /// that at least one honest operator computed it.
    #[must_use]
    pub fn attest(&self, network: &NetworkId, key: &dyn Signer) -> Signature {
        key.sign(&self.message(network))
    }

    /// Whether `operator` attested this result.
    #[must_use]
    pub fn verify_attestation(
        &self,
        network: &NetworkId,
        committee: &Committee,
        operator: OperatorId,
        signature: &Signature,
        by: &dyn Verifier,
    ) -> bool {
        committee.member(operator).is_some_and(|member| {
            by.verify(Claim {
                key: &member.key,
                message: &self.message(network),
                signature,
            })
        })
    }
}

/// A leaf with its path to the order root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafProof {
    /// The leaf.
    pub leaf: RollupLeaf,
    /// Its path.
    pub path: merkle::Path,
}

/// Shows a rollup its part of a block, or that it has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RollupProof {
    /// The rollup has transactions in the block.
    Present(LeafProof),
    /// It has none: the leaves before and after the place where its leaf would be. Both are absent
    /// when the block holds no transactions at all.
    Absent {
        /// Leaf with the next smaller rollup, if any.
        before: Option<LeafProof>,
        /// Leaf with the next larger rollup, if any.
        after: Option<LeafProof>,
    },
}

impl RollupProof {
    /// Builds the proof for a rollup from all leaves of a block, sorted by rollup.
    #[must_use]
    pub fn new(network: &NetworkId, leaves: &[RollupLeaf], rollup: RollupId) -> Self {
        let digests: Vec<_> = leaves.iter().map(|leaf| leaf.digest(network)).collect();
        let at = |index: usize| {
            Some(LeafProof {
                leaf: *leaves.get(index)?,
                path: merkle::Path::new(&digests, index)?,
            })
        };
        let index = leaves.partition_point(|leaf| leaf.rollup < rollup);
        match at(index) {
            Some(proof) if proof.leaf.rollup == rollup => Self::Present(proof),
            after => Self::Absent {
                before: index.checked_sub(1).and_then(at),
                after,
            },
        }
    }

    /// Whether the proof holds for `rollup` under `result`.
    #[must_use]
    pub fn verify(&self, network: &NetworkId, result: &OrderResult, rollup: RollupId) -> bool {
        let holds = |proof: &LeafProof| {
            proof.path.count == result.rollup_count
                && proof.path.root(&proof.leaf.digest(network)) == Some(result.order_root)
        };
        match self {
            Self::Present(proof) => proof.leaf.rollup == rollup && holds(proof),
            Self::Absent { before, after } => {
                let left = before
                    .as_ref()
                    .is_none_or(|p| p.leaf.rollup < rollup && holds(p));
                let right = after
                    .as_ref()
                    .is_none_or(|p| p.leaf.rollup > rollup && holds(p));
                let first = before.as_ref().map_or(0, |p| p.path.index + 1);
                let next = after.as_ref().map_or(result.rollup_count, |p| p.path.index);
                left && right && first == next
            }
        }
    }
}

/// Seed of the order inside a block. It takes the place of the threshold beacon until that exists, and
/// depends on the block alone, never on a certificate.
#[must_use]
pub fn order_seed(network: &NetworkId, block: &Digest) -> Digest {
    Digest::of(domain::ORDER_SEED, network, block)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(network: &NetworkId, leaves: &[RollupLeaf]) -> OrderResult {
        OrderResult {
            epoch: Epoch(0),
            height: Height(1),
            block: Digest([3; 32]),
            order_root: order_root(network, leaves),
            rollup_count: leaves.len() as u32,
            tx_count: leaves.len() as u32,
        }
    }

    #[test]
    fn presence_and_absence_are_exclusive_for_every_rollup() {
        let network = Digest([7; 32]);
        for count in 0..6_u64 {
            let leaves: Vec<_> = (0..count)
                .map(|i| RollupLeaf::new(RollupId(10 * (i + 1)), 1, &[Digest([i as u8; 32])]))
                .collect();
            let result = result(&network, &leaves);
            for rollup in 0..70 {
                let rollup = RollupId(rollup);
                let proof = RollupProof::new(&network, &leaves, rollup);
                assert!(proof.verify(&network, &result, rollup));
                let present = leaves.iter().any(|leaf| leaf.rollup == rollup);
                assert_eq!(matches!(proof, RollupProof::Present(_)), present);
                if present {
                    let index = leaves.partition_point(|leaf| leaf.rollup < rollup);
                    let neighbour = |r: u64| match RollupProof::new(&network, &leaves, RollupId(r))
                    {
                        RollupProof::Present(proof) => Some(proof),
                        RollupProof::Absent { .. } => None,
                    };
                    let lie = RollupProof::Absent {
                        before: neighbour(10 * index as u64),
                        after: neighbour(10 * (index as u64 + 2)),
                    };
                    assert!(!lie.verify(&network, &result, rollup));
                }
            }
        }
    }
}
