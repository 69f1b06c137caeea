//! A UDP relay in front of each operator.
//!
//! The genesis names the relay's front address. A packet from operator `a` to `b` arrives there from
//! `a`'s own socket (operators dial and listen on one), so the relay of `b` knows who sent it, and passes
//! it on from a socket that it keeps for that sender: QUIC sees one stable path. Answers come back to
//! that socket and leave through the front. Both directions pass the rules of [`Weather`].

use crate::weather::Weather;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::Instant;

/// Largest UDP payload.
const PACKET_BYTES_MAX: usize = 65_535;

/// Rules and counters that all relays share.
#[derive(Debug)]
pub struct Sky {
    weather: Mutex<Weather>,
    calm: Weather,
    passed: AtomicU64,
    lost: AtomicU64,
}

impl Sky {
    /// Links without faults between so many operators.
    #[must_use]
    pub fn new(operators: usize) -> Arc<Self> {
        let calm = Weather::calm(operators);
        Arc::new(Self {
            weather: Mutex::new(calm.clone()),
            calm,
            passed: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        })
    }

    /// New rules from now on.
    pub fn change(&self, change: impl FnOnce(&mut Weather)) {
        change(&mut self.lock());
    }

    /// No faults from now on.
    pub fn clear(&self) {
        *self.lock() = self.calm.clone();
    }

    /// Packets that passed, and that were lost.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (
            self.passed.load(Ordering::Relaxed),
            self.lost.load(Ordering::Relaxed),
        )
    }

    fn lock(&self) -> MutexGuard<'_, Weather> {
        self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A relay that is bound, before its operator's address is known.
#[derive(Debug)]
pub struct Front {
    socket: UdpSocket,
    address: SocketAddr,
}

impl Front {
    /// Takes a free port of the loopback interface.
    ///
    /// # Errors
    /// If there is none.
    pub async fn bind() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// The address for the genesis.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Relays packets for operator `me`; `operators` are the real addresses of all, by number. Ends with
    /// the runtime.
    pub fn start(self, me: usize, operators: Vec<SocketAddr>, sky: Arc<Sky>, seed: u64) {
        let relay = Arc::new(Relay {
            front: self.socket,
            me,
            operators,
            sky,
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
        });
        tokio::spawn(async move { relay.run().await });
    }
}

#[derive(Debug)]
struct Relay {
    front: UdpSocket,
    me: usize,
    operators: Vec<SocketAddr>,
    sky: Arc<Sky>,
    rng: Mutex<StdRng>,
}

impl Relay {
    async fn run(self: Arc<Self>) {
        let mut backs: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
        let mut buffer = vec![0; PACKET_BYTES_MAX];
        loop {
            // Errors here tell of earlier packets to a port that is closed: the operator is down.
            let Ok((length, source)) = self.front.recv_from(&mut buffer).await else {
                continue;
            };
            let Some(from) = self.operators.iter().position(|address| *address == source) else {
                continue;
            };
            if let std::collections::hash_map::Entry::Vacant(entry) = backs.entry(source) {
                let Ok(back) = self.back(from, source).await else {
                    continue;
                };
                entry.insert(back);
            }
            if let Some(back) = backs.get(&source).cloned() {
                let relay = self.clone();
                let packet = buffer[..length].to_vec();
                self.deliver(from, self.me, packet, move |packet| {
                    // A full or refused send is a lost packet, as on any network.
                    let _ = back.try_send_to(packet, relay.operators[relay.me]);
                });
            }
        }
    }

    /// The socket that stands for one sender towards the operator, and the way back.
    async fn back(self: &Arc<Self>, from: usize, source: SocketAddr) -> io::Result<Arc<UdpSocket>> {
        let back = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
        let (relay, socket) = (self.clone(), back.clone());
        tokio::spawn(async move {
            let mut buffer = vec![0; PACKET_BYTES_MAX];
            loop {
                let Ok((length, _)) = socket.recv_from(&mut buffer).await else {
                    continue;
                };
                let (packet, answer) = (buffer[..length].to_vec(), relay.clone());
                relay.deliver(relay.me, from, packet, move |packet| {
                    let _ = answer.front.try_send_to(packet, source);
                });
            }
        });
        Ok(back)
    }

    fn deliver(
        &self,
        from: usize,
        to: usize,
        packet: Vec<u8>,
        send: impl Fn(&[u8]) + Send + Sync + 'static,
    ) {
        let link = self.sky.lock().link(from, to);
        let mut rng = StdRng::seed_from_u64(
            self.rng
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .random(),
        );
        let delays: Vec<Duration> = link.pass(&mut rng).collect();
        match delays.as_slice() {
            [] => drop(self.sky.lost.fetch_add(1, Ordering::Relaxed)),
            [Duration::ZERO] => {
                self.sky.passed.fetch_add(1, Ordering::Relaxed);
                send(&packet);
            }
            _ => {
                self.sky.passed.fetch_add(1, Ordering::Relaxed);
                let now = Instant::now();
                tokio::spawn(async move {
                    let mut delays = delays;
                    delays.sort_unstable();
                    for delay in delays {
                        tokio::time::sleep_until(now + delay).await;
                        send(&packet);
                    }
                });
            }
        }
    }
}
