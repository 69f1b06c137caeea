//! What a local network is made of.

use squad_primitives::genesis::{
    ConsensusParams, ExecutorKind, GenesisRollup, OrderPolicy, SealedPolicy,
};
use squad_primitives::{RollupId, Stake};
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// A local network to be made.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Stake of each operator; its length is their number.
    pub stakes: Vec<Stake>,
    /// The rollups.
    pub rollups: Vec<RollupSpec>,
    /// First port; every operator takes four of ten. Without it, free ports are chosen.
    pub base_port: Option<u16>,
    /// Data-plane addresses that the genesis names, one per operator, where peers reach the operators
    /// through something in between. Empty: their own.
    pub published: Vec<SocketAddr>,
    /// The genesis names the control addresses. Otherwise the operators' settings name the others as
    /// bootnodes, and an observer finds the network through one that it was told.
    pub control_in_genesis: bool,
    /// Parameters of consensus in the genesis.
    pub consensus: ConsensusParams,
}

/// A rollup as written on the command line: `evm:901`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollupSpec {
    /// What its payloads are.
    pub executor: ExecutorKind,
    /// Its number; for `evm` also the chain id.
    pub id: RollupId,
}

/// Text that names no rollup.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?}: expected <evm|kv|external|opaque>:<number from 1>, as evm:901")]
pub struct ParseRollupError(String);

const EXECUTORS: [(&str, ExecutorKind); 4] = [
    ("evm", ExecutorKind::Evm),
    ("kv", ExecutorKind::Kv),
    ("external", ExecutorKind::External),
    ("opaque", ExecutorKind::Opaque),
];

impl FromStr for RollupSpec {
    type Err = ParseRollupError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (kind, id) = text.split_once(':')?;
            let (_, executor) = EXECUTORS.into_iter().find(|(name, _)| *name == kind)?;
            let id = id.parse().ok().filter(|id| *id > 0)?;
            Some(Self {
                executor,
                id: RollupId(id),
            })
        };
        parse().ok_or_else(|| ParseRollupError(text.to_owned()))
    }
}

impl fmt::Display for RollupSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = EXECUTORS
            .iter()
            .find(|(_, executor)| *executor == self.executor)
            .map_or("opaque", |(name, _)| name);
        write!(f, "{name}:{}", self.id)
    }
}

impl From<&RollupSpec> for GenesisRollup {
    fn from(spec: &RollupSpec) -> Self {
        Self {
            id: spec.id,
            name: spec.to_string().replace(':', "-"),
            executor: spec.executor,
            chain_id: (spec.executor == ExecutorKind::Evm).then_some(spec.id.0),
            order: OrderPolicy::Shuffle,
            sealed: SealedPolicy::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rollups_are_read_as_they_are_printed() {
        for text in ["evm:901", "kv:7", "external:12", "opaque:1"] {
            assert_eq!(text.parse::<RollupSpec>().unwrap().to_string(), text);
        }
        for text in ["evm", "evm:0", "evm:-1", "svm:1", ":1", ""] {
            assert!(text.parse::<RollupSpec>().is_err(), "{text}");
        }
    }
}
