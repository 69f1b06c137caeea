//! Signatures: cheap stand-ins, or the real ones.
//!
//! A stand-in is a keyed hash that anybody could compute. It binds signer and bytes, so a message that
//! was changed, or signed with another key, is refused; only deliberate forgery is out of reach of the
//! adversaries, as it is in reality.

use squad_primitives::key::Claim;
use squad_primitives::{Ed25519Verifier, IdentityKey, PublicKey, Signature, Signer, Verifier};
use std::sync::Arc;

/// Keys of all operators, and what verifies their signatures.
#[derive(Clone, Debug)]
pub struct Keys {
    /// By operator number.
    pub signers: Vec<Arc<dyn Signer>>,
    /// Verifier of all signatures.
    pub verifier: Arc<dyn Verifier>,
}

impl Keys {
    /// Keys of `count` operators.
    #[must_use]
    pub fn new(count: usize, real: bool) -> Self {
        let seed = |index: usize| {
            let mut bytes = [7; 32];
            bytes[..8].copy_from_slice(&(index as u64).to_le_bytes());
            bytes
        };
        let signers = (0..count).map(|index| -> Arc<dyn Signer> {
            if real {
                Arc::new(IdentityKey::from_seed(seed(index)))
            } else {
                Arc::new(StandIn(PublicKey(seed(index))))
            }
        });
        Self {
            signers: signers.collect(),
            verifier: if real {
                Arc::new(Ed25519Verifier)
            } else {
                Arc::new(StandInVerifier)
            },
        }
    }
}

#[derive(Debug)]
struct StandIn(PublicKey);

#[derive(Debug)]
struct StandInVerifier;

impl Signer for StandIn {
    fn public_key(&self) -> PublicKey {
        self.0
    }

    fn sign(&self, message: &[u8]) -> Signature {
        tag(&self.0, message)
    }
}

impl Verifier for StandInVerifier {
    fn verify(&self, claim: Claim<'_>) -> bool {
        tag(claim.key, claim.message) == *claim.signature
    }
}

const fn fold(a: u64, b: u64) -> u64 {
    let product = (a as u128).wrapping_mul(b as u128);
    (product >> 64) as u64 ^ product as u64
}

fn tag(key: &PublicKey, message: &[u8]) -> Signature {
    let (mut a, mut b) = (0x9e37_79b9_7f4a_7c15_u64, 0xd134_2543_de82_ef95_u64);
    for chunk in key.0.chunks(8).chain(message.chunks(8)) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        let word = u64::from_le_bytes(word) ^ (chunk.len() as u64) << 56;
        a = fold(a ^ word, 0xa076_1d64_78bd_642f);
        b = fold(b.rotate_left(23) ^ word, 0xe703_7ed1_a0b4_28db);
    }
    let mut bytes = [0; 64];
    bytes[..8].copy_from_slice(&a.to_le_bytes());
    bytes[8..16].copy_from_slice(&b.to_le_bytes());
    Signature(bytes)
}
