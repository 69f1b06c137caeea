//! The rules of a genesis. Each check adds to one list, so that a person repairs a file in one go.

use super::{
    ExecutorKind, GENESIS_VERSION, Genesis, GenesisOperator, GenesisRollup, NAME_BYTES_MAX,
    OPERATORS_MIN, Problem, ROLLUPS_MAX, SealedPolicy,
};
use crate::committee::COMMITTEE_SIZE_MAX;
use crate::transaction::TX_OVERHEAD_BYTES;
use ed25519_zebra::VerificationKey;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Last millisecond of the year 9999: later timestamps have no common text form.
const TIME_MS_MAX: u64 = 253_402_300_799_999;

/// Most stake of all operators together, so that sums and their triple stay far from overflow.
const STAKE_TOTAL_MAX: u128 = 1 << 62;

/// Bytes that a batch body needs for one transaction besides its payload: the encoding's overhead and
/// its place in the offset table.
const BATCH_TX_OVERHEAD_BYTES: u64 = TX_OVERHEAD_BYTES as u64 + 16;

/// Longest control address.
const MULTIADDR_BYTES_MAX: usize = 256;

pub(super) fn validate(genesis: &Genesis) -> Result<(), Vec<Problem>> {
    let mut problems = Problems(Vec::new());
    problems.header(genesis);
    problems.params(genesis);
    problems.operators(genesis);
    problems.rollups(genesis);
    if problems.0.is_empty() {
        Ok(())
    } else {
        Err(problems.0)
    }
}

struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        self.0.push(Problem {
            field: field.into(),
            reason: reason.into(),
        });
    }

    fn range(&mut self, field: &str, value: u64, range: RangeInclusive<u64>) {
        if !range.contains(&value) {
            let (low, high) = (range.start(), range.end());
            self.add(field, format!("{value} is not within {low} to {high}"));
        }
    }

    fn name(&mut self, field: &str, name: &str) {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(legal) {
            self.add(
                field,
                format!("{name:?} is not 1 to {NAME_BYTES_MAX} lower-case letters, digits or `-`"),
            );
        }
    }

    /// Reports values that occur twice; `values` yields each with its field.
    fn unique<K: Ord>(&mut self, values: impl Iterator<Item = (K, String)>) {
        let mut seen = BTreeMap::new();
        for (value, field) in values {
            if let Some(first) = seen.get(&value) {
                self.add(field, format!("same value as {first}"));
            } else {
                seen.insert(value, field);
            }
        }
    }

    fn header(&mut self, genesis: &Genesis) {
        if genesis.version != GENESIS_VERSION {
            self.add(
                "version",
                format!("{} is unknown, must be {GENESIS_VERSION}", genesis.version),
            );
        }
        self.name("network", &genesis.network);
        let marked = genesis.network.split('-').any(|part| part == "dev");
        if genesis.dev && !marked {
            self.add(
                "dev",
                format!(
                    "a development network must have `dev` in its name, like {}-dev",
                    genesis.network
                ),
            );
        }
        self.range("genesis_time_ms", genesis.genesis_time_ms, 1..=TIME_MS_MAX);
    }

    fn params(&mut self, genesis: &Genesis) {
        let epoch_min = if genesis.dev { 4 } else { 100 };
        self.range(
            "params.epoch_length_blocks",
            genesis.params.epoch_length_blocks,
            epoch_min..=1_000_000,
        );
        let consensus = &genesis.consensus;
        let payload = consensus.payload_bytes_limit;
        let batch = consensus.batch_bytes_limit;
        for (field, value, range) in [
            (
                "block_interval_min_ms",
                consensus.block_interval_min_ms,
                1..=10_000,
            ),
            (
                "coverage_delay_ms",
                consensus.coverage_delay_ms,
                50..=60_000,
            ),
            ("max_drift_ms", consensus.max_drift_ms, 50..=60_000),
            (
                "heartbeat_interval_ms",
                consensus.heartbeat_interval_ms,
                100..=60_000,
            ),
            ("batch_bytes_limit", batch, 64 << 10..=4 << 20),
            (
                "block_bytes_max",
                consensus.block_bytes_max,
                64 << 10..=256 << 20,
            ),
            (
                "expiry_max_blocks",
                consensus.expiry_max_blocks,
                16..=100_000,
            ),
            ("payload_bytes_limit", payload, 1 << 10..=1 << 20),
        ] {
            self.range(&format!("consensus.{field}"), value, range);
        }
        let batch_min = payload.saturating_add(BATCH_TX_OVERHEAD_BYTES);
        if batch < batch_min {
            self.add(
                "consensus.batch_bytes_limit",
                format!(
                    "{batch} can't hold the largest transaction, must be at least {batch_min} \
                     (payload_bytes_limit and {BATCH_TX_OVERHEAD_BYTES})"
                ),
            );
        }
        if consensus.block_bytes_max < batch {
            self.add(
                "consensus.block_bytes_max",
                format!(
                    "{} is below batch_bytes_limit ({batch})",
                    consensus.block_bytes_max
                ),
            );
        }
        if consensus.heartbeat_interval_ms < consensus.block_interval_min_ms {
            self.add(
                "consensus.heartbeat_interval_ms",
                format!(
                    "{} is below block_interval_min_ms ({})",
                    consensus.heartbeat_interval_ms, consensus.block_interval_min_ms
                ),
            );
        }
    }

    fn operators(&mut self, genesis: &Genesis) {
        let operators = &genesis.operators;
        let count_min = if genesis.dev { 1 } else { OPERATORS_MIN };
        if !(count_min..=COMMITTEE_SIZE_MAX).contains(&operators.len()) {
            self.add(
                "operators",
                format!(
                    "{} operators, must be {count_min} to {COMMITTEE_SIZE_MAX}",
                    operators.len()
                ),
            );
        }
        let total: u128 = operators.iter().map(|o| u128::from(o.stake.0)).sum();
        if total > STAKE_TOTAL_MAX {
            self.add("operators", format!("total stake {total} is above 2^62"));
        }
        for (index, operator) in operators.iter().enumerate() {
            let at = |field: &str| format!("operators[{index}].{field}");
            self.operator(operator, at);
            let triple = u128::from(operator.stake.0) * 3;
            if !genesis.dev && operators.len() >= OPERATORS_MIN && triple >= total {
                self.add(
                    at("stake"),
                    format!(
                        "{} is one third or more of the total {total}: this operator alone could \
                         stop the network",
                        operator.stake
                    ),
                );
            }
        }
        let each = || operators.iter().enumerate();
        let field = |index: usize, field: &str| format!("operators[{index}].{field}");
        self.unique(each().map(|(i, o)| (&o.name, field(i, "name"))));
        self.unique(each().map(|(i, o)| (o.identity, field(i, "identity"))));
        self.unique(each().map(|(i, o)| (o.address, field(i, "address"))));
        self.unique(each().filter_map(|(i, o)| Some((o.control.as_ref()?, field(i, "control")))));
        self.unique(
            each().filter_map(|(i, o)| Some((o.finality.as_ref()?.key, field(i, "finality.key")))),
        );
        // A member without a key would count against every quorum for ever.
        let with = operators.iter().position(|o| o.finality.is_some());
        for (index, operator) in operators.iter().enumerate() {
            if let (Some(with), None) = (with, &operator.finality) {
                self.add(
                    field(index, "finality"),
                    format!("missing, but operators[{with}] has one: all have it, or none"),
                );
            }
        }
    }

    fn operator(&mut self, operator: &GenesisOperator, at: impl Fn(&str) -> String) {
        self.name(&at("name"), &operator.name);
        if VerificationKey::try_from(operator.identity.0).is_err() {
            self.add(
                at("identity"),
                format!("{} is no point of Ed25519", operator.identity),
            );
        }
        if operator.stake.0 == 0 {
            self.add(at("stake"), "0, must be at least 1");
        }
        let address = operator.address;
        if address.port() == 0 || address.ip().is_unspecified() || address.ip().is_multicast() {
            self.add(
                at("address"),
                format!("{address} can't be reached by peers: needs a host's address and a port"),
            );
        }
        if let Some(control) = &operator.control
            && !is_tcp_multiaddr(control)
        {
            self.add(
                at("control"),
                format!("{control:?} is not of the form /ip4/<address>/tcp/<port>"),
            );
        }
    }

    fn rollups(&mut self, genesis: &Genesis) {
        let rollups = &genesis.rollups;
        if rollups.len() > ROLLUPS_MAX {
            self.add(
                "rollups",
                format!("{} rollups, must be at most {ROLLUPS_MAX}", rollups.len()),
            );
        }
        for (index, rollup) in rollups.iter().enumerate() {
            self.rollup(rollup, |field| format!("rollups[{index}].{field}"));
        }
        let each = || rollups.iter().enumerate();
        let field = |index: usize, field: &str| format!("rollups[{index}].{field}");
        self.unique(each().map(|(i, r)| (r.id, field(i, "id"))));
        self.unique(each().map(|(i, r)| (&r.name, field(i, "name"))));
        self.unique(each().filter_map(|(i, r)| Some((r.chain_id?, field(i, "chain_id")))));
    }

    fn rollup(&mut self, rollup: &GenesisRollup, at: impl Fn(&str) -> String) {
        if rollup.id.0 == 0 {
            self.add(at("id"), "0 is the system rollup, must be at least 1");
        }
        self.name(&at("name"), &rollup.name);
        match (rollup.executor, rollup.chain_id) {
            (ExecutorKind::Evm, None) => {
                self.add(at("chain_id"), "missing, executor evm needs one");
            }
            (ExecutorKind::Kv | ExecutorKind::Opaque, Some(_)) => {
                self.add(at("chain_id"), "only executors evm and external have one");
            }
            (_, Some(0)) => self.add(at("chain_id"), "0, must be at least 1"),
            _ => {}
        }
        if rollup.sealed != SealedPolicy::None {
            self.add(
                at("sealed"),
                "sealed transactions need a sealing committee, which this version lacks: must be none",
            );
        }
    }
}

/// Whether text is `/<ip4|ip6|dns|dns4|dns6>/<host>/tcp/<port>`, optionally followed by `/p2p/<id>`.
fn is_tcp_multiaddr(text: &str) -> bool {
    if text.len() > MULTIADDR_BYTES_MAX {
        return false;
    }
    let parts: Vec<_> = text.split('/').collect();
    let (["", protocol, host, "tcp", port] | ["", protocol, host, "tcp", port, "p2p", _]) =
        *parts.as_slice()
    else {
        return false;
    };
    let host_fits = match protocol {
        "ip4" => host.parse::<std::net::Ipv4Addr>().is_ok(),
        "ip6" => host.parse::<std::net::Ipv6Addr>().is_ok(),
        "dns" | "dns4" | "dns6" => !host.is_empty(),
        _ => false,
    };
    host_fits && port.parse::<u16>().is_ok_and(|port| port != 0)
}
