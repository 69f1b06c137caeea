//! Making a genesis step by step, and what is refused on the way.

use crate::command::Home;

#[test]
fn a_genesis_grows_until_it_is_valid_and_its_hash_is_the_network_id() {
    let home = Home::new();
    let identity = home.with_network();
    let hash = home.squad(&["genesis", "hash"]).ok();
    let validated = home.squad(&["genesis", "validate", "--format=json"]).json();
    assert_eq!(validated["network_id"], hash.trim());
    let shown = home.squad(&["keys", "show", "--format=json"]).json();
    assert_eq!(shown["operator"], 0);
    assert_eq!(shown["name"], "op-0");
    assert_eq!(shown["identity"], identity.as_str());
    home.squad(&["genesis", "hash", "--network-id", hash.trim()])
        .ok();
}

#[test]
fn additions_that_break_a_rule_change_nothing() {
    let home = Home::new();
    let identity = home.with_network();
    let before = std::fs::read(home.file("config/genesis.json")).unwrap();
    let error = home
        .squad(&[
            "genesis",
            "add-operator",
            "--name=OP",
            &format!("--identity={identity}"),
            "--stake=0",
            "--address=127.0.0.1:0",
        ])
        .fails(3);
    assert!(error.contains("4 problems"), "{error}");
    for field in ["name", "stake", "address", "identity"] {
        assert!(
            error.contains(&format!("operators[1].{field}")),
            "{field}: {error}"
        );
    }
    let error = home
        .squad(&[
            "genesis",
            "add-rollup",
            "--id=7",
            "--name=other",
            "--executor=evm",
        ])
        .fails(3);
    assert!(error.contains("rollups[1].chain_id"), "{error}");
    assert!(
        error.contains("rollups[1].id: same value as rollups[0].id"),
        "{error}"
    );
    assert_eq!(
        std::fs::read(home.file("config/genesis.json")).unwrap(),
        before
    );
}

#[test]
fn unknown_fields_are_refused_with_their_place() {
    let home = Home::new();
    home.with_network();
    let text = std::fs::read_to_string(home.file("config/genesis.json")).unwrap();
    home.write(
        "config/genesis.json",
        &text.replace("\"dev\"", "\"devel\":1,\"dev\""),
    );
    let error = home.squad(&["genesis", "validate"]).fails(3);
    assert!(error.contains("unknown field `devel`"), "{error}");
    assert!(error.contains("line 1 column"), "{error}");
}

#[test]
fn development_networks_are_marked_by_their_name() {
    let home = Home::new();
    let error = home
        .squad(&["genesis", "new", "--network=main", "--dev"])
        .fails(3);
    assert!(error.contains("must have `dev` in its name"), "{error}");
    assert!(!home.file("config/genesis.json").exists());
}
