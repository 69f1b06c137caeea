//! What this replica signed: made durable first, then sent, counted and repeated.

use crate::PersistId;
use crate::context::Context;
use crate::core::Core;
use crate::{Output, SafetyRecord};
use squad_primitives::message::ConsensusMessage;
use squad_primitives::{NetworkId, Statement, StatementKind, Time, View, ViewId, Vote};
use std::collections::{BTreeMap, VecDeque};

/// Own commit votes that are repeated. Where more blocks wait for their commit, the commit of a later
/// one brings the earlier ones along.
pub(crate) const COMMIT_VOTES_MAX: usize = 8;

#[derive(Clone, Debug)]
pub(crate) struct OwnCommitVote {
    pub(crate) id: PersistId,
    pub(crate) sent: Time,
    pub(crate) vote: Vote,
}

/// Own signatures and the state of their records.
#[derive(Clone, Debug, Default)]
pub(crate) struct Own {
    last: PersistId,
    /// All records up to here are durable.
    pub(crate) durable: PersistId,
    /// Own votes that don't count yet, because their record isn't durable.
    unsettled: VecDeque<(PersistId, Vote)>,
    /// Proposal, vote and timeout of the current view.
    pub(crate) current: Vec<(PersistId, ConsensusMessage)>,
    /// Commit votes for blocks that aren't committed.
    pub(crate) commit_votes: BTreeMap<View, OwnCommitVote>,
}

impl Own {
    pub(crate) fn keep_commit_vote(&mut self, id: PersistId, sent: Time, vote: Vote) {
        let view = vote.statement.at.view;
        self.commit_votes
            .insert(view, OwnCommitVote { id, sent, vote });
        if self.commit_votes.len() > COMMIT_VOTES_MAX {
            self.commit_votes.pop_first();
        }
    }

    /// What is repeated, and what doesn't count yet.
    pub(crate) fn statements(&self, network: &NetworkId) -> [Vec<Statement>; 2] {
        let current = self.current.iter().flat_map(|(_, message)| match message {
            ConsensusMessage::Proposal(proposal) => {
                let justify = proposal.justify.as_ref().map(|it| it.statement);
                [Some(proposal.vote(network).statement), justify]
            }
            ConsensusMessage::Vote(vote) => [Some(vote.statement), None],
            _ => [None, None],
        });
        let commit_votes = self.commit_votes.values();
        let repeated = current
            .flatten()
            .chain(commit_votes.map(|own| own.vote.statement));
        let unsettled = self.unsettled.iter().map(|(_, vote)| vote.statement);
        [repeated.collect(), unsettled.collect()]
    }
}

impl Core {
    /// Asks for an atomic durable write. Without identity there are no promises to keep, and nothing
    /// that a restart couldn't learn from others.
    pub(crate) fn persist(
        &mut self,
        records: Vec<SafetyRecord>,
        cx: &mut Context<'_>,
    ) -> Option<PersistId> {
        self.identity.as_ref()?;
        self.own.last = PersistId(self.own.last.0 + 1);
        cx.out.push(Output::Persist {
            id: self.own.last,
            records,
        });
        Some(self.own.last)
    }

    pub(crate) fn state_record(&self) -> SafetyRecord {
        SafetyRecord::State(Box::new(self.state.clone()))
    }

    /// Signs a statement that the safety state already allows and records.
    pub(crate) fn sign(&self, statement: Statement) -> Option<Vote> {
        let (operator, signer) = self.identity.as_ref()?;
        Some(Vote::sign(
            &self.config.network,
            statement,
            *operator,
            &**signer,
        ))
    }

    /// Sends an own message of the current view once its record is durable, and lets the vote in it
    /// count then.
    pub(crate) fn publish(
        &mut self,
        id: PersistId,
        vote: Vote,
        message: ConsensusMessage,
        cx: &mut Context<'_>,
    ) {
        if vote.statement.kind == StatementKind::CommitVote {
            self.own.keep_commit_vote(id, cx.now.time, vote.clone());
        } else {
            self.own.current.push((id, message.clone()));
        }
        self.own.unsettled.push_back((id, vote));
        cx.out.push(Output::Broadcast {
            message,
            after: Some(id),
        });
    }

    /// Records are durable: the signatures that waited for them count from now on.
    pub(crate) fn on_persisted(&mut self, id: PersistId, cx: &mut Context<'_>) {
        self.own.durable = self.own.durable.max(id.min(self.own.last));
        while let Some((_, vote)) = self
            .own
            .unsettled
            .pop_front_if(|(id, _)| *id <= self.own.durable)
        {
            self.count(vote, true, cx);
        }
    }

    /// Signs and publishes a timeout of the current view (rule 5).
    pub(crate) fn cast_timeout(&mut self, cx: &mut Context<'_>) {
        assert!(self.state.timed_out < self.at && self.state.commit_voted.at < self.at);
        self.state.timed_out = self.at;
        let record = self.state_record();
        let (Some(id), Some(vote)) = (
            self.persist(vec![record], cx),
            self.sign(Statement::timeout(self.at)),
        ) else {
            return;
        };
        self.publish(id, vote.clone(), ConsensusMessage::Vote(vote), cx);
    }

    /// Whether a commit vote in `at` breaks no promise (rule 4).
    pub(crate) fn may_commit_vote(&self, at: ViewId) -> bool {
        self.voter().is_some() && self.state.timed_out < at && self.state.commit_voted.at < at
    }

    /// Whether a vote in the current view breaks no promise (rule 3).
    pub(crate) fn may_vote(&self) -> bool {
        self.voter().is_some()
            && self.state.voted.at < self.at
            && self.state.timed_out < self.at
            && self.state.commit_voted.at < self.at
    }
}
