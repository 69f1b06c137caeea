//! Committed blocks: the branch that stays, and when all batches of a block are here.

use super::collect::Reason;
use super::lane::Lane;
use super::{LaneOutput, Lanes};
use squad_primitives::{Cut, Height, Time, Tip};
use std::collections::VecDeque;

/// Blocks that are committed and not yet processed.
#[derive(Debug)]
pub(super) struct Blocks {
    /// Height and cut of the last block given.
    last: Height,
    /// Cut of the last block reported ready.
    ready_cut: Cut,
    /// Committed blocks whose batches are not all here. The shell holds back blocks that it syncs
    /// while this is long (`blocks_waiting`).
    waiting: VecDeque<(Height, Cut)>,
    /// Blocks reported ready and not yet processed.
    ready: VecDeque<(Height, Cut)>,
}

impl Blocks {
    pub(super) fn new(processed: Height, cut: Cut) -> Self {
        Self {
            last: processed,
            ready_cut: cut,
            waiting: VecDeque::new(),
            ready: VecDeque::new(),
        }
    }
}

impl Lanes {
    /// Number of committed blocks whose batches are not all here. A shell that syncs old blocks gives
    /// no further one while this is above a few hundred.
    #[must_use]
    pub fn blocks_waiting(&self) -> usize {
        self.blocks.waiting.len()
    }

    /// A block is final.
    pub(super) fn on_committed(
        &mut self,
        now: Time,
        height: Height,
        cut: Cut,
        out: &mut Vec<LaneOutput>,
    ) {
        if height <= self.blocks.last {
            return;
        }
        self.blocks.last = height;
        self.last_commit = now;
        for tip in cut.tips() {
            let lane = self
                .lanes
                .entry(tip.lane)
                .or_insert_with(|| Lane::new(tip.lane, None));
            if tip.seq <= lane.committed.seq {
                continue;
            }
            let before = lane.bytes;
            lane.commit(*tip);
            if self.config.me == Some(tip.lane) {
                let bytes = before.saturating_sub(lane.bytes);
                self.own.pace.on_ordered(now, tip.seq, bytes);
            }
            self.awaited
                .retain(|_, wanted| wanted.lane != tip.lane || wanted.seq > tip.seq);
            self.adopt_own(*tip, out);
            self.advance_ack(now, tip.lane, out);
            self.want(now, *tip, Reason::Committed, None, out);
        }
        self.blocks.waiting.push_back((height, cut));
        self.report_ready(out);
    }

    /// The committed tip of the own lane: an own batch that this node does not know of means that its
    /// store was rolled back. It goes on from there, as everybody else does.
    fn adopt_own(&mut self, tip: Tip, out: &mut Vec<LaneOutput>) {
        if self.config.me != Some(tip.lane) {
            return;
        }
        self.own.acks.retain(|other, _| other.seq > tip.seq);
        if self
            .own
            .unsent
            .as_ref()
            .is_some_and(|(poa, _)| poa.tip.seq <= tip.seq)
        {
            self.own.unsent = None;
        }
        if self.own.tip.is_none_or(|own| own.seq < tip.seq) {
            self.own.tip = Some(tip);
            out.push(LaneOutput::ForeignOwnBatch(tip.digest));
        }
    }

    /// Reports committed blocks whose batches are all durable, in height order.
    pub(super) fn report_ready(&mut self, out: &mut Vec<LaneOutput>) {
        while let Some((height, cut)) = self.blocks.waiting.front() {
            let Some(batches) = self.batches_between(&self.blocks.ready_cut, cut) else {
                return;
            };
            let held = |tip: &Tip| {
                let lane = self.lanes.get(&tip.lane);
                lane.is_some_and(|lane| lane.all_held(std::slice::from_ref(tip)))
            };
            if !batches.iter().all(held) {
                return;
            }
            out.push(LaneOutput::BlockReady {
                height: *height,
                batches,
            });
            self.blocks.ready_cut = cut.clone();
            self.blocks.ready.extend(self.blocks.waiting.pop_front());
        }
    }

    /// Batches that a block with `cut` holds over its parent's: lanes ascending, in each by position.
    /// `None` while headers are missing, or if `cut` does not descend from `parent`.
    #[must_use]
    pub fn batches_between(&self, parent: &Cut, cut: &Cut) -> Option<Vec<Tip>> {
        let mut batches = Vec::new();
        for tip in cut.moved(parent) {
            let lane = self.lanes.get(&tip.lane)?;
            let below = Self::tip_in(parent, tip.lane);
            let chain = lane.chain(tip, &below).ok()?;
            batches.extend(chain.into_iter().rev());
        }
        Some(batches)
    }

    /// The results of blocks up to this height are durable.
    pub(super) fn on_processed(&mut self, height: Height) {
        while let Some((_, cut)) = self.blocks.ready.pop_front_if(|(h, _)| *h <= height) {
            for tip in cut.tips() {
                if let Some(lane) = self.lanes.get_mut(&tip.lane)
                    && lane.base.seq < tip.seq
                {
                    lane.forget(*tip);
                }
            }
        }
        // Lanes of operators that left close once everything in them is processed.
        let committees = &self.committees;
        self.lanes.retain(|owner, lane| {
            committees.has_lane(*owner) || lane.base.seq < lane.committed.seq
        });
    }
}
