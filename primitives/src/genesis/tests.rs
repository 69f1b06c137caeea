use super::*;
use crate::{IdentityKey, Signer as _};

fn operator(index: u8) -> GenesisOperator {
    GenesisOperator {
        name: format!("op-{index}"),
        identity: IdentityKey::from_seed([index; 32]).public_key(),
        stake: Stake(100),
        address: ([10, 0, 0, index], 4100).into(),
        control: Some(format!("/ip4/10.0.0.{index}/tcp/4101")),
        finality: None,
    }
}

fn rollup(id: u64, executor: ExecutorKind, chain_id: Option<u64>) -> GenesisRollup {
    GenesisRollup {
        id: RollupId(id),
        name: format!("rollup-{id}"),
        executor,
        chain_id,
        order: OrderPolicy::Shuffle,
        sealed: SealedPolicy::None,
    }
}

fn genesis() -> Genesis {
    Genesis {
        version: GENESIS_VERSION,
        network: "test".to_owned(),
        dev: false,
        genesis_time_ms: 1_790_000_000_000,
        params: Params {
            epoch_length_blocks: 20_000,
        },
        consensus: ConsensusParams::default(),
        operators: (1..=4).map(operator).collect(),
        rollups: vec![
            rollup(901, ExecutorKind::Evm, Some(901)),
            rollup(7, ExecutorKind::Kv, None),
        ],
    }
}

fn problems(change: impl FnOnce(&mut Genesis)) -> Vec<String> {
    let mut genesis = genesis();
    change(&mut genesis);
    let problems = genesis.validate().expect_err("must be refused");
    problems.iter().map(Problem::to_string).collect()
}

/// Known answer: a change of the form or of the digest would rename every network.
#[test]
fn canonical_form_and_network_id_are_pinned() {
    let mut genesis = genesis();
    genesis.operators.truncate(1);
    genesis.operators[0].stake = Stake(1 << 60);
    assert_eq!(
        genesis.to_canonical_json(),
        concat!(
            r#"{"consensus":{"batch_bytes_limit":1048576,"block_bytes_max":16777216,"#,
            r#""block_interval_min_ms":10,"coverage_delay_ms":500,"expiry_max_blocks":6000,"#,
            r#""heartbeat_interval_ms":1000,"max_drift_ms":1000,"payload_bytes_limit":131072},"#,
            r#""dev":false,"genesis_time_ms":1790000000000,"network":"test","#,
            r#""operators":[{"address":"10.0.0.1:4100","control":"/ip4/10.0.0.1/tcp/4101","#,
            r#""identity":"0x8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c","#,
            r#""name":"op-1","stake":"1152921504606846976"}],"#,
            r#""params":{"epoch_length_blocks":20000},"#,
            r#""rollups":[{"chain_id":901,"executor":"evm","id":901,"name":"rollup-901","#,
            r#""order":"shuffle","sealed":"none"},{"executor":"kv","id":7,"name":"rollup-7","#,
            r#""order":"shuffle","sealed":"none"}],"version":1}"#,
        )
    );
    assert_eq!(
        genesis.network_id().to_string(),
        "0xd655459c607961017076e0f6d080fa067f4b7aeada2761fa2e236c3a045536c6"
    );
}

#[test]
fn an_indented_file_in_any_order_names_the_same_network() {
    let genesis = genesis();
    let indented = serde_json::to_vec_pretty(&genesis).unwrap();
    let read = Genesis::from_json(&indented).unwrap();
    assert_eq!(read, genesis);
    assert_eq!(read.network_id(), genesis.network_id());
    let canonical = Genesis::from_json(genesis.to_canonical_json().as_bytes()).unwrap();
    assert_eq!(canonical, genesis);
}

#[test]
fn every_value_is_part_of_the_network_id() {
    let id = genesis().network_id();
    let changes: [fn(&mut Genesis); 6] = [
        |g| g.network.push('x'),
        |g| g.genesis_time_ms += 1,
        |g| g.consensus.max_drift_ms += 1,
        |g| g.operators[3].stake.0 += 1,
        |g| g.operators.swap(0, 1),
        |g| g.rollups[0].order = OrderPolicy::Fifo,
    ];
    for change in changes {
        let mut other = genesis();
        change(&mut other);
        assert_ne!(other.network_id(), id);
    }
}

#[test]
fn unknown_doubled_missing_and_inexact_fields_are_refused() {
    let json = genesis().to_canonical_json();
    let refused = |from: &str, to: &str| {
        let text = json.replacen(from, to, 1);
        assert_ne!(text, json, "{from} not found");
        match Genesis::from_json(text.as_bytes()) {
            Err(GenesisError::Json(error)) => error.to_string(),
            other => panic!("{from} -> {to}: {other:?}"),
        }
    };
    assert!(refused(r#""dev""#, r#""extra":1,"dev""#).contains("unknown field `extra`"));
    assert!(refused(r#""dev""#, r#""dev":true,"dev""#).contains("duplicate field `dev`"));
    assert!(refused(r#""dev":false,"#, "").contains("missing field `dev`"));
    assert!(refused(r#""max_drift_ms":1000"#, r#""max_drift_ms":"01000""#).contains("01000"));
    assert!(refused(r#""stake":100"#, r#""stake":9007199254740993"#).contains("2^53"));
    assert!(refused(r#""stake":100"#, r#""stake":-1"#).contains("integer"));
    assert!(refused("10.0.0.1:4100", "10.0.0.1").contains("socket address"));
    let long = vec![b' '; GENESIS_BYTES_MAX + 1];
    assert!(matches!(
        Genesis::from_json(&long),
        Err(GenesisError::TooLarge(_))
    ));
}

#[test]
fn all_problems_are_reported_together() {
    let found = problems(|g| {
        g.version = 2;
        g.dev = true;
        g.consensus.payload_bytes_limit = 2 << 20;
        g.consensus.block_bytes_max = 1;
        g.operators[1] = g.operators[0].clone();
        g.operators[2].stake = Stake(0);
        g.operators[3].address.set_port(0);
        g.operators[3].control = Some("/ip4/10.0.0.300/tcp/1".to_owned());
        g.rollups[0].id = RollupId(0);
        g.rollups[0].chain_id = None;
        g.rollups[1].sealed = SealedPolicy::Mixed;
    });
    let fields: Vec<_> = found
        .iter()
        .map(|problem| problem.split(':').next().unwrap())
        .collect();
    assert_eq!(
        fields,
        [
            "version",
            "dev",
            "consensus.block_bytes_max",
            "consensus.payload_bytes_limit",
            "consensus.batch_bytes_limit",
            "consensus.block_bytes_max",
            "operators[2].stake",
            "operators[3].address",
            "operators[3].control",
            "operators[1].name",
            "operators[1].identity",
            "operators[1].address",
            "operators[1].control",
            "rollups[0].id",
            "rollups[0].chain_id",
            "rollups[1].sealed",
        ]
    );
    assert!(found[3].contains("1024 to 1048576"), "{}", found[3]);
}

#[test]
fn networks_with_stake_at_risk_need_four_operators_below_a_third() {
    let found = problems(|g| g.operators.truncate(3));
    assert_eq!(found, ["operators: 3 operators, must be 4 to 128"]);
    let found = problems(|g| g.operators[0].stake = Stake(150));
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("operators[0].stake: 150 is one third"));

    let mut dev = genesis();
    dev.network = "test-dev".to_owned();
    dev.dev = true;
    dev.operators.truncate(1);
    assert_eq!(dev.validate(), Ok(()));
}

#[test]
fn an_identity_that_is_no_point_and_a_stake_overflow_are_refused() {
    let found = problems(|g| {
        g.operators[0].identity = PublicKey([0xff; 32]);
        g.operators[0].identity.0[0] = 2;
        for operator in &mut g.operators {
            operator.stake = Stake(1 << 61);
        }
    });
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("above 2^62"));
    assert!(found[1].contains("no point of Ed25519"));
}

#[test]
fn the_committee_numbers_operators_by_position() {
    let genesis = genesis();
    let committee = genesis.committee(Epoch(3)).unwrap();
    assert_eq!(committee.epoch(), Epoch(3));
    let (number, entry) = genesis
        .operator_by_key(&genesis.operators[2].identity)
        .unwrap();
    assert_eq!(number, OperatorId(2));
    assert_eq!(committee.member(number).unwrap().key, entry.identity);
    assert_eq!(committee.total(), Stake(400));
}

fn finality(index: u8) -> GenesisFinality {
    GenesisFinality {
        key: FixedHex([index; 48]),
        possession: FixedHex([index; 96]),
    }
}

#[test]
fn finality_keys_are_part_of_the_network_id_and_come_back() {
    let mut with = genesis();
    for (index, operator) in (1..).zip(&mut with.operators) {
        operator.finality = Some(finality(index));
    }
    assert!(with.has_finality() && !genesis().has_finality());
    assert_ne!(with.network_id(), genesis().network_id());
    let json = with.to_canonical_json();
    let entry = format!(
        r#""finality":{{"key":"0x{}","possession":"0x{}"}},"identity""#,
        "01".repeat(48),
        "01".repeat(96)
    );
    assert!(json.contains(&entry), "{json}");
    assert_eq!(Genesis::from_json(json.as_bytes()).unwrap(), with);
    for (from, to, reason) in [
        ("\"key\"", "\"bls\"", "unknown field `bls`"),
        ("0x01", "0x", "96 hexadecimal digits"),
    ] {
        let error = Genesis::from_json(json.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn finality_keys_are_unique_and_all_operators_have_one_or_none() {
    let found = problems(|g| {
        g.operators[1].finality = Some(finality(1));
        g.operators[2].finality = Some(finality(1));
    });
    let missing = "missing, but operators[1] has one: all have it, or none";
    assert_eq!(
        found,
        [
            "operators[2].finality.key: same value as operators[1].finality.key".to_owned(),
            format!("operators[0].finality: {missing}"),
            format!("operators[3].finality: {missing}"),
        ]
    );
}
