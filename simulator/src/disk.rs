//! A disk of three files, each written by one thread with group commit, as in the node's store.
//!
//! What is appended waits in a queue. A group takes everything that waits when it starts; when it ends,
//! its records are durable if any of them asked for a sync, and what waited for them is released. A crash
//! keeps, file by file, any prefix of what was not synced yet: all of it, nothing, or a part whose last
//! record is torn and therefore left out when the file is read again.

use crate::node::Done;
use crate::node::OrderedBlock;
use crate::random::Random;
use squad_consensus::{KeyRange, SafetyRecord, SafetyState};
use squad_mempool::LaneRecord;
use squad_primitives::{Batch, BatchSeq, Digest, Height, OperatorId, Tip};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A file with a writer of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum File {
    /// Records of consensus and lanes.
    Safety,
    /// Ordered blocks.
    Main,
    /// Headers and bodies of batches.
    Bodies,
}

impl File {
    /// All files.
    pub const ALL: [Self; 3] = [Self::Safety, Self::Main, Self::Bodies];
}

/// Keys and values of consensus records.
pub type Records = Vec<(Vec<u8>, Vec<u8>)>;

/// One atomic change.
#[derive(Clone, Debug)]
pub enum Change {
    /// Consensus records, by key.
    Records(Records),
    /// Ranges of consensus records to delete.
    Forget(Vec<KeyRange>),
    /// The record of a lane.
    Lane(LaneRecord),
    /// A batch; `acked` if it stands for the record of its acknowledgement too.
    Body {
        /// The batch.
        batch: Batch,
        /// It was acknowledged, or is about to be.
        acked: bool,
    },
    /// An ordered block.
    Block(Arc<OrderedBlock>),
}

/// A change on its way, and what happens when it is there.
#[derive(Debug)]
pub struct Write {
    /// The change.
    pub change: Change,
    /// Whether it must be synced.
    pub sync: bool,
    /// What waits for it.
    pub done: Done,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Write>,
    /// Written, not synced.
    unsynced: Vec<Change>,
    /// How many of those that wait belong to the group in progress.
    group: usize,
}

/// What is durable.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// Consensus records.
    pub records: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The consensus record `state`, decoded.
    pub state: SafetyState,
    /// Lane records.
    pub lanes: BTreeMap<OperatorId, LaneRecord>,
    /// Highest position of each lane for which there is a record of an acknowledgement, of its own or
    /// with a body.
    pub acked: BTreeMap<OperatorId, BatchSeq>,
    /// Ordered blocks from height 1 on.
    pub blocks: Vec<Arc<OrderedBlock>>,
    /// Batches, and whether each stands for a lane record.
    pub bodies: BTreeMap<Digest, (Batch, bool)>,
}

impl Image {
    fn note_acked(&mut self, tip: &Tip) {
        let seq = self.acked.entry(tip.lane).or_default();
        *seq = tip.seq.max(*seq);
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Records(records) => {
                for (key, value) in records {
                    if let Ok(SafetyRecord::State(state)) = SafetyRecord::from_value(&value) {
                        self.state = *state;
                    }
                    self.records.insert(key, value);
                }
            }
            Change::Forget(ranges) => {
                for KeyRange { start, end } in ranges {
                    let keys: Vec<_> = self
                        .records
                        .range(start..end)
                        .map(|(key, _)| key.clone())
                        .collect();
                    for key in keys {
                        self.records.remove(&key);
                    }
                }
            }
            Change::Lane(record) => {
                self.note_acked(&record.acked);
                self.lanes.insert(record.acked.lane, record);
            }
            Change::Body { batch, acked } => {
                if acked {
                    self.note_acked(&batch.tip());
                }
                self.bodies.insert(batch.digest(), (batch, acked));
            }
            Change::Block(block) => {
                let height = block.height();
                assert_eq!(
                    Height(self.blocks.len() as u64).next(),
                    height,
                    "blocks are written in order"
                );
                self.blocks.push(block);
            }
        }
    }
}

/// What a crash took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Changes that were not durable and are gone.
    pub lost: u64,
    /// Changes that nobody was told of and that are there.
    pub kept: u64,
    /// Records that were cut in the middle.
    pub torn: u64,
}

/// One node's disk.
#[derive(Debug, Default)]
pub struct Disk {
    /// What is durable.
    pub image: Image,
    queues: [Queue; 3],
}

impl Disk {
    /// Appends a change. True if a group starts with it, which ends after the time of one sync.
    pub fn append(&mut self, file: File, write: Write) -> bool {
        let queue = &mut self.queues[file as usize];
        queue.waiting.push_back(write);
        let idle = queue.group == 0;
        if idle {
            queue.group = 1;
        }
        idle
    }

    /// The group in progress ends: what was waiting for it, and whether the next group starts.
    pub fn finish(&mut self, file: File) -> (Vec<Done>, bool) {
        let queue = &mut self.queues[file as usize];
        let group: Vec<Write> = queue.waiting.drain(..queue.group).collect();
        let synced = group.iter().any(|write| write.sync);
        let mut done = Vec::with_capacity(group.len());
        for write in group {
            queue.unsynced.push(write.change);
            done.push(write.done);
        }
        if synced {
            for change in queue.unsynced.drain(..) {
                self.image.apply(change);
            }
        }
        queue.group = queue.waiting.len();
        (done, queue.group > 0)
    }

    /// The process is gone. `part` says whether a part of what was not synced may stay.
    pub fn crash(&mut self, random: &mut Random, part: bool) -> Lost {
        let mut lost = Lost::default();
        for queue in &mut self.queues {
            let waiting = queue.waiting.drain(..).map(|write| write.change);
            let open: Vec<Change> = queue.unsynced.drain(..).chain(waiting).collect();
            queue.group = 0;
            let count = open.len() as u64;
            let kept = match random.below(3) {
                _ if !part => 0,
                0 => 0,
                1 => count,
                _ => random.below(count + 1),
            };
            lost.kept += kept;
            lost.lost += count - kept;
            lost.torn += u64::from(kept > 0 && kept < count);
            for change in open.into_iter().take(usize::try_from(kept).unwrap_or(0)) {
                self.image.apply(change);
            }
        }
        lost
    }

    /// Changes that wait, over all files.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queues.iter().map(|queue| queue.waiting.len()).sum()
    }
}
