//! The sections of `config/node.toml` and their defaults.
//!
//! Nothing here has to be equal on all operators: what must be equal is in the genesis.

use super::section::section;
use super::units;
use serde::{Deserialize, Serialize};
use squad_primitives::NetworkId;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Votes, stores and serves; needs an identity key that the genesis lists.
    Operator,
    /// Follows committed blocks, verifies and serves them; needs no key.
    Observer,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

section! {
    /// The node itself.
    NodeSection {
        /// `operator` votes and needs an identity key; `observer` follows, verifies and serves reads.
        role: Role = Role::Operator;
        /// Name in the log and in the metric squad_node_info. Empty: an operator's name in the genesis.
        name: String = String::new();
        /// Network id that the genesis must have; start fails on a mismatch. Empty: not checked.
        #[serde(with = "units::optional")]
        network_id: Option<NetworkId> = None;
        /// Threads that run network and API tasks; 1 to 256.
        worker_threads: usize = 2;
    }
}

section! {
    /// Key files. Relative paths start at the home directory. Secrets are never values, only paths.
    KeysSection {
        /// Keystore of the identity key.
        identity: PathBuf = PathBuf::from("keys/identity.json");
        /// Keystore of the key that signs results of blocks. Needed if the genesis names such keys.
        finality: PathBuf = PathBuf::from("keys/finality.json");
        /// File with the keystore's password. Empty: --password-file, SQUAD_PASSWORD_FILE, or a prompt.
        #[serde(with = "units::optional")]
        password_file: Option<PathBuf> = None;
    }
}

section! {
    /// Connections to other nodes.
    NetworkSection {
        /// Where the data plane (QUIC, operators only) listens. Peers use the address in the genesis.
        data_listen: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 4100);
        /// Where the control plane (libp2p, anybody) listens, as a multiaddress. Empty: no listener.
        #[serde(with = "units::optional")]
        control_listen: Option<String> = Some("/ip4/0.0.0.0/tcp/4101".to_owned());
        /// Multiaddress under which others reach the control plane. Empty: the listening address.
        #[serde(with = "units::optional")]
        announce: Option<String> = None;
        /// Multiaddresses of nodes to start from. Control addresses in the genesis are added.
        bootnodes: Vec<String> = Vec::new();
        /// Most peers on the control plane; 1 to 10,000.
        peers_max: usize = 64;
        /// Largest UDP payload that the data plane tries on a path; 1,200 to 65,527. The path's own
        /// limit is found by probing. Raise it where links carry more than Ethernet's 1,500 bytes.
        mtu_max: u16 = 1_452;
        /// Connections per second that the data plane lets one address try; 1 to 10,000. Four times as
        /// many for all of its /24 (IPv6: /48), and four seconds' worth at once. Raise it where many
        /// operators share an address.
        handshakes_per_second: u32 = 4;
    }
}

section! {
    /// The gRPC services.
    GrpcSection {
        /// Where they listen.
        listen: SocketAddr = local(4110);
        /// PEM certificate chain, relative to the home directory. Empty: no TLS, which is refused on addresses other than loopback
        /// outside development networks.
        #[serde(with = "units::optional")]
        tls_cert: Option<PathBuf> = None;
        /// PEM private key of the certificate, relative to the home directory.
        #[serde(with = "units::optional")]
        tls_key: Option<PathBuf> = None;
        /// Whether server reflection answers, so that generic tools can list and call the services.
        reflection: bool = false;
        /// Largest message; 1MiB to 64MiB.
        #[serde(with = "units::bytes")]
        message_bytes_limit: usize = 4 * MIB;
        /// Most connections at once; 1 to 65,536.
        connections_max: usize = 1_024;
        /// Most connections of one address at once, `limits.trusted` and loopback excepted.
        connections_per_address: usize = 64;
    }
}

section! {
    /// HTTP: metrics and health.
    HttpSection {
        /// Where it listens.
        listen: SocketAddr = local(4130);
    }
}

section! {
    /// Limits per client. A burst of twice the rate passes.
    LimitsSection {
        /// Submissions per second and address.
        submit_per_second: u32 = 2_000;
        /// Reads per second and address.
        read_per_second: u32 = 500;
        /// Proofs per second and address.
        proof_per_second: u32 = 50;
        /// Open streams per connection.
        streams_per_connection: usize = 64;
        /// Open streams per address.
        streams_per_address: usize = 256;
        /// Open streams of all connections together. One that is not read holds up to 256 KiB.
        streams_max: usize = 4_096;
        /// Addresses without rate limits, and without limits per address. Loopback never has them.
        trusted: Vec<IpAddr> = Vec::new();
    }
}

section! {
    /// Admission and batching of this operator's lane.
    MempoolSection {
        /// Most bytes of transactions that wait to be batched; 1MiB to 64GiB.
        #[serde(with = "units::bytes")]
        bytes_max: usize = 512 * MIB;
        /// Most transactions that wait to be batched.
        transactions_max: usize = 500_000;
        /// Size at which a batch is closed; at most batch_bytes_limit of the genesis.
        #[serde(with = "units::bytes")]
        batch_bytes: usize = 512 * KIB;
        /// Longest wait for a batch to fill; at most 1s.
        #[serde(with = "units::duration")]
        batch_delay_max: Duration = Duration::from_millis(5);
        /// Least time between two batches when none is in flight; at most batch_delay_max.
        #[serde(with = "units::duration")]
        batch_gap_min: Duration = Duration::from_millis(3);
        /// Most batches without proof of availability; 1 to 64.
        in_flight_max: usize = 8;
    }
}

section! {
    /// Local timers of consensus. They affect speed, never safety.
    ConsensusSection {
        /// Longest wait in a view before it is given up; 10ms to 60s.
        #[serde(with = "units::duration")]
        view_timeout: Duration = Duration::from_millis(400);
        /// Bound of view_timeout while it grows over consecutive timeouts; at most 10m.
        #[serde(with = "units::duration")]
        view_timeout_max: Duration = Duration::from_secs(10);
        /// How often unanswered messages are sent again; 10ms to 10s.
        #[serde(with = "units::duration")]
        rebroadcast: Duration = Duration::from_millis(100);
    }
}

section! {
    /// Certificates of finality. Needs a genesis that names finality keys.
    MachSection {
        /// Whether an operator signs results and collects certificates. Without it, its stake is missing
        /// in every certificate, and it serves none.
        enabled: bool = true;
        /// Most certificates per second; 1 to 1,000. Operators with another value than the others attest
        /// other heights, which delays finality.
        per_second_max: u32 = 10;
        /// Silence after which the last block is attested without waiting for the next one; 1ms to 10s.
        #[serde(with = "units::duration")]
        idle_flush: Duration = Duration::from_millis(20);
        /// How long more signatures are collected after a certificate; at most 10s.
        #[serde(with = "units::duration")]
        widen: Duration = Duration::from_millis(50);
        /// Time without a certificate, although blocks are ordered, after which there is an alert; 100ms
        /// to 1h.
        #[serde(with = "units::duration")]
        stall_after: Duration = Duration::from_secs(5);
        /// Attests wrong results, to see the alarms of the others. Development networks only.
        test_corrupt_results: bool = false;
    }
}

section! {
    /// The data on disk.
    StorageSection {
        /// Data directory, relative to the home directory.
        path: PathBuf = PathBuf::from("data");
        /// Whether a record is on disk before what depends on it leaves the node. `false` can make an
        /// operator contradict itself after a crash of the machine; development networks only.
        sync: bool = true;
        /// Committed blocks that are kept; 0 keeps all. At least twice expiry_max_blocks of the genesis.
        keep_blocks: u64 = 1_000_000;
        /// Memory for cached blocks of the database; 8MiB to 1TiB.
        #[serde(with = "units::bytes")]
        cache: usize = 256 * MIB;
    }
}

section! {
    /// Metrics.
    MetricsSection {
        /// Whether /metrics answers.
        enabled: bool = true;
    }
}

section! {
    /// The log, which goes to standard error.
    LogSection {
        /// `text` or `json`.
        format: LogFormat = LogFormat::Text;
        /// Filter directives, as `info,squad_network=debug`.
        filter: String = "info".to_owned();
    }
}
