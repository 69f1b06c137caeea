//! A transaction is ordered at most once, within its expiry; and one that an honest operator accepted is
//! ordered, or has expired, when the network has settled.

use super::{Ground, Invariant};
use crate::observe::Seen;
use squad_primitives::{Height, TxId};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(super) struct Acknowledged {
    /// Expiry of accepted transactions.
    accepted: BTreeMap<TxId, Height>,
    ordered: BTreeMap<TxId, Height>,
    /// Blocks that somebody was seen to order. Not all nodes show all of them, and not in one order: after
    /// a crash a node goes on above what it had written before.
    seen: BTreeSet<Height>,
}

impl Invariant for Acknowledged {
    fn name(&self) -> &'static str {
        "acknowledged"
    }

    fn see(&mut self, _: &Ground<'_>, _: usize, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::Accepted(batch) => {
                for (index, id) in batch.ids().iter().enumerate() {
                    let expiry = batch.meta(index).map_or(Height::ZERO, |meta| meta.expiry);
                    self.accepted.insert(*id, expiry);
                }
                Ok(())
            }
            Seen::Ordered(block) if self.seen.insert(block.height()) => {
                let height = block.height();
                for (_, id, expiry) in &block.ordered {
                    if *expiry < height {
                        return Err(format!(
                            "{id} ordered at {height} after its expiry {expiry}"
                        ));
                    }
                    if let Some(first) = self.ordered.insert(*id, height) {
                        return Err(format!("{id} ordered at {first} and at {height}"));
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn settled(&mut self, _: &Ground<'_>) -> Result<(), String> {
        let head = self.seen.last().copied().unwrap_or_default();
        let open =
            |(id, expiry): &(&TxId, &Height)| **expiry > head && !self.ordered.contains_key(*id);
        match self.accepted.iter().find(open) {
            None => Ok(()),
            Some((id, expiry)) => Err(format!(
                "{id} was accepted, expires at {expiry}, and is not ordered at {head}"
            )),
        }
    }
}
