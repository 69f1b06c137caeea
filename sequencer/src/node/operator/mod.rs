//! Starting and stopping an operator.

mod certify;
mod parts;

use super::clock::Clock;
use super::core::{CoreInput, CoreLoop, CoreSender};
use super::effects::{Effects, World};
use super::handle::{NodeHandle, NodeStatus, PeerStatus};
use super::hub::Hub;
use super::inbound::{Gate, check_batches};
use super::ingress::Ingress;
use super::mach::{self, MachInput, MachSender};
use super::maker::{LaneProgress, Wake};
use super::metrics::{CoreMetrics, PipelineMetrics, StoreMetrics};
use super::pipeline::Attesting;
use super::recover::{self, Opened};
use super::{NodeError, OperatorKeys, SharedRegistry, Until, clock, prune, serve, spawn};
use crate::config::Config;
use certify::Certifying;
use squad_consensus::Replica;
use squad_mempool::{IdHashKey, Lanes};
use squad_network::control::Role;
use squad_network::data::Metrics as LinkMetrics;
use squad_primitives::genesis::Genesis;
use squad_primitives::{
    BatchSeq, Committee, Ed25519Verifier, Epoch, IdentityKey, OperatorId, Signer,
};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Longest wait for accepted transactions to be batched when the node stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(4);

/// Secret of this process for its id tables.
pub(crate) fn hash_key() -> Result<IdHashKey, NodeError> {
    let seed = random_seed()?;
    let (words, _) = seed.as_chunks::<8>();
    Ok(IdHashKey([
        u64::from_le_bytes(words[0]),
        u64::from_le_bytes(words[1]),
    ]))
}

/// Thirty-two random bytes from the system.
pub(crate) fn random_seed() -> Result<[u8; 32], NodeError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|_| NodeError::NoRandomness)?;
    Ok(seed)
}

/// Threads of a running operator, in the order in which they are waited for.
#[derive(Debug)]
struct Threads {
    maker: JoinHandle<()>,
    core: JoinHandle<()>,
    checker: JoinHandle<()>,
    pipeline: JoinHandle<()>,
    mach: Option<(MachSender, JoinHandle<()>)>,
}

/// Runs an operator until it is to stop.
pub(crate) async fn run(
    config: Config,
    genesis: Genesis,
    keys: OperatorKeys,
    home: &Path,
    registry: SharedRegistry,
    until: Until,
) -> Result<(), NodeError> {
    let (me, _) = genesis
        .operator_by_key(&keys.identity.public_key())
        .ok_or(NodeError::UnknownOperator)?;
    let metrics = Figures::register(&registry);
    let opened = recover::open(&config, &genesis, home, metrics.store.clone())?;
    let certifying = Certifying::recover(&config, &genesis, me, keys.finality, &opened, &registry)?;
    tracing::info!(operator = %me, network = %opened.network, height = %opened.head(), "store opened");
    let node = Starting {
        config,
        genesis: Arc::new(genesis),
        identity: keys.identity,
        certifying,
        me,
        opened,
        clock: Clock::start(),
        metrics,
    };
    Box::pin(node.start(registry, until)).await
}

/// Figures of all parts.
#[derive(Clone, Debug)]
struct Figures {
    core: CoreMetrics,
    pipeline: PipelineMetrics,
    store: Arc<StoreMetrics>,
    links: LinkMetrics,
}

impl Figures {
    fn register(registry: &SharedRegistry) -> Self {
        let mut registry = registry.lock().unwrap_or_else(PoisonError::into_inner);
        Self {
            core: CoreMetrics::register(&mut registry),
            pipeline: PipelineMetrics::register(&mut registry),
            store: StoreMetrics::register(&mut registry),
            links: LinkMetrics::register(&mut registry),
        }
    }
}

/// An operator whose store is open.
#[derive(Debug)]
struct Starting {
    config: Config,
    genesis: Arc<Genesis>,
    identity: IdentityKey,
    certifying: Option<Certifying>,
    me: OperatorId,
    opened: Opened,
    clock: Clock,
    metrics: Figures,
}

impl Starting {
    fn key(&self) -> Arc<dyn Signer> {
        Arc::new(self.identity.clone())
    }

    /// Epoch of the block after the last durable one.
    fn epoch(&self) -> Epoch {
        Epoch(self.opened.head().0 / self.genesis.params.epoch_length_blocks)
    }

    fn committee(&self) -> Committee {
        self.opened.committee.in_epoch(self.epoch())
    }

    /// What is known before the core has looked: nobody is connected yet. Without the others in it the
    /// node would look complete.
    fn first_status(&self) -> NodeStatus {
        let committee = self.committee();
        let others = committee.members().iter();
        let others = others.filter(|member| member.operator != self.me);
        NodeStatus {
            started_at_ms: clock::wall_ms(),
            committed: self.opened.head(),
            target: self.opened.head(),
            peers: others
                .map(|member| PeerStatus {
                    operator: member.operator,
                    connected: false,
                    rtt_us: 0,
                    lane_seq: BatchSeq::ZERO,
                    acked_seq: BatchSeq::ZERO,
                })
                .collect(),
            ..NodeStatus::default()
        }
    }

    async fn start(mut self, registry: SharedRegistry, until: Until) -> Result<(), NodeError> {
        let key = hash_key()?;
        let recovered = recover::lanes(&self.opened)?;
        let own = recover::own_batches(&self.opened, &recovered.headers, self.me)?;
        let wake = Arc::new(Wake::default());
        let dedup = self.dedup(key)?;
        let ingress = Arc::new(self.ingress(&wake, key, dedup.clone()));
        for batch in &own {
            let seq = batch.header().seq;
            ingress.lock().pool.on_recovered(seq, batch);
        }
        let lanes = Lanes::recover(
            self.lanes_config(),
            self.committee(),
            Some(self.key()),
            Arc::new(Ed25519Verifier),
            recovered,
        );
        let tip = lanes.own_tip();
        let consensus = self.consensus()?;

        let (core, core_inputs) = mpsc::channel();
        let (checker, unchecked) = mpsc::channel();
        let (attest, attest_inputs) = mach::channel();
        let certifying = self.certifying.take();
        let gate = Arc::new(Gate::new(
            core.clone(),
            checker,
            self.opened.reader.clone(),
            certifying.as_ref().map(|_| attest.clone()),
        ));
        let links = self.links(gate.clone())?;
        gate.attach(links.clone());

        let hub = Arc::new(Hub::new(self.opened.head()));
        until.follow(&hub);
        let (status, status_reader) = watch::channel(self.first_status());
        let epoch = Arc::new(AtomicU64::new(self.epoch().0));
        let progress = Arc::new(LaneProgress::default());
        let (pipeline, blocks) = mpsc::channel();
        let world = World {
            network: self.opened.network,
            me: self.me,
            links: links.clone(),
            store: self.opened.store.clone(),
            cache: self.opened.cache.clone(),
            reader: self.opened.reader.clone(),
            core: core.clone(),
            runtime: tokio::runtime::Handle::current(),
            metrics: self.metrics.core.clone(),
            epoch: epoch.clone(),
            ingress: ingress.clone(),
            progress: progress.clone(),
            wake: wake.clone(),
        };
        let effects = Effects::new(
            world,
            pipeline,
            status,
            self.committee(),
            self.opened.head(),
        );
        let replica = Replica::new(consensus, lanes, self.committee());
        let core_loop = CoreLoop::new(replica, effects, self.clock, core_inputs);
        let maker = self.maker(&ingress, &wake, &progress, &core, epoch, tip);
        let attesting = certifying.as_ref().map(|certifying| Attesting {
            sender: attest.clone(),
            committee: certifying.committee.clone(),
            metrics: certifying.metrics.clone(),
        });
        let finality = certifying.as_ref().map(|c| c.finality.clone());
        let order = self.pipeline(&hub, &ingress, &core, dedup, attesting)?;
        let certify = certifying
            .map(|certifying| self.mach(certifying, &links, &attest, attest_inputs))
            .map(|mach| spawn("mach", move || mach.run()))
            .transpose()?;
        let head = self.opened.head();
        let (network, limits) = (self.opened.network, self.genesis.batch_limits());
        let (to_core, to_links) = (core.clone(), links.clone());
        let threads = Threads {
            maker: spawn("maker", move || maker.run())?,
            core: spawn("core", move || core_loop.run())?,
            checker: spawn("checker", move || {
                check_batches(network, limits, &unchecked, &to_core, &to_links);
            })?,
            pipeline: spawn("pipeline", move || order.run(&blocks, head))?,
            mach: certify.map(|thread| (attest, thread)),
        };
        let handle = NodeHandle {
            network,
            genesis: self.genesis.clone(),
            me: Some(self.me),
            hub: hub.clone(),
            reader: self.opened.reader.clone(),
            ingress: Some(ingress.clone()),
            finality,
            status: status_reader,
        };
        let pruner = prune::start(&self.config, &self.genesis, &self.opened, hub.clone());
        let role = Role::Operator {
            me: self.me,
            identity: self.identity.clone(),
        };
        let control = serve::start(&self.config, role, &handle, None, &registry).await?;
        let api_stop = CancellationToken::new();
        let api = crate::api::serve(handle, &self.config, registry, api_stop.clone());
        let mut api = std::pin::pin!(api);
        let ended = tokio::select! {
            result = &mut api => Some(result),
            () = until.shutdown.cancelled() => None,
        };
        tracing::info!("stopping: no more transactions are taken");
        ingress.close();
        wake.stop();
        let result = self.stop(threads, &core, &ingress, async {
            api_stop.cancel();
            match ended {
                Some(result) => result,
                None => api.await,
            }
        });
        let result = result.await;
        pruner.abort();
        control.shutdown().await;
        links.shutdown().await;
        tracing::info!(height = %hub.head(), "stopped");
        Ok(result?)
    }

    /// Stops what makes batches, then the APIs, then the cores.
    async fn stop<E>(
        &self,
        threads: Threads,
        core: &CoreSender,
        ingress: &Ingress,
        api: impl Future<Output = Result<(), E>>,
    ) -> Result<(), E> {
        // What was accepted is durable already; what still waits for a batch gets a little time.
        let drained = join(threads.maker);
        if tokio::time::timeout(DRAIN_TIMEOUT, drained).await.is_err() {
            let left = ingress.lock().pool.load().transactions;
            tracing::warn!(
                transactions = left,
                "transactions without an answer are given up"
            );
        }
        let result = api.await;
        let _ = core.send(CoreInput::Shutdown);
        join(threads.core).await;
        join(threads.pipeline).await;
        if let Some((inputs, thread)) = threads.mach {
            inputs.tell(MachInput::Shutdown);
            join(thread).await;
        }
        drop(threads.checker);
        result
    }
}

/// Waits for a thread without holding up the runtime.
async fn join(thread: JoinHandle<()>) {
    // A panic in a thread has ended the process already.
    let _ = tokio::task::spawn_blocking(move || thread.join()).await;
}
