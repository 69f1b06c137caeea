//! Starting a node from what is durable.

use super::maker::Progress;
use super::order::Orderer;
use super::shell::Step;
use super::store::{Memory, Watermark};
use super::{Node, Shell};
use crate::disk::Image;
use squad_consensus::{Core, Replica, SafetyRecord};
use squad_mempool::admission::{AdmissionLimits, Intake};
use squad_mempool::lanes::Recovered;
use squad_mempool::{
    Admission, AdmissionView, Batcher, BatcherConfig, IdHashKey, Lanes, LanesConfig, OrderRules,
    Pool, PoolConfig,
};
use squad_primitives::genesis::OrderPolicy;
use squad_primitives::{Committee, Cut, Epoch, Height, OperatorId, RollupId, Signer, Verifier};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// Who a node is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its number.
    pub me: OperatorId,
    /// Its key.
    pub key: Arc<dyn Signer>,
    /// What verifies signatures.
    pub verifier: Arc<dyn Verifier>,
}

/// What is equal on all nodes.
#[derive(Clone, Debug)]
pub struct BootConfig {
    /// Consensus.
    pub consensus: squad_consensus::Config,
    /// Lanes; `me` is filled in.
    pub lanes: LanesConfig,
    /// Committee of epoch 0; its members stay.
    pub committee: Committee,
    /// How many blocks ahead an expiry may lie.
    pub expiry_max_blocks: u64,
    /// Bounds of pools.
    pub pool: PoolConfig,
}

/// Rollups of every world: two with shuffled order, one first in, first out.
pub const ROLLUPS: [(RollupId, OrderPolicy); 3] = [
    (RollupId(1), OrderPolicy::Shuffle),
    (RollupId(2), OrderPolicy::Shuffle),
    (RollupId(3), OrderPolicy::Fifo),
];

/// Tables of ids need a secret in production; here they need to be the same in each run.
const HASH_KEY: IdHashKey = IdHashKey([0x5851_f42d_4c95_7f2d, 0x1405_7b7e_f767_814f]);

impl Node {
    /// A process starts on a disk.
    ///
    /// # Panics
    /// If a durable record can't be read.
    #[must_use]
    pub fn boot(config: &BootConfig, identity: &Identity, image: &Image) -> Self {
        let network = config.consensus.network;
        let last = image.blocks.last().map(|block| block.committed.clone());
        let head = Height(image.blocks.len() as u64);
        let epoch = Epoch(head.0 / config.consensus.epoch_blocks);
        let committee = config.committee.in_epoch(epoch);
        let records = image
            .records
            .values()
            .map(|value| SafetyRecord::from_value(value).expect("a durable record can be read"));
        let recovered = squad_consensus::Recovered::from_records(records, last.clone());
        let consensus = Core::new(
            config.consensus.clone(),
            Some((identity.me, identity.key.clone())),
            identity.verifier.clone(),
            committee.clone(),
            recovered,
        );
        let cut = last.map_or_else(Cut::default, |last| last.block.cut);
        let stored = image
            .bodies
            .values()
            .map(|(batch, acked)| (*batch.signed(), *acked));
        let records = image.lanes.values().copied().collect();
        let lanes = Lanes::recover(
            LanesConfig {
                me: Some(identity.me),
                ..config.lanes
            },
            committee.clone(),
            Some(identity.key.clone()),
            identity.verifier.clone(),
            Recovered::from_stored(&network, head, cut.clone(), records, stored),
        );
        let mut pool = Pool::new(config.pool, HASH_KEY);
        let mut own: Vec<_> = image
            .bodies
            .values()
            .map(|(batch, _)| batch)
            .filter(|batch| batch.header().lane == identity.me)
            .filter(|batch| batch.header().seq > cut.seq(identity.me))
            .collect();
        own.sort_by_key(|batch| batch.header().seq);
        for batch in own {
            pool.on_recovered(batch.header().seq, batch);
        }
        let rules = OrderRules {
            expiry_max_blocks: config.expiry_max_blocks,
            policies: ROLLUPS.into_iter().collect(),
        };
        let limits = AdmissionLimits {
            payload_bytes: 4 << 10,
            expiry_max_blocks: config.expiry_max_blocks,
        };
        let shell = Shell {
            me: identity.me,
            network,
            key: identity.key.clone(),
            committee: committee.clone(),
            actions: Vec::new(),
            step: Step::default(),
            offered: None,
            watermark: Watermark::default(),
            forget: VecDeque::new(),
            committed: head,
            head,
            repeated: VecDeque::new(),
            memory: Memory::of(image, config.lanes.window_batches),
            orderer: Orderer::recover(network, rules, HASH_KEY, &image.blocks),
            admission: Admission::new(network, limits),
            view: AdmissionView {
                intake: Intake::Open,
                head,
                rollups: Arc::new(ROLLUPS.iter().map(|(rollup, _)| *rollup).collect()),
            },
            pool,
            batcher: Batcher::new(BatcherConfig::default()),
            progress: Progress::default(),
            tip: lanes.own_tip(),
            maker_due: None,
            fetches: BTreeSet::new(),
            stopped: false,
            unsynced_blocks: 0,
            sync_due: None,
        };
        Self {
            replica: Replica::new(consensus, lanes, committee),
            shell,
        }
    }
}
