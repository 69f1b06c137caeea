//! Collects votes, timeouts and commit votes into certificates, and notices contradictions.
//!
//! Votes come over links authenticated as their signer, so they are stored unverified, at most one
//! per signer, kind and view. Signatures are checked in one batch when the stake behind one statement
//! reaches a quorum; wrong ones are found by halving and dropped. What is already certified is never
//! verified, only compared: a vote that contradicts the stored one of its signer makes both worth
//! verifying, and the pair becomes [`Evidence`].

use crate::judge::{Judge, Part};
use squad_primitives::evidence::contradict;
use squad_primitives::{
    Certificate, Digest, Evidence, OperatorId, Stake, Statement, StatementKind, View, Vote,
};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug)]
struct Stored {
    vote: Vote,
    verified: bool,
}

/// What one operator said in one view.
#[derive(Clone, Debug, Default)]
struct Ballot {
    vote: Option<Stored>,
    timeout: Option<Stored>,
    commit_vote: Option<Stored>,
}

impl Ballot {
    const fn slot(&self, kind: StatementKind) -> Option<&Stored> {
        match kind {
            StatementKind::Vote => self.vote.as_ref(),
            StatementKind::Timeout => self.timeout.as_ref(),
            StatementKind::CommitVote => self.commit_vote.as_ref(),
        }
    }

    const fn slot_mut(&mut self, kind: StatementKind) -> &mut Option<Stored> {
        match kind {
            StatementKind::Vote => &mut self.vote,
            StatementKind::Timeout => &mut self.timeout,
            StatementKind::CommitVote => &mut self.commit_vote,
        }
    }

    /// Kind of the stored vote that contradicts `vote`, if there is one.
    fn contradicted_by(&self, vote: &Vote) -> Option<StatementKind> {
        [&self.vote, &self.timeout, &self.commit_vote]
            .into_iter()
            .flatten()
            .find(|stored| contradict(&stored.vote, vote))
            .map(|stored| stored.vote.statement.kind)
    }
}

/// What became of a vote.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Added {
    /// Stored; a certificate may be possible now.
    New,
    /// Already there.
    Repeated,
    /// Its signer contradicted itself.
    Contradiction(Box<Evidence>),
    /// The signature is wrong (it is checked here only if it contradicts another vote).
    BadSignature,
}

/// Votes of the views around the current one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Collector {
    views: BTreeMap<View, BTreeMap<OperatorId, Ballot>>,
    /// Operators against whom evidence was given out, per view.
    accused: BTreeSet<(View, OperatorId)>,
}

impl Collector {
    /// Adds a vote of a committee member. `verified` says that its signature was checked.
    pub(crate) fn add(&mut self, vote: Vote, verified: bool, judge: &Judge) -> Added {
        let view = vote.statement.at.view;
        let (kind, signer) = (vote.statement.kind, vote.signer);
        let ballot = self.views.entry(view).or_default();
        let ballot = ballot.entry(signer).or_default();
        if let Some(other) = ballot.contradicted_by(&vote) {
            if self.accused.contains(&(view, signer)) {
                return Added::Repeated;
            }
            if !verified && !judge.vote(&vote) {
                return Added::BadSignature;
            }
            let slot = ballot.slot_mut(other);
            if let Some(stored) = slot.take_if(|stored| stored.verified || judge.vote(&stored.vote))
            {
                let evidence = Evidence::Votes(Box::new(stored.vote.clone()), Box::new(vote));
                *slot = Some(Stored {
                    verified: true,
                    ..stored
                });
                self.accused.insert((view, signer));
                return Added::Contradiction(Box::new(evidence));
            }
            // The stored one was forged by its own sender; the new one takes over.
            *slot = None;
            *ballot.slot_mut(kind) = Some(Stored {
                vote,
                verified: true,
            });
            return Added::New;
        }
        let slot = ballot.slot_mut(kind);
        match slot {
            Some(stored) => {
                if verified && !stored.verified {
                    *stored = Stored { vote, verified };
                }
                Added::Repeated
            }
            None => {
                *slot = Some(Stored { vote, verified });
                Added::New
            }
        }
    }

    /// Whether a stored vote of `signer` contradicts a statement that it signed elsewhere.
    pub(crate) fn contradicts(&self, signer: OperatorId, statement: Statement) -> bool {
        let ballot = self.views.get(&statement.at.view);
        ballot
            .and_then(|ballots| ballots.get(&signer))
            .is_some_and(|ballot| {
                [&ballot.vote, &ballot.timeout, &ballot.commit_vote]
                    .into_iter()
                    .flatten()
                    .any(|stored| {
                        let other = stored.vote.statement;
                        other != statement
                            && (other.kind == statement.kind
                                || other.kind != StatementKind::Vote
                                    && statement.kind != StatementKind::Vote)
                    })
            })
    }

    /// Stake of those whose timeouts for `view` arrived. Unverified: the links are authenticated, and
    /// what an operator says about itself needs no signature to be believed.
    pub(crate) fn timeout_stake(&self, view: View, judge: &Judge) -> Stake {
        let ballots = self.views.get(&view).into_iter().flatten();
        Stake(
            ballots
                .filter(|(_, ballot)| ballot.timeout.is_some())
                .map(|(operator, _)| judge.committee.stake(*operator).0)
                .sum(),
        )
    }

    /// Joins votes of one kind and view to a certificate if their stake allows it and their signatures
    /// are right. Wrong ones are forgotten and their signers named in `liars`.
    pub(crate) fn certify(
        &mut self,
        kind: StatementKind,
        view: View,
        judge: &Judge,
        liars: &mut Vec<OperatorId>,
    ) -> Option<Certificate> {
        let ballots = self.views.get_mut(&view)?;
        let block = quorum(ballots, kind, judge)?;
        let mut statement = None;
        let mut unverified = Vec::new();
        for (signer, ballot) in ballots.iter() {
            let Some(stored) = ballot.slot(kind) else {
                continue;
            };
            if stored.vote.statement.block != block {
                continue;
            }
            statement = Some(stored.vote.statement);
            if let (false, Some(member)) = (stored.verified, judge.committee.member(*signer)) {
                unverified.push(Part {
                    signer: *signer,
                    key: member.key,
                    signature: stored.vote.signature,
                });
            }
        }
        let statement = statement?;
        let known = liars.len();
        if !unverified.is_empty() {
            judge.sift(&statement.message(&judge.network), &unverified, liars);
        }
        let found = liars.get(known..).unwrap_or_default();
        for part in &unverified {
            let Some(ballot) = ballots.get_mut(&part.signer) else {
                continue;
            };
            let slot = ballot.slot_mut(kind);
            if found.contains(&part.signer) {
                *slot = None;
            } else if let Some(stored) = slot {
                stored.verified = true;
            }
        }
        let votes = ballots
            .values()
            .filter_map(|ballot| Some(&ballot.slot(kind)?.vote));
        Certificate::from_votes(&judge.committee, statement, votes)
    }

    /// Number of views.
    pub(crate) fn views(&self) -> usize {
        self.views.len()
    }

    /// Number of votes, timeouts and commit votes.
    pub(crate) fn votes(&self) -> usize {
        let ballots = self.views.values().flat_map(BTreeMap::values);
        let slots = ballots.flat_map(|ballot| [&ballot.vote, &ballot.timeout, &ballot.commit_vote]);
        slots.flatten().count()
    }

    /// Everything said, by view and operator.
    pub(crate) fn statements(&self) -> impl Iterator<Item = (Statement, OperatorId)> {
        let ballots = self.views.values().flatten();
        ballots.flat_map(|(operator, ballot)| {
            [&ballot.vote, &ballot.timeout, &ballot.commit_vote]
                .into_iter()
                .flatten()
                .map(|stored| (stored.vote.statement, *operator))
        })
    }

    /// Forgets views below `view`.
    pub(crate) fn prune(&mut self, view: View) {
        self.views = self.views.split_off(&view);
        self.accused = self.accused.split_off(&(view, OperatorId::ZERO));
    }
}

/// The block for which stored votes of a kind reach a quorum.
fn quorum(
    ballots: &BTreeMap<OperatorId, Ballot>,
    kind: StatementKind,
    judge: &Judge,
) -> Option<Digest> {
    let mut tally: BTreeMap<Digest, u64> = BTreeMap::new();
    for (operator, ballot) in ballots {
        if let Some(stored) = ballot.slot(kind) {
            // Bounded by the committee's total.
            *tally.entry(stored.vote.statement.block).or_default() +=
                judge.committee.stake(*operator).0;
        }
    }
    let mut blocks = tally.into_iter();
    blocks
        .find(|(_, stake)| judge.committee.is_quorum(Stake(*stake)))
        .map(|(block, _)| block)
}

#[cfg(test)]
mod tests;
