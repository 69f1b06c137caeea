//! Settings: precedence, origins, and all problems at once.

use crate::command::Home;

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let home = Home::new();
    home.write(
        "config/node.toml",
        "[grpc]\nlisten = '127.0.0.1:1001'\nconnections_max = 11\n[http]\nlisten = '127.0.0.1:1002'\n",
    );
    let environment = [
        ("SQUAD_GRPC_LISTEN", "127.0.0.1:2001"),
        ("SQUAD_HTTP_LISTEN", "127.0.0.1:2002"),
    ];
    let arguments = [
        "config",
        "dump",
        "--origin",
        "--format=json",
        "--grpc-listen=127.0.0.1:3001",
        "--set",
        "network.peers_max=5",
    ];
    let dump = home.squad_with(&arguments, &environment).json();
    let entry = |path: &str| {
        let value = dump[path]["value"].to_string().replace('"', "");
        (value, dump[path]["origin"].as_str().unwrap().to_owned())
    };
    let expect = |path: &str, value: &str, origin: &str| {
        assert_eq!(entry(path), (value.to_owned(), origin.to_owned()), "{path}");
    };
    expect("grpc.listen", "127.0.0.1:3001", "flag --grpc-listen");
    expect(
        "http.listen",
        "127.0.0.1:2002",
        "environment SQUAD_HTTP_LISTEN",
    );
    let file = format!("file {}", home.file("config/node.toml").display());
    expect("grpc.connections_max", "11", &file);
    expect("network.peers_max", "5", "flag --set");
    expect("consensus.view_timeout", "400ms", "default");
}

#[test]
fn a_dump_is_a_file_that_gives_the_same_settings() {
    let home = Home::new();
    let text = home
        .squad(&["config", "dump", "--set=mempool.batch_bytes=300KiB"])
        .ok();
    home.write("config/node.toml", &text);
    let again = home.squad(&["config", "dump"]).ok();
    assert_eq!(again, text);
    assert!(text.contains("batch_bytes = \"300KiB\""), "{text}");
}

#[test]
fn unknown_keys_and_wrong_types_of_all_sources_are_reported_together() {
    let home = Home::new();
    home.write(
        "config/node.toml",
        "[grcp]\nx = 1\n[grpc]\nlistn = 'x'\nreflection = 'yes'\n[storage]\ncache = 1000\n",
    );
    let arguments = ["config", "check", "--set=node.worker_threads=two"];
    let environment = [("SQUAD_CONSENSUS_REBROADCAST", "soon")];
    let error = home.squad_with(&arguments, &environment).fails(3);
    assert!(error.contains("6 problems"), "{error}");
    for field in [
        "grcp",
        "grpc.listn",
        "grpc.reflection",
        "storage.cache",
        "node.worker_threads",
        "consensus.rebroadcast",
    ] {
        assert!(
            error.contains(&format!("\n  {field}: ")),
            "{field}: {error}"
        );
    }
}

#[test]
fn rules_between_settings_and_genesis_are_reported_together() {
    let home = Home::new();
    home.with_network();
    let arguments = [
        "config",
        "check",
        "--set=mempool.batch_bytes=2MiB",
        "--set=storage.keep_blocks=10",
        "--set=network.mtu_max=100",
        "--set=consensus.view_timeout=20s",
    ];
    let error = home.squad(&arguments).fails(3);
    assert!(error.contains("4 problems"), "{error}");
    assert!(
        error.contains("mempool.batch_bytes: 2097152 is above batch_bytes_limit"),
        "{error}"
    );
    assert!(
        error.contains("storage.keep_blocks: 10 is below"),
        "{error}"
    );
    assert!(
        error.contains("network.mtu_max: 100 is not within 1200 to 65527"),
        "{error}"
    );
    assert!(
        error.contains("consensus.view_timeout_max: 10s is not within 20s"),
        "{error}"
    );
    // Nothing was changed by checking.
    assert!(!home.file("config/node.toml").exists());
}

#[test]
fn unsynced_storage_is_refused_outside_development_networks() {
    let home = Home::new();
    home.with_network();
    home.squad(&["config", "check", "--set=storage.sync=false"])
        .ok();

    let mut genesis: serde_json::Value =
        serde_json::from_slice(&std::fs::read(home.file("config/genesis.json")).unwrap()).unwrap();
    genesis["dev"] = false.into();
    let operator = genesis["operators"][0].clone();
    let seeds = [1, 2, 3_u8];
    for seed in seeds {
        let seed_file = home.file(&format!("seed-{seed}"));
        std::fs::write(&seed_file, hex(&[seed; 32])).unwrap();
        let out = home.file(&format!("keys/{seed}.json"));
        let text = home
            .squad(&[
                "keys",
                "import",
                crate::command::CHEAP,
                &format!("--seed-file={}", seed_file.display()),
                &format!("--out={}", out.display()),
            ])
            .ok();
        let mut other = operator.clone();
        other["name"] = format!("op-{seed}").into();
        other["address"] = format!("127.0.0.1:{}", 5_000 + u16::from(seed)).into();
        other["identity"] = text.trim().rsplit(' ').next().unwrap().into();
        genesis["operators"].as_array_mut().unwrap().push(other);
    }
    home.write("config/genesis.json", &genesis.to_string());
    home.squad(&["config", "check"]).ok();
    let error = home
        .squad(&["config", "check", "--set=storage.sync=false"])
        .fails(3);
    assert!(error.contains("storage.sync: false is refused"), "{error}");
    let observer = [
        "config",
        "check",
        "--set=storage.sync=false",
        "--role=observer",
    ];
    home.squad(&observer).ok();
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
