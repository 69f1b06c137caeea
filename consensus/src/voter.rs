//! Judging the proposal of the current view, and voting for it (rule 3).

use crate::context::Context;
use crate::core::Core;
use crate::tree::{Path, Root};
use crate::{Cast, CutCheck, Output, PeerFault, SafetyRecord};
use squad_primitives::message::ConsensusMessage;
use squad_primitives::{Digest, Duration, Proposal, Statement, Time, Tip, View};

/// The first valid proposal of a view.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) proposal: Proposal,
    pub(crate) hash: Digest,
    /// View of the certificate that justifies it.
    pub(crate) justified_at: View,
    pub(crate) received: Time,
    /// It breaks a rule, and will never be voted for.
    pub(crate) refused: bool,
    /// Its cut has to be judged (again): it is new, or lanes have changed.
    pub(crate) recheck: bool,
    /// Tips that were asked for.
    pub(crate) asked: Vec<Tip>,
}

impl Candidate {
    pub(crate) fn new(proposal: Proposal, hash: Digest, received: Time) -> Self {
        let justified = proposal
            .justify
            .as_ref()
            .map(|justify| justify.statement.at);
        let justified_at = justified
            .filter(|at| at.epoch == proposal.at.epoch)
            .map_or(View::ZERO, |at| at.view);
        Self {
            proposal,
            hash,
            justified_at,
            received,
            refused: false,
            recheck: true,
            asked: Vec::new(),
        }
    }
}

/// What to do about a candidate now.
enum Verdict {
    Vote,
    /// Something is missing that may still come.
    Wait,
    /// It can't get the vote, through no provable fault of its leader.
    Refuse,
    /// It breaks a rule that its leader could check.
    Illegal,
}

impl Core {
    /// Lanes know more now: cuts that could not be judged may be legal.
    pub(crate) fn on_lanes_changed(&mut self) {
        for candidate in self.candidates.values_mut() {
            candidate.recheck = true;
        }
    }

    pub(crate) fn try_vote(&mut self, cx: &mut Context<'_>) {
        if !self.may_vote() {
            return;
        }
        // Taken out while it is judged, so that the core can be borrowed.
        let Some(mut candidate) = self.candidates.remove(&self.at.view) else {
            return;
        };
        let verdict = if candidate.refused {
            Verdict::Refuse
        } else {
            self.judge_candidate(&mut candidate, cx)
        };
        match verdict {
            Verdict::Vote => self.cast_vote(&candidate, cx),
            Verdict::Wait => {}
            Verdict::Refuse => candidate.refused = true,
            Verdict::Illegal => {
                candidate.refused = true;
                self.fault(candidate.proposal.leader, PeerFault::IllegalProposal, cx);
            }
        }
        self.candidates.insert(self.at.view, candidate);
    }

    fn judge_candidate(&mut self, candidate: &mut Candidate, cx: &mut Context<'_>) -> Verdict {
        let block = &candidate.proposal.block;
        let skipped = self
            .certificates
            .missing_tc(candidate.justified_at, self.at.view);
        if skipped.is_some() {
            return Verdict::Wait;
        }
        // A block proposed again was judged before it was certified, by more than a third of honest
        // stake, availability included.
        if block.at < candidate.proposal.at {
            return match self.tree.path(block.parent.hash) {
                Path::Conflict => Verdict::Refuse,
                _ => Verdict::Vote,
            };
        }
        let parent = match self.tree.path(block.parent.hash) {
            Path::Conflict => return Verdict::Refuse,
            Path::Missing { hash, .. } => {
                let due = candidate.received.after(self.config.fetch_delay());
                let source = vec![candidate.proposal.leader];
                self.fetcher.want(hash, candidate.proposal.at, source, due);
                return Verdict::Wait;
            }
            Path::Connected(_) => match self.tree.summary(&block.parent.hash) {
                Some(parent) => parent,
                None => return Verdict::Wait,
            },
        };
        let epoch = self.at.epoch;
        if block.height != parent.height.next()
            || block.parent != parent.reference
            || block.timestamp_ms <= parent.timestamp_ms
            || block.height < self.first_height(epoch)
        {
            return Verdict::Illegal;
        }
        if self.is_too_early(candidate, cx) {
            return Verdict::Wait;
        }
        self.judge_cut(candidate, &parent, cx)
    }

    /// Whether the timestamp is too far ahead of the own clock; the proposal is held back until it
    /// isn't.
    fn is_too_early(&self, candidate: &Candidate, cx: &mut Context<'_>) -> bool {
        let drift_ms = u64::try_from(self.config.timestamp_drift_max.as_millis());
        let limit = cx.now.wall_ms.saturating_add(drift_ms.unwrap_or(u64::MAX));
        let ahead_ms = candidate.proposal.block.timestamp_ms.saturating_sub(limit);
        if ahead_ms > 0 {
            cx.wake(cx.now.time.after(Duration::from_millis(ahead_ms)));
        }
        ahead_ms > 0
    }

    fn judge_cut(&self, candidate: &mut Candidate, parent: &Root, cx: &mut Context<'_>) -> Verdict {
        if !std::mem::take(&mut candidate.recheck) {
            return Verdict::Wait;
        }
        let cut = &candidate.proposal.block.cut;
        match cx.lanes.check(&parent.cut, cut, self.at.epoch) {
            CutCheck::Ok => {}
            CutCheck::Illegal(_) => return Verdict::Illegal,
            CutCheck::Missing(missing) => {
                if missing != candidate.asked {
                    candidate.asked.clone_from(&missing);
                    cx.out.push(Output::NeedData {
                        leader: candidate.proposal.leader,
                        parent: parent.cut.clone(),
                        missing,
                    });
                }
                return Verdict::Wait;
            }
        }
        // A leader that follows a TC may have had no time to learn of tips.
        let after_timeout = candidate.justified_at.next() != self.at.view;
        if !after_timeout && cx.lanes.uncovered(cx.now, &parent.cut, cut).is_some() {
            return Verdict::Refuse;
        }
        Verdict::Vote
    }

    fn cast_vote(&mut self, candidate: &Candidate, cx: &mut Context<'_>) {
        let block = candidate.hash;
        self.state.voted = Cast { at: self.at, block };
        let records = vec![
            self.state_record(),
            SafetyRecord::Block {
                hash: block,
                block: Box::new(candidate.proposal.block.clone()),
            },
        ];
        let (Some(id), Some(vote)) = (
            self.persist(records, cx),
            self.sign(Statement::vote(self.at, block)),
        ) else {
            return;
        };
        self.publish(id, vote.clone(), ConsensusMessage::Vote(vote), cx);
    }
}
