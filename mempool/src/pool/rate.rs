//! How fast the pool drains, for retry delays.

use super::Pool;
use squad_primitives::{Duration, Time, TxId};

/// Drained bytes per second, averaged over about a second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DrainRate {
    last: Option<Time>,
    bytes_per_second: u64,
}

/// Span over which the average forgets, in microseconds.
const SPAN_MICROS: u64 = 1_000_000;

impl DrainRate {
    pub(super) fn on_drained(&mut self, now: Time, bytes: u64) {
        let Some(last) = self.last.replace(now) else {
            return;
        };
        let elapsed = now.0.saturating_sub(last.0).clamp(1, SPAN_MICROS);
        // Exponential average with weight elapsed / span.
        let kept = u128::from(self.bytes_per_second) * u128::from(SPAN_MICROS - elapsed)
            / u128::from(SPAN_MICROS);
        let rate = kept + u128::from(bytes);
        self.bytes_per_second = u64::try_from(rate).unwrap_or(u64::MAX);
    }

    /// Time until `bytes` are drained, within bounds, spread by ±20 % so that those who are refused
    /// together do not return together. The spread comes from the transaction's id: pure code has no
    /// other source, and a client that picks its ids gains a fifth of a delay.
    pub(super) fn wait(&self, bytes: u64, id: &TxId) -> Duration {
        let rate = u128::from(self.bytes_per_second.max(1));
        let micros = u128::from(bytes) * 1_000_000 / rate;
        let spread = 80 + u128::from(id.as_bytes().last().copied().unwrap_or(0)) * 40 / 255;
        let micros = u64::try_from(micros * spread / 100).unwrap_or(u64::MAX);
        Duration::from_micros(micros).clamp(Pool::RETRY_MIN, Pool::RETRY_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squad_primitives::Digest;

    #[test]
    fn the_delay_is_the_backlog_over_the_rate_within_bounds() {
        let mut rate = DrainRate::default();
        let id = |last: u8| {
            let mut bytes = [0; 32];
            bytes[31] = last;
            Digest(bytes)
        };
        assert_eq!(rate.wait(1, &id(0)), Duration::from_millis(800), "unknown");
        // 10 kB every 10 ms for three seconds: 1 MB per second.
        for tick in 0..300 {
            rate.on_drained(Time(tick * 10_000), 10_000);
        }
        let (early, late) = (rate.wait(500_000, &id(0)), rate.wait(500_000, &id(255)));
        assert!((400..440).contains(&early.as_millis()), "{early:?}");
        assert!((600..660).contains(&late.as_millis()), "{late:?}");
        assert_eq!(rate.wait(1, &id(0)), Pool::RETRY_MIN);
        assert_eq!(rate.wait(u64::MAX, &id(0)), Pool::RETRY_MAX);
    }
}
