//! Blocks that leave one lane out, or move it back.

use super::{Adversary, Attack};
use crate::node::Packet;
use squad_primitives::message::ConsensusMessage;
use squad_primitives::{Cut, Digest, OperatorId, Proposal};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug, Default)]
pub(super) struct Censor {
    cuts: BTreeMap<Digest, Cut>,
    recent: Vec<(Cut, squad_primitives::Block)>,
}

impl Censor {
    /// The proposal without news of the victim, the operator after this one.
    fn censored(&mut self, proposal: &Proposal, attack: &Attack<'_>) -> Option<Proposal> {
        if proposal.block.at != proposal.at {
            return None;
        }
        let victim = OperatorId((attack.me.0 + 1) % u32::try_from(attack.committee.len()).ok()?);
        let parent = self.cuts.get(&proposal.block.parent.hash)?;
        let back = proposal.at.view.0.is_multiple_of(3);
        let older = || {
            self.cuts
                .values()
                .filter_map(|cut| cut.tip(victim))
                .min_by_key(|tip| tip.seq)
        };
        let kept = if back { older() } else { parent.tip(victim) };
        let tips = proposal
            .block
            .cut
            .tips()
            .iter()
            .filter(|tip| tip.lane != victim);
        let cut = Cut::new(tips.chain(kept).copied().collect());
        let block = squad_primitives::Block {
            cut,
            ..proposal.block.clone()
        };
        let (at, me, justify) = (proposal.at, attack.me, proposal.justify.clone());
        Some(Proposal::sign(
            &attack.network,
            at,
            block,
            me,
            justify,
            &**attack.key,
        ))
    }

    fn learn(&mut self, attack: &Attack<'_>) {
        for (cut, block) in std::mem::take(&mut self.recent) {
            self.cuts.insert(block.hash(&attack.network), cut);
        }
    }
}

impl Adversary for Censor {
    fn leaving(&mut self, to: OperatorId, packet: Packet, attack: &mut Attack<'_>) {
        self.learn(attack);
        let Packet::Consensus(message) = &packet else {
            return attack.pass(to, packet);
        };
        let ConsensusMessage::Proposal(proposal) = &**message else {
            return attack.pass(to, packet);
        };
        match self.censored(proposal, attack) {
            Some(censored) => {
                self.recent
                    .push((censored.block.cut.clone(), censored.block.clone()));
                let message = ConsensusMessage::Proposal(Box::new(censored));
                attack.strike(to, Packet::Consensus(Arc::new(message)));
            }
            None => attack.pass(to, packet),
        }
    }

    fn arriving(&mut self, _: OperatorId, packet: &Packet) {
        if let Packet::Consensus(message) = packet {
            let block = match &**message {
                ConsensusMessage::Proposal(proposal) => Some(&proposal.block),
                ConsensusMessage::Block(block) => Some(&**block),
                _ => None,
            };
            self.recent
                .extend(block.map(|block| (block.cut.clone(), block.clone())));
        }
    }
}
