//! What survives a crash of an operator, and the writes that don't.

use squad_consensus::{KeyRange, PersistId, SafetyRecord};
use squad_primitives::CommittedBlock;
use std::collections::{BTreeMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A write to the store of committed blocks.
#[derive(Clone, Debug)]
pub(crate) enum ChainWrite {
    /// The next block.
    Block(Arc<CommittedBlock>),
    /// A deletion of records that waits for the blocks before it.
    Forget(Vec<KeyRange>),
}

/// Records and committed blocks, durable ones and those that wait. Numbers of writes count from the last
/// durable one where drives are hashed; signers of certificates are left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drive {
    pub(crate) records: BTreeMap<Vec<u8>, Arc<SafetyRecord>>,
    pub(crate) chain: Vec<Arc<CommittedBlock>>,
    pub(crate) durable: PersistId,
    pub(crate) records_queue: VecDeque<(PersistId, Vec<Arc<SafetyRecord>>)>,
    pub(crate) chain_queue: VecDeque<ChainWrite>,
}

impl Drive {
    /// What a crash leaves.
    pub(crate) fn survivor(&self) -> Self {
        Self {
            records: self.records.clone(),
            chain: self.chain.clone(),
            ..Self::default()
        }
    }

    /// Makes the oldest records durable.
    pub(crate) fn flush(&mut self) -> Option<PersistId> {
        let (id, records) = self.records_queue.pop_front()?;
        for record in records {
            self.records.insert(record.key(), record);
        }
        self.durable = id;
        Some(id)
    }

    /// Makes the oldest committed block durable, or carries out a deletion that waited for it.
    pub(crate) fn store(&mut self) {
        match self.chain_queue.pop_front() {
            Some(ChainWrite::Block(block)) => {
                let height = self.chain.len() as u64 + 1;
                assert_eq!(height, block.block.height.0, "commits leave no gaps");
                self.chain.push(block);
            }
            Some(ChainWrite::Forget(ranges)) => self
                .records
                .retain(|key, _| ranges.iter().all(|it| *key < it.start || *key >= it.end)),
            None => {}
        }
    }
}

impl Hash for Drive {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.records.len().hash(hasher);
        for record in self.records.values() {
            hash_record(record, hasher);
        }
        self.chain.len().hash(hasher);
        for block in &self.chain {
            hash_block(block, hasher);
        }
        for (id, records) in &self.records_queue {
            (id.0 - self.durable.0, records.len()).hash(hasher);
            for record in records {
                hash_record(record, hasher);
            }
        }
        self.chain_queue.len().hash(hasher);
        for write in &self.chain_queue {
            match write {
                ChainWrite::Block(block) => hash_block(block, hasher),
                ChainWrite::Forget(ranges) => {
                    for range in ranges {
                        range.end.hash(hasher);
                    }
                }
            }
        }
    }
}

fn hash_record(record: &SafetyRecord, hasher: &mut impl Hasher) {
    match record {
        SafetyRecord::State(state) => state.hash(hasher),
        SafetyRecord::Certificate(certificate) => certificate.statement.hash(hasher),
        SafetyRecord::Block { hash, .. } => hash.hash(hasher),
    }
}

fn hash_block(block: &CommittedBlock, hasher: &mut impl Hasher) {
    block.hash.hash(hasher);
    block.proof.certificate.statement.hash(hasher);
    block.proof.descendants.len().hash(hasher);
}
