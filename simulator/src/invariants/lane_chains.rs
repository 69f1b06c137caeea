//! The lane of an honest operator has no fork and no gap: at each position one batch, each the child of
//! the one before. Restarts included.

use super::{Ground, Invariant};
use crate::node::Packet;
use crate::observe::Seen;
use squad_primitives::{Batch, BatchSeq, Digest, OperatorId};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct LaneChains {
    lanes: BTreeMap<(OperatorId, BatchSeq), Digest>,
}

impl LaneChains {
    fn judge(&mut self, ground: &Ground<'_>, batch: &Batch) -> Result<(), String> {
        let header = batch.header();
        if !ground.is_honest(header.lane) {
            return Ok(());
        }
        let digest = *self
            .lanes
            .entry((header.lane, header.seq))
            .or_insert(batch.digest());
        if digest != batch.digest() {
            return Err(format!("lane {} forks at {}", header.lane, header.seq));
        }
        if header.seq == BatchSeq(1) {
            return if header.parent.is_zero() {
                Ok(())
            } else {
                Err("the first batch has a parent".to_owned())
            };
        }
        match self.lanes.get(&(header.lane, header.seq.prev())) {
            Some(parent) if *parent != header.parent => Err(format!(
                "lane {}: {} is no child of the batch before",
                header.lane, header.seq
            )),
            _ => Ok(()),
        }
    }
}

impl Invariant for LaneChains {
    fn name(&self) -> &'static str {
        "lane-chains"
    }

    fn see(&mut self, ground: &Ground<'_>, _: usize, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::Accepted(batch) | Seen::Sent(_, Packet::Batch { batch, .. }) => {
                self.judge(ground, batch)
            }
            _ => Ok(()),
        }
    }
}
