//! Agreement: honest nodes commit the same block at every height, each with a valid proof and on top of
//! the one before, and derive the same order from it.

use super::{Ground, Invariant};
use crate::observe::Seen;
use squad_primitives::{Digest, Height, TxId};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Agreement {
    chain: BTreeMap<Height, Digest>,
    orders: BTreeMap<Height, Vec<TxId>>,
    /// Last height that each slot committed; restarts may repeat heights.
    last: BTreeMap<usize, Height>,
}

impl Invariant for Agreement {
    fn name(&self) -> &'static str {
        "agreement"
    }

    fn see(&mut self, ground: &Ground<'_>, slot: usize, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::Committed(committed) => {
                let block = &committed.block;
                let height = block.height;
                let agreed = *self.chain.entry(height).or_insert(committed.hash);
                if agreed != committed.hash {
                    return Err(format!(
                        "height {height}: {} here, {agreed} elsewhere",
                        committed.hash
                    ));
                }
                if block.hash(&ground.facts.network) != committed.hash {
                    return Err(format!(
                        "height {height}: the hash is not that of the block"
                    ));
                }
                if height > Height(1) && self.chain.get(&height.prev()) != Some(&block.parent.hash)
                {
                    return Err(format!(
                        "height {height} does not extend the block before it"
                    ));
                }
                let expected = self.last.get(&slot).map_or(height, |last| last.next());
                if height > expected {
                    return Err(format!("committed {height}, expected {expected}"));
                }
                self.last.insert(slot, height);
                let epoch = committed.proof.certificate.statement.at.epoch;
                let committee = ground.facts.committee.in_epoch(epoch);
                committed
                    .proof
                    .verify(
                        &ground.facts.network,
                        block,
                        &committee,
                        &*ground.facts.verifier,
                    )
                    .map_err(|error| format!("height {height}: {error}"))
            }
            Seen::Ordered(block) => {
                let ids: Vec<_> = block.ordered.iter().map(|(_, id, _)| *id).collect();
                let height = block.height();
                let agreed = self.orders.entry(height).or_insert_with(|| ids.clone());
                if *agreed == ids {
                    Ok(())
                } else {
                    Err(format!("height {height}: another order than elsewhere"))
                }
            }
            Seen::Conflict(certificate) => Err(format!(
                "finality contradicted: {:?}",
                certificate.statement
            )),
            _ => Ok(()),
        }
    }

    fn settled(&mut self, _: &Ground<'_>) -> Result<(), String> {
        Ok(())
    }
}
