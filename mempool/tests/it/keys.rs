//! Cheap signatures: a digest over public key and message. Anybody could forge them, but nothing here
//! does; forged ones are made of other bytes.

use squad_primitives::key::Claim;
use squad_primitives::{
    Committee, Digest, Epoch, Member, OperatorId, PublicKey, Signature, Signer, Stake, Verifier,
};
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Clone, Copy, Debug)]
pub(crate) struct FakeKey(pub(crate) PublicKey);

fn sign(key: &PublicKey, message: &[u8]) -> Signature {
    let digest = Digest::of_parts("test", &Digest::ZERO, &[&key.0, message]).0;
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(&digest);
    Signature(bytes)
}

pub(crate) fn key_of(operator: u32) -> FakeKey {
    FakeKey(PublicKey([operator as u8 + 1; 32]))
}

impl Signer for FakeKey {
    fn public_key(&self) -> PublicKey {
        self.0
    }

    fn sign(&self, message: &[u8]) -> Signature {
        sign(&self.0, message)
    }
}

/// Verifies, and counts how often it was asked.
#[derive(Debug, Default)]
pub(crate) struct CountingVerifier(AtomicUsize);

impl CountingVerifier {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Verifier for CountingVerifier {
    fn verify(&self, claim: Claim<'_>) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed);
        sign(claim.key, claim.message) == *claim.signature
    }
}

pub(crate) fn committee(epoch: u64, stakes: &[u64]) -> Committee {
    let members = (0..)
        .zip(stakes)
        .filter(|(_, stake)| **stake > 0)
        .map(|(i, stake)| Member {
            operator: OperatorId(i),
            key: key_of(i).0,
            stake: Stake(*stake),
        })
        .collect();
    Committee::new(Epoch(epoch), members).unwrap()
}
