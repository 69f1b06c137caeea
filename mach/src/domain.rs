//! Domain tags. A signed tag fills 32 bytes, padded with zeros; [`ALL`] exists so that a test can
//! assert that they differ.

/// Length of a tag in a signed message.
pub const TAG_BYTES: usize = 32;

/// Signature of an operator over the result of a block.
pub const ATTESTATION: &str = "squad/mach/attest/v1";
/// Signature that proves possession of a secret key.
pub const POSSESSION: &str = "squad/mach/possession/v1";
/// Leaf of the result tree.
pub const RESULT_LEAF: &str = "squad/mach/result/v1";
/// Leaf of the rollup tree.
pub const ROLLUP_LEAF: &str = "squad/mach/rollup/v1";
/// Leaf of the committee tree.
pub const COMMITTEE_LEAF: &str = "squad/mach/committee/v1";
/// Leaf of the tree of ledger entries.
pub const LEDGER_LEAF: &str = "squad/mach/ledger/v1";

/// Every tag above.
pub const ALL: &[&str] = &[
    ATTESTATION,
    POSSESSION,
    RESULT_LEAF,
    ROLLUP_LEAF,
    COMMITTEE_LEAF,
    LEDGER_LEAF,
];

/// The tag as it stands in signed messages and leaves. Longer tags would be cut; a test forbids them.
#[must_use]
pub fn padded(tag: &str) -> [u8; TAG_BYTES] {
    let mut bytes = [0; TAG_BYTES];
    for (to, from) in bytes.iter_mut().zip(tag.as_bytes()) {
        *to = *from;
    }
    bytes
}

#[cfg(test)]
mod tests {
    #[test]
    fn tags_are_distinct_and_fit() {
        let mut tags = super::ALL.to_vec();
        tags.sort_unstable();
        tags.dedup();
        assert_eq!(tags.len(), super::ALL.len());
        assert!(tags.iter().all(|tag| tag.len() < super::TAG_BYTES));
    }
}
