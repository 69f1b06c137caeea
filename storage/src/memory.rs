//! The store without a disk, for tests and simulations: no threads, deterministic, with faults on
//! request.
//!
//! By default each write is durable at once and its completion runs inside the call. After
//! [`MemoryStore::hold`] writes wait like in the queue of a real disk until they are released, or
//! lost in a [`MemoryStore::crash`].

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use squad_primitives::{Digest, Height, TxId};

use crate::body::{BodyHead, NewBody, PruneReport, StoredBody};
use crate::changes::Changes;
use crate::error::StorageError;
use crate::hooks::{Hooks, OnDurable};
use crate::store::{Stats, Store, TxPosition};
use crate::table::Table;
use crate::tables::{Entry, Scan, Tables};

enum Write {
    Changes(Changes),
    Body(NewBody),
}

struct Request {
    write: Write,
    on_durable: OnDurable,
}

/// What survives a crash.
#[derive(Clone, Default)]
struct Durable {
    tables: Tables,
    bodies: BTreeMap<Digest, StoredBody>,
    /// Digests in the order of their appending.
    order: Vec<Digest>,
}

impl Durable {
    fn apply(&mut self, write: Write) {
        match write {
            Write::Changes(changes) => self.tables.apply(&changes),
            Write::Body(body) => {
                self.order.push(body.digest);
                let stored = StoredBody {
                    tag: body.tag,
                    header: body.header,
                    body: body.body,
                };
                self.bodies.insert(body.digest, stored);
            }
        }
    }
}

#[derive(Default)]
struct State {
    durable: Durable,
    waiting: VecDeque<Request>,
    held: bool,
    fail_next: bool,
    failed: bool,
    transactions: BTreeMap<TxId, TxPosition>,
}

/// See the module.
pub struct MemoryStore {
    state: Mutex<State>,
    hooks: Arc<dyn Hooks>,
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(hooks: Arc<dyn Hooks>) -> Self {
        Self {
            state: Mutex::default(),
            hooks,
        }
    }

    /// Lets writes wait from now on.
    pub fn hold(&self) {
        self.lock().held = true;
    }

    /// Makes the `count` oldest waiting writes durable and runs their completions; with `usize::MAX`
    /// all of them, after which writes no longer wait.
    pub fn release(&self, count: usize) {
        for _ in 0..count {
            let mut state = self.lock();
            let Some(request) = state.waiting.pop_front() else {
                state.held &= count < usize::MAX;
                return;
            };
            self.perform(state, request);
        }
    }

    /// Number of waiting writes.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    /// The next write fails: [`Hooks::on_fatal`] is called and nothing becomes durable any more.
    pub fn fail_next_write(&self) {
        self.lock().fail_next = true;
    }

    /// What a restarted process finds: everything durable and, since a disk may have written more
    /// than it reported, the `kept` oldest waiting writes. Completions of this store never run again.
    #[must_use]
    pub fn crash(&self, kept: usize) -> Self {
        let mut state = self.lock();
        state.failed = true;
        let mut durable = state.durable.clone();
        for request in state.waiting.drain(..).take(kept) {
            durable.apply(request.write);
        }
        Self {
            state: Mutex::new(State {
                durable,
                ..State::default()
            }),
            hooks: Arc::clone(&self.hooks),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submit(&self, write: Write, on_durable: OnDurable) {
        let mut state = self.lock();
        let request = Request { write, on_durable };
        if state.held {
            state.waiting.push_back(request);
        } else {
            self.perform(state, request);
        }
    }

    /// Ends with the lock released: hooks and completions may call the store.
    fn perform(&self, mut state: MutexGuard<'_, State>, request: Request) {
        if state.failed {
            return;
        }
        if std::mem::take(&mut state.fail_next) {
            state.failed = true;
            state.waiting.clear();
            drop(state);
            self.hooks.on_fatal(StorageError::Injected);
            return;
        }
        state.durable.apply(request.write);
        drop(state);
        (request.on_durable)();
    }
}

fn head(digest: Digest, body: &StoredBody) -> BodyHead {
    BodyHead {
        digest,
        tag: body.tag,
        header: body.header.clone(),
        body_bytes: u32::try_from(body.body.len()).unwrap_or(u32::MAX),
    }
}

impl Store for MemoryStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        Ok(self.lock().durable.tables.get(table, key))
    }

    fn scan(&self, table: Table, scan: Scan<'_>) -> Result<Vec<Entry>, StorageError> {
        Ok(self.lock().durable.tables.scan(table, scan))
    }

    fn commit(&self, changes: Changes, on_durable: OnDurable) {
        self.submit(Write::Changes(changes), on_durable);
    }

    fn append_body(&self, body: NewBody, on_durable: OnDurable) {
        self.submit(Write::Body(body), on_durable);
    }

    fn body(&self, digest: &Digest) -> Result<Option<StoredBody>, StorageError> {
        Ok(self.lock().durable.bodies.get(digest).cloned())
    }

    fn body_head(&self, digest: &Digest) -> Result<Option<BodyHead>, StorageError> {
        let durable = &self.lock().durable;
        Ok(durable.bodies.get(digest).map(|body| head(*digest, body)))
    }

    fn has_body(&self, digest: &Digest) -> Result<bool, StorageError> {
        Ok(self.lock().durable.bodies.contains_key(digest))
    }

    fn visit_bodies(
        &self,
        since: Height,
        visitor: &mut dyn FnMut(BodyHead),
    ) -> Result<(), StorageError> {
        let durable = self.lock().durable.clone();
        for digest in durable.order {
            let Some(body) = durable.bodies.get(&digest).filter(|body| body.tag >= since) else {
                continue;
            };
            visitor(head(digest, body));
        }
        Ok(())
    }

    fn prune_bodies(
        &self,
        below: Height,
        removable: &mut dyn FnMut(&Digest) -> bool,
    ) -> Result<PruneReport, StorageError> {
        let old: Vec<Digest> = {
            let state = self.lock();
            let bodies = state.durable.bodies.iter();
            bodies
                .filter(|(_, body)| body.tag < below)
                .map(|(digest, _)| *digest)
                .collect()
        };
        let mut report = PruneReport::default();
        for digest in old.into_iter().filter(|digest| removable(digest)) {
            let mut state = self.lock();
            if let Some(body) = state.durable.bodies.remove(&digest) {
                state.durable.order.retain(|other| *other != digest);
                report.bodies += 1;
                report.bytes += (body.header.len() + body.body.len()) as u64;
            }
        }
        Ok(report)
    }

    fn index_transactions(&self, height: Height, transactions: &[TxId]) {
        let mut state = self.lock();
        for (position, id) in (0..).zip(transactions) {
            state
                .transactions
                .insert(*id, TxPosition { height, position });
        }
    }

    fn transaction(&self, id: &TxId) -> Result<Option<TxPosition>, StorageError> {
        Ok(self.lock().transactions.get(id).copied())
    }

    fn indexed_height(&self) -> Height {
        // The index is not part of what survives: the node gives it every block again.
        Height(0)
    }

    fn stats(&self) -> Result<Stats, StorageError> {
        let state = self.lock();
        let bodies = state.durable.bodies.values();
        let waiting = state.waiting.iter().map(|request| match &request.write {
            Write::Changes(changes) => changes.bytes(),
            Write::Body(body) => body.bytes(),
        });
        Ok(Stats {
            main_bytes: state.durable.tables.bytes(),
            safety_bytes: 0,
            body_bytes: bodies
                .map(|body| (body.header.len() + body.body.len()) as u64)
                .sum(),
            queued_bytes: waiting.sum::<usize>() as u64,
            unflushed_transactions: state.transactions.len() as u64,
        })
    }

    fn checkpoint(&self, target: &Path) -> Result<(), StorageError> {
        Err(StorageError::io("write a checkpoint to", target)(
            std::io::ErrorKind::Unsupported.into(),
        ))
    }
}
