//! BLS12-381 keys and signatures: public keys in G1 (48 bytes), signatures in G2 (96 bytes).
//!
//! The ciphersuite is that of `bls-signatures`, [`CIPHERSUITE`]; the L1 contract hashes under the same
//! string. Its `NUL` scheme is safe here because every signed message starts with its own tag, and
//! because a key counts only after a proof of possession under a tag of its own (ADR 0008).
//!
//! Points are checked where they are decoded: on the curve, in the subgroup of prime order, not the
//! identity, in canonical form. A [`BlsPublicKey`] or [`BlsSignature`] that exists has passed this.

use crate::domain::{self, TAG_BYTES};
use crate::{Attestation, Permit};
use bls_signatures::Serialize as _;
use blstrs::{G1Affine, G1Projective, G2Affine, G2Projective};
use group::Group as _;
use group::prime::PrimeCurveAffine as _;
use squad_primitives::PublicKey as IdentityPublicKey;
use std::{fmt, str::FromStr};
use zeroize::Zeroizing;

/// Ciphersuite and hash-to-curve tag of every signature (RFC 9380 names, draft-irtf-cfrg-bls-signature).
pub const CIPHERSUITE: &str = "BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_NUL_";

/// Length of a compressed public key.
pub const PUBLIC_KEY_BYTES: usize = 48;
/// Length of a compressed signature.
pub const SIGNATURE_BYTES: usize = 96;
/// Length of the message of a proof of possession.
pub const POSSESSION_MESSAGE_BYTES: usize = TAG_BYTES + 32 + PUBLIC_KEY_BYTES;

/// Bytes that are no key or signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not the canonical form of a point of the curve's prime-order subgroup.
    #[error("{0}: no point of the prime-order subgroup")]
    Point(&'static str),
    /// The identity, under which anything would verify.
    #[error("{0}: the identity point")]
    Identity(&'static str),
    /// A secret that is zero or not below the group order.
    #[error("secret key: must be from 1 to the group order - 1")]
    Secret,
    /// Key material shorter than 32 bytes.
    #[error("key material: {0} bytes, must be at least 32")]
    Material(usize),
    /// Text that is not hexadecimal of the right length.
    #[error("{field}: expected {digits} hexadecimal digits")]
    Text {
        /// What was being read.
        field: &'static str,
        /// Number of digits without `0x`.
        digits: usize,
    },
    /// The proof of possession does not hold for this key and identity.
    #[error("proof of possession: invalid")]
    Possession,
}

/// A public key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BlsPublicKey {
    point: G1Affine,
    bytes: [u8; PUBLIC_KEY_BYTES],
}

impl BlsPublicKey {
    /// Decodes a compressed key.
    ///
    /// # Errors
    /// [`KeyError::Point`], [`KeyError::Identity`].
    pub fn from_bytes(bytes: &[u8; PUBLIC_KEY_BYTES]) -> Result<Self, KeyError> {
        let point: Option<G1Affine> = G1Affine::from_compressed(bytes).into();
        let point = point.ok_or(KeyError::Point("public key"))?;
        if bool::from(point.is_identity()) {
            return Err(KeyError::Identity("public key"));
        }
        Ok(Self {
            point,
            bytes: *bytes,
        })
    }

    /// The compressed form.
    #[must_use]
    pub const fn to_bytes(&self) -> [u8; PUBLIC_KEY_BYTES] {
        self.bytes
    }

    /// x ‖ y as the precompiles of EIP-2537 take them: 64 bytes each, the first 16 zero.
    #[must_use]
    pub fn to_eip2537(&self) -> [u8; 128] {
        let mut out = [0; 128];
        let coordinates = self.point.to_uncompressed();
        for (to, from) in out.chunks_mut(64).zip(coordinates.chunks(48)) {
            pad(to, from);
        }
        out
    }

    /// Verifies one signature over a message that carries its tag.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &BlsSignature) -> bool {
        verify_sum(&self.point.into(), message, &signature.0)
    }
}

impl fmt::Debug for BlsPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = self.bytes.get(..8).unwrap_or_default();
        write!(f, "BlsPublicKey({}…)", hex::encode(head))
    }
}

impl fmt::Display for BlsPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.bytes))
    }
}

impl FromStr for BlsPublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::from_bytes(&from_hex("public key", text)?)
    }
}

/// Reads hexadecimal with or without `0x`.
fn from_hex<const N: usize>(field: &'static str, text: &str) -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut bytes).map_err(|_| {
        KeyError::Text {
            field,
            digits: 2 * N,
        }
    })?;
    Ok(bytes)
}

/// A signature, or a sum of signatures.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BlsSignature(G2Affine);

impl BlsSignature {
    /// Decodes a compressed signature.
    ///
    /// # Errors
    /// [`KeyError::Point`], [`KeyError::Identity`].
    pub fn from_bytes(bytes: &[u8; SIGNATURE_BYTES]) -> Result<Self, KeyError> {
        let point: Option<G2Affine> = G2Affine::from_compressed(bytes).into();
        let point = point.ok_or(KeyError::Point("signature"))?;
        if bool::from(point.is_identity()) {
            return Err(KeyError::Identity("signature"));
        }
        Ok(Self(point))
    }

    /// The compressed form.
    #[must_use]
    pub fn to_bytes(&self) -> RawSignature {
        RawSignature(self.0.to_compressed())
    }

    /// x.c0 ‖ x.c1 ‖ y.c0 ‖ y.c1 as the precompiles of EIP-2537 take them: 64 bytes each, the first 16
    /// zero.
    #[must_use]
    pub fn to_eip2537(&self) -> [u8; 256] {
        let mut out = [0; 256];
        let coordinates = self.0.to_uncompressed();
        // The usual form has c1 before c0.
        for (to, from) in out.chunks_mut(128).zip(coordinates.chunks(96)) {
            let (c0, c1) = to.split_at_mut(64);
            let (first, second) = from.split_at(48);
            pad(c0, second);
            pad(c1, first);
        }
        out
    }
}

/// Right-aligns a coordinate; the bytes before it stay as they are.
fn pad(to: &mut [u8], coordinate: &[u8]) {
    for (to, from) in to.iter_mut().rev().zip(coordinate.iter().rev()) {
        *to = *from;
    }
}

impl fmt::Debug for BlsSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_bytes().fmt(f)
    }
}

/// Ninety-six bytes that claim to be a signature. Decoding costs about 0.1 ms, so it waits until the
/// signature is needed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RawSignature(pub [u8; SIGNATURE_BYTES]);

impl RawSignature {
    /// Decodes the point.
    ///
    /// # Errors
    /// See [`BlsSignature::from_bytes`].
    pub fn decode(&self) -> Result<BlsSignature, KeyError> {
        BlsSignature::from_bytes(&self.0)
    }
}

impl fmt::Debug for RawSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = self.0.get(..8).unwrap_or_default();
        write!(f, "RawSignature({}…)", hex::encode(head))
    }
}

/// A proof of possession: the key's signature over its own bytes and the identity that it serves, under
/// a tag of its own. Who copies somebody's key and proof can't register them for another identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Possession(pub RawSignature);

impl Possession {
    /// The signed bytes: tag ‖ identity key ‖ BLS key.
    #[must_use]
    pub fn message(identity: &IdentityPublicKey, key: &BlsPublicKey) -> Vec<u8> {
        let mut message = Vec::with_capacity(POSSESSION_MESSAGE_BYTES);
        message.extend_from_slice(&domain::padded(domain::POSSESSION));
        message.extend_from_slice(&identity.0);
        message.extend_from_slice(&key.bytes);
        message
    }

    /// Checks the proof.
    ///
    /// # Errors
    /// [`KeyError::Possession`], and those of decoding the signature.
    pub fn check(&self, identity: &IdentityPublicKey, key: &BlsPublicKey) -> Result<(), KeyError> {
        let signature = self.0.decode()?;
        if key.verify(&Self::message(identity, key), &signature) {
            Ok(())
        } else {
            Err(KeyError::Possession)
        }
    }
}

impl fmt::Display for Possession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0.0))
    }
}

impl FromStr for Possession {
    type Err = KeyError;

    /// Reads the text; [`Possession::check`] says whether it is a proof.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        Ok(Self(RawSignature(from_hex("proof of possession", text)?)))
    }
}

/// A secret key. Erased from memory when dropped; `Debug` shows only the public part.
pub struct BlsSecretKey {
    /// Little-endian, as the library reads it; 1 to the group order - 1.
    secret: Zeroizing<[u8; 32]>,
    public: BlsPublicKey,
}

impl BlsSecretKey {
    /// Reads the 32-byte big-endian secret of a keystore (EIP-2335).
    ///
    /// # Errors
    /// [`KeyError::Secret`].
    pub fn from_bytes(big_endian: &[u8; 32]) -> Result<Self, KeyError> {
        let mut secret = Zeroizing::new(*big_endian);
        secret.reverse();
        let key = bls_signatures::PrivateKey::from_bytes(secret.as_slice())
            .map_err(|_| KeyError::Secret)?;
        let point: G1Projective = key.public_key().into();
        let point = G1Affine::from(point);
        if bool::from(point.is_identity()) {
            return Err(KeyError::Secret);
        }
        let public = BlsPublicKey {
            point,
            bytes: point.to_compressed(),
        };
        Ok(Self { secret, public })
    }

    /// Derives a key from at least 32 bytes of entropy (KeyGen of draft-irtf-cfrg-bls-signature).
    ///
    /// # Errors
    /// [`KeyError::Material`].
    pub fn from_entropy(material: &[u8]) -> Result<Self, KeyError> {
        if material.len() < 32 {
            return Err(KeyError::Material(material.len()));
        }
        let key = bls_signatures::PrivateKey::new(material);
        let mut secret = Zeroizing::new([0; 32]);
        let bytes = Zeroizing::new(key.as_bytes());
        for (to, from) in secret.iter_mut().zip(bytes.iter().rev()) {
            *to = *from;
        }
        Self::from_bytes(&secret)
    }

    /// The 32-byte big-endian secret, for the keystore. Handle with care.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        let mut bytes = self.secret.clone();
        bytes.reverse();
        bytes
    }

    /// Public key of this secret.
    #[must_use]
    pub const fn public_key(&self) -> &BlsPublicKey {
        &self.public
    }

    /// Signs an attestation whose record is durable.
    #[must_use]
    pub fn attest(&self, permit: &Permit) -> Attestation {
        Attestation {
            statement: *permit.statement(),
            member: permit.member(),
            signature: self.sign(&permit.statement().message()),
        }
    }

    /// Proves possession of this key for an operator's identity.
    #[must_use]
    pub fn prove_possession(&self, identity: &IdentityPublicKey) -> Possession {
        Possession(self.sign(&Possession::message(identity, &self.public)))
    }

    fn sign(&self, message: &[u8]) -> RawSignature {
        // `from_bytes` accepted these bytes, so the library does.
        bls_signatures::PrivateKey::from_bytes(self.secret.as_slice()).map_or(
            RawSignature([0; SIGNATURE_BYTES]),
            |key| {
                let point: G2Affine = key.sign(message).into();
                RawSignature(point.to_compressed())
            },
        )
    }
}

impl fmt::Debug for BlsSecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlsSecretKey({})", self.public)
    }
}

/// A sum of public keys and a sum of signatures over one message, checked with one pairing equation.
/// Keys must have proved possession, or a rogue key could cancel others.
#[derive(Clone, Copy, Debug)]
pub struct Sum {
    keys: G1Projective,
    signatures: G2Projective,
}

impl Default for Sum {
    /// The sum of nothing, which verifies nothing.
    fn default() -> Self {
        Self {
            keys: G1Projective::identity(),
            signatures: G2Projective::identity(),
        }
    }
}

impl Sum {
    /// Adds a signer.
    pub fn add(&mut self, key: &BlsPublicKey, signature: &BlsSignature) {
        self.keys += key.point;
        self.signatures += signature.0;
    }

    /// Adds a key whose signature is already part of the sum.
    pub fn add_key(&mut self, key: &BlsPublicKey) {
        self.keys += key.point;
    }

    /// Starts from a sum of signatures; its keys are to be added.
    #[must_use]
    pub fn of(signature: &BlsSignature) -> Self {
        Self {
            keys: G1Projective::identity(),
            signatures: signature.0.into(),
        }
    }

    /// Joins two sums over the same message.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            keys: self.keys + other.keys,
            signatures: self.signatures + other.signatures,
        }
    }

    /// Whether the signatures verify for the keys.
    #[must_use]
    pub fn verify(&self, message: &[u8]) -> bool {
        verify_sum(&self.keys, message, &G2Affine::from(self.signatures))
    }

    /// The sum of the signatures.
    #[must_use]
    pub fn signature(&self) -> RawSignature {
        RawSignature(G2Affine::from(self.signatures).to_compressed())
    }
}

/// e(key, H(message)) = e(g1, signature), with neither side the identity.
fn verify_sum(key: &G1Projective, message: &[u8], signature: &G2Affine) -> bool {
    if bool::from(key.is_identity()) || bool::from(signature.is_identity()) {
        return false;
    }
    bls_signatures::verify_messages(
        &(*signature).into(),
        &[message],
        &[bls_signatures::PublicKey::from(*key)],
    )
}

#[cfg(test)]
mod tests;
