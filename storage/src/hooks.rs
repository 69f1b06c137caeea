//! What the store tells the node without being asked.

use std::time::Duration;

use crate::error::StorageError;

/// One group that a writer thread made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupReport {
    /// `bodies`, `main` or `safety`.
    pub writer: &'static str,
    /// Requests in the group.
    pub items: usize,
    /// Their size, bytes.
    pub bytes: usize,
    /// From the first write to the end of the sync.
    pub took: Duration,
}

/// Runs once a request is durable, on the writer thread: it must only pass the news on.
pub type OnDurable = Box<dyn FnOnce() + Send>;

/// Calls from the store's own threads; they must be quick.
pub trait Hooks: Send + Sync + 'static {
    /// A write or a sync failed, or a writer thread ended. The page cache can no longer be trusted,
    /// so nothing is retried and nothing will be reported durable any more: the process should end.
    /// Called at most once per writer.
    fn on_fatal(&self, error: StorageError);

    /// A group became durable; for metrics.
    fn on_group(&self, report: GroupReport) {
        let _ = report;
    }
}
