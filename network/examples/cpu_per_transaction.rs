//! What the data plane costs: four operators in one process broadcast batches to each other over
//! loopback, and the processor time of the whole process is divided by the transactions moved. One
//! transaction of 512 bytes travels in three copies, so the unit is 1,536 bytes sent and received.
//!
//! `cargo run --release -p squad-network --example cpu_per_transaction -- <mtu> <batch KiB> <MiB>`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use bytes::Bytes;
use futures::future::{BoxFuture, join_all};
use prometheus_client::registry::Registry;
use squad_network::data::{Class, Credit, DataPlane, DataPlaneConfig, Inbound, Metrics, Peer};
use squad_primitives::{Digest, IdentityKey, OperatorId, Signer};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};
use tokio::sync::{Notify, Semaphore};

const OPERATORS: u32 = 4;
/// Batches an operator may have on the way.
const WINDOW: usize = 4;
const TICKS_PER_SECOND: f64 = 100.0;

struct Counter {
    connected: AtomicU64,
    all_connected: Arc<Notify>,
    /// Places in each sender's window; a batch gives its place back when the last copy arrived.
    windows: Arc<Vec<Semaphore>>,
    copies: Arc<Vec<AtomicU64>>,
}

impl Inbound for Counter {
    fn frame(&self, from: OperatorId, _class: Class, _frame: Bytes, _credit: Credit) {
        let from = from.0 as usize;
        let copies = self.copies[from].fetch_add(1, Ordering::Relaxed) + 1;
        if copies.is_multiple_of(u64::from(OPERATORS - 1)) {
            self.windows[from].add_permits(1);
        }
    }

    fn fetch(&self, _from: OperatorId, _request: Bytes) -> BoxFuture<'static, Option<Bytes>> {
        Box::pin(async { None })
    }

    fn connected(&self, _peer: OperatorId) {
        if self.connected.fetch_add(1, Ordering::Relaxed) + 2 == u64::from(OPERATORS) {
            self.all_connected.notify_one();
        }
    }

    fn disconnected(&self, _peer: OperatorId) {}
}

fn cpu_seconds() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split(' ').collect();
    let ticks = |i: usize| fields[i].parse::<f64>().unwrap() / TICKS_PER_SECOND;
    (ticks(12), ticks(13))
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<usize> = std::env::args()
        .skip(1)
        .map(|argument| argument.parse().expect("a number"))
        .collect();
    let [mtu, batch_kib, total_mib] = arguments[..] else {
        panic!("usage: <mtu> <batch KiB> <MiB per operator>");
    };
    let batches = (total_mib << 10) / batch_kib;
    let network = Digest([1; 32]);
    let windows = Arc::new((0..OPERATORS).map(|_| Semaphore::new(WINDOW)).collect());
    let copies: Arc<Vec<_>> = Arc::new((0..OPERATORS).map(|_| AtomicU64::new(0)).collect());
    let mut planes = Vec::new();
    let mut ready = Vec::new();
    let mut peers = Vec::new();
    for number in 0..OPERATORS {
        let identity = IdentityKey::from_seed([number as u8; 32]);
        let key = identity.public_key();
        let all_connected = Arc::new(Notify::new());
        let mut config = DataPlaneConfig::new(
            "127.0.0.1:0".parse().unwrap(),
            network,
            identity,
            OperatorId(number),
            Vec::new(),
            Metrics::register(&mut Registry::default()),
        );
        config.mtu_max = mtu as u16;
        let inbound = Counter {
            connected: AtomicU64::new(0),
            all_connected: all_connected.clone(),
            windows: Arc::clone(&windows),
            copies: copies.clone(),
        };
        let plane = DataPlane::start(config, Arc::new(inbound)).expect("starts");
        peers.push(Peer {
            operator: OperatorId(number),
            key,
            address: plane.local_addr().to_string(),
        });
        planes.push(plane);
        ready.push(all_connected);
    }
    for plane in &planes {
        plane.set_peers(peers.clone());
    }
    join_all(ready.iter().map(|ready| ready.notified())).await;

    let body = Bytes::from(vec![7; batch_kib << 10]);
    let run = |count: usize| {
        join_all(planes.iter().enumerate().map(|(i, plane)| {
            let (body, window) = (body.clone(), &windows[i]);
            async move {
                for _ in 0..count {
                    window.acquire().await.unwrap().forget();
                    let taken = plane.broadcast(Class::Batches, body.clone()).unwrap();
                    assert_eq!(taken, OPERATORS as usize - 1);
                }
                let all = window.acquire_many(WINDOW as u32).await.unwrap();
                drop(all);
            }
        }))
    };
    // Congestion windows open and MTU discovery ends before anything is measured.
    run(batches / 10 + 1).await;
    let (user, system) = cpu_seconds();
    let began = Instant::now();
    run(batches).await;
    let wall = began.elapsed().as_secs_f64();
    let (user, system) = (cpu_seconds().0 - user, cpu_seconds().1 - system);
    let bytes =
        (batches * (batch_kib << 10) * OPERATORS as usize * (OPERATORS as usize - 1)) as f64;
    let units = bytes / 1_536.0;
    let links: Vec<_> = planes.iter().flat_map(DataPlane::peers).collect();
    let lost: u64 = links.iter().map(|link| link.datagrams_lost).sum();
    let sent: u64 = links.iter().map(|link| link.datagrams_sent).sum();
    println!(
        "mtu {mtu:>5} batch {batch_kib:>4} KiB: {:.2} us of CPU per 1,536 B ({:.2} user, {:.2} system), {:.0} MB/s, {:.0} tx/s, {lost} of {sent} datagrams lost",
        (user + system) * 1e6 / units,
        user * 1e6 / units,
        system * 1e6 / units,
        bytes / wall / 1e6,
        units / wall,
    );
    for plane in &planes {
        plane.shutdown().await;
    }
}
