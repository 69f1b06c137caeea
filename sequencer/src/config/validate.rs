//! Rules that a single value's type can't express.

use super::{Config, Problem, Role};
use squad_primitives::genesis::Genesis;
use std::net::SocketAddr;
use std::time::Duration;

const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;

impl Config {
    /// Checks the settings, and against the genesis if it is given.
    ///
    /// # Errors
    /// All problems together.
    pub fn validate(&self, genesis: Option<&Genesis>) -> Result<(), Vec<Problem>> {
        let mut check = Check(Vec::new());
        check.node(self);
        check.network(self);
        check.api(self);
        check.ordering(self);
        check.mach(self);
        check.storage_and_log(self);
        if let Some(genesis) = genesis {
            check.against_genesis(self, genesis);
        }
        if check.0.is_empty() {
            Ok(())
        } else {
            Err(check.0)
        }
    }
}

struct Check(Vec<Problem>);

impl Check {
    fn add(&mut self, field: &str, reason: impl Into<String>) {
        self.0.push(Problem {
            field: field.to_owned(),
            reason: reason.into(),
        });
    }

    fn range<T: PartialOrd + std::fmt::Debug>(&mut self, field: &str, value: T, low: T, high: T) {
        if value < low || value > high {
            self.add(
                field,
                format!("{value:?} is not within {low:?} to {high:?}"),
            );
        }
    }

    fn node(&mut self, config: &Config) {
        self.range("node.worker_threads", config.node.worker_threads, 1, 256);
    }

    fn network(&mut self, config: &Config) {
        let network = &config.network;
        self.range("network.peers_max", network.peers_max, 1, 10_000);
        self.range("network.mtu_max", network.mtu_max, 1_200, 65_527);
        self.range(
            "network.handshakes_per_second",
            network.handshakes_per_second,
            1,
            10_000,
        );
        let multiaddrs = [
            ("network.control_listen", network.control_listen.as_ref()),
            ("network.announce", network.announce.as_ref()),
        ]
        .into_iter()
        .filter_map(|(field, address)| Some((field, address?)))
        .chain(
            network
                .bootnodes
                .iter()
                .map(|address| ("network.bootnodes", address)),
        );
        for (field, address) in multiaddrs {
            if !address.starts_with('/') || address.contains(char::is_whitespace) {
                self.add(
                    field,
                    format!("{address:?} is no multiaddress, as /ip4/10.0.0.1/tcp/4101"),
                );
            }
        }
        let genesis_only = network.bootnodes.is_empty();
        if config.node.role == Role::Observer && genesis_only && network.control_listen.is_none() {
            self.add(
                "network.control_listen",
                "empty, but an observer lives on the control plane",
            );
        }
    }

    fn api(&mut self, config: &Config) {
        let grpc = &config.grpc;
        self.range(
            "grpc.message_bytes_limit",
            grpc.message_bytes_limit,
            MIB,
            64 * MIB,
        );
        self.range("grpc.connections_max", grpc.connections_max, 1, 65_536);
        self.range(
            "grpc.connections_per_address",
            grpc.connections_per_address,
            1,
            65_536,
        );
        if grpc.tls_cert.is_some() != grpc.tls_key.is_some() {
            self.add("grpc.tls_cert", "tls_cert and tls_key must be set together");
        }
        let listeners: [(&str, SocketAddr); 2] = [
            ("grpc.listen", grpc.listen),
            ("http.listen", config.http.listen),
        ];
        if listeners[0].1 == listeners[1].1 && grpc.listen.port() != 0 {
            self.add("http.listen", "same address as grpc.listen");
        }
        let limits = &config.limits;
        for (field, value) in [
            ("limits.submit_per_second", limits.submit_per_second),
            ("limits.read_per_second", limits.read_per_second),
            ("limits.proof_per_second", limits.proof_per_second),
        ] {
            self.range(field, value, 1, 100_000_000);
        }
        self.range(
            "limits.streams_per_connection",
            limits.streams_per_connection,
            1,
            100_000,
        );
        self.range(
            "limits.streams_per_address",
            limits.streams_per_address,
            1,
            1_000_000,
        );
        self.range("limits.streams_max", limits.streams_max, 1, 1_000_000);
    }

    fn ordering(&mut self, config: &Config) {
        let mempool = &config.mempool;
        self.range("mempool.bytes_max", mempool.bytes_max, MIB, 64 * GIB);
        self.range(
            "mempool.transactions_max",
            mempool.transactions_max,
            1_000,
            100_000_000,
        );
        self.range("mempool.batch_bytes", mempool.batch_bytes, 4 << 10, 4 * MIB);
        self.range(
            "mempool.batch_delay_max",
            mempool.batch_delay_max,
            Duration::from_micros(100),
            Duration::from_secs(1),
        );
        if mempool.batch_gap_min > mempool.batch_delay_max {
            self.add("mempool.batch_gap_min", "must be at most batch_delay_max");
        }
        self.range("mempool.in_flight_max", mempool.in_flight_max, 1, 64);

        let consensus = &config.consensus;
        let millis = Duration::from_millis;
        self.range(
            "consensus.view_timeout",
            consensus.view_timeout,
            millis(10),
            millis(60_000),
        );
        self.range(
            "consensus.view_timeout_max",
            consensus.view_timeout_max,
            consensus.view_timeout,
            millis(600_000),
        );
        self.range(
            "consensus.rebroadcast",
            consensus.rebroadcast,
            millis(10),
            millis(10_000),
        );
    }

    fn mach(&mut self, config: &Config) {
        let mach = &config.mach;
        let millis = Duration::from_millis;
        self.range("mach.per_second_max", mach.per_second_max, 1, 1_000);
        self.range(
            "mach.idle_flush",
            mach.idle_flush,
            millis(1),
            millis(10_000),
        );
        self.range("mach.widen", mach.widen, Duration::ZERO, millis(10_000));
        self.range(
            "mach.stall_after",
            mach.stall_after,
            millis(100),
            millis(3_600_000),
        );
    }

    fn storage_and_log(&mut self, config: &Config) {
        self.range("storage.cache", config.storage.cache, 8 * MIB, 1024 * GIB);
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&config.log.filter) {
            self.add("log.filter", error.to_string());
        }
    }

    fn against_genesis(&mut self, config: &Config, genesis: &Genesis) {
        let id = genesis.network_id();
        if let Some(expected) = config.node.network_id
            && expected != id
        {
            self.add(
                "node.network_id",
                format!("{expected} is expected, but the genesis is that of {id}"),
            );
        }
        let unsafe_allowed = genesis.dev || config.node.role == Role::Observer;
        if !config.storage.sync && !unsafe_allowed {
            self.add(
                "storage.sync",
                "false is refused: an operator outside development networks could contradict itself \
                 after a crash and lose its stake",
            );
        }
        if config.mach.test_corrupt_results && !genesis.dev {
            self.add(
                "mach.test_corrupt_results",
                "refused outside development networks: each wrong result costs stake",
            );
        }
        let limit = usize::try_from(genesis.consensus.batch_bytes_limit).unwrap_or(usize::MAX);
        if config.mempool.batch_bytes > limit {
            self.add(
                "mempool.batch_bytes",
                format!(
                    "{} is above batch_bytes_limit of the genesis ({limit})",
                    config.mempool.batch_bytes
                ),
            );
        }
        let keep_min = genesis.consensus.expiry_max_blocks.saturating_mul(2);
        let keep = config.storage.keep_blocks;
        if keep != 0 && keep < keep_min {
            self.add(
                "storage.keep_blocks",
                format!("{keep} is below twice expiry_max_blocks of the genesis ({keep_min})"),
            );
        }
        let tls = config.grpc.tls_cert.is_some();
        if !genesis.dev && !tls && !config.grpc.listen.ip().is_loopback() {
            self.add(
                "grpc.listen",
                format!(
                    "{} is no loopback address: set tls_cert and tls_key, or put a proxy that \
                     terminates TLS in front of a loopback address",
                    config.grpc.listen
                ),
            );
        }
    }
}

#[cfg(test)]
mod tests;
