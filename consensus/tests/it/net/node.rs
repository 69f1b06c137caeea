//! One node: a core, what it believes about lanes, and its disk.

use super::keys::{TestKey, public_key};
use super::lanes::TestLanes;
use squad_consensus::{Config, Core, KeyRange, PersistId, Recovered, SafetyRecord};
use squad_primitives::message::ConsensusMessage;
use squad_primitives::{CommittedBlock, Committee, Cut, Height, OperatorId, Signer, Time, Tip};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

#[derive(Debug)]
pub(super) enum ChainWrite {
    Block(Box<CommittedBlock>),
    Forget(Vec<KeyRange>),
}

/// What survives a crash, and the writes that don't.
#[derive(Debug, Default)]
pub(crate) struct Drive {
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) chain: Vec<CommittedBlock>,
    /// Writes that are not durable yet: records in one store, blocks and deletions in another.
    pub(super) records_queue: VecDeque<(PersistId, Vec<SafetyRecord>)>,
    pub(super) chain_queue: VecDeque<ChainWrite>,
    pub(crate) durable: PersistId,
}

impl Drive {
    /// Makes the oldest queued records durable and returns their number.
    pub(super) fn sync_records(&mut self) -> Option<PersistId> {
        let (id, records) = self.records_queue.pop_front()?;
        for record in records {
            let (key, value) = (record.key(), record.value());
            assert_eq!(SafetyRecord::from_value(&value), Ok(record));
            self.records.insert(key, value);
        }
        self.durable = id;
        Some(id)
    }

    /// Makes the oldest queued block durable, or carries out a deletion that waited for the blocks
    /// before it.
    pub(super) fn sync_chain(&mut self) {
        match self.chain_queue.pop_front() {
            None => {}
            Some(ChainWrite::Block(block)) => {
                let height = usize::try_from(block.block.height.0).unwrap();
                self.chain.truncate(height - 1);
                assert_eq!(self.chain.len() + 1, height, "commits without gaps");
                self.chain.push(*block);
            }
            Some(ChainWrite::Forget(ranges)) => {
                for range in ranges {
                    self.records
                        .retain(|key, _| *key < range.start || *key >= range.end);
                }
            }
        }
    }

    /// Values of the records kept.
    pub(crate) fn values(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.records.values()
    }

    /// Number of records kept; bounded while commits go on.
    pub(crate) fn records(&self) -> usize {
        self.records.len()
    }

    fn recover(&self) -> Recovered {
        let records = self.records.values();
        Recovered::from_records(
            records.map(|value| SafetyRecord::from_value(value).unwrap()),
            self.chain.last().cloned(),
        )
    }
}

pub(crate) struct Node {
    pub(crate) core: Option<Core>,
    pub(crate) lanes: TestLanes,
    pub(crate) disk: Drive,
    pub(crate) committed: Height,
    pub(crate) faults: usize,
    /// Counts restarts, so that events of an earlier life are ignored.
    pub(super) life: u64,
    pub(super) alarm: Option<Time>,
    pub(super) held: Vec<(PersistId, usize, ConsensusMessage)>,
    index: usize,
    has_key: bool,
}

impl Node {
    pub(super) fn new(index: usize, has_key: bool) -> Self {
        Self {
            core: None,
            lanes: TestLanes::default(),
            disk: Drive::default(),
            committed: Height::ZERO,
            faults: 0,
            life: 0,
            alarm: None,
            held: Vec::new(),
            index,
            has_key,
        }
    }

    pub(super) fn boot(&mut self, config: Config, committee: Committee) {
        assert!(self.core.is_none(), "node {} runs already", self.index);
        let operator = OperatorId(u32::try_from(self.index).unwrap());
        let signer: Arc<dyn Signer> = Arc::new(TestKey(public_key(self.index)));
        let identity = self.has_key.then_some((operator, signer));
        self.life += 1;
        self.alarm = None;
        self.disk.durable = PersistId::default();
        let last = self.disk.chain.last();
        self.committed = last.map_or(Height::ZERO, |block| block.block.height);
        let recovered = self.disk.recover();
        self.core = Some(Core::new(
            config,
            identity,
            super::verifier(),
            committee,
            recovered,
        ));
    }

    pub(super) fn crash(&mut self) {
        self.core = None;
        self.life += 1;
        self.held.clear();
        self.disk.records_queue.clear();
        self.disk.chain_queue.clear();
    }

    pub(super) fn lanes_above(&self, cut: &Cut) -> Vec<Tip> {
        self.lanes.above(cut)
    }
}
