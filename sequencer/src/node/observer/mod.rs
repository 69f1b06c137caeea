//! A node that follows without being an operator.
//!
//! It knows the genesis and a bootnode. Committed blocks come by gossip; what is missing is asked for,
//! from anybody. Nothing is taken on trust: see [`Chain`]. The order of each block is computed from its
//! batches with the same code as at an operator, and a result that differs from an operator's is an
//! alarm.

mod fetch;

use super::follow::Chain;
use super::handle::{NodeHandle, NodeStatus};
use super::hub::Hub;
use super::metrics::{PipelineMetrics, StoreMetrics};
use super::pipeline::{Orderer, by_lane, ids_of, record_changes, recover_dedup};
use super::recover::{self, Opened};
use super::serve::{self, ANNOUNCED_MAX};
use super::{NodeError, SharedRegistry, Until, clock, operator, prune};
use crate::config::Config;
use squad_network::control::{ControlPlane, PeerId, Role};
use squad_primitives::genesis::Genesis;
use squad_primitives::{Batch, CommittedBlock, Height};
use squad_proto::peer::observer::{FollowedBlock, Request, Response};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// Silence after which peers are asked for the next block.
const ASK_AFTER: Duration = Duration::from_millis(500);
/// Wait before the same thing is asked for again when nobody had it.
const RETRY_AFTER: Duration = Duration::from_millis(200);
/// Announced blocks kept for when the blocks before them have come.
const AHEAD_MAX: usize = 256;
/// How often progress is logged while catching up.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// Runs an observer until it is to stop.
pub(crate) async fn run(
    config: Config,
    genesis: Genesis,
    home: &Path,
    registry: SharedRegistry,
    until: Until,
) -> Result<(), NodeError> {
    let (pipeline, store) = {
        let mut registry = registry.lock().unwrap_or_else(PoisonError::into_inner);
        (
            PipelineMetrics::register(&mut registry),
            StoreMetrics::register(&mut registry),
        )
    };
    let opened = recover::open(&config, &genesis, home, store)?;
    let hub = Arc::new(Hub::new(opened.head()));
    until.follow(&hub);
    let (status, status_reader) = watch::channel(NodeStatus {
        started_at_ms: clock::wall_ms(),
        committed: opened.head(),
        syncing: true,
        ..NodeStatus::default()
    });
    let handle = NodeHandle {
        network: opened.network,
        genesis: Arc::new(genesis),
        me: None,
        hub: hub.clone(),
        reader: opened.reader.clone(),
        ingress: None,
        finality: None,
        status: status_reader,
    };
    let rules = recover::order_rules(&handle.genesis);
    let dedup = recover_dedup(&rules, operator::hash_key()?, &opened.reader, opened.head())?;
    let orderer = Orderer::recover(opened.network, rules, dedup, None, &opened.reader)?;
    let (announced, inbox) = mpsc::channel(ANNOUNCED_MAX);
    // The id on the control plane has no meaning beyond this run.
    let role = Role::Observer {
        seed: Zeroizing::new(operator::random_seed()?),
    };
    let plane = serve::start(&config, role, &handle, Some(announced), &registry).await?;
    let pruner = prune::start(&config, &handle.genesis, &opened, hub.clone());
    let follower = Follower {
        chain: Chain::new(
            opened.network,
            opened.committee.clone(),
            opened.last.as_ref(),
        ),
        orderer: Some(orderer),
        opened,
        plane: plane.clone(),
        hub: hub.clone(),
        status,
        metrics: pipeline,
        inbox,
        ahead: BTreeMap::new(),
        target: Height::ZERO,
        turn: 0,
        logged: Instant::now(),
    };
    let stop = until.shutdown.child_token();
    let following = tokio::spawn(follower.run(stop.clone()));
    let result = crate::api::serve(handle, &config, registry, stop.clone()).await;
    stop.cancel();
    let _ = following.await;
    pruner.abort();
    plane.shutdown().await;
    tracing::info!(height = %hub.head(), "stopped");
    Ok(result?)
}

/// Follows the chain.
struct Follower {
    chain: Chain,
    /// Taken while a block is being ordered on another thread.
    orderer: Option<Orderer>,
    opened: Opened,
    plane: ControlPlane,
    hub: Arc<Hub>,
    status: watch::Sender<NodeStatus>,
    metrics: PipelineMetrics,
    inbox: mpsc::Receiver<FollowedBlock>,
    /// Announced blocks above the next one.
    ahead: BTreeMap<Height, FollowedBlock>,
    /// Highest height that somebody claims to have.
    target: Height,
    /// Spreads requests over peers.
    turn: usize,
    logged: Instant,
}

impl Follower {
    async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = self.follow() => {}
            () = stop.cancelled() => {}
        }
    }

    async fn follow(&mut self) {
        loop {
            while let Ok(block) = self.inbox.try_recv() {
                self.keep(block);
            }
            let next = self.chain.height().next();
            if let Some(block) = self.ahead.remove(&next) {
                self.take(vec![block]).await;
            } else if self.target > self.chain.height() || self.chain.height() == Height::ZERO {
                if !self.ask(next).await {
                    self.wait(RETRY_AFTER).await;
                }
            } else {
                self.wait(ASK_AFTER).await;
                if self.ahead.is_empty() {
                    self.ask(next).await;
                }
            }
            self.report();
        }
    }

    /// Waits for an announcement.
    async fn wait(&mut self, longest: Duration) {
        if let Ok(Some(block)) = tokio::time::timeout(longest, self.inbox.recv()).await {
            self.keep(block);
        }
    }

    fn keep(&mut self, block: FollowedBlock) {
        let height = block.synced.block.height;
        // Its certificate was checked before it came here, so the height exists.
        self.target = self.target.max(height);
        if height > self.chain.height() && self.ahead.len() < AHEAD_MAX {
            self.ahead.insert(height, block);
        }
    }

    fn peers(&mut self) -> Vec<PeerId> {
        let connected = self.plane.peers();
        let mut peers: Vec<PeerId> = connected
            .iter()
            .filter(|info| info.serves_sync)
            .map(|info| info.peer)
            .collect();
        if !peers.is_empty() {
            self.turn = self.turn.wrapping_add(1) % peers.len();
            peers.rotate_left(self.turn);
        }
        peers
    }

    /// Asks for blocks from `next` on; whether any were taken.
    async fn ask(&mut self, next: Height) -> bool {
        for peer in self.peers() {
            let answer = serve::request(&self.plane, peer, &Request::Blocks { from: next }).await;
            if let Some(Response::Blocks(blocks)) = answer
                && self.take(blocks).await
            {
                return true;
            }
        }
        false
    }

    /// Takes blocks that follow each other; whether the chain moved.
    async fn take(&mut self, blocks: Vec<FollowedBlock>) -> bool {
        let before = self.chain.height();
        for followed in blocks {
            self.target = self.target.max(followed.synced.block.height.prev());
            let block = match self.chain.check(&followed.synced) {
                Ok(block) => block,
                Err(error) => {
                    tracing::debug!(%error, "block refused");
                    break;
                }
            };
            let Some(batches) = self.headers(&block, followed.headers.clone()).await else {
                break;
            };
            let Some(bodies) = self.bodies(&batches).await else {
                break;
            };
            self.order(block, bodies, &followed).await;
        }
        self.chain.height() > before
    }

    /// Orders a block, stores it, and makes it visible.
    async fn order(&mut self, block: CommittedBlock, bodies: Vec<Batch>, followed: &FollowedBlock) {
        let start = Instant::now();
        let Some(mut orderer) = self.orderer.take() else {
            return;
        };
        let committed = block.clone();
        let ordered = tokio::task::spawn_blocking(move || {
            let ordered = orderer.order(committed, &by_lane(bodies));
            (orderer, ordered)
        })
        .await;
        let Ok((orderer, executed)) = ordered else {
            return;
        };
        self.orderer = Some(orderer);
        let changes = record_changes(&executed);
        let ordered = executed.block;
        if followed
            .result
            .is_some_and(|result| result != ordered.result)
        {
            tracing::error!(height = %ordered.height(), "an operator's result differs from the one computed here");
        }
        let ordered = Arc::new(ordered);
        self.metrics.ordered(&ordered, start.elapsed());
        let (done, durable) = oneshot::channel();
        self.opened.store.commit(
            changes,
            Box::new(move || {
                let _ = done.send(());
            }),
        );
        let _ = durable.await;
        self.opened
            .store
            .index_transactions(ordered.height(), &ids_of(&ordered));
        self.metrics.published(&ordered, start.elapsed());
        self.hub.publish(ordered);
        self.chain.advance(&block);
    }

    fn report(&mut self) {
        let height = self.chain.height();
        let target = self.target.max(height);
        // One block is always under way at the head.
        let syncing = target.0 > height.0 + 8;
        self.status.send_modify(|status| {
            status.committed = height;
            status.target = target;
            status.syncing = syncing;
            status.quorum_connected = true;
            status.core_turn_ms = clock::wall_ms().saturating_sub(status.started_at_ms);
        });
        if syncing && self.logged.elapsed() >= PROGRESS_INTERVAL {
            self.logged = Instant::now();
            tracing::info!(%height, %target, "catching up");
        }
    }
}
