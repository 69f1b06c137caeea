//! Ethereum transactions as payloads: raw EIP-2718 bytes, prepared before a run.
//!
//! - [`rlp`]: the fields of the transaction types 0 to 3, encoded.
//! - [`sign`]: EIP-1559 transfers, really signed, for the `evm` workload.
//! - [`block`]: transactions of blocks as `eth_getBlockByNumber` returns them, each checked against its
//!   listed hash.

pub mod block;
pub mod rlp;
pub mod sign;

use sha3::{Digest as _, Keccak256};

/// Keccak-256, which names Ethereum transactions.
#[must_use]
pub fn keccak256(bytes: &[u8]) -> [u8; 32] {
    Keccak256::digest(bytes).into()
}
