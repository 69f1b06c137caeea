//! The pacing thread: makes and sends what is due, about once per millisecond.
//!
//! It never waits for a connection. What is due in one tick goes out as few messages as possible, one
//! connection after another, because a message costs the generator and the operator more than the
//! transactions in it. A message that no connection has room for is dropped and counted.

use super::connection::Connection;
use super::tracker::Tracker;
use super::{Clock, lock};
use crate::schedule::Schedule;
use crate::workload::Workload;
use bytes::BytesMut;
use squad_client::{MESSAGE_PAYLOAD_BYTES_MAX, v1};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Time between two looks at the schedule.
const TICK: Duration = Duration::from_millis(1);

/// Most transactions of one message. Small enough that one tick at a high rate reaches several
/// operators, large enough that the cost of a message is shared by many.
const MESSAGE_TRANSACTIONS: usize = 128;

/// Memory taken at once for the payloads of opaque transactions.
const ARENA_BYTES: usize = 256 << 10;

/// What the pacing thread works on.
#[derive(Debug)]
pub struct Pacer {
    /// When.
    pub schedule: Arc<Schedule>,
    /// What.
    pub workload: Arc<Workload>,
    /// Where to; neighbours belong to different operators.
    pub connections: Vec<Arc<Connection>>,
    /// Operators that get a copy of each transaction.
    pub copies: usize,
    /// Height of the last block seen.
    pub head: Arc<AtomicU64>,
    /// How many blocks later a transaction expires.
    pub expiry_blocks: u64,
    /// What became of them.
    pub tracker: Arc<Mutex<Tracker>>,
    /// Time since the start.
    pub clock: Clock,
}

impl Pacer {
    /// Sends the whole schedule. Returns when the last transaction was sent or dropped.
    pub fn run(&self) {
        let times = self.schedule.times_us();
        let mut arena = BytesMut::with_capacity(ARENA_BYTES);
        let (mut next, mut turn) = (0, 0);
        while next < times.len() {
            let now_us = self.clock.now_us();
            let due = next + times[next..].partition_point(|time| *time <= now_us);
            while next < due {
                let end = self.send_some(next..due, &mut turn, &mut arena);
                next = end;
            }
            let wake = times.get(next).copied().unwrap_or_default();
            self.clock.sleep_until(wake, TICK);
        }
    }

    /// Sends the first transactions of a range in one message; returns where to go on.
    fn send_some(&self, due: Range<usize>, turn: &mut usize, arena: &mut BytesMut) -> usize {
        let expiry = self.head.load(Ordering::Relaxed) + self.expiry_blocks;
        let message = self.message(due.clone(), expiry, arena);
        let end = due.start + message.len();
        let seqs = due.start as u32..end as u32;
        lock(&self.tracker).on_sent(seqs.clone(), self.clock.now_us(), expiry);
        let mut sent = 0;
        let mut message = Some(message);
        for attempt in 0..self.connections.len() {
            let connection = &self.connections[(*turn + attempt) % self.connections.len()];
            let Some(mut copy) = message.take() else {
                break;
            };
            if sent + 1 < self.copies {
                message = Some(copy.clone());
            }
            match connection.try_send(std::mem::take(&mut copy)) {
                Ok(()) => sent += 1,
                Err(returned) => message = Some(returned),
            }
        }
        *turn += sent.max(1);
        if sent == 0 {
            lock(&self.tracker).on_dropped(seqs);
        }
        end
    }

    fn message(
        &self,
        due: Range<usize>,
        expiry: u64,
        arena: &mut BytesMut,
    ) -> Vec<v1::StreamTransaction> {
        let mut message = Vec::with_capacity(due.len().min(MESSAGE_TRANSACTIONS));
        let mut bytes = 0;
        for at in due.take(MESSAGE_TRANSACTIONS) {
            let intended = self.schedule.times_us()[at];
            if arena.capacity() < ARENA_BYTES / 4 {
                *arena = BytesMut::with_capacity(ARENA_BYTES);
            }
            let (rollup_id, payload) = self.workload.transaction(at as u32, intended, arena);
            bytes += payload.len();
            message.push(v1::StreamTransaction {
                client_seq: at as u64,
                rollup_id,
                payload,
                kind: v1::TransactionKind::Plain.into(),
                expiry_height: expiry,
            });
            if bytes >= MESSAGE_PAYLOAD_BYTES_MAX {
                break;
            }
        }
        message
    }
}
