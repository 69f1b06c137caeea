//! Saying nothing, and saying everything late.

use super::{Adversary, Attack};
use crate::node::Packet;
use squad_primitives::OperatorId;

#[derive(Debug)]
pub(super) struct Silent;

impl Adversary for Silent {
    fn leaving(&mut self, _: OperatorId, _: Packet, attack: &mut Attack<'_>) {
        attack.attacks += 1;
    }
}

#[derive(Debug)]
pub(super) struct Late;

impl Adversary for Late {
    fn leaving(&mut self, to: OperatorId, packet: Packet, attack: &mut Attack<'_>) {
        let longest = attack.random.pick(&[0, 100_000, 600_000, 5_000_000]);
        let delay = attack.random.below(longest + 1);
        attack.attacks += u64::from(delay > 0);
        attack.out.push((to, packet, delay));
    }
}
