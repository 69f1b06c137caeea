//! What tests are made of: times, batches, acknowledgements, proofs, and chance that repeats itself.

use crate::keys::key_of;
use bytes::Bytes;
use squad_mempool::{LaneOutput, PersistId};
use squad_primitives::message::LaneMessage;
use squad_primitives::{
    Ack, BatchBuilder, Committee, Digest, Epoch, Height, Now, OperatorId, Poa, RollupId,
    SignedHeader, Time, Tip, Transaction, TxKind,
};

pub(crate) const NETWORK: Digest = Digest([1; 32]);
pub(crate) const MS: u64 = 1_000;

/// SplitMix64: a seed gives the same run for ever.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

pub(crate) fn at(micros: u64) -> Now {
    Now {
        time: Time(micros),
        wall_ms: micros / 1_000,
    }
}

pub(crate) fn id(operator: u32) -> OperatorId {
    OperatorId(operator)
}

/// A header with one transaction of a given payload size.
pub(crate) fn batch(lane: u32, parent: Option<Tip>, salt: u64, payload: usize) -> SignedHeader {
    batch_in(Epoch(0), lane, parent, salt, payload)
}

pub(crate) fn batch_in(
    epoch: Epoch,
    lane: u32,
    parent: Option<Tip>,
    salt: u64,
    payload: usize,
) -> SignedHeader {
    let mut bytes = vec![0; payload.max(8)];
    bytes[..8].copy_from_slice(&salt.to_le_bytes());
    let transaction = Transaction {
        rollup: RollupId(1),
        expiry: Height(100),
        kind: TxKind::Plain,
        payload: Bytes::from(bytes),
    };
    let mut builder = BatchBuilder::default();
    builder.push(transaction.id(&NETWORK), &transaction);
    *builder
        .seal(&NETWORK, epoch, id(lane), parent, &key_of(lane))
        .signed()
}

pub(crate) fn tip(signed: &SignedHeader) -> Tip {
    signed.header.tip(&NETWORK)
}

/// A chain of batches of one lane.
pub(crate) fn chain(lane: u32, length: u64, payload: usize) -> Vec<SignedHeader> {
    let mut out: Vec<SignedHeader> = Vec::new();
    for salt in 0..length {
        let next = batch(lane, out.last().map(tip), salt, payload);
        out.push(next);
    }
    out
}

pub(crate) fn ack(signer: u32, epoch: u64, tip: Tip) -> Ack {
    Ack::sign(&NETWORK, Epoch(epoch), tip, id(signer), &key_of(signer))
}

pub(crate) fn poa(committee: &Committee, tip: Tip, signers: &[u32]) -> Poa {
    let epoch = committee.epoch().0;
    let acks: Vec<_> = signers.iter().map(|s| ack(*s, epoch, tip)).collect();
    Poa::from_acks(committee, tip, &acks).unwrap()
}

pub(crate) fn persist_id(output: &LaneOutput) -> Option<PersistId> {
    match output {
        LaneOutput::Store { id, .. } | LaneOutput::Persist(id, _) => Some(*id),
        _ => None,
    }
}

pub(crate) fn acks_in(out: &[LaneOutput]) -> Vec<Ack> {
    out.iter()
        .filter_map(|output| match output {
            LaneOutput::Send {
                message: LaneMessage::Ack(ack),
                ..
            } => Some(ack.clone()),
            _ => None,
        })
        .collect()
}
