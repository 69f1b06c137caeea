//! The network that test nodes belong to: four operators of equal stake, three rollups.

use bytes::Bytes;
use squad_mach::BlsSecretKey;
use squad_mempool::OrderRules;
use squad_primitives::genesis::{
    ConsensusParams, ExecutorKind, Genesis, GenesisOperator, GenesisRollup, OrderPolicy, Params,
    SealedPolicy,
};
use squad_primitives::{Height, IdentityKey, RollupId, Signer, Stake, Transaction, TxKind};
use std::net::SocketAddr;

/// Blocks per epoch.
pub(crate) const EPOCH_BLOCKS: u64 = 100;
/// Rollups of the genesis.
pub(crate) const ROLLUPS: [RollupId; 3] = [RollupId(7), RollupId(8), RollupId(901)];
/// Farthest expiry.
pub(crate) const EXPIRY_BLOCKS_MAX: u64 = 64;

pub(crate) fn keys() -> Vec<IdentityKey> {
    (1..=4_u8)
        .map(|n| IdentityKey::from_seed([n; 32]))
        .collect()
}

pub(crate) fn genesis() -> Genesis {
    let operators = (1_u16..).zip(keys()).map(|(n, key)| GenesisOperator {
        name: format!("op-{n}"),
        identity: key.public_key(),
        stake: Stake(100),
        address: SocketAddr::from(([10, 0, 0, 1], 4_100 + n)),
        control: None,
        finality: None,
    });
    let rollups = ROLLUPS.map(|id| GenesisRollup {
        id,
        name: format!("rollup-{id}"),
        executor: ExecutorKind::Opaque,
        chain_id: None,
        order: OrderPolicy::Shuffle,
        sealed: SealedPolicy::None,
    });
    Genesis {
        version: 1,
        network: "api-dev".to_owned(),
        dev: true,
        genesis_time_ms: 1_700_000_000_000,
        params: Params {
            epoch_length_blocks: EPOCH_BLOCKS,
        },
        consensus: ConsensusParams {
            expiry_max_blocks: EXPIRY_BLOCKS_MAX,
            payload_bytes_limit: 64 << 10,
            ..ConsensusParams::default()
        },
        operators: operators.collect(),
        rollups: rollups.into(),
    }
}

/// Finality key of an operator.
pub(crate) fn finality_key(operator: u16) -> BlsSecretKey {
    BlsSecretKey::from_entropy(&[operator as u8 + 1; 32]).unwrap()
}

/// The genesis with finality keys.
pub(crate) fn finality_genesis() -> Genesis {
    let mut genesis = genesis();
    for (number, operator) in (0..).zip(&mut genesis.operators) {
        let key = finality_key(number);
        operator.finality = Some(crate::keys::finality_entry(&key, &operator.identity));
    }
    genesis
}

/// The rules of the genesis for ordering.
pub(super) fn order_rules() -> OrderRules {
    OrderRules {
        expiry_max_blocks: EXPIRY_BLOCKS_MAX,
        policies: ROLLUPS.map(|id| (id, OrderPolicy::Shuffle)).into(),
    }
}

/// A plain transaction whose payload is `size` bytes that differ by `number`.
pub(crate) fn transaction(rollup: RollupId, expiry: u64, number: u64, size: usize) -> Transaction {
    let mut payload = number.to_le_bytes().to_vec();
    payload.resize(size.max(8), 0x5a);
    Transaction {
        rollup,
        expiry: Height(expiry),
        kind: TxKind::Plain,
        payload: Bytes::from(payload),
    }
}
