//! A lane with two branches: each half of the operators gets its own batch at every position.

use super::{Adversary, Attack};
use crate::node::Packet;
use squad_primitives::{Batch, BatchBuilder, BatchSeq, Digest, OperatorId, Tip};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct EquivocatingLane {
    /// The other branch.
    branch: BTreeMap<BatchSeq, Batch>,
    by_digest: BTreeMap<Digest, BatchSeq>,
}

impl EquivocatingLane {
    fn other(&mut self, batch: &Batch, attack: &Attack<'_>) -> Option<Batch> {
        let header = batch.header();
        if let Some(other) = self.branch.get(&header.seq) {
            return Some(other.clone());
        }
        let below = self.branch.get(&header.seq.prev()).map(Batch::tip);
        let honest = (header.seq > BatchSeq(1)).then_some(Tip {
            lane: header.lane,
            seq: header.seq.prev(),
            digest: header.parent,
        });
        let mut transaction = batch.transaction(0)?;
        transaction.payload = [&b"other"[..], &transaction.payload].concat().into();
        let mut builder = BatchBuilder::default();
        builder.push(transaction.id(&attack.network), &transaction);
        let other = builder.seal(
            &attack.network,
            header.epoch,
            attack.me,
            below.or(honest),
            &**attack.key,
        );
        self.branch.insert(header.seq, other.clone());
        self.by_digest.insert(other.digest(), header.seq);
        Some(other)
    }
}

impl Adversary for EquivocatingLane {
    fn leaving(&mut self, to: OperatorId, packet: Packet, attack: &mut Attack<'_>) {
        match &packet {
            Packet::Batch { batch, .. }
                if batch.header().lane == attack.me && attack.is_other_half(to) =>
            {
                // Now and then both branches for one peer.
                if attack.random.percent(20) {
                    attack.pass(to, packet.clone());
                }
                if let Some(batch) = self.other(batch, attack) {
                    let poas = Vec::new();
                    attack.strike(to, Packet::Batch { batch, poas });
                }
            }
            Packet::Fetched(digest, None) => {
                let seq = self.by_digest.get(digest);
                let batch = seq.and_then(|seq| self.branch.get(seq)).cloned();
                attack.pass(to, Packet::Fetched(*digest, batch));
            }
            _ => attack.pass(to, packet),
        }
    }
}
