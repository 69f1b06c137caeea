//! A key votes for at most one block in a view, and commit-votes for at most one, across all restarts.
//! Judged by what is on the wire.

use super::{Ground, Invariant, vote_in};
use crate::observe::Seen;
use squad_primitives::{Digest, OperatorId, StatementKind, ViewId};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct VoteOnce {
    votes: BTreeMap<(OperatorId, ViewId, StatementKind), Digest>,
}

impl Invariant for VoteOnce {
    fn name(&self) -> &'static str {
        "vote-once"
    }

    fn see(&mut self, ground: &Ground<'_>, _: usize, seen: &Seen) -> Result<(), String> {
        let Some(vote) = vote_in(ground.facts, seen) else {
            return Ok(());
        };
        let statement = vote.statement;
        let key = (vote.signer, statement.at, statement.kind);
        let first = *self.votes.entry(key).or_insert(statement.block);
        if first == statement.block {
            Ok(())
        } else {
            Err(format!(
                "{:?} in {:?} for {first} and {}",
                statement.kind, statement.at, statement.block
            ))
        }
    }
}
