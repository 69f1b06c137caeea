//! What consensus asks: the best cut, whether a cut is legal, whether one leaves a lane out.

use super::lane::{Body, Broken, Key, Lane, key};
use super::{Lanes, collect::Reason};
use squad_primitives::{BatchSeq, Cut, Digest, Epoch, OperatorId, Time, Tip};
use std::collections::BTreeMap;

/// Verdict about a proposed cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CutCheck {
    /// Legal, and each new batch is durable here or proven to be durable at an honest operator.
    Ok,
    /// Can't be judged before headers, bodies or proofs up to these tips arrive.
    Missing(Vec<Tip>),
    /// Never legal after this parent.
    Illegal(CutError),
}

/// Why a cut is illegal after a given parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CutError {
    /// A lane moves back, or to another batch at the same position.
    #[error("cut: lane {0} moves back")]
    Back(OperatorId),
    /// A tip doesn't descend from the parent's tip of its lane.
    #[error("cut: tip of lane {0} does not descend from the parent's")]
    Branch(OperatorId),
    /// A lane that may not advance in this epoch.
    #[error("cut: lane {0} is closed in this epoch")]
    Closed(OperatorId),
    /// Bodies of more bytes than a block may hold.
    #[error("cut: bodies are larger than one block may hold")]
    TooLarge,
}

/// A tip of a lane that could be proposed, the bytes up to it, and the batch whose proof covers it: its
/// own or a later one, since acknowledgements are cumulative.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    key: Key,
    bytes: u64,
    proof: Key,
}

/// The candidates of a lane, ascending, and how many of them the cut takes so far.
#[derive(Debug, Default)]
struct Ladder {
    steps: Vec<Candidate>,
    taken: usize,
}

impl Ladder {
    fn taken(&self) -> Option<&Candidate> {
        self.steps.get(self.taken.checked_sub(1)?)
    }

    fn bytes(&self) -> u64 {
        self.taken().map_or(0, |step| step.bytes)
    }

    /// Bytes of the next step alone.
    fn next_bytes(&self) -> Option<u64> {
        Some(self.steps.get(self.taken)?.bytes - self.bytes())
    }
}

impl Lanes {
    /// The best legal cut for a block of `epoch` on a parent with cut `parent`: in each lane the highest
    /// certified tip that descends from the parent's. If that is more than a block may hold, lanes take
    /// steps from batch to batch, oldest first, the lane with the fewest bytes next, so that no lane
    /// crowds out another. Steps don't stop at certified tips only: of a lane that is far ahead perhaps
    /// nothing but the last batch has a proof, and that alone would never fit. Proofs are verified for
    /// the tips that are taken only.
    pub fn propose_cut(&mut self, parent: &Cut, epoch: Epoch) -> Cut {
        // Each round that fails forgets a forged proof, so the rounds end.
        loop {
            let mut ladders: BTreeMap<OperatorId, Ladder> = self
                .lanes
                .iter()
                .map(|(owner, lane)| (*owner, self.ladder(lane, parent, epoch)))
                .filter(|(_, ladder)| !ladder.steps.is_empty())
                .collect();
            self.fill(&mut ladders);
            let taken: Vec<_> = ladders
                .iter()
                .filter_map(|(owner, ladder)| Some((*owner, *ladder.taken()?)))
                .collect();
            let all_valid = taken
                .iter()
                .map(|(owner, step)| self.verify_proof(*owner, &step.proof))
                .fold(true, |all, valid| all & valid);
            if all_valid {
                let mut cut = parent.clone();
                for (lane, step) in taken {
                    let (seq, digest) = step.key;
                    cut.set(Tip { lane, seq, digest });
                }
                return cut;
            }
        }
    }

    /// Takes as many steps as a block holds.
    fn fill(&self, ladders: &mut BTreeMap<OperatorId, Ladder>) {
        let mut room = self.config.block_bytes_max;
        let total: u64 = ladders
            .values()
            .filter_map(|ladder| ladder.steps.last())
            .map(|step| step.bytes)
            .sum();
        if total <= room {
            for ladder in ladders.values_mut() {
                ladder.taken = ladder.steps.len();
            }
            return;
        }
        while let Some((ladder, bytes)) = ladders
            .values_mut()
            .filter_map(|ladder| ladder.next_bytes().map(|bytes| (ladder, bytes)))
            .filter(|(_, bytes)| *bytes <= room)
            .min_by_key(|(ladder, _)| ladder.bytes())
        {
            ladder.taken += 1;
            room -= bytes;
        }
    }

    fn ladder(&self, lane: &Lane, parent: &Cut, epoch: Epoch) -> Ladder {
        let below = Self::tip_in(parent, lane.owner);
        let above = (below.seq.next(), Digest::ZERO);
        // The highest proof on the parent's branch gives the chain; lower ones lie on it or are void.
        for (top, _) in lane.proofs.range(above..).rev() {
            let Ok(chain) = lane.chain(&lane.tip_of(top), &below) else {
                continue;
            };
            let legal = |key: &Key| {
                let proof = lane.proofs.get(key);
                proof.is_some_and(|p| self.is_legal_epoch(lane.owner, p.poa.epoch, epoch))
            };
            // From the top down: a proof covers everything below it down to the next one.
            let mut proof = None;
            let mut steps: Vec<Candidate> = Vec::with_capacity(chain.len());
            for tip in chain {
                let key = key(&tip);
                proof = Some(key).filter(legal).or(proof);
                steps.extend(proof.map(|proof| {
                    let bytes = lane.body_bytes(std::slice::from_ref(&tip));
                    Candidate { key, bytes, proof }
                }));
            }
            steps.reverse();
            let mut sum = 0;
            for step in &mut steps {
                sum += step.bytes;
                step.bytes = sum;
            }
            return Ladder { steps, taken: 0 };
        }
        Ladder::default()
    }

    /// Judges a proposed cut.
    pub fn check_cut(&mut self, parent: &Cut, cut: &Cut, epoch: Epoch) -> CutCheck {
        for tip in parent.tips() {
            let moved = cut.tip(tip.lane);
            let back = moved.is_none_or(|new| {
                new.seq < tip.seq || (new.seq == tip.seq && new.digest != tip.digest)
            });
            if back {
                return CutCheck::Illegal(CutError::Back(tip.lane));
            }
        }
        let mut missing = Vec::new();
        let mut bytes = 0_u64;
        let moved: Vec<_> = cut.moved(parent).copied().collect();
        for tip in moved {
            match self.check_tip(parent, &tip, epoch) {
                Ok(Some(more)) => bytes = bytes.saturating_add(more),
                Ok(None) => missing.push(tip),
                Err(error) => return CutCheck::Illegal(error),
            }
        }
        if bytes > self.config.block_bytes_max {
            CutCheck::Illegal(CutError::TooLarge)
        } else if missing.is_empty() {
            CutCheck::Ok
        } else {
            CutCheck::Missing(missing)
        }
    }

    /// Bytes that a tip adds to the block, or `None` if something is missing.
    fn check_tip(
        &mut self,
        parent: &Cut,
        tip: &Tip,
        epoch: Epoch,
    ) -> Result<Option<u64>, CutError> {
        let below = Self::tip_in(parent, tip.lane);
        if !self.committees.has_lane(tip.lane) {
            return Err(CutError::Closed(tip.lane));
        }
        let Some(lane) = self.lanes.get(&tip.lane) else {
            return Ok(None);
        };
        let chain = match lane.chain(tip, &below) {
            Ok(chain) => chain,
            Err(Broken::Missing(_)) => return Ok(None),
            Err(Broken::Branch) => return Err(CutError::Branch(tip.lane)),
        };
        let bytes = lane.body_bytes(&chain);
        let member = self.is_legal_epoch(tip.lane, epoch, epoch);
        let available = (member && lane.all_held(&chain)) || self.has_legal_proof(tip, epoch);
        Ok(available.then_some(bytes))
    }

    /// Whether a valid proof that is legal in `epoch` covers a tip. One for a later batch of the branch
    /// does: acknowledgements are cumulative.
    fn has_legal_proof(&mut self, tip: &Tip, epoch: Epoch) -> bool {
        let Some(lane) = self.lanes.get(&tip.lane) else {
            return false;
        };
        let covering: Vec<Key> = lane
            .proofs
            .range((tip.seq, Digest::ZERO)..)
            .filter(|(key, proof)| {
                self.is_legal_epoch(tip.lane, proof.poa.epoch, epoch)
                    && lane.descends(&lane.tip_of(key), tip)
            })
            .map(|(key, _)| *key)
            .collect();
        covering
            .into_iter()
            .any(|key| self.verify_proof(tip.lane, &key))
    }

    /// Whether a certified tip above `cut` waits to be ordered. Only a proof that a cut of this epoch may
    /// use counts: for another one leaders would propose in vain.
    #[must_use]
    pub fn has_work(&self, cut: &Cut) -> bool {
        let epoch = self.committees.epoch();
        self.lanes.values().any(|lane| {
            let below = Self::tip_in(cut, lane.owner);
            lane.proofs
                .range((below.seq.next(), Digest::ZERO)..)
                .filter(|(_, proof)| self.is_legal_epoch(lane.owner, proof.poa.epoch, epoch))
                .any(|(key, _)| lane.descends(&lane.tip_of(key), &below))
        })
    }

    /// Consensus can't judge a cut before these tips are here.
    pub(super) fn on_missing(
        &mut self,
        now: Time,
        tips: Vec<Tip>,
        proposer: OperatorId,
        out: &mut Vec<super::LaneOutput>,
    ) {
        // Only the latest proposal matters, and a cut has one tip per lane.
        self.awaited = tips.iter().map(|tip| (tip.lane, *tip)).collect();
        for tip in tips {
            self.want(now, tip, Reason::Proposal, Some(proposer), out);
        }
    }

    /// Something about a lane arrived: consensus may judge again.
    pub(super) fn tell_awaited(&self, lane: OperatorId, out: &mut Vec<super::LaneOutput>) {
        let told = matches!(out.last(), Some(super::LaneOutput::DataArrived));
        let Some(tip) = self.awaited.get(&lane).filter(|_| !told) else {
            return;
        };
        let possible = self.lanes.get(&lane).is_some_and(|lane| {
            let proven = lane
                .proofs
                .range((tip.seq, Digest::ZERO)..)
                .next()
                .is_some();
            let held = lane.entry(tip).is_some_and(|e| e.body == Body::Held);
            lane.entry(tip).is_some() && (proven || held)
        });
        if possible {
            out.push(super::LaneOutput::DataArrived);
        }
    }

    /// The tip of a lane in a cut; position 0 if it has not started.
    pub(super) fn tip_in(cut: &Cut, lane: OperatorId) -> Tip {
        cut.tip(lane).copied().unwrap_or(Tip {
            lane,
            seq: BatchSeq::ZERO,
            digest: Digest::ZERO,
        })
    }
}
