//! The event heap. Events of one moment happen in the order in which they were scheduled.

use crate::disk::File;
use crate::node::Packet;
use squad_primitives::{Digest, OperatorId, Transaction};
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Something that happens. What belongs to one life of a process is void in the next.
#[derive(Debug)]
pub(super) enum Event {
    Deliver {
        to: usize,
        from: usize,
        packet: Box<Packet>,
    },
    /// A group of writes ends.
    Synced {
        slot: usize,
        life: u64,
        file: File,
    },
    /// A deadline of a node's cores or of its batch maker.
    Wake {
        slot: usize,
        life: u64,
    },
    FetchTimeout {
        slot: usize,
        life: u64,
        from: OperatorId,
        digest: Digest,
    },
    /// A node notices that a link is up or down.
    Link {
        slot: usize,
        peer: usize,
        up: bool,
    },
    Boot {
        slot: usize,
    },
    /// Something strikes: a crash, a cut, a jump of a clock.
    Stroke,
    /// A link is mended.
    Mend,
    /// A client submits new transactions.
    Submit,
    /// A client submits a transaction again.
    Resubmit {
        slot: usize,
        transaction: Box<Transaction>,
    },
}

#[derive(Debug)]
struct Entry {
    at: u64,
    number: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    /// The heap gives its greatest entry first, so the earliest is the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

/// Events in order of time.
#[derive(Debug, Default)]
pub(super) struct Events {
    heap: BinaryHeap<Entry>,
    number: u64,
}

impl Events {
    pub(super) fn at(&mut self, at: u64, event: Event) {
        self.number += 1;
        let number = self.number;
        self.heap.push(Entry { at, number, event });
    }

    /// The next event, if it is not after `limit`.
    pub(super) fn pop(&mut self, limit: u64) -> Option<(u64, Event)> {
        if self.heap.peek()?.at > limit {
            return None;
        }
        self.heap.pop().map(|entry| (entry.at, entry.event))
    }
}
