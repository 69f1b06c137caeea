//! A local network of real processes: started, used, hit by a crash, stopped.

use crate::command::{Home, run, squad};
use crate::net::Localnet;
use std::path::Path;

#[test]
fn a_transaction_is_ordered_proven_and_survives_a_crash() {
    let net = Localnet::up(&["--rollups=kv:7"]);
    let home = &net.home;
    let first = net.flag(0);

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
    let second = net.flag(1);
    let wait = ["status", &second, "--wait=ready", "--format=json"];
    let status = home.squad(&wait).json();
    let network = net.state().network_id.to_string();
    assert_eq!(status["network_id"], network);
    let genesis = format!("--genesis={}", net.genesis().display());
    // One operator of four attests its own place only, which proves nothing.
    let alone = ["tx", "proof", id, &first, &genesis, "--format=json"];
    let error = home.squad(&alone).fails(14);
    assert!(error.contains("stake 100 of 400"), "{error}");
    let accepted: Vec<_> = alone.into_iter().chain(["--accept-unattested"]).collect();
    let proof = home.squad(&accepted).json();
    assert_eq!(
        (&proof["height"], &proof["attested"]),
        (&height.into(), &false.into())
    );
    let both: Vec<_> = alone.into_iter().chain([second.as_str()]).collect();
    let proof = home.squad(&both).json();
    assert_eq!(
        (&proof["height"], &proof["attested"]),
        (&height.into(), &true.into())
    );
    assert_eq!(proof["attested_stake"], 200);
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
    let mut command = squad();
    command.arg("start").arg("--home").arg(net.node(2).home);
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
    let last = net.flag(3);
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
    let stopped = net.node(3).home;
    let stopped = stopped.to_str().unwrap();
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

/// Numbers of the processes that were started with an argument naming this directory.
fn processes_of(directory: &Path) -> Vec<String> {
    let name = directory.to_str().expect("printable");
    let numbers = std::fs::read_dir("/proc").expect("/proc").flatten();
    numbers
        .filter_map(|entry| {
            let arguments = std::fs::read(entry.path().join("cmdline")).ok()?;
            let ours = String::from_utf8_lossy(&arguments).contains(name);
            ours.then(|| entry.file_name().to_string_lossy().into_owned())
        })
        .collect()
}

#[test]
fn commands_at_the_same_time_lose_no_process_and_down_leaves_none() {
    let net = Localnet::up(&[]);
    let nodes = ["0", "1", "2", "3"];
    // Each operator is restarted twice, and two are hit by a crash meanwhile: some of these end with an
    // error because another one took their process away. What counts is that none is forgotten.
    let restarts = nodes.iter().chain(&nodes);
    let mut commands: Vec<_> = restarts
        .map(|node| net.begin(&["restart", node, "--timeout=20s"]))
        .collect();
    commands.extend(["1", "2"].map(|node| net.begin(&["kill", node])));
    for command in &mut commands {
        command.wait().unwrap();
    }
    let state = net.state();
    let processes = state.nodes.iter().filter_map(|node| node.process);
    let noted: Vec<_> = processes.map(|process| process.pid.to_string()).collect();
    for process in processes_of(&net.directory) {
        assert!(noted.contains(&process), "{process} is not in {noted:?}");
    }

    // A network that goes down takes along what is being started.
    let mut commands: Vec<_> = nodes
        .iter()
        .map(|node| net.begin(&["restart", node, "--timeout=20s"]))
        .collect();
    net.localnet(&["down"]).ok();
    for command in &mut commands {
        command.wait().unwrap();
    }
    assert_eq!(processes_of(&net.directory), Vec::<String>::new());
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
