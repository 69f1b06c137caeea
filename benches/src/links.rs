//! Simulated links between replicas of one process, in real time.
//!
//! A message is a string of bytes. It arrives after the configured one-way delay, carried by one
//! router thread for all links; with a delay of zero it is put into the receiver's inbox by the
//! sender. It is lost if its two replicas can't hear each other when it is sent or when it would
//! arrive. Links don't limit bandwidth, and jitter may reorder messages of one link.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// A message that arrived.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Index of the sender.
    pub from: usize,
    /// The message.
    pub bytes: Bytes,
}

/// Delay of every link.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delay {
    /// Least one-way delay.
    pub base: Duration,
    /// Each message takes up to this much longer, evenly spread.
    pub jitter: Duration,
}

impl Delay {
    /// Delay of the `number`th message: a fixed pseudo-random sequence (SplitMix64).
    #[must_use]
    pub fn of(&self, number: u64) -> Duration {
        let jitter = u64::try_from(self.jitter.as_nanos()).unwrap_or(u64::MAX);
        if jitter == 0 {
            return self.base;
        }
        let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        self.base + Duration::from_nanos(mixed % jitter)
    }
}

/// What was sent between different replicas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Messages; a broadcast counts once per receiver.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
}

#[derive(Debug)]
struct Parcel {
    due: Instant,
    to: usize,
    delivery: Delivery,
}

#[derive(Debug)]
struct Ends {
    inboxes: Vec<Sender<Delivery>>,
    /// Replicas hear only replicas of the same group.
    groups: Vec<AtomicUsize>,
}

impl Ends {
    fn connected(&self, a: usize, b: usize) -> bool {
        self.groups[a].load(Relaxed) == self.groups[b].load(Relaxed)
    }

    fn deliver(&self, to: usize, delivery: Delivery) {
        if self.connected(delivery.from, to) {
            // A replica that has stopped has no inbox any more.
            let _ = self.inboxes[to].send(delivery);
        }
    }
}

/// The links of all replicas. Clones share them.
#[derive(Clone, Debug)]
pub struct Links {
    ends: Arc<Ends>,
    router: Option<Sender<Parcel>>,
    delay: Delay,
    messages: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
}

impl Links {
    /// Links between `replicas` replicas, all connected, and the inbox of each.
    #[must_use]
    pub fn new(replicas: usize, delay: Delay) -> (Self, Vec<Receiver<Delivery>>) {
        let (inboxes, receivers) = (0..replicas).map(|_| mpsc::channel()).unzip();
        let ends = Arc::new(Ends {
            inboxes,
            groups: (0..replicas).map(|_| AtomicUsize::new(0)).collect(),
        });
        let router = (!delay.base.is_zero() || !delay.jitter.is_zero()).then(|| {
            let (sender, parcels) = mpsc::channel();
            let ends = ends.clone();
            thread::spawn(move || route(&parcels, &ends));
            sender
        });
        let links = Self {
            ends,
            router,
            delay,
            messages: Arc::default(),
            bytes: Arc::default(),
        };
        (links, receivers)
    }

    /// Sends to one replica; to itself without delay, uncounted.
    pub fn send(&self, from: usize, to: usize, bytes: Bytes) {
        let delivery = Delivery { from, bytes };
        if from == to {
            return self.ends.deliver(to, delivery);
        }
        let number = self.messages.fetch_add(1, Relaxed);
        self.bytes.fetch_add(delivery.bytes.len() as u64, Relaxed);
        if !self.ends.connected(from, to) {
            return;
        }
        match &self.router {
            Some(router) => {
                let due = Instant::now() + self.delay.of(number);
                // The router lives as long as any clone of the links.
                let _ = router.send(Parcel { due, to, delivery });
            }
            None => self.ends.deliver(to, delivery),
        }
    }

    /// Sends to all others.
    pub fn broadcast(&self, from: usize, bytes: &Bytes) {
        for to in (0..self.ends.inboxes.len()).filter(|to| *to != from) {
            self.send(from, to, bytes.clone());
        }
    }

    /// Moves a replica to a group; it hears and reaches only replicas of that group.
    pub fn set_group(&self, replica: usize, group: usize) {
        self.ends.groups[replica].store(group, Relaxed);
    }

    /// What was sent so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        Traffic {
            messages: self.messages.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
        }
    }
}

fn route(parcels: &Receiver<Parcel>, ends: &Ends) {
    let mut waiting: BTreeMap<(Instant, u64), Parcel> = BTreeMap::new();
    let mut number = 0;
    loop {
        let next = match waiting.first_key_value() {
            None => parcels.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(((due, _), _)) => {
                parcels.recv_timeout(due.saturating_duration_since(Instant::now()))
            }
        };
        match next {
            Ok(parcel) => {
                number += 1;
                waiting.insert((parcel.due, number), parcel);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let now = Instant::now();
        while let Some(first) = waiting.first_entry().filter(|first| first.key().0 <= now) {
            let parcel = first.remove();
            ends.deliver(parcel.to, parcel.delivery);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn messages_arrive_after_the_delay_in_the_order_of_their_sending() {
        let delay = Delay {
            base: Duration::from_millis(20),
            jitter: Duration::ZERO,
        };
        let (links, inboxes) = Links::new(3, delay);
        let start = Instant::now();
        links.send(0, 1, message("first"));
        links.broadcast(0, &message("second"));
        links.send(0, 0, message("own"));
        let received = [0, 1, 1, 2].map(|to| inboxes[to].recv().expect("delivered"));
        assert!(start.elapsed() >= delay.base);
        let received = received.map(|delivery| delivery.bytes);
        assert_eq!(received, ["own", "first", "second", "second"].map(message));
        let expected = Traffic {
            messages: 3,
            bytes: 17,
        };
        assert_eq!(links.traffic(), expected);
    }

    #[test]
    fn a_message_is_lost_between_groups() {
        let (links, inboxes) = Links::new(2, Delay::default());
        links.set_group(1, 1);
        links.send(0, 1, message("lost"));
        links.set_group(1, 0);
        links.send(0, 1, message("heard"));
        let delivery = inboxes[1].recv().expect("delivered");
        assert_eq!(delivery.bytes, message("heard"));
    }
}
