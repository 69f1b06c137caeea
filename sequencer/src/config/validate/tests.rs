use super::*;
use squad_primitives::genesis::{
    ConsensusParams, GENESIS_VERSION, Genesis, GenesisOperator, Params,
};
use squad_primitives::{IdentityKey, Signer as _, Stake};

fn genesis(dev: bool) -> Genesis {
    let operators = (1..=4).map(|index: u8| GenesisOperator {
        name: format!("op-{index}"),
        identity: IdentityKey::from_seed([index; 32]).public_key(),
        stake: Stake(1),
        address: ([10, 0, 0, index], 4100).into(),
        control: None,
        finality: None,
    });
    Genesis {
        version: GENESIS_VERSION,
        network: if dev { "test-dev" } else { "test" }.to_owned(),
        dev,
        genesis_time_ms: 1,
        params: Params {
            epoch_length_blocks: 200,
        },
        consensus: ConsensusParams::default(),
        operators: operators.collect(),
        rollups: Vec::new(),
    }
}

fn fields(config: &Config, genesis: Option<&Genesis>) -> Vec<String> {
    let problems = config.validate(genesis).err().unwrap_or_default();
    problems.into_iter().map(|problem| problem.field).collect()
}

#[test]
fn defaults_are_legal_on_every_network() {
    for dev in [false, true] {
        assert_eq!(Config::default().validate(Some(&genesis(dev))), Ok(()));
    }
}

#[test]
fn all_problems_are_reported_together() {
    let mut config = Config::default();
    config.node.worker_threads = 0;
    config.network.mtu_max = 600;
    config.network.announce = Some("10.0.0.1:4101".to_owned());
    config.grpc.tls_key = Some("key.pem".into());
    config.http.listen = config.grpc.listen;
    config.limits.read_per_second = 0;
    config.mempool.batch_gap_min = Duration::from_secs(2);
    config.consensus.view_timeout_max = Duration::from_millis(1);
    config.mach.per_second_max = 0;
    config.storage.cache = 0;
    config.log.filter = "info,=".to_owned();
    assert_eq!(
        fields(&config, None),
        [
            "node.worker_threads",
            "network.mtu_max",
            "network.announce",
            "grpc.tls_cert",
            "http.listen",
            "limits.read_per_second",
            "mempool.batch_gap_min",
            "consensus.view_timeout_max",
            "mach.per_second_max",
            "storage.cache",
            "log.filter",
        ]
    );
}

#[test]
fn unsynced_storage_is_for_development_networks_and_observers() {
    let mut config = Config::default();
    config.storage.sync = false;
    assert_eq!(fields(&config, Some(&genesis(false))), ["storage.sync"]);
    assert!(fields(&config, Some(&genesis(true))).is_empty());
    config.node.role = Role::Observer;
    assert!(fields(&config, Some(&genesis(false))).is_empty());
}

#[test]
fn settings_must_fit_the_genesis() {
    let mut config = Config::default();
    config.node.network_id = Some(squad_primitives::Digest([1; 32]));
    config.mempool.batch_bytes = 2 << 20;
    config.storage.keep_blocks = 11_999;
    config.grpc.listen = ([0, 0, 0, 0], 4110).into();
    assert_eq!(
        fields(&config, Some(&genesis(false))),
        [
            "node.network_id",
            "mempool.batch_bytes",
            "storage.keep_blocks",
            "grpc.listen",
        ]
    );
}

#[test]
fn wrong_results_on_purpose_are_for_development_networks() {
    let mut config = Config::default();
    config.mach.test_corrupt_results = true;
    let refused = ["mach.test_corrupt_results"];
    assert_eq!(fields(&config, Some(&genesis(false))), refused);
    assert!(fields(&config, Some(&genesis(true))).is_empty());
}
