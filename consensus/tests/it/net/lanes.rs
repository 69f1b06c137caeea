//! Lanes without batches: each lane is a sequence of digests that everybody could name.

use squad_consensus::{CutCheck, CutError, LaneView};
use squad_primitives::{BatchSeq, Cut, Digest, Duration, Epoch, Now, OperatorId, Time, Tip};
use std::collections::BTreeMap;

const COVERAGE_DELAY: Duration = Duration::from_millis(500);

pub(crate) fn tip(lane: OperatorId, seq: u64) -> Tip {
    let digest = Digest::of_parts(
        "test/batch",
        &Digest::ZERO,
        &[&lane.0.to_le_bytes(), &seq.to_le_bytes()],
    );
    Tip {
        lane,
        seq: BatchSeq(seq),
        digest,
    }
}

/// What one node knows of the lanes.
#[derive(Debug, Default)]
pub(crate) struct TestLanes {
    /// Highest certified position per lane, and since when it has been known.
    known: BTreeMap<OperatorId, Vec<(u64, Time)>>,
}

impl TestLanes {
    pub(crate) fn learn(&mut self, tip: &Tip, now: Time) {
        let lane = self.known.entry(tip.lane).or_default();
        if lane.last().is_none_or(|(seq, _)| *seq < tip.seq.0) {
            lane.push((tip.seq.0, now));
        }
    }

    /// Known tips that a cut doesn't include.
    pub(super) fn above(&self, cut: &Cut) -> Vec<Tip> {
        let lanes = self.known.keys().map(|lane| (*lane, self.highest(*lane)));
        lanes
            .filter(|(lane, seq)| *seq > cut.seq(*lane).0)
            .map(|(lane, seq)| tip(lane, seq))
            .collect()
    }

    fn highest(&self, lane: OperatorId) -> u64 {
        let known = self.known.get(&lane).and_then(|known| known.last());
        known.map_or(0, |(seq, _)| *seq)
    }
}

impl LaneView for TestLanes {
    fn propose(&mut self, _: Now, parent: &Cut, _: Epoch) -> Cut {
        let mut cut = parent.clone();
        for lane in self.known.keys() {
            let highest = self.highest(*lane);
            if highest > cut.seq(*lane).0 {
                cut.set(tip(*lane, highest));
            }
        }
        cut
    }

    fn check(&mut self, parent: &Cut, cut: &Cut, _: Epoch) -> CutCheck {
        let back = parent.tips().iter().find(|old| cut.seq(old.lane) < old.seq);
        if let Some(back) = back {
            return CutCheck::Illegal(CutError::Back(back.lane));
        }
        let mut missing = Vec::new();
        for moved in cut.moved(parent) {
            if *moved != tip(moved.lane, moved.seq.0) {
                return CutCheck::Illegal(CutError::Branch(moved.lane));
            }
            if moved.seq.0 > self.highest(moved.lane) {
                missing.push(*moved);
            }
        }
        if missing.is_empty() {
            CutCheck::Ok
        } else {
            CutCheck::Missing(missing)
        }
    }

    fn uncovered(&mut self, now: Now, _: &Cut, cut: &Cut) -> Option<OperatorId> {
        self.known.iter().find_map(|(lane, known)| {
            let owed = known.iter().any(|(seq, since)| {
                *seq > cut.seq(*lane).0 && now.time.since(*since) > COVERAGE_DELAY
            });
            owed.then_some(*lane)
        })
    }

    fn has_work(&self, cut: &Cut) -> bool {
        self.known
            .keys()
            .any(|lane| self.highest(*lane) > cut.seq(*lane).0)
    }
}
