//! Calls that wait until a transaction is ordered.
//!
//! One task looks through each new block for all of them together. A call registers before it submits,
//! so a block can't slip through between the two.

use super::blocks::BlockReader;
use super::context::Shared;
use crate::node::record::OrderedBlock;
use squad_primitives::{Height, TxId};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It is ordered at this height.
    Ordered(Height),
    /// Its expiry height is final and it was not ordered; this block made it so.
    Expired(Height),
}

#[derive(Debug, Default)]
struct State {
    waiting: HashMap<TxId, Vec<(u64, oneshot::Sender<Ending>)>>,
    expiries: BTreeSet<(Height, u64, TxId)>,
    last: u64,
}

/// Those who wait.
#[derive(Debug, Default)]
pub(crate) struct OrderedWaiters {
    state: Mutex<State>,
}

/// One who waits; forgotten when dropped.
#[derive(Debug)]
pub(crate) struct Waiting {
    id: TxId,
    expiry: Height,
    number: u64,
    waiters: Arc<OrderedWaiters>,
    ending: oneshot::Receiver<Ending>,
}

impl Waiting {
    /// The ending; `None` if the node stops.
    pub(crate) async fn ending(&mut self) -> Option<Ending> {
        (&mut self.ending).await.ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.waiters.lock();
        state.expiries.remove(&(self.expiry, self.number, self.id));
        if let Some(waiting) = state.waiting.get_mut(&self.id) {
            waiting.retain(|(number, _)| *number != self.number);
            if waiting.is_empty() {
                state.waiting.remove(&self.id);
            }
        }
    }
}

impl OrderedWaiters {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers for a transaction that can be ordered up to `expiry`.
    pub(crate) fn register(self: &Arc<Self>, id: TxId, expiry: Height) -> Waiting {
        let (sender, ending) = oneshot::channel();
        let mut state = self.lock();
        state.last += 1;
        let number = state.last;
        state.waiting.entry(id).or_default().push((number, sender));
        state.expiries.insert((expiry, number, id));
        Waiting {
            id,
            expiry,
            number,
            waiters: Arc::clone(self),
            ending,
        }
    }

    fn on_block(&self, block: &OrderedBlock) {
        let mut state = self.lock();
        let height = block.height();
        if !state.waiting.is_empty() {
            for id in block.rollups.iter().flat_map(|part| &part.ids) {
                state.end(id, Ending::Ordered(height));
            }
        }
        while let Some((expiry, ..)) = state.expiries.first()
            && *expiry <= height
        {
            if let Some((_, _, id)) = state.expiries.pop_first() {
                state.end(&id, Ending::Expired(height));
            }
        }
    }

    /// Follows the node's blocks until the runtime ends.
    pub(crate) async fn follow(ctx: Shared) {
        let mut blocks = BlockReader::of_node(ctx.clone());
        let mut height = ctx.head().next();
        while let Ok(block) = blocks.wait_for(height).await {
            ctx.ordered.on_block(&block);
            height = height.next();
        }
    }
}

impl State {
    fn end(&mut self, id: &TxId, ending: Ending) {
        for (_, sender) in self.waiting.remove(id).unwrap_or_default() {
            // The call may have given up.
            let _ = sender.send(ending);
        }
    }
}
