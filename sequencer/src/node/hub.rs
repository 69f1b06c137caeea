//! Where readers wait for new blocks.
//!
//! The pipeline publishes an ordered block once it is durable. Readers are told the head through a
//! watch channel, which holds one number however many blocks were published, so a slow reader costs
//! nothing here: it reads what it missed from [`Hub::recent`] or from the store.

use super::record::OrderedBlock;
use squad_primitives::Height;
use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::watch;

/// Blocks kept in memory for readers at the head. At one block per 10 ms this covers about a second;
/// records hold ids, not payloads: about 40 bytes per transaction, 4 MiB at 100,000 per second.
const RECENT_BLOCKS_MAX: usize = 128;

/// The newest ordered blocks and the height that readers wait for.
#[derive(Debug)]
pub(crate) struct Hub {
    head: watch::Sender<Height>,
    recent: RwLock<VecDeque<Arc<OrderedBlock>>>,
}

impl Hub {
    /// Starts at the height of the last durable block.
    pub(crate) fn new(head: Height) -> Self {
        Self {
            head: watch::Sender::new(head),
            recent: RwLock::default(),
        }
    }

    /// Makes a durable block visible. Blocks come in height order.
    pub(crate) fn publish(&self, block: Arc<OrderedBlock>) {
        let height = block.height();
        {
            let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
            assert!(
                recent
                    .back()
                    .is_none_or(|last| last.height().next() == height),
                "blocks are published in height order"
            );
            if recent.len() == RECENT_BLOCKS_MAX {
                recent.pop_front();
            }
            recent.push_back(block);
        }
        self.head.send_replace(height);
    }

    /// Height of the last published block.
    pub(crate) fn head(&self) -> Height {
        *self.head.borrow()
    }

    /// Follows the head.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Height> {
        self.head.subscribe()
    }

    /// The block at a height, if it is among the newest.
    pub(crate) fn recent(&self, height: Height) -> Option<Arc<OrderedBlock>> {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        let first = recent.front()?.height();
        let index = usize::try_from(height.0.checked_sub(first.0)?).ok()?;
        recent.get(index).cloned()
    }
}
