//! Everything in a committed cut can be fetched from honest operators: each batch lies on the disk of at
//! least one, durably, when the first honest node commits. Cuts never move a lane back.

use super::{Ground, Invariant};
use crate::observe::Seen;
use squad_primitives::{CommittedBlock, Digest, Height, SignedHeader, Tip};
use std::collections::BTreeSet;

#[derive(Debug, Default)]
pub(super) struct Availability {
    judged: BTreeSet<Height>,
}

/// The header of a batch that an honest operator has on its disk. It may have come there without anybody
/// seeing it: its owner stored it, crashed, and others have it from its answers.
fn held<'a>(ground: &'a Ground<'_>, digest: &Digest) -> Option<&'a SignedHeader> {
    let mut honest = ground.slots.iter().filter(|slot| slot.honest);
    let found = honest.find_map(|slot| slot.disk.image.bodies.get(digest));
    found.map(|(batch, _)| batch.signed())
}

fn check_lane(ground: &Ground<'_>, block: &CommittedBlock, tip: &Tip) -> Result<(), String> {
    let below = block.parent_cut.seq(tip.lane);
    if tip.seq < below {
        return Err(format!(
            "lane {} moves back from {below} to {}",
            tip.lane, tip.seq
        ));
    }
    let mut digest = tip.digest;
    let mut seq = tip.seq;
    while seq > below {
        let Some(signed) = held(ground, &digest) else {
            return Err(format!(
                "batch {seq} of lane {} is on no honest disk",
                tip.lane
            ));
        };
        digest = signed.header.parent;
        seq = seq.prev();
    }
    let parent = block
        .parent_cut
        .tip(tip.lane)
        .map_or(Digest::ZERO, |tip| tip.digest);
    if digest == parent {
        Ok(())
    } else {
        Err(format!("lane {} leaves its committed branch", tip.lane))
    }
}

impl Invariant for Availability {
    fn name(&self) -> &'static str {
        "availability"
    }

    fn see(&mut self, ground: &Ground<'_>, _: usize, seen: &Seen) -> Result<(), String> {
        let Seen::Committed(block) = seen else {
            return Ok(());
        };
        if !self.judged.insert(block.block.height) {
            return Ok(());
        }
        for tip in block.parent_cut.tips() {
            if block.block.cut.tip(tip.lane).is_none() {
                return Err(format!("lane {} disappears", tip.lane));
            }
        }
        let mut moved = block.block.cut.moved(&block.parent_cut);
        moved.try_for_each(|tip| check_lane(ground, block, tip))
    }
}
