//! Batches for a few only, and no answer to those who ask for them; proofs for everybody.

use super::{Adversary, Attack};
use crate::node::Packet;
use squad_primitives::{OperatorId, Stake};

#[derive(Debug, Default)]
pub(super) struct WithheldBatch;

/// As many operators, in order, as a proof needs.
fn is_chosen(attack: &Attack<'_>, to: OperatorId) -> bool {
    let mut stake = attack.committee.stake(attack.me).0;
    for member in attack.committee.members() {
        if member.operator == attack.me {
            continue;
        }
        if attack.committee.is_one_honest(Stake(stake)) {
            return false;
        }
        stake += member.stake.0;
        if member.operator == to {
            return true;
        }
    }
    false
}

impl Adversary for WithheldBatch {
    fn leaving(&mut self, to: OperatorId, packet: Packet, attack: &mut Attack<'_>) {
        match &packet {
            Packet::Batch { batch, .. }
                if batch.header().lane == attack.me && !is_chosen(attack, to) =>
            {
                attack.attacks += 1;
            }
            Packet::Fetched(digest, Some(_)) => {
                attack.strike(to, Packet::Fetched(*digest, None));
            }
            _ => attack.pass(to, packet),
        }
    }
}
