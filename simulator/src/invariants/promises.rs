//! Nobody says both `CommitVote(v)` and `Timeout(v)`, and nobody votes in a view after leaving it by a
//! timeout. The first is what the safety of commits rests on.

use super::{Ground, Invariant, vote_in};
use crate::observe::Seen;
use squad_primitives::{OperatorId, StatementKind, ViewId};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, Default)]
struct Said {
    vote: bool,
    timeout: bool,
    commit_vote: bool,
}

#[derive(Debug, Default)]
pub(super) struct Promises {
    said: BTreeMap<(OperatorId, ViewId), Said>,
}

impl Invariant for Promises {
    fn name(&self) -> &'static str {
        "promises"
    }

    fn see(&mut self, ground: &Ground<'_>, _: usize, seen: &Seen) -> Result<(), String> {
        let Some(vote) = vote_in(ground.facts, seen) else {
            return Ok(());
        };
        let at = vote.statement.at;
        let said = self.said.entry((vote.signer, at)).or_default();
        match vote.statement.kind {
            StatementKind::Vote if said.timeout && !said.vote => {
                return Err(format!("a vote in {at:?} after its timeout"));
            }
            StatementKind::Vote => said.vote = true,
            StatementKind::Timeout => said.timeout = true,
            StatementKind::CommitVote => said.commit_vote = true,
        }
        if said.timeout && said.commit_vote {
            return Err(format!("commit vote and timeout in {at:?}"));
        }
        Ok(())
    }
}
