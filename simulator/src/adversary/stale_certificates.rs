//! Old certificates: sent again, also under a later epoch, and as the reason of proposals on old blocks.

use super::{Adversary, Attack};
use crate::node::Packet;
use squad_primitives::message::ConsensusMessage;
use squad_primitives::{
    Block, BlockRef, Certificate, Digest, Epoch, OperatorId, Proposal, StatementKind,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Certificates that are remembered.
const REMEMBERED: usize = 32;
/// Certificates that count as the last ones: of two or three views.
const LAST: usize = 5;

#[derive(Debug, Default)]
pub(super) struct StaleCertificates {
    old: VecDeque<Certificate>,
    blocks: BTreeMap<Digest, Block>,
    /// Latest epoch that was seen.
    epoch: Epoch,
}

impl StaleCertificates {
    fn remember(&mut self, packet: &Packet, attack_network: Option<&Digest>) {
        let Packet::Consensus(message) = packet else {
            return;
        };
        let certificate = match &**message {
            ConsensusMessage::Proposal(proposal) => {
                self.epoch = proposal.at.epoch.max(self.epoch);
                if let Some(network) = attack_network {
                    self.blocks
                        .insert(proposal.block.hash(network), proposal.block.clone());
                }
                proposal.justify.clone()
            }
            ConsensusMessage::Certificate(certificate) => Some((**certificate).clone()),
            _ => None,
        };
        if let Some(certificate) = certificate.filter(|new| !self.old.contains(new)) {
            self.old.push_back(certificate);
            if self.old.len() > REMEMBERED {
                self.old.pop_front();
            }
        }
    }

    /// The proposal again, as the child of an older certified block: of any, or of one of the last, above
    /// which nothing may be committed everywhere yet.
    fn rewound(&mut self, proposal: &Proposal, attack: &mut Attack<'_>) -> Option<Proposal> {
        let mut choice = attack.random.index(self.old.len());
        if attack.random.percent(50) {
            choice = self.old.len().saturating_sub(1 + choice % LAST);
        }
        let certificate = self.old.get(choice)?.clone();
        let parent = self.blocks.get(&certificate.statement.block)?;
        if certificate.statement.kind == StatementKind::Timeout {
            return None;
        }
        let mut block = proposal.block.clone();
        block.parent = BlockRef {
            hash: certificate.statement.block,
            at: parent.at,
        };
        block.height = parent.height.next();
        block.cut = parent.cut.clone();
        let (at, me) = (proposal.at, attack.me);
        Some(Proposal::sign(
            &attack.network,
            at,
            block,
            me,
            Some(certificate),
            &**attack.key,
        ))
    }
}

impl Adversary for StaleCertificates {
    fn leaving(&mut self, to: OperatorId, packet: Packet, attack: &mut Attack<'_>) {
        self.remember(&packet, Some(&attack.network));
        if attack.random.percent(5)
            && let Some(old) = self.old.get(attack.random.index(self.old.len()))
        {
            let mut certificate = old.clone();
            // Now and then as if it were of a later epoch.
            if attack.random.percent(30) {
                certificate.statement.at.epoch = self.epoch;
            }
            let message = ConsensusMessage::Certificate(Box::new(certificate));
            attack.strike(to, Packet::Consensus(Arc::new(message)));
        }
        if let Packet::Consensus(message) = &packet
            && let ConsensusMessage::Proposal(proposal) = &**message
            && attack.random.percent(50)
            && let Some(rewound) = self.rewound(proposal, attack)
        {
            let message = ConsensusMessage::Proposal(Box::new(rewound));
            return attack.strike(to, Packet::Consensus(Arc::new(message)));
        }
        attack.pass(to, packet);
    }

    fn arriving(&mut self, _: OperatorId, packet: &Packet) {
        self.remember(packet, None);
    }
}
