//! Key files: created private, read only if private, and never overwritten.

use crate::command::{CHEAP, Home};
use std::fs::{Permissions, metadata, set_permissions};
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn a_new_key_is_private_encrypted_and_never_overwritten() {
    let home = Home::new();
    let made = home.squad(&["keys", "new", CHEAP, "--format=json"]).json();
    let path = home.file("keys/identity.json");
    let mode = |path: &std::path::Path| metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    let shown = home.squad(&["keys", "show", "--format=json"]).json();
    assert_eq!(shown["identity"], made["identity"]);
    assert_eq!(shown["kind"], "ed25519-identity");
    let public = home.squad(&["keys", "export-public"]).ok();
    assert_eq!(public.trim(), made["identity"].as_str().unwrap());

    let error = home.squad(&["keys", "new", CHEAP]).fails(4);
    assert!(error.contains("exists"), "{error}");
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let home = Home::new();
    home.squad(&["keys", "new", CHEAP]).ok();
    let path = home.file("keys/identity.json");
    set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let error = home.squad(&["keys", "show"]).fails(4);
    assert!(error.contains("mode 0640"), "{error}");
    assert!(error.contains("chmod 600"), "{error}");
}

#[test]
fn the_same_seed_gives_the_same_key_and_bad_seeds_are_refused() {
    let home = Home::new();
    // RFC 8032, section 7.1, test 1.
    let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let public = "0xd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    home.write("seed", seed);
    let seed_file = format!("--seed-file={}", home.file("seed").display());
    let text = home.squad(&["keys", "import", CHEAP, &seed_file]).ok();
    assert!(text.contains(public), "{text}");
    for bad in ["", "9d61", &seed.replace('9', "x")] {
        home.write("seed", bad);
        let error = home.squad(&["keys", "import", CHEAP, &seed_file]).fails(4);
        assert!(error.contains("64 hexadecimal digits"), "{error}");
    }
}

#[test]
fn without_a_password_or_with_an_empty_one_no_key_is_made() {
    let home = Home::new();
    let mut command = crate::command::squad();
    command
        .args(["keys", "new", CHEAP])
        .env("SQUAD_HOME", home.path());
    let error = crate::command::run(&mut command).fails(4);
    assert!(error.contains("--password-file"), "{error}");
    home.write("empty", "\n");
    let file = home.file("empty");
    let environment = [("SQUAD_PASSWORD_FILE", file.to_str().unwrap())];
    let error = home
        .squad_with(&["keys", "new", CHEAP], &environment)
        .fails(4);
    assert!(error.contains("empty"), "{error}");
    assert!(!home.file("keys/identity.json").exists());
}

#[test]
fn a_finality_key_is_a_plain_eip_2335_keystore_and_proves_its_possession() {
    let home = Home::new();
    home.squad(&["keys", "new", CHEAP]).ok();
    let made = home
        .squad(&["keys", "new", "--kind=finality", CHEAP, "--format=json"])
        .json();
    let file = std::fs::read_to_string(home.file("keys/finality.json")).unwrap();
    let keystore: serde_json::Value = serde_json::from_str(&file).unwrap();
    assert!(keystore.get("kind").is_none());
    let key = made["finality"].as_str().unwrap();
    assert_eq!(format!("0x{}", keystore["pubkey"].as_str().unwrap()), key);
    let entry = home.squad(&["keys", "possession", "--format=json"]).json();
    assert_eq!(entry["key"], key);

    let identity = entry["identity"].as_str().unwrap().to_owned();
    let possession = entry["possession"].as_str().unwrap().to_owned();
    home.squad(&["genesis", "new", "--network=test-dev", "--dev"])
        .ok();
    let add = |identity: &str| {
        home.squad(&[
            "genesis",
            "add-operator",
            "--name=op-0",
            &format!("--identity={identity}"),
            "--stake=1",
            "--address=127.0.0.1:4100",
            &format!("--finality-key={key}"),
            &format!("--possession={possession}"),
        ])
    };
    // Somebody else's key and proof, copied.
    let other = "0xd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let error = add(other).fails(3);
    assert!(error.contains("proof of possession: invalid"), "{error}");
    add(&identity).ok();
    let shown = home
        .squad(&["keys", "show", "--kind=finality", "--format=json"])
        .json();
    assert_eq!(shown["operator"], 0);

    // A genesis that was changed by hand is refused where it is read.
    let path = home.file("config/genesis.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace(&identity, other)).unwrap();
    let error = home.squad(&["genesis", "validate"]).fails(3);
    assert!(
        error.contains("finality keys: committee: operator 0"),
        "{error}"
    );
}
