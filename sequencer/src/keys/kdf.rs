//! Keys from passwords: scrypt (RFC 7914) and PBKDF2-HMAC-SHA256 (RFC 8018), as EIP-2335 allows.
//!
//! Parameters of a file are checked before any work: a hostile file must not cost gigabytes or hours.

use super::keystore::KeystoreError;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

/// Length of derived keys: 16 bytes decrypt, 16 bytes enter the checksum.
pub(super) const KEY_BYTES: usize = 32;

/// Largest scrypt N; with r = 8 it takes 1 GiB.
const SCRYPT_LOG_N_MAX: u8 = 20;
const SCRYPT_LOG_N_MIN: u8 = 1;
/// Most memory that scrypt may take: 128 · N · r bytes.
const SCRYPT_MEMORY_MAX: u64 = 1 << 30;
/// Most sequential repetitions of scrypt.
const SCRYPT_P_MAX: u32 = 16;
/// Most bytes of the blocks that scrypt mixes, besides that memory: 128 · r · p.
const SCRYPT_BLOCKS_MAX: u64 = 64 << 20;
/// r and p of new files, as in EIP-2335's vectors.
const SCRYPT_R: u32 = 8;
const SCRYPT_P: u32 = 1;

/// Most rounds of PBKDF2: a few seconds.
const PBKDF2_ROUNDS_MAX: u32 = 10_000_000;

/// Work that a password guess costs, chosen when a key file is made.
///
/// `scrypt:18` (the default: N = 2^18, 256 MiB, about a second) or `pbkdf2:262144` are EIP-2335's own
/// strengths. Weaker costs are for keys that protect nothing, as those of a local network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KdfCost {
    /// scrypt with this binary logarithm of N; 1 to 20.
    Scrypt {
        /// log2 of N.
        log_n: u8,
    },
    /// PBKDF2 with this many rounds; 1 to 10,000,000.
    Pbkdf2 {
        /// Number of rounds.
        rounds: u32,
    },
}

impl Default for KdfCost {
    fn default() -> Self {
        Self::Scrypt { log_n: 18 }
    }
}

impl KdfCost {
    /// Cost of throw-away keys whose password is no secret.
    pub const TEST: Self = Self::Pbkdf2 { rounds: 2 };
}

impl fmt::Display for KdfCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scrypt { log_n } => write!(f, "scrypt:{log_n}"),
            Self::Pbkdf2 { rounds } => write!(f, "pbkdf2:{rounds}"),
        }
    }
}

/// Text that names no legal cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected scrypt:<log2 N from 1 to 20> or pbkdf2:<rounds from 1 to 10000000>")]
pub struct ParseKdfCostError;

impl FromStr for KdfCost {
    type Err = ParseKdfCostError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (function, cost) = text.split_once(':').ok_or(ParseKdfCostError)?;
        match function {
            "scrypt" => cost
                .parse()
                .ok()
                .filter(|log_n| (SCRYPT_LOG_N_MIN..=SCRYPT_LOG_N_MAX).contains(log_n))
                .map(|log_n| Self::Scrypt { log_n }),
            "pbkdf2" => cost
                .parse()
                .ok()
                .filter(|rounds| (1..=PBKDF2_ROUNDS_MAX).contains(rounds))
                .map(|rounds| Self::Pbkdf2 { rounds }),
            _ => None,
        }
        .ok_or(ParseKdfCostError)
    }
}

/// The `kdf` module of a keystore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kdf {
    function: FunctionName,
    params: Params,
    /// Empty in EIP-2335.
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FunctionName {
    Scrypt,
    Pbkdf2,
}

/// Parameters; the two forms have different fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Params {
    Scrypt(ScryptParams),
    Pbkdf2(Pbkdf2Params),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScryptParams {
    dklen: u32,
    n: u64,
    p: u32,
    r: u32,
    salt: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pbkdf2Params {
    c: u32,
    dklen: u32,
    prf: String,
    salt: String,
}

impl Kdf {
    /// Parameters of a new file.
    pub(super) fn new(cost: KdfCost, salt: &[u8; 32]) -> Self {
        let salt = hex::encode(salt);
        let dklen = KEY_BYTES as u32;
        let (function, params) = match cost {
            KdfCost::Scrypt { log_n } => (
                FunctionName::Scrypt,
                Params::Scrypt(ScryptParams {
                    dklen,
                    n: 1 << log_n,
                    p: SCRYPT_P,
                    r: SCRYPT_R,
                    salt,
                }),
            ),
            KdfCost::Pbkdf2 { rounds } => (
                FunctionName::Pbkdf2,
                Params::Pbkdf2(Pbkdf2Params {
                    c: rounds,
                    dklen,
                    prf: "hmac-sha256".to_owned(),
                    salt,
                }),
            ),
        };
        Self {
            function,
            params,
            message: String::new(),
        }
    }

    /// Derives the key.
    pub(super) fn derive(
        &self,
        password: &[u8],
    ) -> Result<Zeroizing<[u8; KEY_BYTES]>, KeystoreError> {
        match (self.function, &self.params) {
            (FunctionName::Scrypt, Params::Scrypt(params)) => params.derive(password),
            (FunctionName::Pbkdf2, Params::Pbkdf2(params)) => params.derive(password),
            _ => Err(KeystoreError::KdfParams("not those of the function")),
        }
    }
}

fn salt_bytes(salt: &str) -> Result<Vec<u8>, KeystoreError> {
    hex::decode(salt).map_err(|_| KeystoreError::Hex("crypto.kdf.params.salt"))
}

fn check_length(dklen: u32) -> Result<(), KeystoreError> {
    if dklen as usize == KEY_BYTES {
        Ok(())
    } else {
        Err(KeystoreError::KdfParams("dklen must be 32"))
    }
}

impl ScryptParams {
    fn derive(&self, password: &[u8]) -> Result<Zeroizing<[u8; KEY_BYTES]>, KeystoreError> {
        check_length(self.dklen)?;
        if !self.n.is_power_of_two() || self.n < 2 {
            return Err(KeystoreError::KdfParams("n must be a power of two from 2"));
        }
        let memory = u128::from(self.n) * u128::from(self.r) * 128;
        if self.r == 0 || memory > u128::from(SCRYPT_MEMORY_MAX) {
            return Err(KeystoreError::KdfParams(
                "128 * n * r must be at most 1 GiB, and r at least 1",
            ));
        }
        if !(1..=SCRYPT_P_MAX).contains(&self.p) {
            return Err(KeystoreError::KdfParams("p must be 1 to 16"));
        }
        if u64::from(self.r) * u64::from(self.p) * 128 > SCRYPT_BLOCKS_MAX {
            return Err(KeystoreError::KdfParams(
                "128 * r * p must be at most 64 MiB",
            ));
        }
        // n has at most 31 bits here.
        let log_n = self.n.trailing_zeros() as u8;
        let params = scrypt::Params::new(log_n, self.r, self.p)
            .map_err(|_| KeystoreError::KdfParams("scrypt refuses n, r, p"))?;
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        scrypt::scrypt(
            password,
            &salt_bytes(&self.salt)?,
            &params,
            key.as_mut_slice(),
        )
        .map_err(|_| KeystoreError::KdfParams("scrypt refuses the key length"))?;
        Ok(key)
    }
}

impl Pbkdf2Params {
    fn derive(&self, password: &[u8]) -> Result<Zeroizing<[u8; KEY_BYTES]>, KeystoreError> {
        check_length(self.dklen)?;
        if self.prf != "hmac-sha256" {
            return Err(KeystoreError::KdfParams("prf must be hmac-sha256"));
        }
        if !(1..=PBKDF2_ROUNDS_MAX).contains(&self.c) {
            return Err(KeystoreError::KdfParams("c must be 1 to 10000000"));
        }
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        pbkdf2::pbkdf2_hmac::<sha2::Sha256>(
            password,
            &salt_bytes(&self.salt)?,
            self.c,
            key.as_mut_slice(),
        );
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_read_as_they_are_printed() {
        for cost in [
            KdfCost::default(),
            KdfCost::TEST,
            KdfCost::Scrypt { log_n: 1 },
        ] {
            assert_eq!(cost.to_string().parse(), Ok(cost));
        }
        for text in [
            "scrypt",
            "scrypt:0",
            "scrypt:21",
            "pbkdf2:0",
            "pbkdf2:10000001",
            "argon2:1",
        ] {
            assert_eq!(text.parse::<KdfCost>(), Err(ParseKdfCostError), "{text}");
        }
    }
}
