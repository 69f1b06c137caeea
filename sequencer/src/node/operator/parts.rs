//! The parts of an operator, made from its configuration and from what its store holds.

use super::Starting;
use crate::node::NodeError;
use crate::node::core::CoreSender;
use crate::node::hub::Hub;
use crate::node::inbound::Gate;
use crate::node::ingress::{Ingress, Rules};
use crate::node::intake::Doorkeeper;
use crate::node::maker::{LaneProgress, Maker, Wake};
use crate::node::pipeline::{Attesting, Orderer, Pipeline, SharedDedup, recover_dedup};
use crate::node::recover;
use squad_consensus::Core;
use squad_mempool::admission::AdmissionLimits;
use squad_mempool::{
    Admission, AdmissionView, Batcher, BatcherConfig, IdHashKey, LanesConfig, Pool, PoolConfig,
};
use squad_network::data::{DataPlane, DataPlaneConfig, Peer};
use squad_primitives::{Ed25519Verifier, Tip};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

impl Starting {
    pub(super) fn consensus(&self) -> Result<Core, NodeError> {
        let rules = &self.genesis.consensus;
        let timers = &self.config.consensus;
        let mut config = squad_consensus::Config::new(
            self.opened.network,
            self.genesis.params.epoch_length_blocks,
        );
        config.block_interval_min = Duration::from_millis(rules.block_interval_min_ms);
        config.heartbeat_interval = Duration::from_millis(rules.heartbeat_interval_ms);
        config.timestamp_drift_max = Duration::from_millis(rules.max_drift_ms);
        config.view_timeout = timers.view_timeout;
        config.view_timeout_max = timers.view_timeout_max;
        config.rebroadcast = timers.rebroadcast;
        Ok(Core::new(
            config,
            Some((self.me, self.key())),
            Arc::new(Ed25519Verifier),
            self.committee(),
            recover::consensus(&self.opened)?,
        ))
    }

    fn pool_config(&self) -> PoolConfig {
        PoolConfig {
            bytes_max: self.config.mempool.bytes_max as u64,
            transactions_max: self.config.mempool.transactions_max as u64,
            ..PoolConfig::default()
        }
    }

    pub(super) fn ingress(
        &self,
        wake: &Arc<Wake>,
        key: IdHashKey,
        ordered: SharedDedup,
    ) -> Ingress {
        let rules = &self.genesis.consensus;
        let limits = AdmissionLimits {
            payload_bytes: self.genesis.batch_limits().payload_bytes,
            expiry_max_blocks: rules.expiry_max_blocks,
        };
        let rollups = self.genesis.rollups.iter().map(|rollup| rollup.id);
        let door = Doorkeeper::starting(rules.heartbeat_interval(), self.clock.now().time);
        Ingress::new(
            Rules {
                network: self.opened.network,
                admission: Admission::new(self.opened.network, limits),
                view: AdmissionView {
                    intake: door.intake(),
                    head: self.opened.head(),
                    rollups: Arc::new(rollups.collect()),
                },
                door,
                ordered,
            },
            Pool::new(self.pool_config(), key),
            self.clock,
            self.opened.reader.clone(),
            wake.clone(),
        )
    }

    pub(super) fn dedup(&self, key: IdHashKey) -> Result<SharedDedup, NodeError> {
        let rules = recover::order_rules(&self.genesis);
        Ok(recover_dedup(
            &rules,
            key,
            &self.opened.reader,
            self.opened.head(),
        )?)
    }

    pub(super) fn links(&self, gate: Arc<Gate>) -> Result<DataPlane, NodeError> {
        let peers = self
            .genesis
            .numbered_operators()
            .map(|(operator, entry)| Peer {
                operator,
                key: entry.identity,
                address: entry.address.to_string(),
            })
            .collect();
        let mut config = DataPlaneConfig::new(
            self.config.network.data_listen,
            self.opened.network,
            self.identity.clone(),
            self.me,
            peers,
            self.metrics.links.clone(),
        );
        config.mtu_max = self.config.network.mtu_max;
        let per_address = self.config.network.handshakes_per_second;
        config.handshakes.per_address = per_address;
        config.handshakes.per_network = per_address.saturating_mul(4);
        Ok(DataPlane::start(config, gate)?)
    }

    pub(super) fn lanes_config(&self) -> LanesConfig {
        let rules = &self.genesis.consensus;
        let mut config = LanesConfig::new(self.opened.network, Some(self.me));
        config.block_bytes_max = rules.block_bytes_max;
        config.coverage_delay = Duration::from_millis(rules.coverage_delay_ms);
        config.rebroadcast = self.config.consensus.rebroadcast;
        // Both follow the round trips between operators; one setting is enough for that.
        config.fetch_hedge = config.rebroadcast / 2;
        config
    }

    pub(super) fn maker(
        &self,
        ingress: &Arc<Ingress>,
        wake: &Arc<Wake>,
        progress: &Arc<LaneProgress>,
        core: &CoreSender,
        epoch: Arc<AtomicU64>,
        tip: Option<Tip>,
    ) -> Maker {
        let settings = &self.config.mempool;
        let batcher = BatcherConfig {
            batch_bytes: settings.batch_bytes as u64,
            gap_min: settings.batch_gap_min,
            delay_max: settings.batch_delay_max,
            in_flight_max: settings.in_flight_max,
            ..BatcherConfig::default()
        };
        Maker {
            network: self.opened.network,
            me: self.me,
            key: self.key(),
            epoch,
            batcher: Batcher::new(batcher),
            ingress: ingress.clone(),
            wake: wake.clone(),
            progress: progress.clone(),
            store: self.opened.store.clone(),
            cache: self.opened.cache.clone(),
            core: core.clone(),
            clock: self.clock,
            body_bytes: settings
                .batch_bytes
                .min(self.genesis.batch_limits().body_bytes),
            tip,
            sealed: VecDeque::new(),
        }
    }

    pub(super) fn pipeline(
        &self,
        hub: &Arc<Hub>,
        ingress: &Arc<Ingress>,
        core: &CoreSender,
        dedup: SharedDedup,
        attesting: Option<Attesting>,
    ) -> Result<Pipeline, NodeError> {
        let orderer = Orderer::recover(
            self.opened.network,
            recover::order_rules(&self.genesis),
            dedup,
            Some(self.key()),
            &self.opened.reader,
        )?;
        Ok(Pipeline {
            orderer,
            reader: self.opened.reader.clone(),
            store: self.opened.store.clone(),
            cache: self.opened.cache.clone(),
            hub: hub.clone(),
            ingress: ingress.clone(),
            core: core.clone(),
            metrics: self.metrics.pipeline.clone(),
            attesting,
            synced_at: std::time::Instant::now(),
            unsynced: false,
        })
    }
}
