//! Certificates of a network of real processes: a transaction becomes final, also with an operator down,
//! and files alone show it; an operator whose results are wrong is noticed by itself and by the others.

use crate::net::{Localnet, wait_for};
use serde_json::Value;
use std::path::Path;

fn submit_final(net: &Localnet, node: usize, payload: &str) -> Value {
    let endpoint = net.flag(node);
    let payload = format!("--payload={payload}");
    let arguments = [
        "tx",
        "submit",
        &endpoint,
        "--rollup=7",
        &payload,
        "--wait=final",
        "--timeout=10s",
        "--format=json",
    ];
    let sent = net.home.squad(&arguments).json();
    assert_eq!(sent["status"], "final", "{sent}");
    sent
}

fn alerts(net: &Localnet, node: usize) -> Vec<Value> {
    let endpoint = net.flag(node);
    let found = net
        .home
        .squad(&["finality", "alerts", &endpoint, "--format=json"])
        .json();
    found["alerts"].as_array().cloned().unwrap_or_default()
}

fn has_alert(net: &Localnet, node: usize, kind: &str, operator: Option<u64>) -> bool {
    alerts(net, node)
        .iter()
        .any(|alert| alert["kind"] == kind && alert["operator_id"].as_u64() == operator)
}

/// Changes one byte of a file.
fn damage(path: &Path, place: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[place] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn transactions_become_final_and_files_alone_show_it() {
    let net = Localnet::up(&["--rollups=kv:7"]);
    let (home, endpoint) = (&net.home, net.flag(1));
    let sent = submit_final(&net, 0, "c0ffee");
    let id = sent["tx_id"].as_str().unwrap();

    // With an operator down finality goes on.
    net.kill(&[3]);
    submit_final(&net, 1, "01");
    let status = home.squad(&["status", &endpoint, "--format=json"]).json();
    assert!(status["final_height"].as_u64() >= sent["height"].as_u64());

    let files = home.file("proof");
    let out = format!("--out={}", files.display());
    let genesis = format!("--genesis={}", net.genesis().display());
    let prove = ["finality", "proof", id, &endpoint, &genesis, &out];
    home.squad(&prove).ok();
    net.restart(3);
    submit_final(&net, 3, "02");
    net.localnet(&["down", "--keep"]).ok();

    // Nothing runs any more.
    let file = |flag: &str, name: &str| format!("--{flag}={}", files.join(name).display());
    let verify = [
        "verify".to_owned(),
        genesis,
        file("handovers", "handovers"),
        file("certificate", "certificate"),
        file("transaction", "transaction"),
        "--rollup=7".to_owned(),
        format!("--tx-id={id}"),
        "--format=json".to_owned(),
    ];
    let verify: Vec<&str> = verify.iter().map(String::as_str).collect();
    let shown = home.squad(&verify).json();
    assert_eq!(
        (&shown["tx_id"], &shown["height"]),
        (&sent["tx_id"], &sent["height"])
    );
    // A bit of the block hash, and one of the path's last sibling.
    let certificate = files.join("certificate");
    damage(&certificate, 100);
    let error = home.squad(&verify).fails(14);
    assert!(error.contains("does not verify"), "{error}");
    damage(&certificate, 100);
    let length = std::fs::metadata(files.join("transaction")).unwrap().len();
    let length = usize::try_from(length).unwrap();
    damage(&files.join("transaction"), length - 45);
    home.squad(&verify).fails(14);

    // What the key signed last is on record.
    let stopped = net.node(0).home;
    let stopped = stopped.to_str().unwrap();
    let safety = home
        .squad(&["db", "safety", "--home", stopped, "--format=json"])
        .json();
    assert!(
        safety["attested"]["height"].as_u64() >= sent["height"].as_u64(),
        "{safety}"
    );
}

#[test]
fn with_half_of_the_stake_stopped_nothing_is_final_until_it_is_back() {
    let net = Localnet::up(&["--rollups=kv:7"]);
    let heights = |node| {
        let status = net
            .home
            .squad(&["status", &net.flag(node), "--format=json"])
            .json();
        ["ordered_height", "final_height"].map(|name| status[name].as_u64().unwrap())
    };
    submit_final(&net, 0, "01");
    net.kill(&[2, 3]);
    let endpoint = net.flag(0);
    let mut attempts = 0_u32;
    let mut refused = || {
        attempts += 1;
        let payload = format!("--payload={attempts:08x}");
        let submit = [
            "tx",
            "submit",
            &endpoint,
            "--rollup=7",
            &payload,
            "--timeout=500ms",
        ];
        let ran = net.home.squad(&submit);
        assert_ne!(
            ran.code,
            Some(0),
            "ordered by half of the stake: {}",
            ran.out
        );
        ran.err.contains("NO_QUORUM")
    };
    wait_for("submissions are refused", &mut refused);
    let stopped = [heights(0), heights(1)];
    for _ in 0..20 {
        assert!(refused());
    }
    assert_eq!([heights(0), heights(1)], stopped);

    net.restart(2);
    net.restart(3);
    let sent = submit_final(&net, 1, "02");
    for node in 0..4 {
        wait_for("all follow", || {
            heights(node)[1] >= sent["height"].as_u64().unwrap()
        });
        let alerts = alerts(&net, node);
        let others: Vec<_> = alerts
            .iter()
            .filter(|a| !matches!(a["kind"].as_str(), Some("quorum_lost" | "quorum_restored")))
            .collect();
        assert!(others.is_empty(), "{others:?}");
    }
}

#[test]
fn an_operator_with_wrong_results_is_outvoted_and_stops_signing() {
    let net = Localnet::up(&["--rollups=kv:7"]);
    let config = net.node(3).home.join("config/node.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let wrong = format!("{text}\n[mach]\ntest_corrupt_results = true\n");
    std::fs::write(&config, wrong).unwrap();
    net.kill(&[3]);
    net.restart(3);
    submit_final(&net, 0, "01");
    wait_for("the operator's own alarm", || {
        has_alert(&net, 3, "outvoted", None)
    });
    // Whether it had signed before it knew depends on who was faster; the others are not moved by it.
    assert!(!has_alert(&net, 0, "outvoted", None));
    submit_final(&net, 1, "02");
    // It calls nothing final that it computed wrongly.
    let endpoint = net.flag(3);
    let status = net
        .home
        .squad(&["status", &endpoint, "--format=json"])
        .json();
    let stuck = status["final_height"].as_u64().unwrap();
    let sent = submit_final(&net, 2, "03");
    assert!(stuck < sent["height"].as_u64().unwrap(), "{status}");
}
