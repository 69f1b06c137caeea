//! Bodies of batches: a table with the end of each transaction, then the transactions.
//!
//! A [`Batch`] exists only if its body matches its header, so nothing behind this module checks again.

use super::{BatchHeader, SignedHeader};
use crate::codec::{Decode, Reader};
use crate::key::Signer;
use crate::transaction::{TX_OVERHEAD_BYTES, Transaction, TxId, TxKind, id_of_encoded};
use crate::{BatchSeq, Digest, Epoch, NetworkId, OperatorId, Tip, merkle};
use bytes::Bytes;
use std::sync::Arc;

/// Limits of a batch; equal on all operators (genesis).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Largest body in bytes (`batch_bytes_limit`).
    pub body_bytes: usize,
    /// Largest payload of one transaction in bytes (`payload_bytes_limit`).
    pub payload_bytes: usize,
}

/// Why a body does not belong to its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// Body longer than the limit.
    #[error("batch body: {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// Length found.
        bytes: usize,
        /// `batch_bytes_limit`.
        limit: usize,
    },
    /// Body length or transaction count differ from the header, or the count is zero.
    #[error("batch body: length or transaction count differ from the header")]
    HeaderMismatch,
    /// The offset table is not increasing or points outside the body.
    #[error("batch body: bad offset of transaction {index}")]
    Offset {
        /// Index of the transaction.
        index: usize,
    },
    /// A transaction that can't be decoded, or whose payload is above the limit.
    #[error("batch body: transaction {index} is malformed or above the payload limit")]
    Transaction {
        /// Index of the transaction.
        index: usize,
    },
    /// The Merkle root over the ids is not the header's.
    #[error("batch body: the root over its transactions is not the header's")]
    Root,
}

/// A batch whose body matches its header: the only constructors check or build it.
#[derive(Clone, Debug)]
pub struct Batch {
    signed: SignedHeader,
    digest: Digest,
    body: Bytes,
    ids: Arc<[TxId]>,
}

impl Batch {
    /// Checks a body against its header. The header's signature is not looked at.
    ///
    /// # Errors
    /// See [`BatchError`].
    pub fn parse(
        network: &NetworkId,
        signed: SignedHeader,
        body: Bytes,
        limits: &BatchLimits,
    ) -> Result<Self, BatchError> {
        if body.len() > limits.body_bytes {
            return Err(BatchError::TooLarge {
                bytes: body.len(),
                limit: limits.body_bytes,
            });
        }
        let header = &signed.header;
        if body.len() != header.body_bytes as usize || header.tx_count == 0 {
            return Err(BatchError::HeaderMismatch);
        }
        let mut ids = Vec::with_capacity((header.tx_count as usize).min(body.len() / 4));
        for index in 0..header.tx_count as usize {
            let encoded =
                encoded_tx(&body, header.tx_count, index).ok_or(BatchError::Offset { index })?;
            check_tx(encoded, limits.payload_bytes).ok_or(BatchError::Transaction { index })?;
            ids.push(id_of_encoded(network, encoded));
        }
        if merkle::root(&ids) != header.body_root {
            return Err(BatchError::Root);
        }
        Ok(Self {
            digest: header.digest(network),
            signed,
            body,
            ids: ids.into(),
        })
    }

    /// Header and signature.
    #[must_use]
    pub const fn signed(&self) -> &SignedHeader {
        &self.signed
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &BatchHeader {
        &self.signed.header
    }

    /// Digest of the header.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The lane's tip if this batch is its last.
    #[must_use]
    pub const fn tip(&self) -> Tip {
        Tip {
            lane: self.signed.header.lane,
            seq: self.signed.header.seq,
            digest: self.digest,
        }
    }

    /// Offset table and transactions.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// Transaction ids in body order.
    #[must_use]
    pub const fn ids(&self) -> &Arc<[TxId]> {
        &self.ids
    }

    /// The encoding of the transaction at an index, sharing the body's memory.
    #[must_use]
    pub fn encoded(&self, index: usize) -> Option<Bytes> {
        let (start, end) = tx_range(&self.body, self.header().tx_count, index)?;
        Some(self.body.slice(start..end))
    }

    /// The transaction at an index; its payload shares the body's memory.
    #[must_use]
    pub fn transaction(&self, index: usize) -> Option<Transaction> {
        Transaction::read_from(&self.encoded(index)?).ok()
    }

    /// Rollup, expiry and kind of the transaction at an index, without touching its payload.
    #[must_use]
    pub fn meta(&self, index: usize) -> Option<TxMeta> {
        let encoded = encoded_tx(&self.body, self.header().tx_count, index)?;
        let mut reader = Reader::new(encoded);
        Some(TxMeta {
            rollup: Decode::decode(&mut reader).ok()?,
            expiry: Decode::decode(&mut reader).ok()?,
            kind: TxKind::try_from(u8::decode(&mut reader).ok()?).ok()?,
        })
    }
}

/// The part of a transaction that ordering looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxMeta {
    /// Rollup that it belongs to.
    pub rollup: crate::RollupId,
    /// Last height at which it may be ordered.
    pub expiry: crate::Height,
    /// How to read the payload.
    pub kind: TxKind,
}

fn offset(body: &[u8], index: usize) -> Option<usize> {
    let start = index.checked_mul(4)?;
    let bytes = body.get(start..start.checked_add(4)?)?;
    usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
}

/// Byte range of a transaction. Offsets count from the end of the table; each is the end of one
/// transaction, and the last must be the end of the body.
fn tx_range(body: &[u8], count: u32, index: usize) -> Option<(usize, usize)> {
    let count = usize::try_from(count).ok()?;
    if index >= count {
        return None;
    }
    let table = count.checked_mul(4)?;
    let start = match index {
        0 => 0,
        _ => offset(body, index - 1)?,
    };
    let end = offset(body, index)?;
    let (start, end) = (table.checked_add(start)?, table.checked_add(end)?);
    let closed = index + 1 < count || end == body.len();
    (closed && start < end && end <= body.len()).then_some((start, end))
}

fn encoded_tx(body: &[u8], count: u32, index: usize) -> Option<&[u8]> {
    let (start, end) = tx_range(body, count, index)?;
    body.get(start..end)
}

fn check_tx(encoded: &[u8], payload_limit: usize) -> Option<()> {
    let payload = encoded.len().checked_sub(TX_OVERHEAD_BYTES)?;
    let kind = *encoded.get(TX_OVERHEAD_BYTES - 1)?;
    TxKind::try_from(kind).ok()?;
    (payload <= payload_limit).then_some(())
}

/// Collects transactions into a body.
#[derive(Clone, Debug, Default)]
pub struct BatchBuilder {
    ends: Vec<u8>,
    transactions: Vec<u8>,
    ids: Vec<TxId>,
}

impl BatchBuilder {
    /// Adds a transaction whose id the caller has computed at admission.
    pub fn push(&mut self, id: TxId, transaction: &Transaction) {
        transaction.write_to(&mut self.transactions);
        // Bodies are limited to `batch_bytes_limit`, far below 4 GiB.
        let end = u32::try_from(self.transactions.len()).unwrap_or(u32::MAX);
        self.ends.extend_from_slice(&end.to_le_bytes());
        self.ids.push(id);
    }

    /// Length of the body so far.
    #[must_use]
    pub fn body_bytes(&self) -> usize {
        self.ends.len() + self.transactions.len()
    }

    /// Number of transactions so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether no transaction was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Closes the body, chains it behind `parent` and signs the header.
    #[must_use]
    pub fn seal(
        self,
        network: &NetworkId,
        epoch: Epoch,
        lane: OperatorId,
        parent: Option<Tip>,
        key: &dyn Signer,
    ) -> Batch {
        let mut body = self.ends;
        body.extend_from_slice(&self.transactions);
        let header = BatchHeader {
            epoch,
            lane,
            seq: parent.map_or(BatchSeq::ZERO, |tip| tip.seq).next(),
            parent: parent.map_or(Digest::ZERO, |tip| tip.digest),
            body_root: merkle::root(&self.ids),
            body_bytes: u32::try_from(body.len()).unwrap_or(u32::MAX),
            tx_count: u32::try_from(self.ids.len()).unwrap_or(u32::MAX),
        };
        Batch {
            digest: header.digest(network),
            signed: SignedHeader::sign(network, header, key),
            body: body.into(),
            ids: self.ids.into(),
        }
    }
}
