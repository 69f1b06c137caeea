//! What strangers may cost: attempts per address and per network, with memory that doesn't depend on
//! how many addresses show up.
//!
//! Token buckets in a table of fixed size, indexed by a keyed hash. Two sources that meet in one bucket
//! share it, which is strict rather than wrong; the key is secret, so nobody can aim at a bucket.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    time::{Duration, Instant},
};

const BUCKETS: usize = 1_024;
/// A source that was quiet may use this many seconds' worth at once.
const BURST_SECONDS: u32 = 4;

/// Limits attempts by source.
#[derive(Debug)]
pub(crate) struct SourceLimiter {
    hasher: RandomState,
    addresses: Table,
    networks: Table,
}

#[derive(Debug)]
struct Table {
    /// Time that one attempt takes to be paid off.
    cost: Duration,
    burst: Duration,
    /// When each bucket is paid off, counted from `epoch`.
    paid_at: Vec<Duration>,
    epoch: Instant,
}

impl SourceLimiter {
    pub(crate) fn new(per_address: u32, per_network: u32, now: Instant) -> Self {
        Self {
            hasher: RandomState::new(),
            addresses: Table::new(per_address, now),
            networks: Table::new(per_network, now),
        }
    }

    /// Whether `source` may try now. An attempt that is refused costs its source nothing further.
    pub(crate) fn admit(&mut self, source: IpAddr, now: Instant) -> bool {
        let (address, network) = prefixes(source);
        let address = self.hasher.hash_one(address);
        let network = self.hasher.hash_one(network);
        self.addresses.has_room(address, now)
            && self.networks.has_room(network, now)
            && self.addresses.charge(address, now)
            && self.networks.charge(network, now)
    }
}

impl Table {
    fn new(per_second: u32, epoch: Instant) -> Self {
        let cost = Duration::from_secs(1) / per_second.max(1);
        Self {
            cost,
            burst: cost * (per_second.max(1) * BURST_SECONDS - 1),
            paid_at: vec![Duration::ZERO; BUCKETS],
            epoch,
        }
    }

    fn bucket(&mut self, hash: u64) -> Option<&mut Duration> {
        self.paid_at.get_mut(hash as usize % BUCKETS)
    }

    fn has_room(&mut self, hash: u64, now: Instant) -> bool {
        let now = now.saturating_duration_since(self.epoch);
        let burst = self.burst;
        self.bucket(hash).is_some_and(|paid| *paid <= now + burst)
    }

    fn charge(&mut self, hash: u64, now: Instant) -> bool {
        let now = now.saturating_duration_since(self.epoch);
        let cost = self.cost;
        self.bucket(hash).is_some_and(|paid| {
            *paid = (*paid).max(now) + cost;
            true
        })
    }
}

/// What counts as one address and as one network: /32 and /24, or /64 and /48.
fn prefixes(source: IpAddr) -> (u128, u128) {
    match source.to_canonical() {
        IpAddr::V4(v4) => {
            let bits = u128::from(u32::from(v4));
            (bits, bits >> 8)
        }
        IpAddr::V6(v6) => {
            let bits = u128::from(v6);
            (bits >> 64, bits >> 80)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(limiter: &mut SourceLimiter, source: &str, tries: usize, now: Instant) -> usize {
        let source = source.parse().unwrap();
        (0..tries).filter(|_| limiter.admit(source, now)).count()
    }

    #[test]
    fn an_address_gets_a_burst_and_then_its_rate() {
        let start = Instant::now();
        let mut limiter = SourceLimiter::new(4, 1_000, start);
        assert_eq!(admitted(&mut limiter, "10.0.0.1", 100, start), 16);
        let later = start + Duration::from_secs(1);
        assert_eq!(admitted(&mut limiter, "10.0.0.1", 100, later), 4);
        let much_later = start + Duration::from_secs(3_600);
        assert_eq!(admitted(&mut limiter, "10.0.0.1", 100, much_later), 16);
    }

    #[test]
    fn many_addresses_of_one_network_share_its_limit() {
        let start = Instant::now();
        let mut limiter = SourceLimiter::new(4, 16, start);
        let total: usize = (0..=255)
            .map(|host| admitted(&mut limiter, &format!("10.0.0.{host}"), 1, start))
            .sum();
        assert_eq!(total, 64);
    }

    #[test]
    fn one_ipv6_subscriber_is_one_address() {
        let start = Instant::now();
        let mut limiter = SourceLimiter::new(1, 1_000, start);
        assert_eq!(admitted(&mut limiter, "2001:db8::1", 4, start), 4);
        assert_eq!(admitted(&mut limiter, "2001:db8::ffff", 1, start), 0);
        assert_eq!(
            prefixes("::ffff:10.0.0.1".parse().unwrap()),
            prefixes("10.0.0.1".parse().unwrap())
        );
    }
}
