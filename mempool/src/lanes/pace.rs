//! How much of the own lane may wait to be ordered.
//!
//! A lane that runs as far ahead as memory allows turns an overloaded network into one long queue:
//! nothing is refused until it is full, everything waits for minutes, and in the end expires instead of
//! being ordered. The queue that shares fairly and refuses is the pool, so the lane should hold no more
//! than keeps the network busy.
//!
//! That amount is bandwidth times delay, as in BBR (Cardwell et al., ACM Queue 14(5), 2016): the highest
//! rate at which own bytes were ordered lately, times the lowest time that a batch took and the time
//! between two commits. The latter because a lane that is held back seals when a commit makes room, just
//! after a block was proposed, so that its batches wait for the next one: the lowest time is that of a
//! batch which just caught a block. It is also what lets the window grow when the network takes more.
//!
//! - A **sample** of the rate is what was ordered in the last [`SAMPLE_SPAN`], or since the last commit
//!   before that. Blocks take whole batches, so a lane moves in steps: over the time of one batch, some
//!   samples would be a third too high, the maximum would keep just those, and a window that is a third
//!   too wide never empties. A lane that had nothing to send gives low samples, which the maximum leaves
//!   out.
//! - The lowest time is only seen while no queue stands. So if it is older than [`PROBE_AFTER`], the
//!   window falls to three quarters of rate times lowest time, until a batch that was sealed after that
//!   is ordered.
//! - The time between commits is their average over [`SAMPLE_SPAN`], but no more than the lowest time:
//!   a lane that idled has no say in how blocks come.
//! - The window never falls below half of a block: what little load needs is no question of rates.

use squad_primitives::{BatchSeq, Duration, Time};
use std::collections::VecDeque;

/// Time over which a rate is measured.
const SAMPLE_SPAN: Duration = Duration::from_secs(1);
/// How long a rate is remembered: between one and two of these.
const RATE_SPAN: Duration = Duration::from_secs(5);
/// The same for the lowest time. Long, because a lane that is held back never sees it: it seals just
/// after commits. Paths seldom grow longer; where one does, the window is too small until the old time
/// is forgotten, but never below its floor.
const LATENCY_SPAN: Duration = Duration::from_secs(150);
/// Age of the lowest time after which it is measured again.
const PROBE_AFTER: Duration = Duration::from_secs(10);

/// A batch that is not ordered yet.
#[derive(Clone, Copy, Debug)]
struct Sent {
    seq: BatchSeq,
    at: Time,
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
    /// Commits of the last [`SAMPLE_SPAN`] and the one before, with `ordered` after each.
    commits: VecDeque<(Time, u64)>,
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
        self.sent.push_back(Sent { seq, at: now });
    }

    /// Own batches up to `seq` are final, with so many bytes.
    pub(super) fn on_ordered(&mut self, now: Time, seq: BatchSeq, bytes: u64) {
        self.sample(now, bytes);
        let mut last = None;
        while let Some(sent) = self.sent.pop_front_if(|sent| sent.seq <= seq) {
            last = Some(sent);
        }
        // Batches of an earlier run of this process have no time.
        let Some(sent) = last else {
            return;
        };
        let micros = micros_since(now, sent.at);
        let lowest = self.latency.get(u64::min);
        self.latency.note(now, LATENCY_SPAN, micros, u64::min);
        if lowest.is_none_or(|lowest| micros <= lowest) {
            self.lowest_at = now;
        }
        self.probe(now, sent.seq);
    }

    fn sample(&mut self, now: Time, bytes: u64) {
        self.ordered = self.ordered.saturating_add(bytes);
        let is_old = |(at, _): &(Time, u64)| now.since(*at) >= SAMPLE_SPAN;
        while self.commits.get(1).is_some_and(is_old) {
            self.commits.pop_front();
        }
        if let Some((at, before)) = self.commits.front().filter(|first| is_old(first)) {
            let bytes = u128::from(self.ordered.saturating_sub(*before));
            let rate = bytes * 1_000_000 / u128::from(micros_since(now, *at));
            let rate = u64::try_from(rate).unwrap_or(u64::MAX);
            self.rate.note(now, RATE_SPAN, rate, u64::max);
        }
        self.commits.push_back((now, self.ordered));
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

    /// Average time between two commits, in microseconds.
    fn spacing(&self) -> u64 {
        match (self.commits.front(), self.commits.back()) {
            (Some((first, _)), Some((last, _))) if self.commits.len() > 1 => {
                micros_since(*last, *first) / (self.commits.len() as u64 - 1)
            }
            _ => 0,
        }
    }

    /// Bytes that may wait to be ordered, at least `floor`.
    pub(super) fn window(&self, floor: u64) -> u64 {
        let (Some(rate), Some(latency)) = (self.rate.get(u64::max), self.latency.get(u64::min))
        else {
            return floor;
        };
        let (rate, latency) = (u128::from(rate), u128::from(latency));
        let micros = match self.probing {
            None => latency + u128::from(self.spacing()).min(latency),
            Some(_) => latency * 3 / 4,
        };
        let bytes = rate * micros / 1_000_000;
        u64::try_from(bytes).unwrap_or(u64::MAX).max(floor)
    }
}

/// At least one.
fn micros_since(now: Time, then: Time) -> u64 {
    u64::try_from(now.since(then).as_micros())
        .unwrap_or(u64::MAX)
        .max(1)
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
        saturate_in_steps(pace, ticks, alone, per_tick, 1)
    }

    /// The same where blocks come every `step` ticks.
    fn saturate_in_steps(
        pace: &mut Pace,
        ticks: u64,
        alone: u64,
        per_tick: u64,
        step: u64,
    ) -> (u64, u64, u64) {
        let mut waiting: VecDeque<(BatchSeq, u64)> = VecDeque::new();
        let (mut seq, mut credit, mut done, mut longest) = (BatchSeq::ZERO, 0, 0, 0);
        for tick in 0..ticks {
            let now = Time(tick * TICK);
            credit = (credit + per_tick).min(per_tick.max(BATCH) * step.max(4));
            let mut last = None;
            let mut bytes = 0;
            while let Some((seq, sent)) = waiting.pop_front_if(|(_, sent)| {
                tick.is_multiple_of(step) && tick >= *sent + alone && credit >= BATCH
            }) {
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
        assert!(longest <= 14, "{longest}");
        assert!(window <= 13 * BATCH, "{window}");
    }

    #[test]
    fn blocks_of_whole_batches_do_not_widen_the_window() {
        // One and two batches in turn; a batch alone takes up to three blocks.
        let (done, longest, window) =
            saturate_in_steps(&mut Pace::default(), 60_000, 31, BATCH / 10, 15);
        assert!(done >= 29_900 * BATCH / 10 * 97 / 100, "{done}");
        assert!(longest <= 90, "{longest}");
        assert!(window <= 45 * 3 / 2 * BATCH / 10, "{window}");
    }

    #[test]
    fn the_window_opens_to_whatever_the_network_takes() {
        let mut pace = Pace::default();
        let (_, _, narrow) = saturate(&mut pace, 1_000, 10, BATCH);
        let mut pace = Pace::default();
        let (done, _, wide) = saturate(&mut pace, 1_000, 10, 4 * BATCH);
        assert!(wide > 3 * narrow, "{wide} {narrow}");
        assert!(done >= 490 * 4 * BATCH * 9 / 10, "{done}");
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
