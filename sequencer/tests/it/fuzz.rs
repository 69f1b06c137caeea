//! Files that an operator edits or receives: node.toml and keystores. (Genesis: `primitives`.)

use squad_fuzz::{Bound, bounded, damage_text, hostile, run};
use squad_sequencer::config::{Config, Sources, load, sample};
use squad_sequencer::keys::{KdfCost, Keystore, KeystoreError, Password};
use std::path::PathBuf;

/// Each setting is tried alone against all defaults, and each problem is named in a sentence: a file of
/// a few kilobytes may take megabytes for a moment. It comes from the operator, not from a peer.
const FILE: Bound = Bound {
    factor: 256,
    slack: 1 << 20,
};

fn sources(text: &str) -> Sources {
    Sources {
        file: Some((PathBuf::from("node.toml"), text.to_owned())),
        ..Sources::default()
    }
}

/// What is accepted reads the same after it was written out.
#[test]
fn node_toml() {
    let all = sample();
    let uncommented: Vec<_> = all
        .lines()
        .map(|line| {
            line.strip_prefix("# ")
                .filter(|line| line.contains(" = "))
                .unwrap_or(line)
        })
        .collect();
    let uncommented = uncommented.join("\n");
    let defaults = toml::to_string(&Config::default()).unwrap();
    let valid = [all, uncommented, defaults].map(String::into_bytes);
    run("node.toml", |u| {
        let input = hostile(u, &valid, damage_text)?;
        let Ok(text) = String::from_utf8(input) else {
            return Ok(false);
        };
        let loaded = bounded(FILE, text.len(), || load(&sources(&text)));
        let Ok(loaded) = loaded else {
            return Ok(false);
        };
        let written = toml::to_string(&loaded.config).expect("has a TOML form");
        let again = load(&sources(&written)).expect("what was written is legal");
        assert_eq!(again.config, loaded.config);
        // The rules between settings are judged without panic, whatever they say.
        let _ = loaded.config.validate(None);
        Ok(true)
    });
}

/// A damaged keystore gives no other key, and its parameters cost nothing before they are checked.
#[test]
fn keystores() {
    let password = Password::new("password");
    let secret = [7; 32];
    let make = |cost| {
        let keystore = Keystore::encrypt(Some("ed25519-identity"), "ab", &secret, &password, cost);
        keystore.unwrap().to_json().into_bytes()
    };
    let valid = [make(KdfCost::TEST), make(KdfCost::Scrypt { log_n: 1 })];
    run("keystores", |u| {
        let input = hostile(u, &valid, damage_text)?;
        let read = bounded(Bound::PEER, input.len(), || Keystore::from_json(&input));
        let Ok(keystore) = read else {
            return Ok(false);
        };
        let written = keystore.to_json();
        assert_eq!(Keystore::from_json(written.as_bytes()).unwrap(), keystore);
        if !is_cheap(&written) {
            return Ok(false);
        }
        match keystore.decrypt(&password) {
            Ok(found) => assert_eq!(found.len(), secret.len()),
            Err(KeystoreError::Json(_) | KeystoreError::Randomness(_)) => {
                panic!("while decrypting")
            }
            Err(_) => {}
        }
        Ok(true)
    });
}

/// Whether the password may be tried: legal costs are up to seconds, which is the owner's choice.
fn is_cheap(keystore: &str) -> bool {
    let keystore: serde_json::Value = serde_json::from_str(keystore).unwrap();
    let params = &keystore["crypto"]["kdf"]["params"];
    let number = |name: &str| params[name].as_u64().unwrap_or(0);
    // Those above the limits are refused at once, and that they are is part of the test.
    let cost = number("n")
        .saturating_mul(number("r"))
        .saturating_mul(number("p"));
    (cost <= 1 << 10 || number("n") > 1 << 30 || number("r") > 1 << 30) && number("c") <= 1_000
}
