//! Domain tags. One tag per purpose; [`ALL`] exists so that a test can assert that they differ.

/// Transaction id.
pub const TX: &str = "squad/tx/v1";
/// Batch header digest.
pub const BATCH: &str = "squad/batch/v1";
/// Signature of an operator that stores a lane up to a batch; the owner's signature over its header.
pub const ACK: &str = "squad/ack/v1";
/// Block hash.
pub const BLOCK: &str = "squad/block/v1";
/// Signature over a first-phase vote; a leader's signature over its proposal.
pub const VOTE: &str = "squad/vote/v1";
/// Signature that leaves a view without a certificate.
pub const TIMEOUT: &str = "squad/timeout/v1";
/// Signature over a second-phase vote.
pub const COMMIT_VOTE: &str = "squad/commit-vote/v1";
/// Leaf of the order tree: one rollup's transactions in one block.
pub const ORDER_LEAF: &str = "squad/order/leaf/v1";
/// Digest of an order result.
pub const ORDER_RESULT: &str = "squad/order/result/v1";
/// Signature of an operator over its order result.
pub const ORDER_ATTESTATION: &str = "squad/order/attestation/v1";
/// Seed of the order inside a block while the threshold beacon does not exist.
pub const ORDER_SEED: &str = "squad/order/seed/v1";
/// Digest of the genesis, which is the network id.
pub const GENESIS: &str = "squad/genesis/v1";
/// Signature in the handshake of the peer-to-peer planes.
pub const HANDSHAKE: &str = "squad/handshake/v1";
/// Signature over an operator's published address record.
pub const ADDRESS_RECORD: &str = "squad/address-record/v1";

/// Every tag above.
pub const ALL: &[&str] = &[
    TX,
    BATCH,
    ACK,
    BLOCK,
    VOTE,
    TIMEOUT,
    COMMIT_VOTE,
    ORDER_LEAF,
    ORDER_RESULT,
    ORDER_ATTESTATION,
    ORDER_SEED,
    GENESIS,
    HANDSHAKE,
    ADDRESS_RECORD,
];

#[cfg(test)]
mod tests {
    #[test]
    fn tags_are_distinct() {
        let mut tags = super::ALL.to_vec();
        tags.sort_unstable();
        tags.dedup();
        assert_eq!(tags.len(), super::ALL.len());
    }
}
