//! When to cut a batch: pure timing.
//!
//! 1. Nothing waits, or [`BatcherConfig::in_flight_max`] own batches wait for their proofs, or enough of
//!    the own lane waits to be ordered ([`Ahead`]): nothing is cut.
//! 2. Enough waits for a full batch: cut at once.
//! 3. No own batch is in flight and the last one is at least the *gap* old: cut at once.
//! 4. Something has waited for the *delay*: cut.
//!
//! At low load the gap is 3 ms and the delay 5 ms, so a transaction seldom waits. Each batch costs the
//! network a fixed amount of work, whatever it holds: the owner's signature, n-1 checks of it, n-1
//! acknowledgements, their checks and the messages. With four operators on one machine that is about
//! 250 µs of CPU. At a gap of 3 ms and 5,000 transactions per second a batch holds 15 of them and each
//! pays 17 µs for it, as much as for everything else together. Ten milliseconds make that 5 µs at the
//! price of 3.5 ms of mean latency. So between [`BatcherConfig::stretch_from`] and
//! [`BatcherConfig::stretch_full`] transactions per second, gap and delay both stretch linearly to
//! [`BatcherConfig::delay_stretched`]. Far above that load rule 2 decides, and batches come faster
//! again.
//!
//! A batch takes no more than the lane may still hold: what it leaves stays in the pool, which shares it
//! fairly. Where the lane is what holds transactions back, the pool may hold half as much again and no more
//! ([`Batcher::pool_room`]): whoever comes then is refused at once instead of waiting in a long queue.
//! Elsewhere the pool's own limits apply, so that a burst which the network can take is taken.

use crate::pool::Load;
use squad_primitives::{Duration, Time};

/// Settings of the batcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatcherConfig {
    /// A batch is full at this many bytes of waiting transactions; at most the genesis limit less the
    /// offset table.
    pub batch_bytes: u64,
    /// Least time between two batches while none is in flight.
    pub gap_min: Duration,
    /// Longest time that a transaction waits at low load, unless the window is full.
    pub delay_max: Duration,
    /// Both of the above at high load.
    pub delay_stretched: Duration,
    /// Most own batches without a proof of availability.
    pub in_flight_max: usize,
    /// Transactions per second of the own lane above which gap and delay stretch.
    pub stretch_from: u64,
    /// Transactions per second of the own lane at which they are fully stretched.
    pub stretch_full: u64,
}

impl Default for BatcherConfig {
    fn default() -> Self {
        Self {
            batch_bytes: 512 << 10,
            gap_min: Duration::from_millis(3),
            delay_max: Duration::from_millis(5),
            delay_stretched: Duration::from_millis(10),
            in_flight_max: 8,
            stretch_from: 1_000,
            stretch_full: 5_000,
        }
    }
}

/// How far the own lane is ahead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ahead {
    /// Own batches that were sealed and have no proof yet.
    pub in_flight: usize,
    /// Bytes of own batches that were sealed and are not committed yet.
    pub bytes: u64,
    /// As many keep the network busy.
    pub enough: u64,
}

impl Ahead {
    /// Whether so much waits that a batch for what is left would be a waste of signatures.
    const fn is_enough(&self) -> bool {
        self.bytes > 0 && self.bytes >= self.enough - self.enough / 16
    }
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Cut a batch.
    Cut {
        /// Most bytes that it may hold, unless its only transaction is larger.
        bytes_max: u64,
    },
    /// Ask again at this time, or when something changes.
    WaitUntil(Time),
    /// Ask again when a transaction is pushed or a proof is formed.
    Idle,
}

/// Decides when the next batch is cut.
#[derive(Clone, Debug)]
pub struct Batcher {
    config: BatcherConfig,
    last: Option<Time>,
    /// Transactions per second, averaged over about [`RATE_SPAN_MICROS`].
    rate: u64,
    /// When transactions last waited because enough of the lane did, or enough batches for their proofs,
    /// and how many bytes were enough.
    held: Option<(Time, u64)>,
}

/// How long after the lane held transactions back it counts as what holds them back.
const HELD_SPAN: Duration = Duration::from_secs(1);

/// Span over which the rate forgets.
const RATE_SPAN_MICROS: u64 = 100_000;

impl Batcher {
    /// A batcher that has cut nothing yet.
    #[must_use]
    pub const fn new(config: BatcherConfig) -> Self {
        Self {
            config,
            last: None,
            rate: 0,
            held: None,
        }
    }

    /// Whether to cut now, for what waits in the pool and how far the own lane is ahead.
    #[must_use]
    pub fn decide(&mut self, now: Time, load: &Load, ahead: &Ahead) -> Decision {
        let Some(since) = load.since.filter(|_| load.transactions > 0) else {
            return Decision::Idle;
        };
        if ahead.is_enough() {
            self.held = Some((now, ahead.enough));
            return Decision::Idle;
        }
        let in_flight = ahead.in_flight;
        let cut = Decision::Cut {
            bytes_max: ahead.enough.saturating_sub(ahead.bytes),
        };
        if in_flight >= self.config.in_flight_max {
            self.held = Some((now, ahead.enough));
            return Decision::Idle;
        }
        if load.bytes >= self.config.batch_bytes {
            return cut;
        }
        let by_delay = since.after(self.stretched(self.config.delay_max));
        let due = match self.last {
            _ if in_flight > 0 => by_delay,
            None => now,
            Some(last) => by_delay.min(last.after(self.stretched(self.config.gap_min))),
        };
        if now >= due {
            cut
        } else {
            Decision::WaitUntil(due)
        }
    }

    /// Most bytes that the pool should hold now, if the lane holds transactions back.
    #[must_use]
    pub fn pool_room(&self, now: Time) -> Option<u64> {
        let (at, enough) = self.held?;
        (now.since(at) < HELD_SPAN).then_some(enough / 2)
    }

    /// A batch of so many transactions was cut.
    pub fn on_cut(&mut self, now: Time, transactions: usize) {
        let elapsed = self.last.map_or(RATE_SPAN_MICROS, |last| {
            now.0.saturating_sub(last.0).clamp(1, RATE_SPAN_MICROS)
        });
        // Exponential average with weight elapsed / span; the batch itself is rate × elapsed.
        let kept = self.rate.saturating_mul(RATE_SPAN_MICROS - elapsed) / RATE_SPAN_MICROS;
        let added = (transactions as u64).saturating_mul(1_000_000 / RATE_SPAN_MICROS);
        self.rate = kept.saturating_add(added);
        self.last = Some(now);
    }

    fn stretched(&self, calm: Duration) -> Duration {
        let (from, full) = (self.config.stretch_from, self.config.stretch_full);
        let span = full.saturating_sub(from).max(1);
        let part = self.rate.clamp(from, from.saturating_add(span)) - from;
        let extra = self.config.delay_stretched.saturating_sub(calm);
        let micros = extra.as_micros() * u128::from(part) / u128::from(span);
        calm.saturating_add(Duration::from_micros(
            u64::try_from(micros).unwrap_or(u64::MAX),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000;
    const CUT: Decision = Decision::Cut {
        bytes_max: u64::MAX,
    };

    fn load(transactions: u64, bytes: u64, since: u64) -> Load {
        Load {
            transactions,
            bytes,
            since: Some(Time(since)),
        }
    }

    #[test]
    fn the_first_transaction_is_sent_at_once_and_the_gap_is_kept() {
        let mut batcher = Batcher::new(BatcherConfig::default());
        let now = Time(100 * MS);
        assert_eq!(batcher.decide(now, &load(1, 500, now.0), &ahead(0)), CUT);
        batcher.on_cut(now, 1);
        let due = Time(103 * MS);
        let waiting = load(1, 500, 101 * MS);
        assert_eq!(
            batcher.decide(Time(101 * MS), &waiting, &ahead(0)),
            Decision::WaitUntil(due)
        );
        assert_eq!(batcher.decide(due, &waiting, &ahead(0)), CUT);
    }

    #[test]
    fn with_a_batch_in_flight_the_delay_or_a_full_batch_decides() {
        let mut batcher = Batcher::new(BatcherConfig::default());
        batcher.on_cut(Time(0), 1);
        let waiting = load(9, 5_000, 20 * MS);
        assert_eq!(
            batcher.decide(Time(21 * MS), &waiting, &ahead(1)),
            Decision::WaitUntil(Time(25 * MS))
        );
        assert_eq!(batcher.decide(Time(25 * MS), &waiting, &ahead(1)), CUT);
        let full = load(1_000, 512 << 10, 20 * MS);
        assert_eq!(batcher.decide(Time(20 * MS), &full, &ahead(7)), CUT);
        assert_eq!(batcher.pool_room(Time(90 * MS)), None);
        assert_eq!(
            batcher.decide(Time(90 * MS), &full, &ahead(8)),
            Decision::Idle
        );
        // Proofs take a round trip: what comes in that time must not fill a pool without limit.
        assert_eq!(batcher.pool_room(Time(90 * MS)), Some(u64::MAX / 2));
    }

    const fn ahead(in_flight: usize) -> Ahead {
        Ahead {
            in_flight,
            bytes: 0,
            enough: u64::MAX,
        }
    }

    #[test]
    fn while_enough_of_the_lane_waits_nothing_is_cut_and_the_pool_is_short() {
        let mut batcher = Batcher::new(BatcherConfig::default());
        let full = load(1_000, 512 << 10, 0);
        let at = |bytes| Ahead {
            in_flight: 0,
            bytes,
            enough: 1_000,
        };
        assert_eq!(
            batcher.decide(Time(0), &full, &at(900)),
            Decision::Cut { bytes_max: 100 }
        );

        assert_eq!(batcher.pool_room(Time(0)), None);
        assert_eq!(batcher.decide(Time(0), &full, &at(950)), Decision::Idle);
        assert_eq!(batcher.pool_room(Time(0)), Some(500));
        assert_eq!(
            batcher.decide(Time(1), &full, &at(10)),
            Decision::Cut { bytes_max: 990 }
        );
        assert_eq!(batcher.pool_room(Time(999 * MS)), Some(500));
        assert_eq!(batcher.pool_room(Time(1_000 * MS)), None);
    }

    #[test]
    fn nothing_waiting_is_idle() {
        let mut batcher = Batcher::new(BatcherConfig::default());
        assert_eq!(
            batcher.decide(Time(1), &Load::default(), &ahead(0)),
            Decision::Idle
        );
    }

    /// Runs one second of evenly spaced arrivals and returns the number of batches. No batch stays in
    /// flight, so the gap decides.
    fn batches_per_second(tx_per_second: u64) -> u64 {
        let mut batcher = Batcher::new(BatcherConfig::default());
        let (mut queued, mut since, mut batches) = (0, 0, 0);
        for tick in 0..20_000_u64 {
            let now = tick * 100;
            let arrived = |t: u64| t * tx_per_second / 1_000_000;
            let new = arrived(now + 100) - arrived(now);
            if queued == 0 && new > 0 {
                since = now;
            }
            queued += new;
            let state = load(queued, queued * 550, since);
            if batcher.decide(Time(now), &state, &ahead(0)) == CUT {
                batcher.on_cut(Time(now), queued as usize);
                queued = 0;
                batches += u64::from(tick >= 10_000);
            }
        }
        batches
    }

    #[test]
    fn batches_grow_with_load_instead_of_multiplying() {
        assert_eq!(batches_per_second(100), 100, "each alone at low load");
        let calm = batches_per_second(1_000);
        assert!((300..=340).contains(&calm), "{calm}");
        let busy = batches_per_second(8_000);
        assert!((98..=102).contains(&busy), "{busy}");
        let saturated = batches_per_second(400_000);
        assert!(
            saturated > 300,
            "full batches are not held back: {saturated}"
        );
    }
}
