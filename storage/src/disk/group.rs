//! Group commit: one thread that takes everything queued, makes it durable with one sync, then runs
//! the completions of the whole group.
//!
//! Rules:
//!
//! 1. A completion runs only after the sync that covers its request returned without error.
//! 2. Completions run in the order of the requests.
//! 3. After the first failure (or a panic of the thread) no completion runs any more; later requests
//!    are dropped, since what the disk holds is unknown.
//! 4. The queue is bounded in bytes. A caller that exceeds it waits: the node's own limits (lane
//!    windows, blocks in flight) keep it far below.
//! 5. Closing writes what is queued, then ends the thread.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::error::StorageError;
use crate::hooks::{GroupReport, Hooks, OnDurable};

/// Requests waiting for one writer: eight of the largest blocks (16 MiB of bodies).
const QUEUE_BYTES_MAX: usize = 128 * 1024 * 1024;
/// One group: bounds how long the first request of a group waits for the last one.
const GROUP_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Where groups go.
pub(crate) trait Sink: Send + 'static {
    type Item: Send + 'static;

    /// Size of a request for the limits of queue and group, bytes.
    fn size(item: &Self::Item) -> usize;

    /// Makes all items durable. They can be taken out of the list.
    fn write(&mut self, items: &mut Vec<Self::Item>) -> Result<(), StorageError>;

    /// Called once, after the last group of an orderly end.
    fn close(&mut self) -> Result<(), StorageError> {
        Ok(())
    }
}

struct Queue<I> {
    items: Vec<I>,
    completions: Vec<OnDurable>,
    sizes: Vec<usize>,
    bytes: usize,
    open: bool,
}

struct Shared<I> {
    queue: Mutex<Queue<I>>,
    filled: Condvar,
    drained: Condvar,
}

impl<I> Shared<I> {
    /// The queue holds plain data that is consistent between statements, so a poisoned lock is usable.
    fn lock(&self) -> MutexGuard<'_, Queue<I>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self, forget: bool) {
        let mut queue = self.lock();
        queue.open = false;
        if forget {
            queue.items.clear();
            queue.completions.clear();
            queue.sizes.clear();
            queue.bytes = 0;
        }
        drop(queue);
        self.filled.notify_all();
        self.drained.notify_all();
    }
}

pub(crate) struct GroupWriter<I: Send + 'static> {
    name: &'static str,
    shared: Arc<Shared<I>>,
    thread: Option<JoinHandle<()>>,
    size: fn(&I) -> usize,
}

impl<I: Send + 'static> fmt::Debug for GroupWriter<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupWriter")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl<I: Send + 'static> GroupWriter<I> {
    pub(crate) fn start<S: Sink<Item = I>>(
        name: &'static str,
        sink: S,
        hooks: Arc<dyn Hooks>,
    ) -> Result<Self, StorageError> {
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue {
                items: Vec::new(),
                completions: Vec::new(),
                sizes: Vec::new(),
                bytes: 0,
                open: true,
            }),
            filled: Condvar::new(),
            drained: Condvar::new(),
        });
        let worker = Worker {
            name,
            shared: Arc::clone(&shared),
            hooks,
            finished: false,
        };
        let thread = thread::Builder::new()
            .name(format!("store-{name}"))
            .spawn(move || worker.run(sink))
            .map_err(StorageError::io("start the thread of", name))?;
        Ok(Self {
            name,
            shared,
            thread: Some(thread),
            size: S::size,
        })
    }

    /// Queues a request. Waits while the queue is full. After a failure the request is dropped.
    pub(crate) fn submit(&self, item: I, on_durable: OnDurable) {
        let size = (self.size)(&item);
        let mut queue = self.shared.lock();
        // A request larger than the whole queue passes when nothing else waits.
        while queue.open && queue.bytes > 0 && queue.bytes + size > QUEUE_BYTES_MAX {
            queue = self
                .shared
                .drained
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if !queue.open {
            return;
        }
        queue.items.push(item);
        queue.completions.push(on_durable);
        queue.sizes.push(size);
        queue.bytes += size;
        let first = queue.items.len() == 1;
        drop(queue);
        if first {
            self.shared.filled.notify_one();
        }
    }

    /// Bytes waiting to be written.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.shared.lock().bytes
    }
}

impl<I: Send + 'static> Drop for GroupWriter<I> {
    fn drop(&mut self) {
        self.shared.close(false);
        if let Some(thread) = self.thread.take() {
            // The last owner may be a completion: a thread can't wait for itself.
            if thread.thread().id() != thread::current().id() && thread.join().is_err() {
                tracing::error!(writer = self.name, "writer thread panicked");
            }
        }
    }
}

struct Worker<I: Send + 'static> {
    name: &'static str,
    shared: Arc<Shared<I>>,
    hooks: Arc<dyn Hooks>,
    finished: bool,
}

struct Group<I> {
    items: Vec<I>,
    completions: Vec<OnDurable>,
    bytes: usize,
}

impl<I: Send + 'static> Worker<I> {
    fn run<S: Sink<Item = I>>(mut self, mut sink: S) {
        while let Some(mut group) = self.next_group() {
            let count = group.items.len();
            let started = Instant::now();
            if let Err(error) = sink.write(&mut group.items) {
                self.finished = true;
                self.shared.close(true);
                self.hooks.on_fatal(error);
                return;
            }
            self.hooks.on_group(GroupReport {
                writer: self.name,
                items: count,
                bytes: group.bytes,
                took: started.elapsed(),
            });
            for completion in group.completions {
                completion();
            }
        }
        self.finished = true;
        if let Err(error) = sink.close() {
            self.hooks.on_fatal(error);
        }
    }

    /// Waits for requests; `None` when the queue is closed and empty.
    fn next_group(&self) -> Option<Group<I>> {
        let mut queue = self.shared.lock();
        while queue.items.is_empty() {
            if !queue.open {
                return None;
            }
            queue = self
                .shared
                .filled
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let mut count = 0;
        let mut bytes = 0;
        for size in &queue.sizes {
            if count > 0 && bytes + size > GROUP_BYTES_MAX {
                break;
            }
            count += 1;
            bytes += size;
        }
        let group = if count == queue.items.len() {
            queue.sizes.clear();
            Group {
                items: std::mem::take(&mut queue.items),
                completions: std::mem::take(&mut queue.completions),
                bytes,
            }
        } else {
            queue.sizes.drain(..count);
            Group {
                items: queue.items.drain(..count).collect(),
                completions: queue.completions.drain(..count).collect(),
                bytes,
            }
        };
        queue.bytes -= bytes;
        drop(queue);
        self.shared.drained.notify_all();
        Some(group)
    }
}

impl<I: Send + 'static> Drop for Worker<I> {
    /// Runs with `finished` unset only when the sink or a completion panicked.
    fn drop(&mut self) {
        if !self.finished {
            self.shared.close(true);
            self.hooks
                .on_fatal(StorageError::WriterStopped { name: self.name });
        }
    }
}
