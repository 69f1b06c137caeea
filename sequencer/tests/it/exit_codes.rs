//! Exit codes, as service managers and scripts see them.

use crate::command::{CHEAP, Home};
use squad_sequencer::cli::Code;
use squad_storage::Lock;

fn code(code: Code) -> i32 {
    i32::from(code.number())
}

#[test]
fn wrong_command_lines_are_2_and_help_is_0() {
    let home = Home::new();
    for arguments in [
        &["strat"][..],
        &["start", "--role=king"],
        &["keys", "new", "--kdf-cost=scrypt:99"],
        &["tx", "submit", "--rollup=1"],
        &["start", "--set=nothing"],
    ] {
        home.squad(arguments).fails(code(Code::Usage));
    }
    assert!(home.squad(&["start", "--help"]).ok().contains("--role"));
    assert!(home.squad(&["--version"]).ok().starts_with("squad "));
}

#[test]
fn a_node_without_genesis_or_with_invalid_settings_ends_with_3() {
    let home = Home::new();
    let error = home.squad(&["start"]).fails(code(Code::Config));
    assert!(error.contains("genesis.json"), "{error}");
    home.with_network();
    let error = home
        .squad(&["start", "--set=network.mtu_max=1"])
        .fails(code(Code::Config));
    assert!(error.contains("network.mtu_max"), "{error}");
}

#[test]
fn a_missing_key_or_a_wrong_password_ends_with_4() {
    let home = Home::new();
    home.with_network();
    home.write("wrong", "not the password");
    let file = home.file("wrong");
    let environment = [("SQUAD_PASSWORD_FILE", file.to_str().unwrap())];
    let error = home
        .squad_with(&["start"], &environment)
        .fails(code(Code::Key));
    assert!(error.contains("wrong password"), "{error}");
    std::fs::remove_file(home.file("keys/identity.json")).unwrap();
    let error = home.squad(&["start"]).fails(code(Code::Key));
    assert!(error.contains("identity.json"), "{error}");
}

#[test]
fn a_home_in_use_ends_with_5() {
    let home = Home::new();
    home.with_network();
    let lock = Lock::acquire(&home.path()).unwrap();
    let error = home.squad(&["start"]).fails(code(Code::InUse));
    assert!(error.contains("LOCK"), "{error}");
    drop(lock);
    let error = home
        .squad(&["init", "--with-keys", CHEAP])
        .fails(code(Code::InUse));
    assert!(error.contains("nothing was changed"), "{error}");
    assert!(!home.file("config/node.toml").exists());
}

#[test]
fn a_home_without_data_ends_db_commands_with_6() {
    let home = Home::new();
    home.with_network();
    for verb in ["stats", "check", "safety"] {
        let error = home.squad(&["db", verb]).fails(code(Code::Storage));
        assert!(error.contains("holds no data"), "{error}");
    }
    assert!(
        !home.file("data").exists(),
        "looking must not make anything"
    );
}

#[test]
fn another_network_or_a_stranger_s_key_ends_with_10() {
    let home = Home::new();
    home.with_network();
    let zero = format!("--network-id=0x{}", "00".repeat(32));
    let error = home.squad(&["start", &zero]).fails(code(Code::Network));
    assert!(error.contains("network id: found 0x"), "{error}");
    std::fs::remove_file(home.file("keys/identity.json")).unwrap();
    home.squad(&["keys", "new", CHEAP]).ok();
    let error = home.squad(&["start"]).fails(code(Code::Network));
    assert!(error.contains("lists no operator with key"), "{error}");
}

#[test]
fn a_node_that_is_away_ends_with_11_and_waiting_for_it_with_13() {
    let home = Home::new();
    // Bound and dropped: nobody listens there now.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let endpoint = format!("--endpoint=http://127.0.0.1:{port}");
    let id = format!("0x{}", "11".repeat(32));
    for arguments in [
        &["status"][..],
        &["block", "show"],
        &["tx", "status", &id],
        &["tx", "submit", "--rollup=1", "--payload=00"],
    ] {
        let arguments: Vec<_> = arguments
            .iter()
            .copied()
            .chain([endpoint.as_str()])
            .collect();
        let error = home.squad(&arguments).fails(code(Code::Unreachable));
        assert!(error.contains("not reachable"), "{error}");
    }
    let wait = ["status", &endpoint, "--wait=ready", "--timeout=100ms"];
    home.squad(&wait).fails(code(Code::TimedOut));
}

#[test]
fn failures_are_json_where_json_is_asked_for() {
    let home = Home::new();
    let error = home
        .squad(&["genesis", "hash", "--format=json"])
        .fails(code(Code::Config));
    let value: serde_json::Value = serde_json::from_str(&error).unwrap();
    assert_eq!(value["error"]["code"], code(Code::Config));
    assert!(
        value["error"]["message"]
            .as_str()
            .unwrap()
            .contains("genesis.json")
    );
}
