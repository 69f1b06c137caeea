//! The one place where the node reads the time. Cores are told it.

use squad_primitives::{Now, Time};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Turns the machine's clocks into [`Now`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock whose monotonic origin is this moment.
    pub(crate) fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    /// The present, for a `step`.
    pub(crate) fn now(&self) -> Now {
        Now {
            time: Time(micros(self.origin.elapsed())),
            wall_ms: wall_ms(),
        }
    }

    /// How long to wait from now until `deadline`.
    pub(crate) fn until(&self, deadline: Time) -> std::time::Duration {
        deadline.since(self.now().time)
    }
}

/// Milliseconds since the Unix epoch; zero if the machine's clock stands before it.
pub(crate) fn wall_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| {
            u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
        })
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
