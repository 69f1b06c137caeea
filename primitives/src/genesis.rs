//! The genesis: everything that all operators of a network must agree on before its first block.
//!
//! The file is JSON. Its *canonical form* has sorted keys, no spaces, and integers above 2^53 as
//! decimal strings (most languages read JSON numbers as doubles). The network id is the digest of the
//! canonical form, so the file itself may be indented by hand; a changed value is another network, and
//! peers of another network are refused in the handshake.
//!
//! Nothing is implied: every field is written out, and unknown fields are errors, so two versions of
//! the program can't read two meanings into one file. [`Genesis::validate`] reports all problems at
//! once.

mod canonical;
mod finality;
mod number;
mod validate;

pub use finality::{FinalityKey, FinalityPossession, FixedHex, GenesisFinality, ParseHexError};

use crate::batch::BatchLimits;
use crate::committee::CommitteeError;
use crate::{
    Committee, Digest, Duration, Epoch, Member, NetworkId, OperatorId, PublicKey, RollupId, Stake,
    domain,
};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Format version written and understood by this code.
pub const GENESIS_VERSION: u32 = 1;

/// Largest genesis file. A full committee and [`ROLLUPS_MAX`] rollups need about 300 KiB.
pub const GENESIS_BYTES_MAX: usize = 4 << 20;

/// Most rollups in a genesis.
pub const ROLLUPS_MAX: usize = 1_024;

/// Longest network, operator or rollup name in bytes.
pub const NAME_BYTES_MAX: usize = 32;

/// Fewest operators outside development networks: with fewer than four, none may fail.
pub const OPERATORS_MIN: usize = 4;

/// The agreed start of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// Format version, [`GENESIS_VERSION`].
    pub version: u32,
    /// Name of the network: lower-case letters, digits and `-`, at most [`NAME_BYTES_MAX`] bytes.
    pub network: String,
    /// Development network: relaxes bounds and permits unsafe settings such as unsynced storage. Only
    /// legal if `dev` is one of the `-`-separated parts of the name.
    pub dev: bool,
    /// Milliseconds since the Unix epoch; timestamps of blocks lie above it.
    #[serde(with = "number")]
    pub genesis_time_ms: u64,
    /// Parameters of the ledger.
    pub params: Params,
    /// Rules of ordering.
    pub consensus: ConsensusParams,
    /// The first operators; their numbers are their positions here, from 0.
    pub operators: Vec<GenesisOperator>,
    /// The rollups.
    pub rollups: Vec<GenesisRollup>,
}

/// Ledger parameters that ordering needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Blocks per epoch; 100 to 1,000,000, in development networks from 4.
    #[serde(with = "number")]
    pub epoch_length_blocks: u64,
}

/// Ordering rules that must be equal on all operators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsensusParams {
    /// Least time between two proposals; 1 to 10,000 ms.
    #[serde(with = "number")]
    pub block_interval_min_ms: u64,
    /// How long a certified tip may stay out of cuts; 50 to 60,000 ms.
    #[serde(with = "number")]
    pub coverage_delay_ms: u64,
    /// How far a proposal's timestamp may lie ahead of a voter's clock; 50 to 60,000 ms.
    #[serde(with = "number")]
    pub max_drift_ms: u64,
    /// Time without commits after which an idle network makes a block; 100 to 60,000 ms.
    #[serde(with = "number")]
    pub heartbeat_interval_ms: u64,
    /// Largest batch body; 64 KiB to 4 MiB, and room for the largest payload.
    #[serde(with = "number")]
    pub batch_bytes_limit: u64,
    /// Most bytes of bodies that one block may take in; one batch to 256 MiB.
    #[serde(with = "number")]
    pub block_bytes_max: u64,
    /// How many blocks ahead a transaction's expiry may lie; 16 to 100,000.
    #[serde(with = "number")]
    pub expiry_max_blocks: u64,
    /// Largest payload of a transaction; 1 KiB to 1 MiB.
    #[serde(with = "number")]
    pub payload_bytes_limit: u64,
}

/// An operator at genesis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisOperator {
    /// Name for people; same alphabet as the network name, unique.
    pub name: String,
    /// Key that signs consensus and lane messages; unique.
    pub identity: PublicKey,
    /// Voting power, at least 1; all together at most 2^62. Outside development networks each
    /// operator stays below one third of the total.
    #[serde(with = "number")]
    pub stake: Stake,
    /// Where the data plane listens, as peers reach it: `ip:port`; unique.
    pub address: SocketAddr,
    /// Where the control plane listens, as a multiaddress (`/ip4/10.0.0.1/tcp/4101`), if the operator
    /// serves as a bootnode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<String>,
    /// Key for certificates of finality. All operators have one, or none: then the network runs
    /// without such certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finality: Option<GenesisFinality>,
}

/// A rollup at genesis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisRollup {
    /// Number of the rollup; unique, not 0 (the system rollup).
    #[serde(with = "number")]
    pub id: RollupId,
    /// Name for people; same alphabet as the network name, unique.
    pub name: String,
    /// What its payloads are.
    pub executor: ExecutorKind,
    /// Chain id of an Ethereum-like rollup, unique and not 0: required for `evm`, optional for
    /// `external`, absent otherwise.
    #[serde(
        default,
        with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub chain_id: Option<u64>,
    /// Order of its transactions inside a block.
    pub order: OrderPolicy,
    /// Whether it takes sealed transactions.
    pub sealed: SealedPolicy,
}

/// What executes a rollup's transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExecutorKind {
    /// Ethereum transactions in their EIP-2718 form.
    Evm,
    /// The built-in key-value executor.
    Kv,
    /// A program of the rollup behind the executor interface.
    External,
    /// Bytes that the network only orders.
    Opaque,
}

/// Order of a rollup's transactions inside a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderPolicy {
    /// Batches of the lanes interleaved from a lane that the block's seed picks.
    Shuffle,
    /// Lanes in order of operator, batches in lane order.
    Fifo,
}

/// Whether a rollup takes sealed transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SealedPolicy {
    /// Plain transactions only.
    None,
    /// Plain and sealed. Refused: this version has no sealing committee.
    Mixed,
    /// Sealed only. Refused: this version has no sealing committee.
    Only,
}

/// One thing that is wrong, with the field's path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct Problem {
    /// Path of the field, like `operators[2].stake`.
    pub field: String,
    /// What is wrong and what would be right.
    pub reason: String,
}

/// Why bytes are no genesis.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenesisError {
    /// Longer than [`GENESIS_BYTES_MAX`].
    #[error("genesis: {0} bytes, the limit is {GENESIS_BYTES_MAX}")]
    TooLarge(usize),
    /// Not JSON, an unknown or missing field, or a value of the wrong type; says where.
    #[error("genesis: {0}")]
    Json(#[from] serde_json::Error),
    /// Well-formed, but against the rules; all problems together.
    #[error("genesis: {}", list(.0))]
    Invalid(Vec<Problem>),
}

fn list(problems: &[Problem]) -> String {
    let lines: Vec<_> = problems.iter().map(Problem::to_string).collect();
    lines.join("; ")
}

impl Default for ConsensusParams {
    fn default() -> Self {
        Self {
            block_interval_min_ms: 10,
            coverage_delay_ms: 500,
            max_drift_ms: 1_000,
            heartbeat_interval_ms: 1_000,
            batch_bytes_limit: 1 << 20,
            block_bytes_max: 16 << 20,
            expiry_max_blocks: 6_000,
            payload_bytes_limit: 128 << 10,
        }
    }
}

impl ConsensusParams {
    /// [`Self::block_interval_min_ms`] as a duration.
    #[must_use]
    pub const fn block_interval_min(&self) -> Duration {
        Duration::from_millis(self.block_interval_min_ms)
    }

    /// [`Self::coverage_delay_ms`] as a duration.
    #[must_use]
    pub const fn coverage_delay(&self) -> Duration {
        Duration::from_millis(self.coverage_delay_ms)
    }

    /// [`Self::max_drift_ms`] as a duration.
    #[must_use]
    pub const fn max_drift(&self) -> Duration {
        Duration::from_millis(self.max_drift_ms)
    }

    /// [`Self::heartbeat_interval_ms`] as a duration.
    #[must_use]
    pub const fn heartbeat_interval(&self) -> Duration {
        Duration::from_millis(self.heartbeat_interval_ms)
    }
}

impl Genesis {
    /// Reads a genesis and checks it.
    ///
    /// # Errors
    /// See [`GenesisError`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, GenesisError> {
        let genesis = Self::from_json_unchecked(bytes)?;
        genesis.validate().map_err(GenesisError::Invalid)?;
        Ok(genesis)
    }

    /// Reads a genesis that may still break rules, as tools that build one do.
    ///
    /// # Errors
    /// [`GenesisError::TooLarge`] and [`GenesisError::Json`].
    pub fn from_json_unchecked(bytes: &[u8]) -> Result<Self, GenesisError> {
        if bytes.len() > GENESIS_BYTES_MAX {
            return Err(GenesisError::TooLarge(bytes.len()));
        }
        Ok(serde_json::from_slice(bytes)?)
    }

    /// The canonical form: sorted keys, no spaces.
    #[must_use]
    pub fn to_canonical_json(&self) -> String {
        canonical::to_string(self)
    }

    /// The network id: the digest of the canonical form under the genesis tag, with the zero digest in
    /// the place of the network.
    #[must_use]
    pub fn network_id(&self) -> NetworkId {
        let json = self.to_canonical_json();
        Digest::of_parts(domain::GENESIS, &Digest::ZERO, &[json.as_bytes()])
    }

    /// Checks every rule.
    ///
    /// # Errors
    /// All problems, in the order of the fields.
    pub fn validate(&self) -> Result<(), Vec<Problem>> {
        validate::validate(self)
    }

    /// Limits that batches are checked against.
    #[must_use]
    pub fn batch_limits(&self) -> BatchLimits {
        // Validation bounds both far below the range of any usize.
        let size = |value| usize::try_from(value).unwrap_or(usize::MAX);
        BatchLimits {
            body_bytes: size(self.consensus.batch_bytes_limit),
            payload_bytes: size(self.consensus.payload_bytes_limit),
        }
    }

    /// The committee of an epoch. Genesis operators serve in every epoch.
    ///
    /// # Errors
    /// Those of [`Committee::new`]; none after [`Genesis::validate`].
    pub fn committee(&self, epoch: Epoch) -> Result<Committee, CommitteeError> {
        let members = self.numbered_operators().map(|(operator, entry)| Member {
            operator,
            key: entry.identity,
            stake: entry.stake,
        });
        Committee::new(epoch, members.collect())
    }

    /// Operators with their numbers.
    pub fn numbered_operators(&self) -> impl Iterator<Item = (OperatorId, &GenesisOperator)> {
        (0_u32..).map(OperatorId).zip(&self.operators)
    }

    /// Number and record of the operator with this key.
    #[must_use]
    pub fn operator_by_key(&self, key: &PublicKey) -> Option<(OperatorId, &GenesisOperator)> {
        self.numbered_operators()
            .find(|(_, operator)| operator.identity == *key)
    }

    /// Whether the operators certify results: each has a key for it.
    #[must_use]
    pub fn has_finality(&self) -> bool {
        !self.operators.is_empty() && self.operators.iter().all(|o| o.finality.is_some())
    }

    /// Record of a rollup.
    #[must_use]
    pub fn rollup(&self, id: RollupId) -> Option<&GenesisRollup> {
        self.rollups.iter().find(|rollup| rollup.id == id)
    }
}

#[cfg(test)]
mod tests;
