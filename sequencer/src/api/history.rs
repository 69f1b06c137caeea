//! Reading blocks and bodies that are no longer in memory, for all clients together.
//!
//! Whoever replays the chain makes the node read, check and encode as much as it can take, and a stream
//! that is opened and dropped at once costs its client nothing. So few such reads run at a time,
//! whatever the number of streams: those who follow the head, submissions and consensus keep the
//! processors and the disk. Reads wait their turn in the order in which they came. A stream has one at
//! most, so all get on alike, and a stream that is gone has none.

use super::context::blocking;
use super::errors::Failure;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Reads of history at the same time, for all clients.
const HISTORY_READS_MAX: usize = 2;

/// See the module.
#[derive(Debug)]
pub(crate) struct HistoryReads {
    places: Arc<Semaphore>,
}

impl Default for HistoryReads {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(HISTORY_READS_MAX)),
        }
    }
}

impl HistoryReads {
    /// Waits for a place and runs `work` on the blocking pool. Dropped before its turn, it costs nothing;
    /// dropped later, it keeps its place until the work is done.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        // Never closed.
        let place = place.map_err(|_| Failure::shutting_down())?;
        blocking(move || {
            let _place = place;
            work()
        })
        .await
    }

    /// Takes all places, as reads that do not end would.
    #[cfg(test)]
    pub(crate) fn occupy(&self) -> tokio::sync::OwnedSemaphorePermit {
        let all = u32::try_from(HISTORY_READS_MAX).unwrap();
        Arc::clone(&self.places)
            .try_acquire_many_owned(all)
            .unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::{join_all, poll_immediate};
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Debug, Default)]
    struct Count {
        begun: AtomicUsize,
        running: AtomicUsize,
        most: AtomicUsize,
    }

    impl Count {
        fn read(&self) {
            self.begun.fetch_add(1, Ordering::SeqCst);
            let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(running, Ordering::SeqCst);
            // Gives others the time to be counted.
            (0..100).for_each(|_| std::thread::yield_now());
            self.running.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn few_reads_run_at_a_time_and_all_have_their_turn() {
        let (reads, count) = (HistoryReads::default(), Arc::new(Count::default()));
        let all = (0..100).map(|_| {
            let count = Arc::clone(&count);
            reads.run(move || {
                count.read();
                Ok(())
            })
        });
        for read in join_all(all).await {
            assert_eq!(read, Ok(()));
        }
        assert_eq!(count.begun.load(Ordering::SeqCst), 100);
        let most = count.most.load(Ordering::SeqCst);
        assert!(most <= HISTORY_READS_MAX, "{most} at once");
    }

    #[tokio::test]
    async fn a_read_that_nobody_waits_for_is_never_begun() {
        let (reads, count) = (HistoryReads::default(), Arc::new(Count::default()));
        let read = || {
            let count = Arc::clone(&count);
            Box::pin(reads.run(move || {
                count.read();
                Ok(())
            }))
        };
        let occupied = reads.occupy();
        for _ in 0..1_000 {
            assert_eq!(poll_immediate(read()).await, None);
        }
        drop(occupied);
        assert_eq!(read().await, Ok(()));
        assert_eq!(count.begun.load(Ordering::SeqCst), 1);
    }
}
