//! Transactions. Their payload is opaque to ordering.

use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::{Digest, Height, NetworkId, RollupId, domain};
use bytes::Bytes;

/// Digest that identifies a transaction.
pub type TxId = Digest;

/// How a payload is to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TxKind {
    /// The payload is the rollup's transaction.
    #[default]
    Plain = 1,
    /// The payload is a sealed envelope that opens after its place is final.
    Sealed = 2,
}

impl TryFrom<u8> for TxKind {
    type Error = DecodeError;

    fn try_from(value: u8) -> Result<Self, Self::Error> {
        match value {
            1 => Ok(Self::Plain),
            2 => Ok(Self::Sealed),
            _ => Err(DecodeError::Illegal { field: "kind" }),
        }
    }
}

/// A transaction of one rollup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Rollup that it belongs to.
    pub rollup: RollupId,
    /// Last height at which it may be ordered.
    pub expiry: Height,
    /// How to read the payload.
    pub kind: TxKind,
    /// Content; its limit is the genesis parameter `payload_bytes_limit`.
    pub payload: Bytes,
}

/// Blocks from the head that a sender knows to the expiry height, where nobody chooses another one.
///
/// A busy network makes about 95 blocks per second, so this is some 40 s: enough to be refused, to go to
/// other operators and to outlast a change of leaders. It is two thirds of the longest expiry allowed by
/// default (6,000 blocks), so that operators which lag 20 s behind still take the transaction. An idle
/// network makes one block per second and needs more than an hour for it.
pub const EXPIRY_BLOCKS_DEFAULT: u64 = 4_000;

/// The expiry height to choose when nothing else is known: [`EXPIRY_BLOCKS_DEFAULT`] after `head`, or as
/// far as the network allows (`expiry_max_blocks` of the genesis).
#[must_use]
pub fn default_expiry(head: Height, expiry_max_blocks: u64) -> Height {
    Height(
        head.0
            .saturating_add(EXPIRY_BLOCKS_DEFAULT.min(expiry_max_blocks)),
    )
}

/// Bytes of a transaction's encoding besides its payload: rollup, expiry, kind.
pub const TX_OVERHEAD_BYTES: usize = 8 + 8 + 1;

impl Transaction {
    /// The id: BLAKE3 over tag, network, rollup, expiry, kind and payload.
    #[must_use]
    pub fn id(&self, network: &NetworkId) -> TxId {
        tx_id(network, &self.header(), &self.payload)
    }

    fn header(&self) -> [u8; TX_OVERHEAD_BYTES] {
        let mut header = [0; TX_OVERHEAD_BYTES];
        let (rollup, rest) = header.split_at_mut(8);
        rollup.copy_from_slice(&self.rollup.0.to_le_bytes());
        let (expiry, kind) = rest.split_at_mut(8);
        expiry.copy_from_slice(&self.expiry.0.to_le_bytes());
        kind.copy_from_slice(&[self.kind as u8]);
        header
    }

    /// Length of [`Transaction::write_to`]'s output.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        TX_OVERHEAD_BYTES + self.payload.len()
    }

    /// Appends header and payload, without a length: the batch's offset table gives it.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.header());
        out.extend_from_slice(&self.payload);
    }

    /// Reads a transaction that fills `bytes`; the payload shares their memory.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are too short or the kind is unknown.
    pub fn read_from(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        Ok(Self {
            rollup: Decode::decode(&mut reader)?,
            expiry: Decode::decode(&mut reader)?,
            kind: TxKind::try_from(u8::decode(&mut reader)?)?,
            payload: bytes.slice(TX_OVERHEAD_BYTES..),
        })
    }
}

impl Encode for Transaction {
    fn encode(&self, out: &mut Vec<u8>) {
        self.write_to(out);
    }
}

/// Id of the transaction whose [`Transaction::write_to`] output is `encoded`.
#[must_use]
pub fn id_of_encoded(network: &NetworkId, encoded: &[u8]) -> TxId {
    Digest::of_parts(domain::TX, network, &[encoded])
}

fn tx_id(network: &NetworkId, header: &[u8], payload: &[u8]) -> TxId {
    Digest::of_parts(domain::TX, network, &[header, payload])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_covers_every_field() {
        let network = Digest([1; 32]);
        let base = Transaction {
            rollup: RollupId(901),
            expiry: Height(300),
            kind: TxKind::Plain,
            payload: Bytes::from_static(b"payload"),
        };
        let id = base.id(&network);
        let variants = [
            Transaction {
                rollup: RollupId(902),
                ..base.clone()
            },
            Transaction {
                expiry: Height(301),
                ..base.clone()
            },
            Transaction {
                kind: TxKind::Sealed,
                ..base.clone()
            },
            Transaction {
                payload: Bytes::from_static(b"payloae"),
                ..base.clone()
            },
        ];
        for variant in variants {
            assert_ne!(variant.id(&network), id);
        }
        assert_ne!(base.id(&Digest([2; 32])), id);
        let mut encoded = Vec::new();
        base.write_to(&mut encoded);
        assert_eq!(id_of_encoded(&network, &encoded), id);
        assert_eq!(Transaction::read_from(&encoded.into()), Ok(base));
    }
}
