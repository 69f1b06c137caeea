//! Digests: BLAKE3-256 over a domain tag, the network id and a canonical encoding.

use crate::codec::{Decode, DecodeError, Encode, Reader};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// A BLAKE3-256 digest. [`Digest::ZERO`] stands for "none" where a digest is optional.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

/// Digest of the genesis; part of everything that is hashed or signed.
pub type NetworkId = Digest;

impl Digest {
    /// Thirty-two zero bytes: "no digest".
    pub const ZERO: Self = Self([0; 32]);

    /// Hashes the canonical encoding of `value` under `tag` for `network`.
    #[must_use]
    pub fn of(tag: &'static str, network: &NetworkId, value: &impl Encode) -> Self {
        let mut bytes = Vec::with_capacity(128);
        tag.encode(&mut bytes);
        network.encode(&mut bytes);
        value.encode(&mut bytes);
        Self(*blake3::hash(&bytes).as_bytes())
    }

    /// Hashes raw `parts`, in order and without framing, under `tag` for `network`. For inputs whose
    /// lengths are fixed or framed by the caller.
    #[must_use]
    pub fn of_parts(tag: &'static str, network: &NetworkId, parts: &[&[u8]]) -> Self {
        let mut prefix = Vec::with_capacity(64);
        tag.encode(&mut prefix);
        network.encode(&mut prefix);
        let mut hasher = blake3::Hasher::new();
        hasher.update(&prefix);
        for part in parts {
            hasher.update(part);
        }
        Self(*hasher.finalize().as_bytes())
    }

    /// The digest's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether this is [`Digest::ZERO`].
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    /// The first four bytes: enough to tell digests apart in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}…", hex::encode(self.0.get(..4).unwrap_or_default()))
    }
}

/// Text that is not `0x` and 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("digest: expected 0x and 64 hexadecimal digits")]
pub struct ParseDigestError;

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| ParseDigestError)?;
        Ok(Self(bytes))
    }
}

impl TryFrom<&[u8]> for Digest {
    type Error = ParseDigestError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        bytes.try_into().map(Self).map_err(|_| ParseDigestError)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

impl Encode for Digest {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

impl Decode for Digest {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(reader.array("digest")?))
    }
}
