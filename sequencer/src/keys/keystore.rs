//! The envelope of EIP-2335, version 4: password → key derivation → AES-128-CTR, with a SHA-256
//! checksum over the second half of the derived key and the ciphertext.
//!
//! One field is added: `kind`. Its absence means a BLS key, as the EIP has it.

use super::Password;
use super::kdf::{KEY_BYTES, Kdf, KdfCost};
use aes::cipher::{KeyIvInit as _, StreamCipher as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// Kind of a keystore that holds the identity key of an operator.
pub const KIND_IDENTITY: &str = "ed25519-identity";

const VERSION: u32 = 4;
const CIPHER: &str = "aes-128-ctr";
const CHECKSUM: &str = "sha256";
/// Secrets are 32 bytes; more is no key.
const SECRET_BYTES_MAX: usize = 64;

/// Why a keystore can't be read, made or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeystoreError {
    /// Not JSON, an unknown or missing field, or a value of the wrong type.
    #[error("no keystore: {0}")]
    Json(#[from] serde_json::Error),
    /// Another version than 4.
    #[error("version: {0} is unknown, must be {VERSION}")]
    Version(u32),
    /// Another cipher or checksum function.
    #[error("{field}: {found:?} is unknown, must be {expected}")]
    Function {
        /// Path of the field.
        field: &'static str,
        /// Its value.
        found: String,
        /// The only legal value.
        expected: &'static str,
    },
    /// Parameters outside the legal range; the text names them.
    #[error("crypto.kdf.params: {0}")]
    KdfParams(&'static str),
    /// A field is not hexadecimal of the right length.
    #[error("{0}: not hexadecimal of the right length")]
    Hex(&'static str),
    /// The checksum differs.
    #[error("wrong password, or the file is damaged (crypto.checksum differs)")]
    Checksum,
    /// The key is not of the wanted kind.
    #[error("kind: {found}, must be {expected}")]
    Kind {
        /// Kind in the file.
        found: String,
        /// Wanted kind.
        expected: &'static str,
    },
    /// The secret has another length than keys of its kind.
    #[error("secret of {0} bytes")]
    SecretLength(usize),
    /// `pubkey` is not the public key of the secret.
    #[error("pubkey does not belong to the secret")]
    PublicKeyMismatch,
    /// The system gave no random bytes.
    #[error("no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
}

/// An encrypted key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keystore {
    crypto: Crypto,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    path: String,
    #[serde(default)]
    pubkey: String,
    uuid: String,
    version: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Crypto {
    kdf: Kdf,
    checksum: Module<NoParams>,
    cipher: Module<CipherParams>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Module<P> {
    function: String,
    params: P,
    message: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoParams {}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CipherParams {
    iv: String,
}

impl Keystore {
    /// Reads the envelope; the secret stays encrypted.
    ///
    /// # Errors
    /// See [`KeystoreError`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, KeystoreError> {
        let keystore: Self = serde_json::from_slice(bytes)?;
        if keystore.version != VERSION {
            return Err(KeystoreError::Version(keystore.version));
        }
        for (field, found, expected) in [
            (
                "crypto.cipher.function",
                &keystore.crypto.cipher.function,
                CIPHER,
            ),
            (
                "crypto.checksum.function",
                &keystore.crypto.checksum.function,
                CHECKSUM,
            ),
        ] {
            if found != expected {
                return Err(KeystoreError::Function {
                    field,
                    found: found.clone(),
                    expected,
                });
            }
        }
        Ok(keystore)
    }

    /// The JSON text of the envelope.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Encrypts a secret under a fresh salt and initialisation vector. Without `kind` it is a BLS key.
    ///
    /// # Errors
    /// [`KeystoreError::Randomness`].
    pub fn encrypt(
        kind: Option<&str>,
        public_key: &str,
        secret: &[u8],
        password: &Password,
        cost: KdfCost,
    ) -> Result<Self, KeystoreError> {
        let mut salt = [0; 32];
        let mut iv = [0; 16];
        let mut uuid = [0; 16];
        getrandom::fill(&mut salt)?;
        getrandom::fill(&mut iv)?;
        getrandom::fill(&mut uuid)?;
        let kdf = Kdf::new(cost, &salt);
        let key = kdf.derive(password.as_bytes())?;
        let mut text = secret.to_vec();
        apply_cipher(&key, &iv, &mut text);
        Ok(Self {
            crypto: Crypto {
                kdf,
                checksum: Module {
                    function: CHECKSUM.to_owned(),
                    params: NoParams {},
                    message: hex::encode(checksum(&key, &text)),
                },
                cipher: Module {
                    function: CIPHER.to_owned(),
                    params: CipherParams {
                        iv: hex::encode(iv),
                    },
                    message: hex::encode(&text),
                },
            },
            description: None,
            kind: kind.map(ToOwned::to_owned),
            path: String::new(),
            pubkey: public_key.to_owned(),
            uuid: uuid_text(uuid),
            version: VERSION,
        })
    }

    /// Decrypts the secret.
    ///
    /// # Errors
    /// [`KeystoreError::Checksum`] for a wrong password.
    pub fn decrypt(&self, password: &Password) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
        let cipher = &self.crypto.cipher;
        let mut iv = [0; 16];
        hex::decode_to_slice(&cipher.params.iv, &mut iv)
            .map_err(|_| KeystoreError::Hex("crypto.cipher.params.iv"))?;
        let mut text = hex::decode(&cipher.message)
            .map(Zeroizing::new)
            .map_err(|_| KeystoreError::Hex("crypto.cipher.message"))?;
        if text.len() > SECRET_BYTES_MAX {
            return Err(KeystoreError::SecretLength(text.len()));
        }
        let mut expected = [0; 32];
        hex::decode_to_slice(&self.crypto.checksum.message, &mut expected)
            .map_err(|_| KeystoreError::Hex("crypto.checksum.message"))?;
        let key = self.crypto.kdf.derive(password.as_bytes())?;
        if checksum(&key, &text) != expected {
            return Err(KeystoreError::Checksum);
        }
        apply_cipher(&key, &iv, &mut text);
        Ok(text)
    }

    /// What the secret is for; `None` is a BLS key.
    #[must_use]
    pub fn kind(&self) -> Option<&str> {
        self.kind.as_deref()
    }

    /// The public key as the file has it: hexadecimal without prefix.
    #[must_use]
    pub fn public_key(&self) -> &str {
        &self.pubkey
    }
}

fn apply_cipher(key: &[u8; KEY_BYTES], iv: &[u8; 16], text: &mut [u8]) {
    let mut cipher_key = Zeroizing::new([0; 16]);
    cipher_key.copy_from_slice(&key[..16]);
    let mut cipher = ctr::Ctr128BE::<aes::Aes128>::new((&*cipher_key).into(), iv.into());
    cipher.apply_keystream(text);
}

fn checksum(key: &[u8; KEY_BYTES], ciphertext: &[u8]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(&key[16..]);
    hasher.update(ciphertext);
    hasher.finalize().into()
}

/// A random UUID (RFC 9562, version 4) of 16 random bytes.
fn uuid_text(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = hex::encode(bytes);
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| &digits[range]);
    parts.join("-")
}

#[cfg(test)]
mod tests;
