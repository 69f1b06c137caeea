//! From a plan to the committee, the settings and the machines of a network.

use super::slot::SKEW_ZERO_MS;
use super::{Clock, POOL_TRANSACTIONS, Slot};
use crate::fault::Fault;
use crate::keys::Keys;
use crate::node::BootConfig;
use crate::plan::Plan;
use crate::random::Random;
use squad_mempool::{LanesConfig, PoolConfig};
use squad_primitives::committee::Member;
use squad_primitives::{Committee, Duration, Epoch, NetworkId, OperatorId, Stake};

pub(super) fn committee(plan: &Plan, keys: &Keys) -> Committee {
    let members = (0_u32..).zip(&keys.signers).zip(&plan.stakes);
    let members = members.map(|((operator, key), stake)| Member {
        operator: OperatorId(operator),
        key: key.public_key(),
        stake: Stake(*stake),
    });
    Committee::new(Epoch::ZERO, members.collect()).expect("a plan has a committee")
}

pub(super) fn boot_config(plan: &Plan, network: NetworkId, committee: Committee) -> BootConfig {
    let mut consensus = squad_consensus::Config::new(network, plan.epoch_blocks);
    // The bound of the liveness phase is counted in base timeouts, whatever happened before.
    consensus.view_timeout_max = consensus.view_timeout * 4;
    consensus.rebroadcast = Duration::from_micros(plan.rebroadcast_us);
    let mut lanes = LanesConfig::new(network, None);
    lanes.rebroadcast = consensus.rebroadcast;
    lanes.fetch_hedge = consensus.rebroadcast / 2;
    lanes.block_bytes_max = plan.block_bytes_max;
    lanes.coverage_delay = Duration::from_millis(plan.coverage_ms);
    lanes.window_batches = plan.window_batches;
    BootConfig {
        consensus,
        lanes,
        committee,
        expiry_max_blocks: plan.expiry_max_blocks,
        pool: PoolConfig {
            transactions_max: POOL_TRANSACTIONS,
            ..PoolConfig::default()
        },
    }
}

pub(super) fn slots(plan: &Plan, random: &mut Random) -> Vec<Slot> {
    let twins = plan
        .byzantine
        .iter()
        .filter(|(_, behaviour)| *behaviour == crate::adversary::Behaviour::Twin)
        .map(|(operator, _)| *operator)
        .chain(plan.excess_twins.iter().copied());
    let operators: Vec<usize> = (0..plan.members()).chain(twins).collect();
    operators
        .into_iter()
        .map(|operator| {
            let behaviour = plan
                .byzantine
                .iter()
                .find(|(guilty, _)| *guilty == operator);
            let rate = 1_000 + random.below(2 * plan.drift_permille + 1) - plan.drift_permille;
            let skew_ms = SKEW_ZERO_MS + random.below(2 * plan.skew_ms + 1) - plan.skew_ms;
            let slow = plan.slow.contains(&operator);
            Slot {
                operator: OperatorId(u32::try_from(operator).unwrap_or(u32::MAX)),
                honest: plan.is_honest(operator),
                disk: crate::disk::Disk::default(),
                clock: Clock { rate, skew_ms },
                life: 0,
                node: None,
                adversary: behaviour.and_then(|(_, behaviour)| behaviour.adversary()),
                slow_us: if slow && plan.has(Fault::SlowNode) {
                    1 + random.below(60_000)
                } else {
                    0
                },
                sync_us: if slow {
                    plan.sync_us
                } else {
                    (plan.sync_us.0, plan.sync_us.1.min(5_000))
                },
                wake_at: None,
                unchecked: 0,
            }
        })
        .collect()
}
