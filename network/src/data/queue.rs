//! Frames that wait for one peer in one class.
//!
//! | class | when full | why that is safe |
//! |---|---|---|
//! | consensus | the oldest goes | a newer message supersedes an older one of its sender; the core repeats what still matters |
//! | acks | the oldest goes | an ack covers its lane up to its batch, so the newest says it all; proofs travel again in the next batch |
//! | batches | the new one is refused | its lane keeps it and repeats it, so nothing is lost and the owner notices |
//!
//! While the peer is away the queue is closed and takes nothing: on connect, both sides compare notes
//! and send what is missing, which is better than a burst of old messages.

use super::{class::Class, config::QueueLimit};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// Why a frame was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No connection to the peer.
    Closed,
    /// The class never drops, and its limit is reached.
    Full,
}

#[derive(Debug)]
pub(crate) struct SendQueue {
    class: Class,
    limit: QueueLimit,
    state: Mutex<State>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Bytes>,
    bytes: usize,
    open: bool,
}

impl SendQueue {
    pub(crate) fn new(class: Class, limit: QueueLimit) -> Self {
        Self {
            class,
            limit,
            state: Mutex::default(),
            filled: Notify::new(),
        }
    }

    /// Queues a frame. Returns how many older ones made way for it.
    pub(crate) fn push(&self, frame: Bytes) -> Result<usize, Refusal> {
        let mut state = self.state();
        if !state.open {
            return Err(Refusal::Closed);
        }
        let mut dropped = 0;
        while !state.frames.is_empty() && state.would_exceed(self.limit, frame.len()) {
            if self.class == Class::Batches {
                return Err(Refusal::Full);
            }
            state.pop();
            dropped += 1;
        }
        state.bytes += frame.len();
        state.frames.push_back(frame);
        drop(state);
        self.filled.notify_one();
        Ok(dropped)
    }

    /// Waits for frames, then moves the oldest into `out`: at least one, further ones as long as they
    /// stay within `bytes_max` together. Only one task may wait at a time.
    pub(crate) async fn pop(&self, bytes_max: usize, out: &mut Vec<Bytes>) {
        loop {
            {
                let mut state = self.state();
                let mut taken = 0;
                while let Some(frame) = state.frames.front()
                    && (out.is_empty() || taken + frame.len() <= bytes_max)
                {
                    taken += frame.len();
                    out.extend(state.pop());
                }
            }
            if !out.is_empty() {
                return;
            }
            self.filled.notified().await;
        }
    }

    /// Takes frames from now on.
    pub(crate) fn open(&self) {
        *self.state() = State {
            open: true,
            ..State::default()
        };
    }

    /// Forgets what waits and takes nothing more. Returns how many frames were lost.
    pub(crate) fn close(&self) -> usize {
        std::mem::take(&mut *self.state()).frames.len()
    }

    /// Frames waiting.
    pub(crate) fn len(&self) -> usize {
        self.state().frames.len()
    }

    /// The state is valid after every statement, so a panic elsewhere doesn't spoil it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn would_exceed(&self, limit: QueueLimit, more: usize) -> bool {
        self.frames.len() >= limit.frames || self.bytes + more > limit.bytes
    }

    fn pop(&mut self) -> Option<Bytes> {
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.len();
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    const LIMIT: QueueLimit = QueueLimit {
        frames: 3,
        bytes: 100,
    };

    fn queue(class: Class) -> SendQueue {
        let queue = SendQueue::new(class, LIMIT);
        queue.open();
        queue
    }

    fn frame(tag: u8, size: usize) -> Bytes {
        vec![tag; size].into()
    }

    fn drain(queue: &SendQueue) -> Vec<u8> {
        let mut out = Vec::new();
        let _ = queue.pop(usize::MAX, &mut out).now_or_never();
        out.iter().map(|frame| frame[0]).collect()
    }

    #[test]
    fn consensus_drops_the_oldest() {
        let queue = queue(Class::Consensus);
        for tag in 1..=3 {
            assert_eq!(queue.push(frame(tag, 10)), Ok(0));
        }
        assert_eq!(queue.push(frame(4, 10)), Ok(1));
        assert_eq!(drain(&queue), [2, 3, 4]);
    }

    #[test]
    fn bytes_count_too() {
        let queue = queue(Class::Acks);
        assert_eq!(queue.push(frame(1, 60)), Ok(0));
        assert_eq!(queue.push(frame(2, 40)), Ok(0));
        assert_eq!(queue.push(frame(3, 41)), Ok(1));
        assert_eq!(drain(&queue), [2, 3]);
    }

    #[test]
    fn batches_are_refused_instead() {
        let queue = queue(Class::Batches);
        assert_eq!(queue.push(frame(1, 60)), Ok(0));
        assert_eq!(queue.push(frame(2, 41)), Err(Refusal::Full));
        assert_eq!(drain(&queue), [1]);
        assert_eq!(queue.push(frame(3, 41)), Ok(0));
    }

    #[test]
    fn a_frame_above_the_byte_limit_passes_when_alone() {
        let queue = queue(Class::Batches);
        assert_eq!(queue.push(frame(1, 101)), Ok(0));
    }

    #[test]
    fn a_closed_queue_takes_and_keeps_nothing() {
        let queue = queue(Class::Consensus);
        queue.push(frame(1, 10)).unwrap();
        assert_eq!(queue.close(), 1);
        assert_eq!(queue.push(frame(2, 10)), Err(Refusal::Closed));
        queue.open();
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn pop_respects_the_byte_limit_but_always_yields() {
        let queue = queue(Class::Batches);
        queue.push(frame(1, 50)).unwrap();
        queue.push(frame(2, 50)).unwrap();
        let mut out = Vec::new();
        assert!(queue.pop(60, &mut out).now_or_never().is_some());
        assert_eq!(out.len(), 1);
        out.clear();
        assert!(queue.pop(1, &mut out).now_or_never().is_some());
        assert_eq!(out.len(), 1);
        out.clear();
        assert!(queue.pop(1, &mut out).now_or_never().is_none());
    }
}
