//! One run: connect, send the schedule, wait for the rest, audit, report.
//!
//! ```text
//!  schedule, workload          fixed before the start
//!        │
//!  pacing thread ── messages ──▶ connections (several per operator) ──▶ operators
//!        │ sent, dropped              │ answers                             │
//!        ▼                            ▼                                     ▼
//!      tracker ◀──────────────────────┴─────── ids of ordered blocks ◀── follower (one operator, fails over)
//! ```
//!
//! If asked to, it also follows one operator's certificates ([`finality`]).
//!
//! Sockets live on one thread, the pacing thread is the second: the generator shares its machine with
//! the operators under test and must stay cheap.

pub mod connection;
pub mod finality;
mod follower;
pub mod pacer;
mod progress;
mod session;
pub mod tracker;

pub use progress::{CSV_HEADER, Row};
pub use session::{Plan, RunError, Session, run};

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Microseconds since the start of a run; zero before it. Clones share the start.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    start: Arc<OnceLock<Instant>>,
}

impl Clock {
    /// Sets the start to `delay` from now; only the first call counts.
    pub fn start_in(&self, delay: Duration) {
        self.start.get_or_init(|| Instant::now() + delay);
    }

    /// Time since the start; saturates after 71 minutes, longer than any run.
    #[must_use]
    pub fn now_us(&self) -> u32 {
        let elapsed = self
            .start
            .get()
            .map(|start| Instant::now().saturating_duration_since(*start));
        u32::try_from(elapsed.unwrap_or_default().as_micros()).unwrap_or(u32::MAX)
    }

    /// Sleeps until `time_us`, at least `pause`.
    pub fn sleep_until(&self, time_us: u32, pause: Duration) {
        let target = self
            .start
            .get()
            .map(|start| *start + Duration::from_micros(time_us.into()));
        let left = target.map(|target| target.saturating_duration_since(Instant::now()));
        std::thread::sleep(left.unwrap_or_default().max(pause));
    }
}

/// Locks; a panic elsewhere ends the process anyway, so poisoning adds nothing.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
