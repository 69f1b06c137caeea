//! An operator never acknowledges two batches for one position of a lane, nor a batch off the branch that
//! it acknowledged before, unless that branch was passed over by commits.

use super::{Ground, Invariant};
use crate::node::Packet;
use crate::observe::Seen;
use squad_primitives::message::LaneMessage;
use squad_primitives::{Ack, BatchSeq, Digest, OperatorId};
use std::collections::BTreeMap;

/// Most batches that are walked to compare branches.
const WALK_MAX: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Acknowledgements {
    said: BTreeMap<(OperatorId, OperatorId, BatchSeq), Digest>,
    /// Highest position of each lane that any honest node has committed.
    committed: BTreeMap<OperatorId, BatchSeq>,
}

impl Acknowledgements {
    fn judge(&mut self, ground: &Ground<'_>, ack: &Ack) -> Result<(), String> {
        let lane = ack.tip.lane;
        let key = (ack.signer, lane, ack.tip.seq);
        let first = *self.said.entry(key).or_insert(ack.tip.digest);
        if first != ack.tip.digest {
            return Err(format!(
                "acknowledged {first} and {} at {} of lane {lane}",
                ack.tip.digest, ack.tip.seq
            ));
        }
        // An acknowledgement is cumulative: on the way down it must not meet another branch.
        let floor = self.committed.get(&lane).copied().unwrap_or_default();
        let mut digest = ack.tip.digest;
        for _ in 0..WALK_MAX {
            let Some(signed) = ground.facts.headers.get(&digest) else {
                break;
            };
            if signed.header.seq <= floor {
                break;
            }
            match self.said.get(&(ack.signer, lane, signed.header.seq)) {
                Some(other) if *other != digest => {
                    return Err(format!(
                        "acknowledged another branch of lane {lane} at {}",
                        signed.header.seq
                    ));
                }
                _ => digest = signed.header.parent,
            }
        }
        Ok(())
    }
}

impl Invariant for Acknowledgements {
    fn name(&self) -> &'static str {
        "acknowledgements"
    }

    fn see(&mut self, ground: &Ground<'_>, _: usize, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::Sent(_, Packet::Lane(message)) => match &**message {
                LaneMessage::Ack(ack) => self.judge(ground, ack),
                _ => Ok(()),
            },
            Seen::Committed(block) => {
                for tip in block.block.cut.tips() {
                    let seq = self.committed.entry(tip.lane).or_default();
                    *seq = tip.seq.max(*seq);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
