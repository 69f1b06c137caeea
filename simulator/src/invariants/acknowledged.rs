//! A transaction is ordered at most once, within its expiry; and one that an honest operator accepted is
//! ordered, or has expired, when the network has settled.

use super::{Ground, Invariant};
use crate::observe::Seen;
use squad_primitives::{Height, TxId};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Acknowledged {
    /// Expiry of accepted transactions.
    accepted: BTreeMap<TxId, Height>,
    ordered: BTreeMap<TxId, Height>,
    head: Height,
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
            Seen::Ordered(block) if block.height() > self.head => {
                self.head = block.height();
                for (_, id, expiry) in &block.ordered {
                    if *expiry < self.head {
                        return Err(format!(
                            "{id} ordered at {} after its expiry {expiry}",
                            self.head
                        ));
                    }
                    if let Some(first) = self.ordered.insert(*id, self.head) {
                        return Err(format!("{id} ordered at {first} and at {}", self.head));
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn settled(&mut self, _: &Ground<'_>) -> Result<(), String> {
        let open = |(id, expiry): &(&TxId, &Height)| {
            **expiry > self.head && !self.ordered.contains_key(*id)
        };
        match self.accepted.iter().find(open) {
            None => Ok(()),
            Some((id, expiry)) => Err(format!(
                "{id} was accepted, expires at {expiry}, and is not ordered at {}",
                self.head
            )),
        }
    }
}
