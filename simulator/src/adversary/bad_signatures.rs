//! Flipped bits in signatures of votes, proposals, certificates, acknowledgements, proofs and headers.

use super::{Adversary, Attack};
use crate::node::Packet;
use squad_primitives::message::{ConsensusMessage, LaneMessage};
use squad_primitives::{OperatorId, Signature};
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct BadSignatures;

const fn flip(signature: &mut Signature) {
    signature.0[3] ^= 0x40;
}

fn spoil_consensus(message: &mut ConsensusMessage) -> bool {
    match message {
        ConsensusMessage::Proposal(proposal) => match &mut proposal.justify {
            Some(justify) if proposal.at.view.0.is_multiple_of(2) => {
                justify.signatures.first_mut().map(flip).is_some()
            }
            _ => {
                flip(&mut proposal.signature);
                true
            }
        },
        ConsensusMessage::Vote(vote) => {
            flip(&mut vote.signature);
            true
        }
        ConsensusMessage::Certificate(certificate) => {
            certificate.signatures.first_mut().map(flip).is_some()
        }
        ConsensusMessage::Certificates(page) => page
            .first_mut()
            .and_then(|certificate| certificate.signatures.first_mut())
            .map(flip)
            .is_some(),
        _ => false,
    }
}

fn spoil_lane(message: &mut LaneMessage) -> bool {
    match message {
        LaneMessage::Ack(ack) => {
            flip(&mut ack.signature);
            true
        }
        LaneMessage::Poa(poa) => poa.signatures.first_mut().map(flip).is_some(),
        LaneMessage::Headers { headers, .. } => headers
            .first_mut()
            .map(|signed| flip(&mut signed.signature))
            .is_some(),
        _ => false,
    }
}

impl Adversary for BadSignatures {
    fn leaving(&mut self, to: OperatorId, packet: Packet, attack: &mut Attack<'_>) {
        if !attack.random.percent(50) {
            return attack.pass(to, packet);
        }
        let spoiled = match &packet {
            Packet::Consensus(message) => {
                let mut message = (**message).clone();
                spoil_consensus(&mut message).then(|| Packet::Consensus(Arc::new(message)))
            }
            Packet::Lane(message) => {
                let mut message = (**message).clone();
                spoil_lane(&mut message).then(|| Packet::Lane(Arc::new(message)))
            }
            _ => None,
        };
        match spoiled {
            Some(spoiled) => attack.strike(to, spoiled),
            None => attack.pass(to, packet),
        }
    }
}
