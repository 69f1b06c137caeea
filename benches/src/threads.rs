//! Replicas of `squad-consensus` in real time: one thread each, over [`Links`].

use crate::links::{Delivery, Links};
use crate::record::Recorder;
use crate::replica::{Effect, Replica};
use squad_primitives::{Now, Time};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A thread looks at least this often whether it shall stop.
const STOP_INTERVAL: Duration = Duration::from_millis(50);

/// A running replica.
#[derive(Debug)]
pub struct Running {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Starts a replica in a thread of its own.
    #[must_use]
    pub fn start(
        index: usize,
        replica: Replica,
        inbox: Receiver<Delivery>,
        links: Links,
        recorder: Arc<Recorder>,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut runner = Runner {
            index,
            replica,
            links,
            recorder,
            origin: Instant::now(),
            effects: Vec::new(),
            stop: stop.clone(),
        };
        let thread = thread::spawn(move || runner.run(&inbox));
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Running {
    /// Stops the replica and waits for its thread.
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok(), "a replica panicked");
        }
    }
}

struct Runner {
    index: usize,
    replica: Replica,
    links: Links,
    recorder: Arc<Recorder>,
    origin: Instant,
    effects: Vec<Effect>,
    stop: Arc<AtomicBool>,
}

impl Runner {
    fn run(&mut self, inbox: &Receiver<Delivery>) {
        self.replica.start(self.now(), &mut self.effects);
        self.carry_out();
        while !self.stop.load(Relaxed) {
            let wait = self.replica.deadline().map_or(STOP_INTERVAL, |deadline| {
                deadline.since(self.now().time).min(STOP_INTERVAL)
            });
            let now = match inbox.recv_timeout(wait) {
                Ok(Delivery { from, bytes }) => {
                    let now = self.now();
                    self.replica.receive(now, from, bytes, &mut self.effects);
                    now
                }
                Err(RecvTimeoutError::Timeout) => self.now(),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            self.carry_out();
            // Messages may come so fast that the inbox is never empty.
            let deadline = self.replica.deadline();
            if deadline.is_some_and(|deadline| deadline <= now.time) {
                self.replica.tick(now, &mut self.effects);
                self.carry_out();
            }
        }
    }

    fn carry_out(&mut self) {
        for effect in self.effects.drain(..) {
            match effect {
                Effect::Send(to, bytes) => self.links.send(self.index, to, bytes),
                Effect::Broadcast(bytes) => self.links.broadcast(self.index, &bytes),
                Effect::Proposed(view, block) => self.recorder.proposed(self.index, view, block),
                Effect::Committed(block) => self.recorder.committed(self.index, block),
            }
        }
    }

    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        Now {
            time: Time(1).after(self.origin.elapsed()),
            wall_ms: u64::try_from(wall.unwrap_or_default().as_millis()).unwrap_or(u64::MAX),
        }
    }
}
