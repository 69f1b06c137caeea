//! An operator's key for certificates of finality (MACH), as a genesis names it.
//!
//! These are bytes here: this crate knows no BLS12-381. Whether the key is a point and the proof holds
//! is checked by whoever builds the committee that signs with it (`squad_mach::genesis`).

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;

/// Key that signs results of blocks, with the proof that its owner holds the secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisFinality {
    /// Compressed BLS12-381 public key; unique.
    pub key: FinalityKey,
    /// Proof of possession of the key, for the operator's identity.
    pub possession: FinalityPossession,
}

/// Compressed BLS12-381 public key in G1.
pub type FinalityKey = FixedHex<48>;

/// Compressed BLS12-381 signature in G2 over identity and key.
pub type FinalityPossession = FixedHex<96>;

/// Bytes of a fixed length, written as `0x` and hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FixedHex<const N: usize>(pub [u8; N]);

/// Text that is not `0x` and the right number of hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 0x and {0} hexadecimal digits")]
pub struct ParseHexError(usize);

impl<const N: usize> fmt::Display for FixedHex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}

impl<const N: usize> fmt::Debug for FixedHex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}…", hex::encode(self.0.get(..4).unwrap_or_default()))
    }
}

impl<const N: usize> FromStr for FixedHex<N> {
    type Err = ParseHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; N];
        hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut bytes)
            .map_err(|_| ParseHexError(2 * N))?;
        Ok(Self(bytes))
    }
}

impl<const N: usize> Serialize for FixedHex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for FixedHex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}
