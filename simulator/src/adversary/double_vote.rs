//! Votes for a second block of the view, and timeouts beside commit votes.

use super::{Adversary, Attack};
use crate::node::Packet;
use squad_primitives::message::ConsensusMessage;
use squad_primitives::{Digest, OperatorId, Statement, StatementKind, ViewId, Vote};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug, Default)]
pub(super) struct DoubleVote {
    /// Blocks that others voted for, by view: a second block that may be real.
    seen: BTreeMap<ViewId, Vec<Digest>>,
}

impl Adversary for DoubleVote {
    fn leaving(&mut self, to: OperatorId, packet: Packet, attack: &mut Attack<'_>) {
        if let Packet::Consensus(message) = &packet
            && let ConsensusMessage::Vote(vote) = &**message
        {
            let at = vote.statement.at;
            let block = vote.statement.block;
            let others = self.seen.get(&at).into_iter().flatten();
            let real = others.copied().find(|other| *other != block);
            let invented =
                Digest::of_parts("simulator/double", &attack.network, &[block.as_bytes()]);
            let second = real.unwrap_or(invented);
            let statement = match vote.statement.kind {
                StatementKind::Vote => Statement::vote(at, second),
                StatementKind::CommitVote if attack.is_other_half(to) => Statement::timeout(at),
                StatementKind::CommitVote => Statement::commit_vote(at, second),
                StatementKind::Timeout => Statement::commit_vote(at, second),
            };
            let double = Vote::sign(&attack.network, statement, attack.me, &**attack.key);
            let first = attack.random.percent(50);
            if first {
                attack.pass(to, packet.clone());
            }
            attack.strike(
                to,
                Packet::Consensus(Arc::new(ConsensusMessage::Vote(double))),
            );
            if first {
                return;
            }
        }
        attack.pass(to, packet);
    }

    fn arriving(&mut self, _: OperatorId, packet: &Packet) {
        if let Packet::Consensus(message) = packet
            && let ConsensusMessage::Vote(vote) = &**message
            && vote.statement.kind == StatementKind::Vote
        {
            let blocks = self.seen.entry(vote.statement.at).or_default();
            if blocks.len() < 4 && !blocks.contains(&vote.statement.block) {
                blocks.push(vote.statement.block);
            }
            while self.seen.len() > 64 {
                self.seen.pop_first();
            }
        }
    }
}
