//! Collecting what is missing: headers down to the last known one, then bodies.
//!
//! A [`Target`] is a tip whose lane this operator needs up to there: because a later batch arrived
//! (gap), because consensus has to judge a proposal, or because it was committed. First the highest
//! header that is missing on the way down is asked for, with those before it; then the bodies, oldest
//! first. One operator is asked at a time: whoever gave rise to the target, the owner, those who signed a
//! proof, then everybody; the next one when the answer takes longer than
//! [`fetch_hedge`](super::LanesConfig::fetch_hedge). Only connected operators are asked.

use super::ask::Ask;
use super::config::{FETCHES_PER_LANE_MAX, TARGETS_PER_LANE_MAX};
use super::lane::{Body, Broken, Key, Lane, key};
use super::{LaneOutput, Lanes};
use squad_primitives::message::LaneMessage;
use squad_primitives::{BatchSeq, OperatorId, Time, Tip};
use std::cmp::Reverse;

/// Why a tip is wanted; a higher reason is never given up for a lower one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    Gap,
    Proposal,
    Committed,
}

/// A tip that is needed with everything before it.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) tip: Tip,
    pub(super) reason: Reason,
    /// Who gave rise to it.
    pub(super) source: Option<OperatorId>,
    pub(super) ask: Ask,
    /// Highest header that is missing on the way down.
    pub(super) missing: Option<Tip>,
    /// Headers are asked for from the lowest one on: the peer's branch parts from the known one further
    /// down than expected.
    pub(super) from_base: bool,
}

/// A body that is asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Fetch {
    pub(super) ask: Ask,
    source: Option<OperatorId>,
}

/// What a target waits for.
enum Need {
    Nothing,
    /// It contradicts the committed branch.
    Void,
    Header(Tip),
    /// The oldest missing bodies, as many as are asked for at one time.
    Bodies(Vec<Tip>),
}

impl Lane {
    /// `waiting` is the header that the target waited for when this was last asked.
    fn need(&mut self, tip: &Tip, waiting: Option<&Tip>) -> Need {
        if tip.seq <= self.base.seq {
            return Need::Nothing;
        }
        if let Some(missing) = waiting.filter(|missing| self.entry(missing).is_none()) {
            return Need::Header(*missing);
        }
        let missing = |key: &Key| {
            self.entries
                .get(key)
                .is_some_and(|e| e.body == Body::Missing)
        };
        let bodies: Vec<Tip> = if self.trunk.contains(tip) {
            let from = self.trunk.bodies_to(&self.entries);
            let keys = self.trunk.between(from, tip.seq).filter(missing);
            keys.take(FETCHES_PER_LANE_MAX)
                .map(|key| self.tip_of(&key))
                .collect()
        } else {
            match self.chain(tip, &self.base) {
                Err(Broken::Missing(at)) => return Need::Header(at),
                Err(Broken::Branch) => return Need::Void,
                Ok(chain) => {
                    let tips = chain.into_iter().rev().filter(|tip| missing(&key(tip)));
                    tips.take(FETCHES_PER_LANE_MAX).collect()
                }
            }
        };
        if bodies.is_empty() {
            Need::Nothing
        } else {
            Need::Bodies(bodies)
        }
    }

    /// Highest position below `missing` from which headers are known on the committed branch.
    fn known_below(&self, missing: &Tip, from_base: bool) -> BatchSeq {
        if from_base {
            return self.base.seq;
        }
        self.entries
            .range(..(missing.seq, squad_primitives::Digest::ZERO))
            .next_back()
            .map_or(self.base.seq, |(key, _)| key.0)
    }
}

impl Lanes {
    /// Wants a tip. Per lane at most one committed target and [`TARGETS_PER_LANE_MAX`] in all; a new
    /// one pushes out the oldest of the lowest reason.
    pub(super) fn want(
        &mut self,
        now: Time,
        tip: Tip,
        reason: Reason,
        source: Option<OperatorId>,
        out: &mut Vec<LaneOutput>,
    ) {
        let Some(lane) = self.lanes.get_mut(&tip.lane) else {
            return;
        };
        if reason == Reason::Committed {
            lane.targets
                .retain(|target| target.reason < reason || target.tip == tip);
        }
        if let Some(target) = lane.targets.iter_mut().find(|target| target.tip == tip) {
            target.reason = target.reason.max(reason);
            target.source = source.or(target.source);
        } else {
            if lane.targets.len() >= TARGETS_PER_LANE_MAX {
                let lowest = (0..).zip(&lane.targets).min_by_key(|(_, t)| t.reason);
                if let Some((index, _)) = lowest {
                    lane.targets.remove(index);
                }
            }
            lane.targets.push(Target {
                tip,
                reason,
                source,
                ask: Ask::default(),
                missing: None,
                from_base: false,
            });
        }
        self.collect(now, tip.lane, out);
    }

    /// Goes on with a lane's targets.
    pub(super) fn collect(&mut self, now: Time, owner: OperatorId, out: &mut Vec<LaneOutput>) {
        let Some(lane) = self.lanes.get_mut(&owner) else {
            return;
        };
        if lane.targets.is_empty() {
            return lane.fetches.clear();
        }
        let mut targets = std::mem::take(&mut lane.targets);
        let mut bodies: Vec<(Tip, Option<OperatorId>)> = Vec::new();
        targets.retain_mut(|target| {
            let need = lane.need(&target.tip, target.missing.as_ref());
            target.missing = None;
            match need {
                Need::Nothing | Need::Void => return false,
                Need::Header(missing) => target.missing = Some(missing),
                Need::Bodies(missing) => {
                    bodies.extend(missing.into_iter().map(|tip| (tip, target.source)));
                }
            }
            true
        });
        self.ask_for_targets(now, &mut targets, out);
        if let Some(lane) = self.lanes.get_mut(&owner) {
            lane.targets = targets;
        }
        bodies.sort_by_key(|(tip, _)| tip.seq);
        bodies.dedup_by_key(|(tip, _)| *tip);
        self.ask_bodies(now, owner, &bodies, out);
    }

    /// Asks for headers: for what consensus needs, and for one gap, the highest. Lower gaps lie on the
    /// way down from there, if the lane has not branched, and its answer ends them too; they have their
    /// turns when nobody has the highest. Otherwise each answer would lead to a request for each of
    /// them, and each of those be answered with the same headers.
    fn ask_for_targets(&mut self, now: Time, targets: &mut [Target], out: &mut Vec<LaneOutput>) {
        let mut waiting: Vec<_> = targets
            .iter_mut()
            .filter_map(|target| Some((target.missing?, target)))
            .collect();
        waiting.sort_by_key(|(_, target)| Reverse(target.tip.seq));
        let mut gap = false;
        for (missing, target) in waiting {
            let is_gap = target.reason == Reason::Gap;
            if !(is_gap && gap) {
                self.ask_headers(now, &missing, target, out);
                gap |= is_gap && !target.ask.round_over;
            }
        }
    }

    fn ask_headers(
        &mut self,
        now: Time,
        missing: &Tip,
        target: &mut Target,
        out: &mut Vec<LaneOutput>,
    ) {
        let Some(lane) = self.lanes.get(&missing.lane) else {
            return;
        };
        let after = lane.known_below(missing, target.from_base);
        if let Some(to) = self.next_source(now, &target.tip, target.source, &mut target.ask) {
            out.push(LaneOutput::Send {
                to,
                message: LaneMessage::HeadersRequest {
                    after,
                    tip: *missing,
                },
            });
        }
        self.wake(target.ask.next_at);
    }

    fn ask_bodies(
        &mut self,
        now: Time,
        owner: OperatorId,
        bodies: &[(Tip, Option<OperatorId>)],
        out: &mut Vec<LaneOutput>,
    ) {
        let Some(lane) = self.lanes.get_mut(&owner) else {
            return;
        };
        let mut fetches = std::mem::take(&mut lane.fetches);
        fetches.retain(|wanted, _| bodies.iter().any(|(tip, _)| key(tip) == *wanted));
        for (tip, source) in bodies {
            if fetches.len() >= FETCHES_PER_LANE_MAX && !fetches.contains_key(&key(tip)) {
                continue;
            }
            let fetch = fetches.entry(key(tip)).or_insert_with(|| Fetch {
                source: *source,
                ask: Ask::default(),
            });
            let source = fetch.source;
            if let Some(from) = self.next_source(now, tip, source, &mut fetch.ask) {
                out.push(LaneOutput::FetchBatch { from, tip: *tip });
            }
            self.wake(fetch.ask.next_at);
        }
        if let Some(lane) = self.lanes.get_mut(&owner) {
            lane.fetches = fetches;
        }
    }

    /// An operator does not have a batch: the next one is asked at once.
    pub(super) fn on_fetch_failed(
        &mut self,
        now: Time,
        from: OperatorId,
        digest: squad_primitives::Digest,
        out: &mut Vec<LaneOutput>,
    ) {
        let owners: Vec<_> = self
            .lanes
            .iter_mut()
            .filter_map(|(owner, lane)| {
                let (_, fetch) = lane.fetches.iter_mut().find(|(key, _)| key.1 == digest)?;
                // Only the failure of the latest attempt: earlier ones were hedged already.
                fetch.ask.waits_for(from).then(|| {
                    fetch.ask.next_at = now;
                    *owner
                })
            })
            .collect();
        for owner in owners {
            self.collect(now, owner, out);
        }
    }

    /// Whether a body is welcome even if another branch has its position: it is asked for, or this
    /// operator's record speaks for it.
    pub(super) fn is_wanted(lane: &Lane, wanted: &Key) -> bool {
        lane.fetches.contains_key(wanted)
            || lane.targets.iter().any(|t| key(&t.tip) == *wanted)
            || (lane.record_ahead && key(&lane.acked) == *wanted)
    }
}
