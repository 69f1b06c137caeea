//! The committed copy of real transactions is complete and unchanged.

use squad_loadtest::eth::keccak256;
use squad_loadtest::txfile;
use std::collections::BTreeSet;

const FILE: &[u8] = include_bytes!("../../data/mainnet.bin");

/// keccak256 over the 4,478 transaction hashes in order of block and position, as the blocks list them.
const DIGEST_OF_LISTED_HASHES: &str =
    "a41f6fe4d071d55d067bb74f2de1fd6d39fc1c4d0a0e532c2e364ad213e03594";

#[test]
fn all_hashes_equal_those_listed_in_the_blocks() {
    let transactions = txfile::read(FILE).unwrap();
    let hashes: Vec<[u8; 32]> = transactions.iter().map(|raw| keccak256(raw)).collect();
    assert_eq!(hashes.len(), 4_478);
    assert_eq!(
        hex::encode(keccak256(&hashes.concat())),
        DIGEST_OF_LISTED_HASHES
    );
    assert_eq!(hashes.into_iter().collect::<BTreeSet<_>>().len(), 4_478);
}

#[test]
fn all_types_occur() {
    let mut by_type = [0; 4];
    for raw in txfile::read(FILE).unwrap() {
        // A legacy transaction starts with the header of its list, above any type.
        by_type[if raw[0] >= 0xc0 {
            0
        } else {
            usize::from(raw[0])
        }] += 1;
    }
    assert_eq!(by_type, [1_527, 5, 2_944, 2]);
}
