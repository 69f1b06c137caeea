use super::*;
use crate::keys::{
    KeyError, create_identity, generate_identity, load_identity, read_identity_public,
};
use squad_primitives::Signer as _;

/// Password, secret and both keystores of EIP-2335's section "Test Cases".
const PASSWORD: &str = "𝔱𝔢𝔰𝔱𝔭𝔞𝔰𝔰𝔴𝔬𝔯𝔡🔑";
const SECRET: &str = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f";
const SCRYPT: &str = include_str!("eip2335-scrypt.json");
const PBKDF2: &str = include_str!("eip2335-pbkdf2.json");

#[test]
fn published_vectors_decrypt() {
    for text in [SCRYPT, PBKDF2] {
        let keystore = Keystore::from_json(text.as_bytes()).unwrap();
        let secret = keystore.decrypt(&Password::new(PASSWORD)).unwrap();
        assert_eq!(hex::encode(&*secret), SECRET);
        assert_eq!(keystore.kind(), None);
        let wrong = keystore.decrypt(&Password::new("testpassword"));
        assert!(matches!(wrong, Err(KeystoreError::Checksum)));
    }
}

/// Few rounds over wide blocks: the memory for N is within its limit, the blocks alone would take 8 GiB.
#[test]
fn wide_blocks_of_scrypt_are_refused_before_any_work() {
    let text = SCRYPT
        .replacen("\"n\": 262144", "\"n\": 2", 1)
        .replacen("\"r\": 8", "\"r\": 4194304", 1)
        .replacen("\"p\": 1", "\"p\": 16", 1);
    let keystore = Keystore::from_json(text.as_bytes()).unwrap();
    let refused = keystore.decrypt(&Password::new(PASSWORD));
    assert!(
        matches!(&refused, Err(KeystoreError::KdfParams(reason)) if reason.contains("64 MiB")),
        "{refused:?}"
    );
}

#[test]
fn hostile_parameters_are_refused_before_any_work() {
    let refused = |text: &str, from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        let keystore = Keystore::from_json(text.replacen(from, to, 1).as_bytes())?;
        keystore.decrypt(&Password::new(PASSWORD)).map(|_| ())
    };
    let params = |text, from, to| match refused(text, from, to) {
        Err(KeystoreError::KdfParams(reason)) => reason,
        other => panic!("{to}: {other:?}"),
    };
    assert!(params(SCRYPT, "\"n\": 262144", "\"n\": 1099511627776").contains("1 GiB"));
    assert!(params(SCRYPT, "\"n\": 262144", "\"n\": 262143").contains("power of two"));
    assert!(params(SCRYPT, "\"r\": 8", "\"r\": 4294967295").contains("1 GiB"));
    assert!(params(SCRYPT, "\"p\": 1", "\"p\": 4294967295").contains("p must be"));
    assert!(params(SCRYPT, "\"dklen\": 32", "\"dklen\": 31").contains("dklen"));
    assert!(params(PBKDF2, "\"c\": 262144", "\"c\": 4294967295").contains("c must be"));
    assert!(params(PBKDF2, "hmac-sha256", "hmac-md5").contains("prf"));
    assert!(matches!(
        refused(PBKDF2, "\"version\": 4", "\"version\": 3"),
        Err(KeystoreError::Version(3))
    ));
    assert!(matches!(
        refused(PBKDF2, "aes-128-ctr", "aes-256-gcm"),
        Err(KeystoreError::Function {
            field: "crypto.cipher.function",
            ..
        })
    ));
    assert!(matches!(
        refused(PBKDF2, "\"version\"", "\"extra\": 1, \"version\""),
        Err(KeystoreError::Json(_))
    ));
    assert!(matches!(
        refused(PBKDF2, "264daa3f303d7259501c93d997d84fe6", "264daa"),
        Err(KeystoreError::Hex("crypto.cipher.params.iv"))
    ));
}

#[test]
fn identity_files_come_back_and_hide_the_secret() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("keys/identity.json");
    let key = generate_identity().unwrap();
    let password = Password::new("correct horse");
    for cost in [KdfCost::Scrypt { log_n: 2 }, KdfCost::TEST] {
        create_identity(&path, &key, &password, cost).unwrap();
        let loaded = load_identity(&path, &password).unwrap();
        assert_eq!(loaded.public_key(), key.public_key());
        assert_eq!(read_identity_public(&path).unwrap(), key.public_key());
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&hex::encode(key.to_seed().as_slice())));
        let wrong = load_identity(&path, &Password::new("correct hose"));
        assert!(matches!(
            wrong,
            Err(KeyError::Keystore {
                source: KeystoreError::Checksum,
                ..
            })
        ));
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn two_files_of_one_key_share_no_salt_vector_or_uuid() {
    let make = || {
        Keystore::encrypt(
            Some(KIND_IDENTITY),
            "",
            &[7; 32],
            &Password::new("p"),
            KdfCost::TEST,
        )
        .unwrap()
    };
    let (one, two) = (make(), make());
    assert_ne!(one.crypto.kdf, two.crypto.kdf);
    assert_ne!(one.crypto.cipher, two.crypto.cipher);
    assert_ne!(one.uuid, two.uuid);
}

#[test]
fn a_key_of_another_kind_or_with_a_foreign_public_key_is_no_identity() {
    let home = tempfile::tempdir().unwrap();
    let password = Password::new("p");
    let load = |name: &str, keystore: &Keystore| {
        let path = home.path().join("keys").join(name);
        crate::keys::create_secret_file(&path, keystore.to_json().as_bytes()).unwrap();
        load_identity(&path, &password)
            .expect_err("refused")
            .to_string()
    };
    let other = hex::encode(generate_identity().unwrap().public_key().0);
    let encrypt = |kind: &str, public: &str| {
        Keystore::encrypt(Some(kind), public, &[7; 32], &password, KdfCost::TEST).unwrap()
    };
    let bls = load("bls.json", &Keystore::from_json(PBKDF2.as_bytes()).unwrap());
    assert!(bls.contains("must be ed25519-identity"), "{bls}");
    let account = load("account.json", &encrypt("ed25519-account", &other));
    assert!(account.contains("ed25519-account"), "{account}");
    let foreign = load("foreign.json", &encrypt(KIND_IDENTITY, &other));
    assert!(foreign.contains("pubkey does not belong"), "{foreign}");
}
