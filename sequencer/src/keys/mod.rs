//! Key files of a node.
//!
//! A private key lies in an EIP-2335 envelope: a key derived from the password decrypts it, a checksum
//! says whether the password was right. Files are created with mode 0600 in directories of mode 0700,
//! never narrowed afterwards, and never overwritten; a file that its group or others can read is
//! refused. The identity key uses the envelope with `"kind":"ed25519-identity"`; the key for certificates
//! of finality is a BLS key, which the EIP marks by the absence of a kind.

mod file;
mod finality;
mod kdf;
mod keystore;
mod password;
mod used;

pub use file::create_secret_file;
pub use finality::{
    create_finality, finality_entry, generate_finality, import_finality, load_finality,
    read_finality_public,
};
pub use kdf::{KdfCost, ParseKdfCostError};
pub use keystore::{KIND_IDENTITY, Keystore, KeystoreError};
pub use password::{PASSWORD_FILE_VARIABLE, Password, PasswordError, PasswordSource};
pub use used::{is_used, mark_path, mark_used};

use squad_primitives::{IdentityKey, PublicKey, Signer as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Why a key can't be used or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Missing, unreadable, or not creatable.
    #[error("key file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Readable by group or others.
    #[error(
        "key file {path}: mode {mode:04o} lets others in, must be {expected:04o} (chmod {expected:o} {path})"
    )]
    TooOpen {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The widest legal ones.
        expected: u32,
    },
    /// Longer than any key file.
    #[error("key file {path}: longer than {limit} bytes")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Largest legal length.
        limit: u64,
    },
    /// Not a keystore of the wanted kind, or the password is wrong.
    #[error("key file {path}: {source}")]
    Keystore {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: KeystoreError,
    },
    /// The password could not be had.
    #[error("password: {0}")]
    Password(#[from] PasswordError),
    /// The secret is no BLS12-381 key.
    #[error("finality key: {0}")]
    Bls(#[from] squad_mach::KeyError),
    /// The system gave no random bytes.
    #[error("no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
}

/// Draws a new identity key from the system's randomness.
///
/// # Errors
/// [`KeyError::Randomness`].
pub fn generate_identity() -> Result<IdentityKey, KeyError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut_slice())?;
    Ok(IdentityKey::from_seed(*seed))
}

/// Encrypts an identity key into a new file.
///
/// # Errors
/// [`KeyError::Io`] also when the file exists already.
pub fn create_identity(
    path: &Path,
    key: &IdentityKey,
    password: &Password,
    cost: KdfCost,
) -> Result<(), KeyError> {
    let public = hex::encode(key.public_key().0);
    let secret = key.to_seed();
    let keystore = Keystore::encrypt(
        Some(KIND_IDENTITY),
        &public,
        secret.as_slice(),
        password,
        cost,
    )
    .map_err(|source| KeyError::Keystore {
        path: path.to_owned(),
        source,
    })?;
    create_secret_file(path, keystore.to_json().as_bytes())
}

/// Decrypts an identity key.
///
/// # Errors
/// See [`KeyError`].
pub fn load_identity(path: &Path, password: &Password) -> Result<IdentityKey, KeyError> {
    let keystore = read_keystore(path)?;
    let error = |source| KeyError::Keystore {
        path: path.to_owned(),
        source,
    };
    let claimed = identity_of(&keystore).map_err(error)?;
    let secret = keystore.decrypt(password).map_err(error)?;
    let seed: [u8; 32] = secret
        .as_slice()
        .try_into()
        .map_err(|_| error(KeystoreError::SecretLength(secret.len())))?;
    let key = IdentityKey::from_seed(*Zeroizing::new(seed));
    if key.public_key() != claimed {
        return Err(error(KeystoreError::PublicKeyMismatch));
    }
    Ok(key)
}

/// The public key that an identity keystore names; needs no password.
///
/// # Errors
/// See [`KeyError`].
pub fn read_identity_public(path: &Path) -> Result<PublicKey, KeyError> {
    let keystore = read_keystore(path)?;
    identity_of(&keystore).map_err(|source| KeyError::Keystore {
        path: path.to_owned(),
        source,
    })
}

fn read_keystore(path: &Path) -> Result<Keystore, KeyError> {
    let bytes = file::read_secret_file(path)?;
    Keystore::from_json(&bytes).map_err(|source| KeyError::Keystore {
        path: path.to_owned(),
        source,
    })
}

fn identity_of(keystore: &Keystore) -> Result<PublicKey, KeystoreError> {
    if keystore.kind() != Some(KIND_IDENTITY) {
        return Err(KeystoreError::Kind {
            found: keystore.kind().unwrap_or("none (BLS)").to_owned(),
            expected: KIND_IDENTITY,
        });
    }
    keystore
        .public_key()
        .parse()
        .map_err(|_| KeystoreError::PublicKeyMismatch)
}
