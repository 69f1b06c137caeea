//! Cheap signatures: a hash over key and message. Unforgeable by accident, which is what tests need.

use squad_primitives::committee::Member;
use squad_primitives::key::Claim;
use squad_primitives::{
    Committee, Digest, Epoch, OperatorId, PublicKey, Signature, Signer, Stake, Verifier,
};

#[derive(Debug)]
pub(crate) struct TestKey(pub(crate) PublicKey);

fn tag(key: &PublicKey, message: &[u8]) -> Signature {
    let digest = Digest::of_parts("test/signature", &Digest(key.0), &[message]);
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(digest.as_bytes());
    Signature(bytes)
}

impl Signer for TestKey {
    fn public_key(&self) -> PublicKey {
        self.0
    }

    fn sign(&self, message: &[u8]) -> Signature {
        tag(&self.0, message)
    }
}

#[derive(Debug)]
pub(crate) struct TestVerifier;

impl Verifier for TestVerifier {
    fn verify(&self, claim: Claim<'_>) -> bool {
        tag(claim.key, claim.message) == *claim.signature
    }
}

pub(crate) fn public_key(index: usize) -> PublicKey {
    let mut bytes = [7; 32];
    bytes[0] = u8::try_from(index).unwrap();
    PublicKey(bytes)
}

pub(crate) fn committee(epoch: Epoch, members: &[(usize, u64)]) -> Committee {
    let members = members.iter().map(|(index, stake)| Member {
        operator: OperatorId(u32::try_from(*index).unwrap()),
        key: public_key(*index),
        stake: Stake(*stake),
    });
    Committee::new(epoch, members.collect()).unwrap()
}
