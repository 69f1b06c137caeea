//! Watches the highest committed block, and how long none came.

use squad_client::{Endpoint, v1};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Distance between two looks at an operator, and so the resolution of gaps.
const INTERVAL: Duration = Duration::from_millis(20);
/// Longest wait for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

#[derive(Debug)]
struct Seen {
    height: u64,
    grown: Instant,
    longest: Duration,
}

/// Polls all operators until it is dropped.
#[derive(Debug)]
pub struct Probe {
    seen: Arc<Mutex<Seen>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Probe {
    /// Starts.
    #[must_use]
    pub fn start(endpoints: Vec<Endpoint>) -> Self {
        let seen = Arc::new(Mutex::new(Seen {
            height: 0,
            grown: Instant::now(),
            longest: Duration::ZERO,
        }));
        let tasks = endpoints
            .into_iter()
            .map(|endpoint| tokio::spawn(poll(endpoint, seen.clone())))
            .collect();
        Self { seen, tasks }
    }

    /// Forgets earlier gaps, the current one too.
    pub fn reset(&self) {
        let mut seen = lock(&self.seen);
        seen.grown = Instant::now();
        seen.longest = Duration::ZERO;
    }

    /// The longest time without a new block since the last reset; the current one counts.
    #[must_use]
    pub fn longest(&self) -> Duration {
        let seen = lock(&self.seen);
        seen.longest.max(seen.grown.elapsed())
    }

    /// The highest committed block.
    #[must_use]
    pub fn height(&self) -> u64 {
        lock(&self.seen).height
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn poll(endpoint: Endpoint, seen: Arc<Mutex<Seen>>) {
    loop {
        let mut client = endpoint.operators();
        let call = client.get_status(v1::GetStatusRequest {});
        if let Ok(Ok(answer)) = tokio::time::timeout(ANSWER_TIMEOUT, call).await {
            let height = answer.get_ref().committed_height;
            let mut seen = lock(&seen);
            if height > seen.height {
                seen.height = height;
                seen.longest = seen.longest.max(seen.grown.elapsed());
                seen.grown = Instant::now();
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
