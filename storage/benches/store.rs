//! What the store costs: processor time and latency of group commits, on the disk of the temporary
//! directory (`TMPDIR`). Run with `cargo bench -p squad-storage --features rocksdb`.
//!
//! Body segments are measured beside the alternative, bodies as RocksDB blobs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use squad_primitives::{Digest, Height};
use squad_storage::{
    Changes, Database, DiskConfig, DiskStore, GroupReport, Hooks, NewBody, StorageError, Store,
    Table,
};

const TX_BYTES: f64 = 512.0;

#[derive(Default)]
struct Groups {
    groups: AtomicU64,
    items: AtomicU64,
}

impl Hooks for Groups {
    fn on_fatal(&self, error: StorageError) {
        panic!("storage failed: {error}");
    }

    fn on_group(&self, report: GroupReport) {
        self.groups.fetch_add(1, Ordering::Relaxed);
        self.items.fetch_add(report.items as u64, Ordering::Relaxed);
    }
}

fn process_cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(now.tv_sec).expect("positive"),
        u32::try_from(now.tv_nsec).expect("below a second"),
    )
}

fn digest(number: u64) -> Digest {
    let mut bytes = [0; 32];
    for (part, chunk) in (1_u64..).zip(bytes.chunks_mut(8)) {
        let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15 ^ part);
        chunk.copy_from_slice(&(mixed ^ (mixed >> 29)).to_be_bytes());
    }
    Digest(bytes)
}

/// Bytes that do not compress.
fn noise(bytes: usize) -> Bytes {
    let words = (0..bytes as u64).step_by(8);
    let mut noise: Vec<u8> = words
        .flat_map(|word| *digest(word).0.first_chunk::<8>().expect("32 bytes"))
        .collect();
    noise.truncate(bytes);
    noise.into()
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

struct Load {
    body_bytes: usize,
    bytes_per_second: f64,
    total_bytes: usize,
}

/// Feeds bodies at a fixed rate to `append` and reports cost and latency.
fn run(name: &str, load: &Load, append: impl Fn(u64, Bytes, Box<dyn FnOnce() + Send>)) {
    let body = noise(load.body_bytes);
    let count = (load.total_bytes / load.body_bytes) as u64;
    let gap = Duration::from_secs_f64(load.body_bytes as f64 / load.bytes_per_second);
    let latencies = Arc::new(Mutex::new(Vec::new()));
    let (done, wait) = mpsc::channel();
    let cpu = process_cpu();
    let started = Instant::now();
    for number in 0..count {
        let due = started + gap.mul_f64(number as f64);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let (latencies, done) = (Arc::clone(&latencies), done.clone());
        append(
            number,
            body.clone(),
            Box::new(move || {
                latencies.lock().expect("not poisoned").push(due.elapsed());
                done.send(()).expect("the bench waits");
            }),
        );
    }
    drop(done);
    wait.iter().count();
    let cpu = process_cpu() - cpu;
    let megabytes = (count * load.body_bytes as u64) as f64 / 1e6;
    let mut sorted = latencies.lock().expect("not poisoned").clone();
    sorted.sort_unstable();
    println!(
        "{name:24} {:4} KiB bodies, {:3.0} MB/s: {:5.0} us CPU per MB = {:.2} us per 512 B; durable after p50 {:?} p99 {:?}",
        load.body_bytes / 1024,
        megabytes / started.elapsed().as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / megabytes,
        cpu.as_secs_f64() * TX_BYTES / megabytes,
        percentile(&sorted, 50),
        percentile(&sorted, 99),
    );
}

fn bodies(load: &Load) {
    let home = tempfile::tempdir().expect("temporary directory");
    let groups = Arc::new(Groups::default());
    let store = DiskStore::open(home.path(), &DiskConfig::default(), groups).expect("opened");
    run("segments", load, |number, body, on_durable| {
        let new = NewBody {
            digest: digest(number),
            tag: Height(number),
            header: Bytes::from_static(&[1; 200]),
            body,
        };
        store.append_body(new, on_durable);
    });
    drop(store);

    let home = tempfile::tempdir().expect("temporary directory");
    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    options.set_enable_blob_files(true);
    options.set_min_blob_size(256);
    let db = rocksdb::DB::open(&options, home.path()).expect("opened");
    let mut synced = rocksdb::WriteOptions::default();
    synced.set_sync(true);
    run("rocksdb blobs", load, |number, body, on_durable| {
        db.put_opt(digest(number).0, body, &synced)
            .expect("written");
        on_durable();
    });
}

fn safety_records() {
    let home = tempfile::tempdir().expect("temporary directory");
    let groups = Arc::new(Groups::default());
    let store = DiskStore::open(
        home.path(),
        &DiskConfig::default(),
        Arc::clone(&groups) as _,
    )
    .expect("opened");
    let mut latencies = Vec::new();
    let cpu = process_cpu();
    for number in 0..2000_u32 {
        let mut changes = Changes::new(Database::Safety);
        changes.put(Table::SafetyConsensus, b"vote".to_vec(), noise(400));
        changes.put(Table::SafetyLanes, number.to_be_bytes(), noise(100));
        let (done, wait) = mpsc::channel();
        let started = Instant::now();
        store.commit(
            changes,
            Box::new(move || done.send(()).expect("the bench waits")),
        );
        wait.recv().expect("durable");
        latencies.push(started.elapsed());
    }
    latencies.sort_unstable();
    println!(
        "safety record alone: p50 {:?} p99 {:?}, {:.0} us CPU each",
        percentile(&latencies, 50),
        percentile(&latencies, 99),
        (process_cpu() - cpu).as_secs_f64() * 1e6 / 2000.0,
    );
}

fn transaction_index() {
    const BLOCK: u64 = 1000;
    const BLOCKS: u64 = 4000;
    let home = tempfile::tempdir().expect("temporary directory");
    let groups = Arc::new(Groups::default());
    let store = DiskStore::open(home.path(), &DiskConfig::default(), groups).expect("opened");
    let ids: Vec<Digest> = (0..BLOCK * BLOCKS).map(digest).collect();
    let cpu = process_cpu();
    let mut slowest = Duration::ZERO;
    for (height, block) in (1..).zip(ids.chunks(BLOCK as usize)) {
        let started = Instant::now();
        store.index_transactions(Height(height), block);
        slowest = slowest.max(started.elapsed());
    }
    let added = process_cpu() - cpu;
    drop(store);
    let count = (BLOCK * BLOCKS) as f64;
    println!(
        "transaction index: {:.0} ns CPU per insert with all flushes ({:.0} ns without the last), slowest block {slowest:?}",
        (process_cpu() - cpu).as_secs_f64() * 1e9 / count,
        added.as_secs_f64() * 1e9 / count,
    );

    let groups = Arc::new(Groups::default());
    let store = DiskStore::open(home.path(), &DiskConfig::default(), groups).expect("opened");
    for (name, offset) in [("present", 0), ("absent", BLOCK * BLOCKS)] {
        let started = Instant::now();
        for number in 0..10_000 {
            let id = digest(offset + number * (BLOCKS / 10) % (BLOCK * BLOCKS));
            let found = store.transaction(&id).expect("readable");
            assert_eq!(found.is_some(), name == "present");
        }
        println!(
            "transaction index: {:?} per lookup, {name}, 8 files",
            started.elapsed() / 10_000
        );
    }
}

/// The alternative to the transaction index: one table entry per transaction.
fn transactions_as_entries() {
    const BLOCK: u32 = 1000;
    const BLOCKS: u32 = 1000;
    let home = tempfile::tempdir().expect("temporary directory");
    let groups = Arc::new(Groups::default());
    let store = DiskStore::open(home.path(), &DiskConfig::default(), groups).expect("opened");
    let (done, wait) = mpsc::channel();
    let cpu = process_cpu();
    for height in 0..BLOCKS {
        let mut changes = Changes::new(Database::Main);
        for position in 0..BLOCK {
            let id = digest(u64::from(height * BLOCK + position));
            changes.put(Table::Meta, &id.0[..16], vec![0; 12]);
        }
        let done = done.clone();
        store.commit(
            changes,
            Box::new(move || done.send(()).expect("the bench waits")),
        );
    }
    drop(done);
    wait.iter().count();
    drop(store);
    println!(
        "transactions as entries of a table: {:.0} ns CPU per insert, later compactions not counted",
        (process_cpu() - cpu).as_secs_f64() * 1e9 / f64::from(BLOCK * BLOCKS),
    );
}

fn main() {
    for (body_bytes, bytes_per_second) in
        [(64 * 1024, 30e6), (512 * 1024, 50e6), (512 * 1024, 200e6)]
    {
        bodies(&Load {
            body_bytes,
            bytes_per_second,
            total_bytes: 300_000_000,
        });
    }
    safety_records();
    transaction_index();
    transactions_as_entries();
}
