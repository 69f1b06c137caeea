//! Ed25519 identity keys and the seam that lets cores run with other signatures in simulation.
//!
//! Validity follows ZIP-215 everywhere: a signature is valid alone exactly when it is valid in a
//! batch, so two honest nodes never disagree about one (RFC 8032 leaves this open).

use crate::codec::{Decode, DecodeError, Encode, Reader};
use ed25519_zebra::{SigningKey, VerificationKey, VerificationKeyBytes, batch};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// An Ed25519 public key in its 32-byte form. Not every value is a valid point; an invalid one
/// verifies nothing.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

/// An Ed25519 signature (R and s).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

/// An Ed25519 private key. Erased from memory when dropped; `Debug` shows only the public part.
#[derive(Clone)]
pub struct IdentityKey(SigningKey);

impl IdentityKey {
    /// The key of a 32-byte seed (RFC 8032, section 5.1.5). The caller supplies the entropy.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from(seed))
    }

    /// The seed, for the keystore. Handle with care.
    #[must_use]
    pub fn to_seed(&self) -> zeroize::Zeroizing<[u8; 32]> {
        zeroize::Zeroizing::new(self.0.into())
    }
}

impl fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdentityKey({})", self.public_key())
    }
}

/// Makes signatures of one identity.
pub trait Signer: Send + Sync + fmt::Debug {
    /// Public key that verifies the signatures.
    fn public_key(&self) -> PublicKey;
    /// Signs `message`, which already carries its domain tag and network id.
    fn sign(&self, message: &[u8]) -> Signature;
}

impl Signer for IdentityKey {
    fn public_key(&self) -> PublicKey {
        PublicKey(VerificationKeyBytes::from(VerificationKey::from(&self.0)).into())
    }

    fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

/// One signature to check: who, over what.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Key said to have signed.
    pub key: &'a PublicKey,
    /// Signed bytes.
    pub message: &'a [u8],
    /// The signature.
    pub signature: &'a Signature,
}

/// Checks signatures. Production uses [`Ed25519Verifier`]; the simulator a cheap stand-in.
pub trait Verifier: Send + Sync + fmt::Debug {
    /// Whether one signature is valid.
    fn verify(&self, claim: Claim<'_>) -> bool;

    /// Whether all signatures are valid. Must equal the conjunction of [`Verifier::verify`].
    fn verify_all(&self, claims: &[Claim<'_>]) -> bool {
        claims.iter().all(|claim| self.verify(*claim))
    }
}

/// Ed25519 with the validity rules of ZIP-215.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ed25519Verifier;

/// Below this many signatures a batch costs more than it saves.
const BATCH_SIZE_MIN: usize = 4;

impl Verifier for Ed25519Verifier {
    fn verify(&self, claim: Claim<'_>) -> bool {
        VerificationKey::try_from(claim.key.0)
            .is_ok_and(|key| key.verify(&claim.signature.0.into(), claim.message).is_ok())
    }

    fn verify_all(&self, claims: &[Claim<'_>]) -> bool {
        if claims.len() < BATCH_SIZE_MIN {
            return claims.iter().all(|claim| self.verify(*claim));
        }
        let mut verifier = batch::Verifier::new();
        // The coefficients only have to be unpredictable to whoever made the signatures, so they are
        // drawn from a hash over all of them; pure code then needs no entropy source.
        let mut seed = blake3::Hasher::new();
        for claim in claims {
            let key = VerificationKeyBytes::from(claim.key.0);
            seed.update(&claim.key.0);
            seed.update(&claim.signature.0);
            seed.update(&(claim.message.len() as u64).to_le_bytes());
            seed.update(claim.message);
            verifier.queue((key, claim.signature.0.into(), &claim.message));
        }
        verifier.verify(HashRng(seed.finalize_xof())).is_ok()
    }
}

/// Random-number generator over an extendable hash output.
struct HashRng(blake3::OutputReader);

impl rand_core::TryRng for HashRng {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Self::Error> {
        self.0.fill(dest);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for HashRng {}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}…", hex::encode(self.0.get(..4).unwrap_or_default()))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}…", hex::encode(self.0.get(..4).unwrap_or_default()))
    }
}

/// Text that is not `0x` and 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("public key: expected 0x and 64 hexadecimal digits")]
pub struct ParseKeyError;

impl FromStr for PublicKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut bytes)
            .map_err(|_| ParseKeyError)?;
        Ok(Self(bytes))
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

impl Encode for PublicKey {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

impl Decode for PublicKey {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(reader.array("public key")?))
    }
}

impl Encode for Signature {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

impl Decode for Signature {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(reader.array("signature")?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims<'a>(parts: &'a [(PublicKey, Vec<u8>, Signature)]) -> Vec<Claim<'a>> {
        parts
            .iter()
            .map(|(key, message, signature)| Claim {
                key,
                message,
                signature,
            })
            .collect()
    }

    fn signed(count: u8) -> Vec<(PublicKey, Vec<u8>, Signature)> {
        (0..count)
            .map(|i| {
                let key = IdentityKey::from_seed([i; 32]);
                let message = vec![i; 40];
                let signature = key.sign(&message);
                (key.public_key(), message, signature)
            })
            .collect()
    }

    #[test]
    fn one_bad_signature_fails_the_whole_batch() {
        let mut parts = signed(8);
        assert!(Ed25519Verifier.verify_all(&claims(&parts)));
        parts[5].2.0[40] ^= 1;
        assert!(!Ed25519Verifier.verify_all(&claims(&parts)));
    }

    /// Small-order keys and points: ZIP-215 accepts them, alone and in a batch alike. RFC 8032
    /// implementations differ here, which is the reason for one rule.
    #[test]
    fn small_order_points_are_judged_alike_alone_and_in_batches() {
        let mut identity = [0_u8; 32];
        identity[0] = 1;
        let mut signature = [0_u8; 64];
        signature[0] = 1;
        let odd = (PublicKey(identity), b"any".to_vec(), Signature(signature));
        let mut parts = signed(3);
        parts.push(odd);
        let all = claims(&parts);
        assert!(Ed25519Verifier.verify(all[3]));
        assert!(Ed25519Verifier.verify_all(&all));
    }

    #[test]
    fn debug_of_a_private_key_shows_only_the_public_key() {
        let key = IdentityKey::from_seed([9; 32]);
        assert!(!format!("{key:?}").contains("0909"));
    }
}
