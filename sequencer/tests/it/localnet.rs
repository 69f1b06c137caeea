//! A local network of real processes: started, used, hit by a crash, stopped.

use crate::command::{Home, Ran, run, squad};
use serde_json::Value;
use std::path::PathBuf;

/// A network that is stopped even if the test fails half-way.
struct Localnet {
    home: Home,
    directory: PathBuf,
}

impl Localnet {
    fn up() -> (Self, Value) {
        let home = Home::new();
        let directory = home.file("net");
        let net = Self { home, directory };
        let state = net
            .localnet(&["up", "--detach", "--rollups=kv:7", "--format=json"])
            .json();
        (net, state)
    }

    fn localnet(&self, arguments: &[&str]) -> Ran {
        let mut command = squad();
        command
            .arg("localnet")
            .args(arguments)
            .arg("--dir")
            .arg(&self.directory);
        run(&mut command)
    }
}

impl Drop for Localnet {
    fn drop(&mut self) {
        self.localnet(&["down"]);
    }
}

fn endpoint(state: &Value, node: usize) -> String {
    format!(
        "--endpoint=http://{}",
        state["nodes"][node]["grpc"].as_str().unwrap()
    )
}

#[test]
fn a_transaction_is_ordered_proven_and_survives_a_crash() {
    let (net, state) = Localnet::up();
    let home = &net.home;
    let first = endpoint(&state, 0);

    let submit = [
        "tx",
        "submit",
        &first,
        "--rollup=7",
        "--payload=c0ffee",
        "--format=json",
    ];
    let sent = home.squad(&submit).json();
    assert_eq!(sent["status"], "ordered");
    let id = sent["tx_id"].as_str().unwrap();
    let height = sent["height"].as_u64().unwrap();

    // Another operator tells the same, with a proof that holds under the genesis.
    let second = endpoint(&state, 1);
    let wait = ["status", &second, "--wait=ready", "--format=json"];
    let status = home.squad(&wait).json();
    assert_eq!(status["network_id"], state["network_id"]);
    let genesis = format!(
        "--genesis={}/config/genesis.json",
        state["nodes"][1]["home"].as_str().unwrap()
    );
    let proof = home
        .squad(&["tx", "proof", id, &first, &genesis, "--format=json"])
        .json();
    assert_eq!(proof["height"], height);
    assert_eq!(proof["verified"], true);
    let shown = home
        .squad(&[
            "block",
            "show",
            &height.to_string(),
            &first,
            "--ids",
            "--format=json",
        ])
        .json();
    assert_eq!(shown["rollups"][0]["tx_ids"][0], id);

    // Refusals carry their reason.
    let stranger = ["tx", "submit", &first, "--rollup=8", "--payload=00"];
    let error = home.squad(&stranger).fails(12);
    assert!(error.contains("UNKNOWN_ROLLUP"), "{error}");
    let other = format!("--network-id=0x{}", "00".repeat(32));
    home.squad(&["status", &first, &other]).fails(10);

    // Two homes can't share one directory of data.
    let taken = state["nodes"][2]["home"].as_str().unwrap();
    let mut command = squad();
    command.args(["start", "--home", taken]);
    run(&mut command).fails(5);

    // One operator of four is killed: the others go on, and it comes back.
    net.localnet(&["kill", "3"]).ok();
    let sent = home
        .squad(&[
            "tx",
            "submit",
            &second,
            "--rollup=7",
            "--payload=01",
            "--format=json",
        ])
        .json();
    assert_eq!(sent["status"], "ordered");
    net.localnet(&["restart", "3"]).ok();
    let last = endpoint(&state, 3);
    let sent = home
        .squad(&[
            "tx",
            "submit",
            &last,
            "--rollup=7",
            "--payload=02",
            "--format=json",
        ])
        .json();
    assert_eq!(sent["status"], "ordered");

    // A second network can't take the directory.
    let error = net.localnet(&["up", "--detach"]).fails(5);
    assert!(error.contains("squad localnet down"), "{error}");

    let down = net.localnet(&["down", "--keep", "--format=json"]).json();
    assert_eq!((&down["stopped"], &down["killed"]), (&4.into(), &0.into()));

    // The data is readable and whole without the node.
    let stopped = state["nodes"][3]["home"].as_str().unwrap();
    let check = home
        .squad(&["db", "check", "--home", stopped, "--format=json"])
        .json();
    assert!(check["blocks"].as_u64().unwrap() >= height, "{check}");
    assert!(check["transactions"].as_u64().unwrap() >= 3, "{check}");
    let safety = home
        .squad(&["db", "safety", "--home", stopped, "--format=json"])
        .json();
    assert!(safety["state"].is_object(), "{safety}");
    net.localnet(&["down"]).ok();
    assert!(!net.directory.exists());
}

#[test]
fn a_network_that_can_not_start_says_why_and_leaves_nothing_running() {
    let home = Home::new();
    let directory = home.file("net");
    let mut command = squad();
    command
        .args([
            "localnet",
            "up",
            "--nodes=1",
            "--set=storage.cache=1B",
            "--dir",
        ])
        .arg(&directory);
    let error = run(&mut command).fails(1);
    assert!(
        error.contains("operator 0 ended (exit status: 3)"),
        "{error}"
    );
    assert!(error.contains("storage.cache"), "{error}");
    let mut command = squad();
    command
        .args(["localnet", "kill", "0", "--dir"])
        .arg(&directory);
    let error = run(&mut command).fails(1);
    assert!(error.contains("not running"), "{error}");
}

#[test]
fn rollups_of_a_local_network_are_checked_before_anything_is_made() {
    let home = Home::new();
    let directory = home.file("net");
    for rollups in ["--rollups=evm:1,evm:1", "--rollups=svm:1"] {
        let mut command = squad();
        command
            .args(["localnet", "up", rollups, "--dir"])
            .arg(&directory);
        let ran = run(&mut command);
        assert!(matches!(ran.code, Some(2 | 3)), "{ran:?}");
        assert!(!directory.exists());
    }
}
