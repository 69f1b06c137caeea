//! Batches, the acknowledgements of those who store them, and proofs of availability.
//!
//! A lane is a chain of batches of one operator. The digest of a batch is the hash of its header;
//! `seq` has no gaps and `parent` chains, so a tip stands for the whole lane behind it. The body root
//! is a Merkle root over transaction ids, which have to be computed anyway: one hash per transaction
//! serves integrity, deduplication and inclusion proofs.
//!
//! One signed statement serves three roles ([`Ack`]): made by the lane's owner it authenticates the
//! header and is the receipt for every transaction in the batch; made by anybody it says "I hold this
//! lane durably up to here". Two acks of an owner for one position of its lane are evidence.

use crate::codec::{Decode, DecodeError, Encode, Reader, encode_list};
use crate::key::{Claim, Signer, Verifier};
use crate::transaction::{TX_OVERHEAD_BYTES, Transaction, TxId, TxKind, id_of_encoded};
use crate::{
    BatchSeq, Committee, Digest, Epoch, NetworkId, OperatorId, Signature, SignerSet, Tip,
    canonical, domain, merkle,
};
use bytes::Bytes;
use std::sync::Arc;

/// What is hashed and signed of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Epoch in which the owner made it.
    pub epoch: Epoch,
    /// Owner of the lane.
    pub lane: OperatorId,
    /// Position in the lane, from 1.
    pub seq: BatchSeq,
    /// Digest of the previous header; zero for the first batch.
    pub parent: Digest,
    /// Merkle root over the transaction ids, in body order.
    pub body_root: Digest,
    /// Length of the body in bytes.
    pub body_bytes: u32,
    /// Number of transactions, at least 1.
    pub tx_count: u32,
}

canonical!(BatchHeader {
    epoch,
    lane,
    seq,
    parent,
    body_root,
    body_bytes,
    tx_count,
});

impl BatchHeader {
    /// Digest of the header, and so of the batch.
    #[must_use]
    pub fn digest(&self, network: &NetworkId) -> Digest {
        Digest::of(domain::BATCH, network, self)
    }

    /// The lane's tip if this batch is its last.
    #[must_use]
    pub fn tip(&self, network: &NetworkId) -> Tip {
        Tip {
            lane: self.lane,
            seq: self.seq,
            digest: self.digest(network),
        }
    }
}

/// "I hold this lane durably up to this batch", without the signature.
fn ack_message(network: &NetworkId, epoch: Epoch, tip: &Tip) -> Vec<u8> {
    let mut message = Vec::with_capacity(128);
    domain::ACK.encode(&mut message);
    network.encode(&mut message);
    epoch.encode(&mut message);
    tip.encode(&mut message);
    message
}

/// Signed acknowledgement of a lane up to a tip; cumulative.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Epoch whose committee the signer speaks as.
    pub epoch: Epoch,
    /// What is held.
    pub tip: Tip,
    /// Who holds it.
    pub signer: OperatorId,
    /// Signature over epoch and tip under [`domain::ACK`].
    pub signature: Signature,
}

canonical!(Ack {
    epoch,
    tip,
    signer,
    signature
});

impl Ack {
    /// Signs an acknowledgement. It may leave the node only after the lane is durable up to `tip`.
    #[must_use]
    pub fn sign(
        network: &NetworkId,
        epoch: Epoch,
        tip: Tip,
        signer: OperatorId,
        key: &dyn Signer,
    ) -> Self {
        Self {
            epoch,
            tip,
            signer,
            signature: key.sign(&ack_message(network, epoch, &tip)),
        }
    }

    /// Whether the signer is in the committee of that epoch and the signature is valid.
    #[must_use]
    pub fn verify(&self, network: &NetworkId, committee: &Committee, by: &dyn Verifier) -> bool {
        let Some(member) = committee.member(self.signer) else {
            return false;
        };
        committee.epoch() == self.epoch
            && by.verify(Claim {
                key: &member.key,
                message: &ack_message(network, self.epoch, &self.tip),
                signature: &self.signature,
            })
    }
}

/// A header with its owner's signature, which is the owner's [`Ack`] for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedHeader {
    /// The header.
    pub header: BatchHeader,
    /// The owner's signature.
    pub signature: Signature,
}

canonical!(SignedHeader { header, signature });

impl SignedHeader {
    /// Signs an own header. It may leave the node only after the batch is durable.
    #[must_use]
    pub fn sign(network: &NetworkId, header: BatchHeader, key: &dyn Signer) -> Self {
        let message = ack_message(network, header.epoch, &header.tip(network));
        Self {
            header,
            signature: key.sign(&message),
        }
    }

    /// The signature seen as the owner's acknowledgement.
    #[must_use]
    pub fn ack(&self, network: &NetworkId) -> Ack {
        Ack {
            epoch: self.header.epoch,
            tip: self.header.tip(network),
            signer: self.header.lane,
            signature: self.signature,
        }
    }

    /// Whether the owner is a member of the header's epoch and signed it.
    #[must_use]
    pub fn verify(&self, network: &NetworkId, committee: &Committee, by: &dyn Verifier) -> bool {
        self.ack(network).verify(network, committee, by)
    }
}

/// Acks of more than one third of stake for one tip: at least one honest operator holds the lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poa {
    /// Epoch of the acks; the proof is legal in blocks of this epoch and the next.
    pub epoch: Epoch,
    /// What is held.
    pub tip: Tip,
    /// Who signed.
    pub signers: SignerSet,
    /// Their signatures, in the order of `signers`.
    pub signatures: Vec<Signature>,
}

impl Poa {
    /// Joins acks for one tip, or `None` if their stake is not above one third. The acks must be
    /// verified, of one epoch and of `committee`.
    #[must_use]
    pub fn from_acks<'a>(
        committee: &Committee,
        tip: Tip,
        acks: impl IntoIterator<Item = &'a Ack>,
    ) -> Option<Self> {
        let parts = acks
            .into_iter()
            .filter(|ack| ack.tip == tip && ack.epoch == committee.epoch())
            .map(|ack| (ack.signer, ack.signature));
        let (signers, signatures) = SignerSet::collect(committee, parts);
        let poa = Self {
            epoch: committee.epoch(),
            tip,
            signers,
            signatures,
        };
        committee
            .is_one_honest(poa.signers.stake(committee))
            .then_some(poa)
    }

    /// Whether signers of more than one third of stake really signed.
    #[must_use]
    pub fn verify(&self, network: &NetworkId, committee: &Committee, by: &dyn Verifier) -> bool {
        committee.epoch() == self.epoch
            && self.signers.is_canonical(committee)
            && committee.is_one_honest(self.signers.stake(committee))
            && self.signers.verify(
                committee,
                &ack_message(network, self.epoch, &self.tip),
                &self.signatures,
                by,
            )
    }
}

impl Encode for Poa {
    fn encode(&self, out: &mut Vec<u8>) {
        self.epoch.encode(out);
        self.tip.encode(out);
        self.signers.encode(out);
        encode_list(&self.signatures, out);
    }
}

impl Decode for Poa {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch: Decode::decode(reader)?,
            tip: Decode::decode(reader)?,
            signers: Decode::decode(reader)?,
            signatures: reader.list("signatures", crate::committee::COMMITTEE_SIZE_MAX)?,
        })
    }
}

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
