//! How long to wait between attempts.

use rand::RngExt as _;
use std::time::Duration;

/// First wait.
const BASE: Duration = Duration::from_millis(50);
/// Longest wait that grows by itself.
const CAP: Duration = Duration::from_secs(2);
/// Doublings after which `CAP` is surely reached; keeps the shift small.
const DOUBLINGS_MAX: u32 = 10;

/// Doubling waits with full jitter: uniform between half of the step and the step, so that clients cut
/// off together don't come back together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after one more failure. A server's own figure counts if it is longer; up to a fifth is
    /// added to it, never taken off.
    pub(crate) fn after_failure(&mut self, retry_after: Option<Duration>) -> Duration {
        let step = BASE
            .saturating_mul(1 << self.failures.min(DOUBLINGS_MAX))
            .min(CAP);
        self.failures = self.failures.saturating_add(1);
        let mut rng = rand::rng();
        let own = step.mul_f64(rng.random_range(0.5..=1.0));
        let asked = retry_after.map(|delay| delay.mul_f64(rng.random_range(1.0..=1.2)));
        own.max(asked.unwrap_or_default())
    }

    /// Progress was made: the next wait is short again.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_cap_and_start_over() {
        let mut backoff = Backoff::default();
        for failures in 0..40 {
            let step = BASE.saturating_mul(1 << failures.min(10)).min(CAP);
            let wait = backoff.after_failure(None);
            assert!(wait >= step / 2 && wait <= step, "{failures}: {wait:?}");
        }
        backoff.reset();
        assert!(backoff.after_failure(None) <= BASE);
    }

    #[test]
    fn a_servers_figure_is_never_undercut() {
        let asked = Duration::from_secs(4);
        for _ in 0..100 {
            let wait = Backoff::default().after_failure(Some(asked));
            assert!(wait >= asked && wait <= asked.mul_f64(1.2));
        }
    }
}
