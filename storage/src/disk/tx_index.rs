//! Transaction id → position, without one database write per transaction.
//!
//! Entries collect in memory, spread over buckets by the first bits of the id, so that adding is a
//! push and sorting stays inside the processor's cache. A full buffer is sorted, written as one sorted
//! file and handed to the engine as it is: no log, no memtable, no compaction. The oldest files go
//! when the index exceeds its size.
//!
//! Rules:
//!
//! 1. `indexed_height` covers a block only when all of its entries are in files of the engine.
//! 2. A lookup sees everything added: the buffer, the buffer being flushed, then the files.
//! 3. At most one buffer is flushed at a time. Whoever fills the next one before waits: memory stays
//!    bounded. Filling takes seconds, flushing tenths of a second.
//! 4. Keys are the first 16 bytes of the id. An id is a digest, so to meet another one by accident is
//!    out of reach; on purpose it takes 2^64 hashes, and hides only the position of the attacker's
//!    own transaction, because callers compare the full id.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use squad_primitives::{Height, TxId};

use crate::error::StorageError;
use crate::hooks::Hooks;
use crate::store::TxPosition;

/// Two to this power buckets.
const BUCKET_BITS: u32 = 10;
/// A bucket is sorted when so many entries came behind its sorted part: bounds the linear search.
const UNSORTED_MAX: usize = 4096;
/// A buffer is flushed after so many blocks even when it is not full: bounds what a restart repeats.
const BLOCKS_MAX: u32 = 100_000;

/// The durable part of the index.
pub(crate) trait Files: Send + Sync + 'static {
    /// Adds entries with strictly ascending keys as one file, then notes that the blocks up to
    /// `height` are complete.
    fn add(
        &self,
        entries: &mut dyn Iterator<Item = (Key, TxPosition)>,
        height: Height,
    ) -> Result<(), StorageError>;

    fn find(&self, key: &Key) -> Result<Option<TxPosition>, StorageError>;

    fn indexed_height(&self) -> Result<Height, StorageError>;
}

pub(crate) type Key = [u8; 16];

fn key_of(id: &TxId) -> u128 {
    let (key, _) = id
        .as_bytes()
        .split_first_chunk()
        .expect("a digest has 32 bytes");
    u128::from_be_bytes(*key)
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    key: u128,
    position: TxPosition,
}

#[derive(Default)]
struct Bucket {
    entries: Vec<Entry>,
    sorted: usize,
}

impl Bucket {
    fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
        // The share keeps repeated sorting linear even when somebody aims at one bucket.
        if self.entries.len() - self.sorted > UNSORTED_MAX.max(self.sorted / 8) {
            self.sort();
        }
    }

    fn sort(&mut self) {
        // Stable, because it recognises the part that is sorted already.
        self.entries.sort();
        self.sorted = self.entries.len();
    }

    fn find(&self, key: u128) -> Option<TxPosition> {
        let (sorted, unsorted) = self.entries.split_at(self.sorted);
        let first = sorted.partition_point(|entry| entry.key < key);
        let hit = sorted.get(first).filter(|entry| entry.key == key);
        hit.or_else(|| unsorted.iter().find(|entry| entry.key == key))
            .map(|entry| entry.position)
    }
}

struct Buffer {
    buckets: Vec<Bucket>,
    entries: usize,
    blocks: u32,
    height: Height,
}

impl Buffer {
    fn new(height: Height) -> Self {
        let mut buckets = Vec::new();
        buckets.resize_with(1 << BUCKET_BITS, Bucket::default);
        Self {
            buckets,
            entries: 0,
            blocks: 0,
            height,
        }
    }

    fn bucket_of(key: u128) -> usize {
        (key >> (u128::BITS - BUCKET_BITS)) as usize
    }

    fn add(&mut self, height: Height, transactions: &[TxId]) {
        for (position, id) in (0..).zip(transactions) {
            let key = key_of(id);
            self.buckets[Self::bucket_of(key)].push(Entry {
                key,
                position: TxPosition { height, position },
            });
        }
        self.entries += transactions.len();
        self.blocks += 1;
        self.height = height;
    }

    fn find(&self, key: u128) -> Option<TxPosition> {
        self.buckets[Self::bucket_of(key)].find(key)
    }

    /// Entries in the order of their keys; of equal keys the first. Sorts copies, one bucket at a
    /// time, so that lookups go on meanwhile.
    fn sorted(&self) -> impl Iterator<Item = (Key, TxPosition)> + '_ {
        let mut last = None;
        self.buckets
            .iter()
            .flat_map(|bucket| {
                let mut entries = bucket.entries.clone();
                entries.sort();
                entries
            })
            .filter(move |entry| last.replace(entry.key) != Some(entry.key))
            .map(|entry| (entry.key.to_be_bytes(), entry.position))
    }
}

struct State {
    active: Buffer,
    flushing: Option<Arc<Buffer>>,
    indexed: Height,
    open: bool,
    failed: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    files: Arc<dyn Files>,
    entries_max: usize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct TxIndex {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for TxIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TxIndex").finish_non_exhaustive()
    }
}

impl TxIndex {
    /// Keeps at most about twice `entries_max` entries in memory, 32 bytes each.
    pub(crate) fn start(
        files: Arc<dyn Files>,
        entries_max: usize,
        hooks: Arc<dyn Hooks>,
    ) -> Result<Self, StorageError> {
        let indexed = files.indexed_height()?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                active: Buffer::new(indexed),
                flushing: None,
                indexed,
                open: true,
                failed: false,
            }),
            changed: Condvar::new(),
            files,
            entries_max,
        });
        let worker = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("store-tx-index".to_owned())
            .spawn(move || flush_loop(&worker, &*hooks))
            .map_err(StorageError::io(
                "start the thread of",
                PathBuf::from("tx-index"),
            ))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    pub(crate) fn add(&self, height: Height, transactions: &[TxId]) {
        let mut state = self.shared.lock();
        // A block that is given again, as after a restart, is already covered.
        if height <= state.active.height {
            return;
        }
        while !state.failed && self.shared.is_full(&state.active) {
            state = self.shared.wait(state);
        }
        if state.failed {
            return;
        }
        state.active.add(height, transactions);
        if self.shared.is_full(&state.active) {
            drop(state);
            self.shared.changed.notify_all();
        }
    }

    pub(crate) fn find(&self, id: &TxId) -> Result<Option<TxPosition>, StorageError> {
        let key = key_of(id);
        {
            let state = self.shared.lock();
            let flushing = state.flushing.as_ref();
            let buffered = state.active.find(key);
            if let Some(position) = buffered.or_else(|| flushing.and_then(|b| b.find(key))) {
                return Ok(Some(position));
            }
        }
        self.shared.files.find(&key.to_be_bytes())
    }

    pub(crate) fn indexed_height(&self) -> Height {
        self.shared.lock().indexed
    }

    /// Entries that are only in memory.
    pub(crate) fn buffered(&self) -> usize {
        let state = self.shared.lock();
        let flushing = state.flushing.as_ref();
        state.active.entries + flushing.map_or(0, |buffer| buffer.entries)
    }
}

impl Shared {
    fn is_full(&self, buffer: &Buffer) -> bool {
        buffer.entries >= self.entries_max || buffer.blocks >= BLOCKS_MAX
    }
}

impl Drop for TxIndex {
    fn drop(&mut self) {
        self.shared.lock().open = false;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the transaction index panicked");
        }
    }
}

/// Flushes each full buffer, and at the end what is left.
fn flush_loop(shared: &Shared, hooks: &dyn Hooks) {
    loop {
        let mut state = shared.lock();
        while state.open && !shared.is_full(&state.active) {
            state = shared.wait(state);
        }
        let last = !state.open;
        if state.active.blocks == 0 {
            return;
        }
        let next = Buffer::new(state.active.height);
        let full = Arc::new(std::mem::replace(&mut state.active, next));
        state.flushing = Some(Arc::clone(&full));
        drop(state);

        let result = shared.files.add(&mut full.sorted(), full.height);
        let mut state = shared.lock();
        state.flushing = None;
        match result {
            Ok(()) => state.indexed = full.height,
            Err(error) => {
                state.failed = true;
                drop(state);
                shared.changed.notify_all();
                hooks.on_fatal(error);
                return;
            }
        }
        drop(state);
        shared.changed.notify_all();
        if last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use squad_primitives::Digest;

    use super::*;

    #[derive(Default)]
    struct MemoryFiles {
        files: Mutex<Vec<BTreeMap<Key, TxPosition>>>,
        height: Mutex<Height>,
        fail: bool,
    }

    impl Files for MemoryFiles {
        fn add(
            &self,
            entries: &mut dyn Iterator<Item = (Key, TxPosition)>,
            height: Height,
        ) -> Result<(), StorageError> {
            if self.fail {
                return Err(StorageError::Injected);
            }
            let mut file = BTreeMap::new();
            let mut last = None;
            for (key, position) in entries {
                assert!(last < Some(key), "keys must ascend strictly");
                last = Some(key);
                file.insert(key, position);
            }
            self.files.lock().expect("not poisoned").push(file);
            *self.height.lock().expect("not poisoned") = height;
            Ok(())
        }

        fn find(&self, key: &Key) -> Result<Option<TxPosition>, StorageError> {
            let files = self.files.lock().expect("not poisoned");
            Ok(files.iter().find_map(|file| file.get(key).copied()))
        }

        fn indexed_height(&self) -> Result<Height, StorageError> {
            Ok(*self.height.lock().expect("not poisoned"))
        }
    }

    #[derive(Default)]
    struct CountFatal(Mutex<usize>);

    impl Hooks for CountFatal {
        fn on_fatal(&self, _error: StorageError) {
            *self.0.lock().expect("not poisoned") += 1;
        }
    }

    fn id(number: u64) -> TxId {
        Digest(*digest_bytes(number).first_chunk().expect("32 bytes"))
    }

    /// Spread like real digests, without hashing.
    fn digest_bytes(number: u64) -> Vec<u8> {
        (1..=4_u64)
            .flat_map(|part| {
                let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15 ^ part);
                (mixed ^ (mixed >> 29)).to_be_bytes()
            })
            .collect()
    }

    fn block(height: u64, size: u64) -> Vec<TxId> {
        (0..size)
            .map(|position| id(height * 1000 + position))
            .collect()
    }

    #[test]
    fn everything_added_is_found_whether_flushed_or_not() {
        let files = Arc::new(MemoryFiles::default());
        let index = TxIndex::start(files.clone(), 1000, Arc::new(CountFatal::default()))
            .expect("threads can be started");
        for height in 1..=57 {
            index.add(Height(height), &block(height, 97));
        }
        for height in 1..=57 {
            for (position, id) in (0..).zip(block(height, 97)) {
                let expected = TxPosition {
                    height: Height(height),
                    position,
                };
                assert_eq!(index.find(&id).expect("readable"), Some(expected));
            }
        }
        assert_eq!(index.find(&id(999_999)).expect("readable"), None);
        assert!(index.buffered() <= 2 * (1000 + 97));
        drop(index);
        let flushed: usize = files
            .files
            .lock()
            .expect("not poisoned")
            .iter()
            .map(BTreeMap::len)
            .sum();
        assert_eq!(flushed, 57 * 97, "an orderly end flushes the rest");
        assert_eq!(files.indexed_height().expect("readable"), Height(57));
    }

    #[test]
    fn blocks_given_again_change_nothing() {
        let files = Arc::new(MemoryFiles::default());
        let hooks = Arc::new(CountFatal::default());
        let index = TxIndex::start(files.clone(), 1000, hooks.clone()).expect("started");
        index.add(Height(5), &block(5, 10));
        drop(index);
        let index = TxIndex::start(files, 1000, hooks).expect("started");
        assert_eq!(index.indexed_height(), Height(5));
        index.add(Height(5), &block(5, 10));
        assert_eq!(index.buffered(), 0);
    }

    #[test]
    fn empty_blocks_move_the_indexed_height_without_files() {
        let files = Arc::new(MemoryFiles::default());
        let index =
            TxIndex::start(files.clone(), 1000, Arc::new(CountFatal::default())).expect("started");
        for height in 1..=20 {
            index.add(Height(height), &[]);
        }
        drop(index);
        assert_eq!(files.indexed_height().expect("readable"), Height(20));
    }

    #[test]
    fn ids_aimed_at_one_bucket_are_still_found() {
        let files = Arc::new(MemoryFiles::default());
        let index =
            TxIndex::start(files, 100_000, Arc::new(CountFatal::default())).expect("started");
        let aimed: Vec<TxId> = (0..20_000_u32)
            .map(|number| {
                let mut bytes = [0; 32];
                bytes[12..16].copy_from_slice(&number.wrapping_mul(0x9e37_79b1).to_be_bytes());
                Digest(bytes)
            })
            .collect();
        index.add(Height(1), &aimed);
        for (position, id) in (0..).zip(&aimed) {
            let expected = TxPosition {
                height: Height(1),
                position,
            };
            assert_eq!(index.find(id).expect("readable"), Some(expected));
        }
    }

    #[test]
    fn a_failed_flush_is_fatal_and_covers_nothing() {
        let files = Arc::new(MemoryFiles {
            fail: true,
            ..MemoryFiles::default()
        });
        let hooks = Arc::new(CountFatal::default());
        let index = TxIndex::start(files.clone(), 10, hooks.clone()).expect("started");
        for height in 1..=10 {
            index.add(Height(height), &block(height, 10));
        }
        assert_eq!(index.indexed_height(), Height(0));
        drop(index);
        assert_eq!(*hooks.0.lock().expect("not poisoned"), 1);
    }
}
