//! An operator's part in certificates of finality.

use super::Starting;
use crate::config::Config;
use crate::node::mach::{self, Finality, MachLoop, MachMetrics, MachReceiver, MachSender};
use crate::node::recover::Opened;
use crate::node::{NodeError, SharedRegistry};
use squad_mach::{
    Aggregator, AggregatorConfig, Attester, AttesterConfig, BlsSecretKey, MachCommittee, SignGuard,
};
use squad_network::data::DataPlane;
use squad_primitives::OperatorId;
use squad_primitives::genesis::Genesis;
use std::sync::{Arc, PoisonError};

/// What taking part in certificates needs.
#[derive(Debug)]
pub(super) struct Certifying {
    pub(super) committee: MachCommittee,
    key: BlsSecretKey,
    guard: SignGuard,
    pub(super) finality: Arc<Finality>,
    pub(super) metrics: MachMetrics,
}

impl Certifying {
    /// `None` if the genesis names no finality keys, or the configuration says no.
    pub(super) fn recover(
        config: &Config,
        genesis: &Genesis,
        me: OperatorId,
        key: Option<BlsSecretKey>,
        opened: &Opened,
        registry: &SharedRegistry,
    ) -> Result<Option<Self>, NodeError> {
        let Some(committee) =
            squad_mach::genesis::committee(genesis)?.filter(|_| config.mach.enabled)
        else {
            return Ok(None);
        };
        let key = key.ok_or(NodeError::NoFinalityKey)?;
        let member = committee.index(me).and_then(|index| committee.at(index));
        if member.is_none_or(|member| member.key != *key.public_key()) {
            return Err(NodeError::OtherFinalityKey);
        }
        let recovered = mach::recover(&*opened.store, committee.clone(), key.public_key())?;
        let mut registry = registry.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Some(Self {
            committee,
            key,
            guard: recovered.guard,
            finality: Arc::new(recovered.finality),
            metrics: MachMetrics::register(&mut registry),
        }))
    }
}

impl Starting {
    /// The thread for certificates, ready to run.
    pub(super) fn mach(
        &self,
        certifying: Certifying,
        links: &DataPlane,
        sender: &MachSender,
        inputs: MachReceiver,
    ) -> MachLoop {
        let settings = &self.config.mach;
        let (network, epoch) = (self.opened.network, self.epoch());
        let attesting = AttesterConfig {
            per_second_max: settings.per_second_max,
            idle_flush: settings.idle_flush,
            ..AttesterConfig::default()
        };
        let collecting = AggregatorConfig {
            widen: settings.widen,
            stall_after: settings.stall_after,
        };
        let aggregator = Aggregator::new(
            collecting,
            network,
            certifying.committee.in_epoch(epoch),
            certifying.finality.height(),
        );
        if settings.test_corrupt_results {
            tracing::warn!("mach.test_corrupt_results: this operator attests wrong results");
        }
        let world = mach::World {
            network,
            me: self.me,
            key: certifying.key,
            store: self.opened.store.clone(),
            links: links.clone(),
            finality: certifying.finality,
            metrics: certifying.metrics,
            clock: self.clock,
            sender: sender.clone(),
            corrupt_results: settings.test_corrupt_results,
        };
        let attester = Attester::new(attesting, certifying.guard);
        MachLoop::new(world, attester, aggregator, inputs, epoch)
    }
}
