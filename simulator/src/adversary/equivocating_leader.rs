//! A leader that proposes two blocks in one view, and votes for both.

use super::{Adversary, Attack};
use crate::node::Packet;
use squad_primitives::message::ConsensusMessage;
use squad_primitives::{Digest, OperatorId, Proposal, Statement, ViewId, Vote};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug, Default)]
pub(super) struct EquivocatingLeader {
    /// The other block of a view, for the other half.
    others: BTreeMap<ViewId, Digest>,
}

impl Adversary for EquivocatingLeader {
    fn leaving(&mut self, to: OperatorId, packet: Packet, attack: &mut Attack<'_>) {
        let Packet::Consensus(message) = &packet else {
            return attack.pass(to, packet);
        };
        if !attack.is_other_half(to) {
            return attack.pass(to, packet);
        }
        match &**message {
            ConsensusMessage::Proposal(proposal) if proposal.block.at == proposal.at => {
                let mut block = proposal.block.clone();
                block.timestamp_ms += 1;
                let (at, me) = (proposal.at, attack.me);
                let justify = proposal.justify.clone();
                let other = Proposal::sign(&attack.network, at, block, me, justify, &**attack.key);
                self.others.insert(at, other.block.hash(&attack.network));
                let message = ConsensusMessage::Proposal(Box::new(other));
                attack.strike(to, Packet::Consensus(Arc::new(message)));
            }
            // A commit vote for each half's block.
            ConsensusMessage::Vote(vote) if !vote.statement.block.is_zero() => {
                let at = vote.statement.at;
                let Some(other) = self.others.get(&at).copied() else {
                    return attack.pass(to, packet);
                };
                let statement = Statement {
                    block: other,
                    ..vote.statement
                };
                let vote = Vote::sign(&attack.network, statement, attack.me, &**attack.key);
                attack.strike(
                    to,
                    Packet::Consensus(Arc::new(ConsensusMessage::Vote(vote))),
                );
            }
            _ => attack.pass(to, packet),
        }
    }
}
