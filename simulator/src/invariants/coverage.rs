//! Coverage: an honest operator does not vote for a cut that leaves out a lane whose proof it showed to
//! all long enough ago.
//!
//! "Long enough" is two and a half times `coverage_delay` here: a proof may first be shown for another
//! reason, is shown again for coverage after half of the delay, at most one per delay, and the delay counts
//! from that. Of a lane with very many uncommitted proofs not all are kept: for one that may have been
//! forgotten, time also counts from the last block that moved the lane. Exempt, as in the rule: a view after
//! a TC, a block without room, a tip off the parent's branch or whose branch this operator can't know for
//! want of headers, a proof of an older epoch.

use super::{Ground, Invariant};
use crate::node::Packet;
use crate::observe::Seen;
use squad_primitives::message::{ConsensusMessage, LaneMessage};
use squad_primitives::{BatchSeq, Block, Cut, Epoch, OperatorId, Poa, StatementKind, ViewId};
use std::collections::{BTreeMap, BTreeSet};

/// Proofs that one life of a node has shown: by lane, when, at what position.
#[derive(Debug, Default)]
struct Shown {
    life: u64,
    epoch: Epoch,
    proofs: BTreeMap<OperatorId, Vec<Claim>>,
    /// When this node voted last for a block that moved the lane.
    moved: BTreeMap<OperatorId, u64>,
}

/// A proof that was shown.
#[derive(Debug)]
struct Claim {
    since: u64,
    poa: Poa,
    /// Whether it lies so near to the committed tip that it is kept whatever comes.
    near: bool,
}

#[derive(Debug, Default)]
pub(super) struct Coverage {
    shown: BTreeMap<usize, Shown>,
    /// Cut of the last block that each node committed.
    committed: BTreeMap<usize, Cut>,
    /// Votes that were judged; repetitions come later than the decision.
    judged: BTreeSet<(usize, ViewId)>,
}

/// Most bytes above the parent's tip for which the lane is owed a place.
const DESCENT_BYTES_MAX: u64 = 16 << 10;

/// From the decision to the vote on the wire: the vote's record has to be synced, on a slow disk too.
const DECISION_US: u64 = 200_000;

/// Shown proofs that are remembered per lane.
const SHOWN_MAX: usize = 64;

/// A lane has one proof per batch, and at least so many of the oldest are kept.
const KEPT_MIN: u64 = 60;

impl Coverage {
    fn shows(&mut self, ground: &Ground<'_>, slot: usize, poa: &Poa) {
        let committed = self.committed.get(&slot);
        let below = committed.map_or(BatchSeq::ZERO, |cut| cut.seq(poa.tip.lane));
        let shown = self.entry(ground, slot, poa.epoch);
        let proofs = shown.proofs.entry(poa.tip.lane).or_default();
        if proofs.len() < SHOWN_MAX && !proofs.iter().any(|claim| claim.poa.tip == poa.tip) {
            proofs.push(Claim {
                since: ground.now,
                poa: poa.clone(),
                near: poa.tip.seq.0 <= below.0 + KEPT_MIN,
            });
        }
    }

    fn entry(&mut self, ground: &Ground<'_>, slot: usize, epoch: Epoch) -> &mut Shown {
        let shown = self.shown.entry(slot).or_default();
        let life = ground.slots[slot].life;
        if shown.life != life || epoch > shown.epoch {
            *shown = Shown {
                life,
                epoch,
                ..Shown::default()
            };
        }
        shown
    }

    fn judge(
        &mut self,
        ground: &Ground<'_>,
        slot: usize,
        at: ViewId,
        block: &Block,
    ) -> Result<(), String> {
        let Some(parent) = ground.facts.blocks.get(&block.parent.hash) else {
            return Ok(());
        };
        let moved = &mut self.entry(ground, slot, at.epoch).moved;
        for tip in block.cut.moved(&parent.cut) {
            moved.insert(tip.lane, ground.now);
        }
        let hash = block.hash(&ground.facts.network);
        let consecutive = ground
            .facts
            .justified
            .get(&(at, hash))
            .is_some_and(|justify| justify.next() == at);
        if block.at != at || !consecutive {
            return Ok(());
        }
        let room = bytes_between(ground, parent, block)
            .is_some_and(|bytes| bytes + DESCENT_BYTES_MAX <= ground.facts.block_bytes_max);
        let limit = ground.facts.coverage_us * 5 / 2 + DECISION_US;
        let shown = self.entry(ground, slot, at.epoch);
        if !room || shown.epoch != at.epoch {
            return Ok(());
        }
        for (lane, proofs) in &mut shown.proofs {
            let below = parent.cut.seq(*lane);
            proofs.retain(|claim| claim.poa.tip.seq > below);
            if block.cut.seq(*lane) > below {
                continue;
            }
            let moved = shown.moved.get(lane).copied().unwrap_or_default();
            let owed = proofs.iter().find(|Claim { since, poa, near }| {
                let since = if *near { *since } else { moved.max(*since) };
                ground.now > since + limit
                    && descends(ground, poa, parent) == Some(true)
                    && knows_chain(ground, slot, poa, parent)
            });
            if let Some(Claim { since, poa, .. }) = owed {
                return Err(format!(
                    "votes in {at:?} without lane {lane} at {}, shown {} ms before",
                    poa.tip.seq,
                    (ground.now - since) / 1_000
                ));
            }
        }
        Ok(())
    }
}

/// Whether a node itself has the headers from a block's cut to a proof's tip.
fn knows_chain(ground: &Ground<'_>, slot: usize, poa: &Poa, parent: &Block) -> bool {
    let mut cut = parent.cut.clone();
    cut.set(poa.tip);
    let node = ground.slots.get(slot).and_then(|slot| slot.node.as_ref());
    node.is_some_and(|node| {
        let lanes = node.replica().lanes();
        lanes.batches_between(&parent.cut, &cut).is_some()
    })
}

/// Whether a proof's tip descends from the tip of its lane in a block's cut, within few bytes.
fn descends(ground: &Ground<'_>, poa: &Poa, parent: &Block) -> Option<bool> {
    let below = parent.cut.seq(poa.tip.lane);
    let base = parent
        .cut
        .tip(poa.tip.lane)
        .map(|tip| tip.digest)
        .unwrap_or_default();
    let mut digest = poa.tip.digest;
    let mut bytes = 0;
    loop {
        if digest == base {
            return Some(bytes <= DESCENT_BYTES_MAX);
        }
        let header = ground.facts.headers.get(&digest)?.header;
        if header.seq <= below {
            return Some(false);
        }
        bytes += u64::from(header.body_bytes);
        digest = header.parent;
    }
}

fn bytes_between(ground: &Ground<'_>, parent: &Block, block: &Block) -> Option<u64> {
    let mut bytes = 0;
    for tip in block.cut.moved(&parent.cut) {
        let below = parent.cut.seq(tip.lane);
        let (mut digest, mut seq) = (tip.digest, tip.seq);
        while seq > below && seq > BatchSeq::ZERO {
            let header = ground.facts.headers.get(&digest)?.header;
            bytes += u64::from(header.body_bytes);
            digest = header.parent;
            seq = seq.prev();
        }
    }
    Some(bytes)
}

impl Invariant for Coverage {
    fn name(&self) -> &'static str {
        "coverage"
    }

    fn see(&mut self, ground: &Ground<'_>, slot: usize, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::Committed(block) => {
                self.committed.insert(slot, block.block.cut.clone());
                Ok(())
            }
            Seen::Sent(None, Packet::Lane(message)) => {
                if let LaneMessage::Poa(poa) = &**message {
                    self.shows(ground, slot, poa);
                }
                Ok(())
            }
            Seen::Sent(_, Packet::Consensus(message)) => match &**message {
                ConsensusMessage::Vote(vote) if vote.statement.kind == StatementKind::Vote => {
                    let at = vote.statement.at;
                    match ground.facts.blocks.get(&vote.statement.block) {
                        Some(block) if self.judged.insert((slot, at)) => {
                            self.judge(ground, slot, at, block)
                        }
                        _ => Ok(()),
                    }
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}
