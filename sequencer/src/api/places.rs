//! How many of something one client address may hold at once: connections, streams.
//!
//! Without this a single address could take all that there are, and keep everybody else out. Addresses
//! are those of [`limits`](super::limits): loopback and listed ones are exempt. Only addresses that hold
//! something are remembered.

use super::limits::client_of;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Places of all addresses.
#[derive(Debug)]
pub(crate) struct Places {
    max: usize,
    trusted: Vec<IpAddr>,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// A place that is taken until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    /// `None` if the address is exempt.
    client: Option<IpAddr>,
}

impl Places {
    /// At most `max` for each address.
    pub(crate) fn new(max: usize, trusted: Vec<IpAddr>) -> Arc<Self> {
        Arc::new(Self {
            max,
            trusted,
            taken: Mutex::default(),
        })
    }

    /// Takes a place, if the address has one left.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let client = client_of(address, &self.trusted);
        if let Some(client) = client {
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            let count = taken.entry(client).or_default();
            // An entry is made with its first place only: `max` is at least one.
            if *count >= self.max {
                return None;
            }
            *count += 1;
        }
        Some(Place {
            places: Arc::clone(self),
            client,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(client) = self.client else {
            return;
        };
        let taken = &self.places.taken;
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(places: &Arc<Places>, address: IpAddr) -> (usize, Vec<Place>) {
        let taken: Vec<_> = (0..10).map_while(|_| places.take(address)).collect();
        (taken.len(), taken)
    }

    #[test]
    fn an_address_has_so_many_places_and_gets_them_back() {
        let [first, second] = [1, 2].map(|host| IpAddr::from([203, 0, 113, host]));
        let places = Places::new(3, Vec::new());
        let (taken, held) = count(&places, first);
        assert_eq!(taken, 3);
        assert_eq!(count(&places, second).0, 3, "others have their own");
        assert!(places.take(first).is_none());
        drop(held);
        assert_eq!(count(&places, first).0, 3);
        assert!(places.taken.lock().unwrap().is_empty(), "nothing is left");
    }

    #[test]
    fn a_network_of_ipv6_is_one_client_and_trusted_addresses_are_exempt() {
        let of = |text: &str| text.parse::<IpAddr>().unwrap();
        let places = Places::new(3, vec![of("203.0.113.9")]);
        let held = count(&places, of("2001:db8:1:2::1"));
        assert_eq!(held.0, 3);
        assert!(places.take(of("2001:db8:1:2:ffff::2")).is_none());
        assert!(places.take(of("2001:db8:1:3::1")).is_some());
        for exempt in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "203.0.113.9"] {
            assert_eq!(count(&places, of(exempt)).0, 10, "{exempt}");
        }
    }
}
