//! Committed blocks: the branch that stays, and when all batches of a block are here.

use super::collect::Reason;
use super::lane::Lane;
use super::{LaneOutput, Lanes};
use squad_primitives::{Cut, Height, OperatorId, Time, Tip};
use std::collections::VecDeque;

/// Committed blocks beyond which old ones are not synced any more: four pages.
const BLOCKS_BEHIND_MAX: usize = 256;

/// Blocks that are committed and not yet processed.
#[derive(Debug)]
pub(super) struct Blocks {
    /// Height of the last block given.
    last: Height,
    /// Its cut.
    last_cut: Cut,
    /// Cut of the last block reported ready.
    ready_cut: Cut,
    /// Committed blocks whose batches are not all here. Consensus asks for no further old blocks while
    /// this is long ([`Lanes::is_behind`]).
    waiting: VecDeque<(Height, Cut)>,
    /// Blocks reported ready and not yet processed.
    ready: VecDeque<(Height, Cut)>,
}

impl Blocks {
    pub(super) fn new(processed: Height, cut: Cut) -> Self {
        Self {
            last: processed,
            last_cut: cut.clone(),
            ready_cut: cut,
            waiting: VecDeque::new(),
            ready: VecDeque::new(),
        }
    }
}

impl Lanes {
    /// Number of committed blocks whose batches are not all here.
    #[must_use]
    pub fn blocks_waiting(&self) -> usize {
        self.blocks.waiting.len()
    }

    /// Whether so many committed blocks wait for batches, or to be processed, that knowing of more
    /// would only cost memory.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.blocks.waiting.len() + self.blocks.ready.len() >= BLOCKS_BEHIND_MAX
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
        }
        let moved: Vec<_> = cut
            .moved(&self.blocks.last_cut)
            .map(|tip| tip.lane)
            .collect();
        self.blocks.last_cut = cut.clone();
        self.blocks.waiting.push_back((height, cut));
        for lane in moved {
            self.want_committed(now, lane, out);
        }
        self.report_ready(out);
    }

    /// Wants a lane as far as the last committed block, but no further than [`Lane::reach`]: bodies are
    /// fetched once the headers down to what is processed are here, and there is not room for those of
    /// any number of blocks. What lies further has its turn when the first blocks are processed.
    fn want_committed(&mut self, now: Time, owner: OperatorId, out: &mut Vec<LaneOutput>) {
        let Some(lane) = self.lanes.get(&owner) else {
            return;
        };
        let reach = lane.reach(&self.config);
        let tip = if lane.committed.seq <= reach {
            Some(lane.committed)
        } else {
            let ready = self.blocks.ready_cut.seq(owner);
            let waiting = self.blocks.waiting.iter();
            let mut tips = waiting.filter_map(|(_, cut)| cut.tip(owner).copied());
            let first = tips.find(|tip| tip.seq > ready);
            let later = tips.take_while(|tip| tip.seq <= reach).last();
            // Blocks that are ready move the reach when they are processed; without any the first one
            // has to be fetched, however far it goes.
            let must = self.blocks.ready.is_empty();
            later.or(first.filter(|tip| must || tip.seq <= reach))
        };
        let further = tip.is_none_or(|tip| tip.seq < lane.committed.seq);
        if let Some(lane) = self.lanes.get_mut(&owner) {
            lane.held_back = further;
        }
        if let Some(tip) = tip {
            self.want(now, tip, Reason::Committed, None, out);
        }
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
    pub(super) fn on_processed(&mut self, now: Time, height: Height, out: &mut Vec<LaneOutput>) {
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
        let held_back = self.lanes.iter().filter(|(_, lane)| lane.held_back);
        let held_back: Vec<_> = held_back.map(|(owner, _)| *owner).collect();
        for owner in held_back {
            self.want_committed(now, owner, out);
        }
        self.report_ready(out);
    }
}
