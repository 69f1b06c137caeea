//! Limits per client address: token buckets for submissions, reads and proofs.
//!
//! A bucket holds two seconds of its rate. A request is let through while the bucket is not empty and
//! may overdraw it: so a request that costs more than a full bucket passes sometimes, and the average
//! holds. Addresses are IPv4 /32 and IPv6 /64. Loopback and listed addresses are exempt.
//!
//! The table of buckets is bounded. When it is full, buckets that have filled up again are forgotten
//! (they say nothing); if all are in use, newcomers share one bucket, so that a flood of addresses
//! costs itself.

use squad_primitives::Duration;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Addresses that have buckets of their own; about 6 MiB.
const ADDRESSES_MAX: usize = 65_536;
/// Bytes of payload that cost one more token.
const SUBMIT_BYTES_PER_TOKEN: usize = 4 << 10;

/// What a request costs tokens of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Transactions.
    Submit,
    /// Anything that is read.
    Read,
    /// Proofs, which hash.
    Proof,
}

/// Tokens per second of each class.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rates {
    /// [`Class::Submit`].
    pub(crate) submit: u32,
    /// [`Class::Read`].
    pub(crate) read: u32,
    /// [`Class::Proof`].
    pub(crate) proof: u32,
}

impl Rates {
    fn of(&self, class: Class) -> f64 {
        f64::from(match class {
            Class::Submit => self.submit,
            Class::Read => self.read,
            Class::Proof => self.proof,
        })
    }
}

/// Tokens and when they were counted.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    counted: Instant,
}

impl Bucket {
    fn refill(&mut self, rate: f64, now: Instant) {
        let elapsed = now.saturating_duration_since(self.counted).as_secs_f64();
        self.tokens = (self.tokens + elapsed * rate).min(2.0 * rate);
        self.counted = now;
    }

    fn take(&mut self, rate: f64, cost: u32, now: Instant) -> Result<(), Duration> {
        self.refill(rate, now);
        if self.tokens <= 0.0 {
            // Until one token is there.
            let wait = (1.0 - self.tokens) / rate.max(1e-3);
            return Err(Duration::from_secs_f64(wait.min(3_600.0)));
        }
        self.tokens -= f64::from(cost);
        Ok(())
    }
}

/// Buckets of one address.
#[derive(Clone, Copy, Debug)]
struct Buckets([Bucket; 3]);

impl Buckets {
    fn full(rates: &Rates, now: Instant) -> Self {
        Self(
            [Class::Submit, Class::Read, Class::Proof].map(|class| Bucket {
                tokens: 2.0 * rates.of(class),
                counted: now,
            }),
        )
    }

    fn is_full(&mut self, rates: &Rates, now: Instant) -> bool {
        [Class::Submit, Class::Read, Class::Proof]
            .into_iter()
            .zip(&mut self.0)
            .all(|(class, bucket)| {
                bucket.refill(rates.of(class), now);
                bucket.tokens >= 2.0 * rates.of(class)
            })
    }
}

/// Buckets of all addresses.
#[derive(Debug)]
pub(crate) struct AddressLimits {
    rates: Rates,
    trusted: Vec<IpAddr>,
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    buckets: HashMap<IpAddr, Buckets>,
    newcomers: Buckets,
    addresses_max: usize,
}

impl AddressLimits {
    /// Limits with full buckets.
    pub(crate) fn new(rates: Rates, trusted: Vec<IpAddr>, now: Instant) -> Self {
        Self {
            rates,
            trusted,
            table: Mutex::new(Table {
                buckets: HashMap::new(),
                newcomers: Buckets::full(&rates, now),
                addresses_max: ADDRESSES_MAX,
            }),
        }
    }

    /// Takes `cost` tokens from the address' bucket, or says when there will be one.
    pub(crate) fn take(
        &self,
        address: IpAddr,
        class: Class,
        cost: u32,
        now: Instant,
    ) -> Result<(), Duration> {
        let Some(client) = client_of(address, &self.trusted) else {
            return Ok(());
        };
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = self.rates.of(class);
        let buckets = table.of(&self.rates, client, now);
        buckets.0[class as usize].take(rate, cost, now)
    }
}

impl Table {
    fn of(&mut self, rates: &Rates, address: IpAddr, now: Instant) -> &mut Buckets {
        if self.buckets.len() >= self.addresses_max && !self.buckets.contains_key(&address) {
            self.buckets
                .retain(|_, buckets| !buckets.is_full(rates, now));
            if self.buckets.len() >= self.addresses_max {
                return &mut self.newcomers;
            }
        }
        self.buckets
            .entry(address)
            .or_insert_with(|| Buckets::full(rates, now))
    }
}

/// The part of an address that stands for one client; `None` if it is exempt from limits.
pub(crate) fn client_of(address: IpAddr, trusted: &[IpAddr]) -> Option<IpAddr> {
    let address = address.to_canonical();
    if address.is_loopback() || trusted.contains(&address) {
        return None;
    }
    Some(match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    })
}

/// Tokens that submitting payloads of these lengths costs.
pub(crate) fn submit_cost(payloads: impl Iterator<Item = usize>) -> u32 {
    let cost: usize = payloads
        .map(|bytes| 1 + bytes / SUBMIT_BYTES_PER_TOKEN)
        .sum();
    u32::try_from(cost).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: Rates = Rates {
        submit: 100,
        read: 10,
        proof: 1,
    };
    const STRANGER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 1));

    fn taken(limits: &AddressLimits, address: IpAddr, now: Instant) -> usize {
        (0..1_000)
            .take_while(|_| limits.take(address, Class::Read, 1, now).is_ok())
            .count()
    }

    #[test]
    fn a_bucket_holds_two_seconds_and_refills_at_its_rate() {
        let start = Instant::now();
        let limits = AddressLimits::new(RATES, Vec::new(), start);
        assert_eq!(taken(&limits, STRANGER, start), 20);
        let wait = limits.take(STRANGER, Class::Read, 1, start).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        assert_eq!(taken(&limits, STRANGER, start + wait), 1);
        assert_eq!(
            taken(&limits, STRANGER, start + Duration::from_secs(60)),
            20
        );
        let other = IpAddr::from([203, 0, 113, 2]);
        assert_eq!(taken(&limits, other, start), 20, "buckets are separate");
    }

    #[test]
    fn a_costly_request_overdraws_and_is_paid_back() {
        let start = Instant::now();
        let limits = AddressLimits::new(RATES, Vec::new(), start);
        assert_eq!(limits.take(STRANGER, Class::Submit, 1_200, start), Ok(()));
        let wait = limits.take(STRANGER, Class::Submit, 1, start).unwrap_err();
        assert_eq!(wait, Duration::from_millis(10_010));
        assert_eq!(
            limits.take(STRANGER, Class::Submit, 1, start + wait),
            Ok(())
        );
    }

    #[test]
    fn loopback_and_trusted_addresses_are_exempt() {
        let start = Instant::now();
        let limits = AddressLimits::new(RATES, vec![STRANGER], start);
        for address in [
            STRANGER,
            IpAddr::from([127, 0, 0, 1]),
            "::1".parse().unwrap(),
            "::ffff:203.0.113.1".parse().unwrap(),
        ] {
            assert_eq!(taken(&limits, address, start), 1_000, "{address}");
        }
    }

    #[test]
    fn an_ipv6_network_is_one_client() {
        let start = Instant::now();
        let limits = AddressLimits::new(RATES, Vec::new(), start);
        assert_eq!(taken(&limits, "2001:db8::1".parse().unwrap(), start), 20);
        assert_eq!(taken(&limits, "2001:db8::2".parse().unwrap(), start), 0);
        assert_eq!(
            taken(&limits, "2001:db8:0:1::1".parse().unwrap(), start),
            20
        );
    }

    #[test]
    fn newcomers_share_a_bucket_when_the_table_is_full() {
        let start = Instant::now();
        let limits = AddressLimits::new(RATES, Vec::new(), start);
        limits.table.lock().unwrap().addresses_max = 2;
        let address = |last| IpAddr::from([203, 0, 113, last]);
        for last in 1..=2 {
            assert_eq!(taken(&limits, address(last), start), 20);
        }
        assert_eq!(taken(&limits, address(3), start), 20);
        assert_eq!(taken(&limits, address(4), start), 0);
        let later = start + Duration::from_secs(10);
        assert_eq!(taken(&limits, address(5), later), 20, "idle buckets went");
        assert_eq!(limits.table.lock().unwrap().buckets.len(), 1);
    }

    #[test]
    fn submissions_cost_by_count_and_size() {
        assert_eq!(submit_cost([0, 4_095, 4_096, 131_072].into_iter()), 37);
    }
}
