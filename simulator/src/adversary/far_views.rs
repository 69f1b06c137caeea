//! Votes, proposals and requests about views and epochs far ahead.

use super::{Adversary, Attack};
use crate::node::Packet;
use squad_primitives::message::ConsensusMessage;
use squad_primitives::{Epoch, Height, OperatorId, Proposal, Statement, View, ViewId, Vote};
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct FarViews;

fn far(at: ViewId, attack: &mut Attack<'_>) -> ViewId {
    let view = match attack.random.below(4) {
        0 => View(at.view.0.saturating_add(1 + attack.random.below(64))),
        1 => View(at.view.0.saturating_add(65 + attack.random.below(1_000))),
        2 => View(u64::MAX - attack.random.below(2)),
        _ => View(attack.random.below(3)),
    };
    let epoch = match attack.random.below(4) {
        0 => at.epoch.next(),
        1 => Epoch(u64::MAX),
        _ => at.epoch,
    };
    ViewId::new(epoch, view)
}

impl Adversary for FarViews {
    fn leaving(&mut self, to: OperatorId, packet: Packet, attack: &mut Attack<'_>) {
        if let Packet::Consensus(message) = &packet
            && attack.random.percent(60)
        {
            let strange = match &**message {
                ConsensusMessage::Vote(vote) => {
                    let at = far(vote.statement.at, attack);
                    let statement = Statement {
                        at,
                        ..vote.statement
                    };
                    let vote = Vote::sign(&attack.network, statement, attack.me, &**attack.key);
                    Some(ConsensusMessage::Vote(vote))
                }
                ConsensusMessage::Proposal(proposal) => {
                    let at = far(proposal.at, attack);
                    let mut block = proposal.block.clone();
                    block.at = at;
                    let (me, justify) = (attack.me, proposal.justify.clone());
                    let proposal =
                        Proposal::sign(&attack.network, at, block, me, justify, &**attack.key);
                    Some(ConsensusMessage::Proposal(Box::new(proposal)))
                }
                _ => None,
            };
            if let Some(strange) = strange {
                attack.strike(to, Packet::Consensus(Arc::new(strange)));
            }
            if attack.random.percent(10) {
                let request = match attack.random.below(3) {
                    0 => ConsensusMessage::SyncRequest(Height(attack.random.draw())),
                    1 => ConsensusMessage::CertificatesRequest {
                        after: ViewId::default(),
                        up_to: ViewId::new(Epoch(attack.random.below(3)), View(u64::MAX)),
                    },
                    _ => ConsensusMessage::BlockRequest(attack.network),
                };
                attack.strike(to, Packet::Consensus(Arc::new(request)));
            }
        }
        attack.pass(to, packet);
    }
}
