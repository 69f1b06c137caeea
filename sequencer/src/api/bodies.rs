//! Batches of ordered blocks, for those who read transactions back.
//!
//! Several readers at the head ask for the same batches, and each reading hashes the whole batch again.
//! So the newest ones are kept: first in, first out, up to a limit in bytes.

use super::errors::Failure;
use crate::node::handle::NodeHandle;
use crate::node::record::OrderedBlock;
use squad_primitives::{Batch, Digest};
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// Most bytes of bodies kept: about a second at the highest rates.
const CACHE_BYTES_MAX: usize = 32 << 20;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct BodyCache {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    batches: HashMap<Digest, Batch>,
    order: VecDeque<Digest>,
    bytes: usize,
}

impl BodyCache {
    fn get(&self, digest: &Digest) -> Option<Batch> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.batches.get(digest).cloned()
    }

    fn insert(&self, batch: &Batch) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = batch.digest();
        if state.batches.insert(digest, batch.clone()).is_some() {
            return;
        }
        state.order.push_back(digest);
        state.bytes += batch.body().len();
        while state.bytes > CACHE_BYTES_MAX {
            let Some(oldest) = state.order.pop_front() else {
                break;
            };
            if let Some(removed) = state.batches.remove(&oldest) {
                state.bytes -= removed.body().len();
            }
        }
    }

    /// A batch that is part of an ordered block. May read the disk.
    pub(crate) fn load(&self, node: &NodeHandle, digest: &Digest) -> Result<Batch, Failure> {
        if let Some(batch) = self.get(digest) {
            return Ok(batch);
        }
        let batch = node
            .reader
            .batch(digest)?
            .ok_or_else(|| Failure::unknown_batch(digest))?;
        self.insert(&batch);
        Ok(batch)
    }

    /// A batch of a block by its index in the headers. May read the disk.
    pub(crate) fn of_block(
        &self,
        node: &NodeHandle,
        block: &OrderedBlock,
        index: u32,
    ) -> Result<Batch, Failure> {
        let signed = block.headers.get(index as usize);
        let signed = signed.ok_or_else(|| Failure::internal("a block has no such batch"))?;
        self.load(node, &signed.header.digest(&node.network))
    }
}
