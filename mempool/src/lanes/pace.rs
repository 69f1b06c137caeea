//! How much of the own lane may wait to be ordered.
//!
//! A lane that runs as far ahead as memory allows turns an overloaded network into one long queue:
//! nothing is refused until it is full, everything waits for minutes, and in the end expires instead of
//! being ordered. The queue that shares fairly and refuses is the pool, so the lane should hold no more
//! than keeps the network busy.
//!
//! That amount is bandwidth times delay, as in BBR (Cardwell et al., ACM Queue 14(5), 2016): the highest
//! rate at which own bytes were ordered lately, times the lowest time that a batch took. The window is
//! half as much again, so that a rate which has grown is noticed: while the lane is the limit, it grows
//! by half with every batch's time. Where the network is the limit, a batch takes half as long again as
//! it would alone.
//!
//! - A **sample** of the rate is what was ordered between sealing a batch and its commit, over that
//!   time. A lane that had nothing to send gives low samples, which the maximum leaves out.
//! - The lowest time is only seen while no queue stands. So if it is older than [`PROBE_AFTER`], the
//!   window falls below the product until a batch that was sealed after that is ordered.
//! - The window never falls below half of a block: what little load needs is no question of rates.

use squad_primitives::{BatchSeq, Duration, Time};
use std::collections::VecDeque;

/// How long a rate is remembered: between one and two of these.
const RATE_SPAN: Duration = Duration::from_secs(5);
/// The same for the lowest time.
const LATENCY_SPAN: Duration = Duration::from_secs(30);
/// Age of the lowest time after which it is measured again.
const PROBE_AFTER: Duration = Duration::from_secs(10);
/// The window in quarters of bandwidth times delay, usually and while the delay is measured again.
const QUARTERS: u128 = 6;
const QUARTERS_PROBE: u128 = 3;

/// A batch that is not ordered yet.
#[derive(Clone, Copy, Debug)]
struct Sent {
    seq: BatchSeq,
    at: Time,
    /// Own bytes that had been ordered by then.
    ordered: u64,
}

/// The best of two spans: the current one and the one before.
#[derive(Clone, Copy, Debug, Default)]
struct Best {
    since: Time,
    current: Option<u64>,
    before: Option<u64>,
}

impl Best {
    fn note(&mut self, now: Time, span: Duration, value: u64, better: fn(u64, u64) -> u64) {
        if now.since(self.since) >= span {
            self.before = self.current.take();
            self.since = now;
        }
        self.current = Some(self.current.map_or(value, |best| better(best, value)));
    }

    fn get(&self, better: fn(u64, u64) -> u64) -> Option<u64> {
        match (self.current, self.before) {
            (Some(a), Some(b)) => Some(better(a, b)),
            (one, other) => one.or(other),
        }
    }
}

/// Measures the own lane.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// At most as many as the lane's window of batches.
    sent: VecDeque<Sent>,
    ordered: u64,
    /// Bytes per second.
    rate: Best,
    /// Microseconds.
    latency: Best,
    /// When a batch last took no longer than the lowest time.
    lowest_at: Time,
    /// Last batch that was sealed before the window fell.
    probing: Option<BatchSeq>,
}

impl Pace {
    /// An own batch is durable and leaves.
    pub(super) fn on_sent(&mut self, now: Time, seq: BatchSeq, limit: u64) {
        // A commit that never comes must not make this grow; the oldest would give the worst samples.
        if self.sent.len() as u64 >= limit {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent {
            seq,
            at: now,
            ordered: self.ordered,
        });
    }

    /// Own batches up to `seq` are final, with so many bytes.
    pub(super) fn on_ordered(&mut self, now: Time, seq: BatchSeq, bytes: u64) {
        self.ordered = self.ordered.saturating_add(bytes);
        let mut last = None;
        while let Some(sent) = self.sent.pop_front_if(|sent| sent.seq <= seq) {
            last = Some(sent);
        }
        // Batches of an earlier run of this process have no time.
        let Some(sent) = last else {
            return;
        };
        let elapsed = now.since(sent.at);
        let micros = u64::try_from(elapsed.as_micros())
            .unwrap_or(u64::MAX)
            .max(1);
        let bytes = u128::from(self.ordered.saturating_sub(sent.ordered));
        let rate = bytes * 1_000_000 / u128::from(micros);
        let rate = u64::try_from(rate).unwrap_or(u64::MAX);
        self.rate.note(now, RATE_SPAN, rate, u64::max);
        let lowest = self.latency.get(u64::min);
        self.latency.note(now, LATENCY_SPAN, micros, u64::min);
        if lowest.is_none_or(|lowest| micros <= lowest) {
            self.lowest_at = now;
        }
        self.probe(now, sent.seq);
    }

    fn probe(&mut self, now: Time, ordered: BatchSeq) {
        match self.probing {
            Some(last) if ordered > last => {
                self.probing = None;
                self.lowest_at = now;
            }
            Some(_) => {}
            None if now.since(self.lowest_at) >= PROBE_AFTER => {
                self.probing = Some(self.sent.back().map_or(ordered, |sent| sent.seq));
            }
            None => {}
        }
    }

    /// Bytes that may wait to be ordered, at least `floor`.
    pub(super) fn window(&self, floor: u64) -> u64 {
        let (Some(rate), Some(latency)) = (self.rate.get(u64::max), self.latency.get(u64::min))
        else {
            return floor;
        };
        let quarters = match self.probing {
            None => QUARTERS,
            Some(_) => QUARTERS_PROBE,
        };
        let bytes = u128::from(rate) * u128::from(latency) / 1_000_000 * quarters / 4;
        u64::try_from(bytes).unwrap_or(u64::MAX).max(floor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: u64 = 10_000;
    const FLOOR: u64 = 2 * BATCH;
    const TICK: u64 = 10_000;

    /// A network that orders a batch `alone` ticks after it was sent, at most `per_tick` bytes per tick,
    /// and an owner that always has more to send. Returns bytes ordered and the longest wait of a batch
    /// in the second half, in ticks, and the window at the end.
    fn saturate(pace: &mut Pace, ticks: u64, alone: u64, per_tick: u64) -> (u64, u64, u64) {
        let mut waiting: VecDeque<(BatchSeq, u64)> = VecDeque::new();
        let (mut seq, mut credit, mut done, mut longest) = (BatchSeq::ZERO, 0, 0, 0);
        for tick in 0..ticks {
            let now = Time(tick * TICK);
            credit = (credit + per_tick).min(4 * BATCH);
            let mut last = None;
            let mut bytes = 0;
            while let Some((seq, sent)) =
                waiting.pop_front_if(|(_, sent)| tick >= *sent + alone && credit >= BATCH)
            {
                credit -= BATCH;
                bytes += BATCH;
                last = Some(seq);
                if tick > ticks / 2 {
                    longest = longest.max(tick - sent);
                    done += BATCH;
                }
            }
            if let Some(seq) = last {
                pace.on_ordered(now, seq, bytes);
            }
            while (waiting.len() as u64) * BATCH < pace.window(FLOOR) {
                seq = seq.next();
                pace.on_sent(now, seq, 1_024);
                waiting.push_back((seq, tick));
            }
        }
        (done, longest, pace.window(FLOOR))
    }

    #[test]
    fn a_saturated_network_is_kept_busy_and_its_queue_short() {
        // One batch per tick, ten ticks each: ten batches fill it.
        let (done, longest, _) = saturate(&mut Pace::default(), 4_000, 10, BATCH);
        assert!(done >= 1_990 * BATCH * 97 / 100, "{done}");
        assert!(longest <= 25, "{longest}");
    }

    #[test]
    fn a_queue_that_stands_for_minutes_does_not_grow() {
        let (done, longest, window) = saturate(&mut Pace::default(), 60_000, 10, BATCH);
        assert!(done >= 29_900 * BATCH * 97 / 100, "{done}");
        assert!(longest <= 25, "{longest}");
        assert!(window <= 25 * BATCH, "{window}");
    }

    #[test]
    fn the_window_opens_to_whatever_the_network_takes() {
        let mut pace = Pace::default();
        let (_, _, narrow) = saturate(&mut pace, 500, 10, BATCH);
        let mut pace = Pace::default();
        let (done, _, wide) = saturate(&mut pace, 500, 10, 4 * BATCH);
        assert!(wide > 3 * narrow, "{wide} {narrow}");
        assert!(done >= 240 * 4 * BATCH * 9 / 10, "{done}");
    }

    #[test]
    fn little_load_has_its_floor() {
        let mut pace = Pace::default();
        assert_eq!(pace.window(FLOOR), FLOOR);
        for second in 1..100 {
            let seq = BatchSeq(second);
            pace.on_sent(Time(second * 1_000_000), seq, 1_024);
            pace.on_ordered(Time(second * 1_000_000 + 50_000), seq, 500);
            assert_eq!(pace.window(FLOOR), FLOOR);
        }
    }

    #[test]
    fn what_is_never_ordered_does_not_grow() {
        let mut pace = Pace::default();
        for seq in 1..5_000 {
            pace.on_sent(Time(seq), BatchSeq(seq), 1_024);
        }
        assert_eq!(pace.sent.len(), 1_024);
    }
}
