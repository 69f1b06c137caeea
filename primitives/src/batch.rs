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

mod body;

pub use body::{Batch, BatchBuilder, BatchError, BatchLimits, TxMeta};

use crate::codec::{Decode, DecodeError, Encode, Reader, encode_list};
use crate::key::{Claim, Signer, Verifier};
use crate::{
    BatchSeq, Committee, Digest, Epoch, NetworkId, OperatorId, Signature, SignerSet, Tip,
    canonical, domain,
};

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
