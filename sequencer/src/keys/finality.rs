//! The BLS key that signs results of blocks.

use super::keystore::{KIND_IDENTITY, Keystore, KeystoreError};
use super::{KdfCost, KeyError, Password, create_secret_file, read_keystore};
use squad_mach::{BlsPublicKey, BlsSecretKey};
use squad_primitives::PublicKey;
use squad_primitives::genesis::{FixedHex, GenesisFinality};
use std::path::Path;
use zeroize::Zeroizing;

/// Draws a new key from the system's randomness.
///
/// # Errors
/// [`KeyError::Randomness`].
pub fn generate_finality() -> Result<BlsSecretKey, KeyError> {
    let mut material = Zeroizing::new([0; 32]);
    getrandom::fill(material.as_mut_slice())?;
    Ok(BlsSecretKey::from_entropy(material.as_slice())?)
}

/// The key with this secret: a number below the group order, big-endian.
///
/// # Errors
/// [`KeyError::Bls`].
pub fn import_finality(secret: &[u8; 32]) -> Result<BlsSecretKey, KeyError> {
    Ok(BlsSecretKey::from_bytes(secret)?)
}

/// What a genesis names for this key of an operator: the public key, and the proof that its owner has
/// the secret.
#[must_use]
pub fn finality_entry(key: &BlsSecretKey, identity: &PublicKey) -> GenesisFinality {
    GenesisFinality {
        key: FixedHex(key.public_key().to_bytes()),
        possession: FixedHex(key.prove_possession(identity).0.0),
    }
}

/// Encrypts a key into a new file.
///
/// # Errors
/// [`KeyError::Io`] also when the file exists already.
pub fn create_finality(
    path: &Path,
    key: &BlsSecretKey,
    password: &Password,
    cost: KdfCost,
) -> Result<(), KeyError> {
    let public = hex::encode(key.public_key().to_bytes());
    let secret = key.to_bytes();
    let keystore = Keystore::encrypt(None, &public, secret.as_slice(), password, cost)
        .map_err(|source| at(path, source))?;
    create_secret_file(path, keystore.to_json().as_bytes())
}

/// Decrypts a key.
///
/// # Errors
/// See [`KeyError`].
pub fn load_finality(path: &Path, password: &Password) -> Result<BlsSecretKey, KeyError> {
    let keystore = read_keystore(path)?;
    let claimed = public_of(&keystore).map_err(|source| at(path, source))?;
    let secret = keystore
        .decrypt(password)
        .map_err(|source| at(path, source))?;
    let bytes: [u8; 32] = secret
        .as_slice()
        .try_into()
        .map_err(|_| at(path, KeystoreError::SecretLength(secret.len())))?;
    let key = import_finality(&Zeroizing::new(bytes))?;
    if *key.public_key() == claimed {
        Ok(key)
    } else {
        Err(at(path, KeystoreError::PublicKeyMismatch))
    }
}

/// The public key that a keystore names; needs no password.
///
/// # Errors
/// See [`KeyError`].
pub fn read_finality_public(path: &Path) -> Result<BlsPublicKey, KeyError> {
    public_of(&read_keystore(path)?).map_err(|source| at(path, source))
}

fn public_of(keystore: &Keystore) -> Result<BlsPublicKey, KeystoreError> {
    if let Some(kind) = keystore.kind() {
        return Err(KeystoreError::Kind {
            found: kind.to_owned(),
            expected: match kind {
                KIND_IDENTITY => "none (BLS); this is an identity key",
                _ => "none (BLS)",
            },
        });
    }
    let mut bytes = [0; 48];
    let digits = keystore.public_key();
    hex::decode_to_slice(digits.strip_prefix("0x").unwrap_or(digits), &mut bytes)
        .map_err(|_| KeystoreError::Hex("pubkey"))?;
    BlsPublicKey::from_bytes(&bytes).map_err(|_| KeystoreError::PublicKeyMismatch)
}

fn at(path: &Path, source: KeystoreError) -> KeyError {
    KeyError::Keystore {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Secret and public key of EIP-2335's section "Test Cases".
    const SECRET: &str = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f";
    const PBKDF2: &str = include_str!("keystore/eip2335-pbkdf2.json");
    const PASSWORD: &str = "𝔱𝔢𝔰𝔱𝔭𝔞𝔰𝔰𝔴𝔬𝔯𝔡🔑";

    #[test]
    fn the_published_keystore_is_a_finality_key() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("keys/finality.json");
        create_secret_file(&path, PBKDF2.as_bytes()).unwrap();
        let key = load_finality(&path, &Password::new(PASSWORD)).unwrap();
        assert_eq!(hex::encode(key.to_bytes().as_slice()), SECRET);
        assert_eq!(read_finality_public(&path).unwrap(), *key.public_key());
    }

    #[test]
    fn files_come_back_and_other_kinds_are_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("keys/finality.json");
        let password = Password::new("correct horse");
        let key = generate_finality().unwrap();
        create_finality(&path, &key, &password, KdfCost::TEST).unwrap();
        let loaded = load_finality(&path, &password).unwrap();
        assert_eq!(loaded.public_key(), key.public_key());
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&hex::encode(key.to_bytes().as_slice())));
        assert!(!text.contains("\"kind\""));
        assert!(load_finality(&path, &Password::new("correct hose")).is_err());

        let identity = home.path().join("keys/identity.json");
        let other = crate::keys::generate_identity().unwrap();
        crate::keys::create_identity(&identity, &other, &password, KdfCost::TEST).unwrap();
        let error = load_finality(&identity, &password).unwrap_err().to_string();
        assert!(error.contains("this is an identity key"), "{error}");
    }

    #[test]
    fn a_secret_outside_the_group_is_refused() {
        assert!(import_finality(&[0; 32]).is_err());
        assert!(import_finality(&[0xff; 32]).is_err());
    }
}
