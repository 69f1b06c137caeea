//! What the node keeps about each committee member, connected or not.

use super::{
    class::Class,
    config::{DataPlaneConfig, Peer},
    hello::CloseCode,
    metrics::Metrics,
    penalty::Record,
    queue::{Refusal, SendQueue},
    tls::Admission,
};
use bytes::Bytes;
use quinn::Connection;
use squad_primitives::{OperatorId, PublicKey};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Own requests to one peer that may be open at once.
pub(crate) const FETCHES_MAX: usize = 32;
/// Requests of one peer that are answered at once; with replies of 4 MiB this bounds what a peer that
/// asks and doesn't read can pin to 32 MiB.
pub(crate) const SERVED_MAX: usize = 8;

/// One committee member.
#[derive(Debug)]
pub(crate) struct PeerState {
    pub(crate) operator: OperatorId,
    pub(crate) key: PublicKey,
    address: Mutex<String>,
    queues: [SendQueue; 3],
    link: Mutex<Option<Link>>,
    /// Held by the task that runs the link, so that two never overlap.
    pub(crate) turn: tokio::sync::Mutex<()>,
    arrivals: AtomicU64,
    record: Mutex<Record>,
    pub(crate) fetches: Semaphore,
    pub(crate) served: Arc<Semaphore>,
    /// Cancelled when the operator leaves the committee.
    pub(crate) gone: CancellationToken,
    metrics: Metrics,
}

/// The connection in use.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) connection: Connection,
    /// Cancelled to end the link; the code says why.
    pub(crate) end: CancellationToken,
}

impl PeerState {
    fn new(peer: Peer, config: &DataPlaneConfig) -> Self {
        Self {
            operator: peer.operator,
            key: peer.key,
            address: Mutex::new(peer.address),
            queues: Class::ALL.map(|class| SendQueue::new(class, config.queue_limit(class))),
            link: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            arrivals: AtomicU64::new(0),
            record: Mutex::default(),
            fetches: Semaphore::new(FETCHES_MAX),
            served: Arc::new(Semaphore::new(SERVED_MAX)),
            gone: CancellationToken::new(),
            metrics: config.metrics.clone(),
        }
    }

    fn queue(&self, class: Class) -> &SendQueue {
        let [consensus, acks, batches] = &self.queues;
        match class {
            Class::Consensus => consensus,
            Class::Acks => acks,
            Class::Batches => batches,
        }
    }

    /// Queues a frame; see [`super::queue`] for what happens when the queue is full.
    pub(crate) fn push(&self, class: Class, frame: Bytes) -> Result<(), Refusal> {
        let dropped = self.queue(class).push(frame)? as u64;
        let growth = 1 - dropped.cast_signed();
        self.metrics.queue.of(class).inc_by(growth);
        if dropped > 0 {
            self.metrics.dropped.of(class).inc_by(dropped);
        }
        Ok(())
    }

    /// Waits for frames to write; see [`SendQueue::pop`].
    pub(crate) async fn pop(&self, class: Class, bytes_max: usize, out: &mut Vec<Bytes>) {
        self.queue(class).pop(bytes_max, out).await;
        self.metrics.queue.of(class).dec_by(out.len() as i64);
    }

    /// Announces a new connection: the one in use, if any, is asked to end. Returns a number for
    /// [`PeerState::attach`].
    pub(crate) fn arrive(&self) -> u64 {
        let arrival = self.arrivals.fetch_add(1, Ordering::SeqCst) + 1;
        self.end_link(CloseCode::Superseded);
        arrival
    }

    /// Makes `link` the one in use and opens the queues. Call while holding [`PeerState::turn`].
    /// Returns false, and changes nothing, if a newer connection has arrived meanwhile or the peer has
    /// left the committee.
    pub(crate) fn attach(&self, link: Link, arrival: u64) -> bool {
        let mut current = lock(&self.link);
        if self.arrivals.load(Ordering::SeqCst) != arrival || self.gone.is_cancelled() {
            return false;
        }
        *current = Some(link);
        self.queues.iter().for_each(SendQueue::open);
        true
    }

    /// Undoes [`PeerState::attach`]: what still waits is dropped.
    pub(crate) fn detach(&self) {
        *lock(&self.link) = None;
        for class in Class::ALL {
            let lost = self.queue(class).close();
            self.metrics.queue.of(class).dec_by(lost as i64);
            self.metrics.dropped.of(class).inc_by(lost as u64);
        }
    }

    /// Closes the connection in use, if any.
    pub(crate) fn end_link(&self, code: CloseCode) {
        if let Some(link) = lock(&self.link).as_ref() {
            link.connection.close(code.code(), code.name().as_bytes());
            link.end.cancel();
        }
    }

    pub(crate) fn connection(&self) -> Option<Connection> {
        lock(&self.link)
            .as_ref()
            .map(|link| link.connection.clone())
    }

    pub(crate) fn address(&self) -> String {
        lock(&self.address).clone()
    }

    /// Notes an offence. Returns whether it closes the link.
    pub(crate) fn note_offence(&self, now: Instant) -> bool {
        lock(&self.record).note(now)
    }

    pub(crate) fn ban_left(&self, now: Instant) -> Option<Duration> {
        lock(&self.record).ban_left(now)
    }

    /// Frames waiting in all classes.
    pub(crate) fn queued(&self) -> usize {
        self.queues.iter().map(SendQueue::len).sum()
    }
}

/// The committee as the data plane knows it.
pub(crate) struct Directory {
    me: OperatorId,
    own_key: PublicKey,
    metrics: Metrics,
    peers: RwLock<Peers>,
}

#[derive(Default)]
struct Peers {
    by_operator: BTreeMap<OperatorId, Arc<PeerState>>,
    by_key: BTreeMap<PublicKey, OperatorId>,
}

impl Directory {
    pub(crate) fn new(config: &DataPlaneConfig, own_key: PublicKey) -> Self {
        Self {
            me: config.me,
            own_key,
            metrics: config.metrics.clone(),
            peers: RwLock::default(),
        }
    }

    pub(crate) fn get(&self, operator: OperatorId) -> Option<Arc<PeerState>> {
        self.read(|peers| peers.by_operator.get(&operator).cloned())
    }

    pub(crate) fn by_key(&self, key: &PublicKey) -> Option<Arc<PeerState>> {
        self.read(|peers| {
            let operator = peers.by_key.get(key)?;
            peers.by_operator.get(operator).cloned()
        })
    }

    pub(crate) fn for_each(&self, mut f: impl FnMut(&Arc<PeerState>)) {
        self.read(|peers| peers.by_operator.values().for_each(&mut f));
    }

    /// Replaces the committee. Peers that stay keep their connections. Returns the new ones.
    pub(crate) fn replace(
        &self,
        committee: Vec<Peer>,
        config: &DataPlaneConfig,
    ) -> Vec<Arc<PeerState>> {
        let mut added = Vec::new();
        let mut next = Peers::default();
        let mut guard = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        for peer in committee {
            if peer.operator == self.me || peer.key == self.own_key {
                continue;
            }
            let known = guard.by_operator.get(&peer.operator);
            let state = match known.filter(|known| known.key == peer.key) {
                Some(known) => {
                    *lock(&known.address) = peer.address;
                    known.clone()
                }
                None => {
                    let state = Arc::new(PeerState::new(peer, config));
                    added.push(state.clone());
                    state
                }
            };
            next.by_key.insert(state.key, state.operator);
            next.by_operator.insert(state.operator, state);
        }
        for former in guard.by_operator.values() {
            let stays = next.by_operator.get(&former.operator);
            if !stays.is_some_and(|state| Arc::ptr_eq(state, former)) {
                former.gone.cancel();
                former.end_link(CloseCode::NotMember);
            }
        }
        *guard = next;
        added
    }

    fn read<T>(&self, f: impl FnOnce(&Peers) -> T) -> T {
        f(&self.peers.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Weak, because TLS outlives the data plane inside connections, and peers hold connections.
impl Admission for Weak<Directory> {
    fn is_admitted(&self, key: &PublicKey) -> bool {
        let Some(directory) = self.upgrade() else {
            return false;
        };
        let refusal = match directory.by_key(key) {
            None if *key == directory.own_key => "own_key",
            None => "unknown_key",
            Some(peer) if peer.ban_left(Instant::now()).is_some() => "banned",
            Some(_) => return true,
        };
        directory.metrics.handshake_failures.count(refusal);
        false
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory")
            .field("me", &self.me)
            .finish_non_exhaustive()
    }
}

/// Locks a value that is valid after every statement, so a panic elsewhere doesn't spoil it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
