//! An ordered block as it is stored and served.

use squad_mempool::order::DropReason;
use squad_primitives::block::BlockRef;
use squad_primitives::certificate::CommitProof;
use squad_primitives::codec::{Decode, DecodeError, Encode, Reader, encode_list};
use squad_primitives::order::{OrderResult, RollupLeaf};
use squad_primitives::{
    Block, CommittedBlock, Cut, Digest, Height, RollupId, Signature, SignedHeader, TxId, canonical,
};
use std::sync::Arc;

/// Where a transaction lies: batch of the block, and index in the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Index in [`OrderedBlock::headers`].
    pub(crate) batch: u32,
    /// Index in the batch.
    pub(crate) index: u32,
}

canonical!(Place { batch, index });

/// One rollup's transactions in one block, in final order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RollupPart {
    /// Leaf of the order tree.
    pub(crate) leaf: RollupLeaf,
    /// Ids, in order.
    pub(crate) ids: Vec<TxId>,
    /// Their places, in the same order.
    pub(crate) places: Vec<Place>,
    /// Their expiries, in the same order: what the duplicate check is rebuilt from after a restart.
    pub(crate) expiries: Vec<Height>,
}

/// A transaction that a block holds without ordering it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DroppedTx {
    /// Its id.
    pub(crate) id: TxId,
    /// Its place.
    pub(crate) place: Place,
    /// Why.
    pub(crate) reason: DropReason,
}

/// A committed block with its order: what every node derives alike, and this node's signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrderedBlock {
    /// The block and the proof that it is final.
    pub(crate) committed: CommittedBlock,
    /// Headers of the batches between the parent's cut and the block's, by lane, then sequence.
    pub(crate) headers: Vec<SignedHeader>,
    /// Result of ordering.
    pub(crate) result: OrderResult,
    /// This operator's attestation of the result; observers have none.
    pub(crate) attestation: Option<Signature>,
    /// Rollups with transactions, by id.
    pub(crate) rollups: Vec<RollupPart>,
    /// Transactions that don't count.
    pub(crate) dropped: Vec<DroppedTx>,
}

impl OrderedBlock {
    /// Height of the block.
    pub(crate) const fn height(&self) -> Height {
        self.committed.block.height
    }

    /// A rollup's part.
    pub(crate) fn rollup(&self, rollup: RollupId) -> Option<&RollupPart> {
        let index = self
            .rollups
            .binary_search_by_key(&rollup, |part| part.leaf.rollup)
            .ok()?;
        self.rollups.get(index)
    }

    /// All leaves of the order tree.
    pub(crate) fn leaves(&self) -> Vec<RollupLeaf> {
        self.rollups.iter().map(|part| part.leaf).collect()
    }
}

/// Records are written by this node only, so their limits guard against a damaged store.
const ITEMS_MAX: usize = 1 << 24;

const fn reason_code(reason: DropReason) -> u8 {
    match reason {
        DropReason::Duplicate => 1,
        DropReason::Expired => 2,
        DropReason::ExpiryTooFar => 3,
        DropReason::UnknownRollup => 4,
        DropReason::Sealed => 5,
        // A reason without a code would be lost on disk: refuse to build the record.
        _ => 0,
    }
}

impl Encode for DroppedTx {
    fn encode(&self, out: &mut Vec<u8>) {
        self.id.encode(out);
        self.place.encode(out);
        out.push(reason_code(self.reason));
    }
}

impl Decode for DroppedTx {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            id: Decode::decode(reader)?,
            place: Decode::decode(reader)?,
            reason: match u8::decode(reader)? {
                1 => DropReason::Duplicate,
                2 => DropReason::Expired,
                3 => DropReason::ExpiryTooFar,
                4 => DropReason::UnknownRollup,
                5 => DropReason::Sealed,
                _ => return Err(DecodeError::Illegal { field: "reason" }),
            },
        })
    }
}

impl Encode for RollupPart {
    fn encode(&self, out: &mut Vec<u8>) {
        self.leaf.encode(out);
        encode_list(&self.ids, out);
        encode_list(&self.places, out);
        encode_list(&self.expiries, out);
    }
}

impl Decode for RollupPart {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            leaf: Decode::decode(reader)?,
            ids: reader.list("ids", ITEMS_MAX)?,
            places: reader.list("places", ITEMS_MAX)?,
            expiries: reader.list("expiries", ITEMS_MAX)?,
        })
    }
}

impl Encode for OrderedBlock {
    fn encode(&self, out: &mut Vec<u8>) {
        self.committed.block.encode(out);
        self.committed.hash.encode(out);
        self.committed.parent_cut.encode(out);
        self.committed.proof.encode(out);
        encode_list(&self.headers, out);
        self.result.encode(out);
        self.attestation.encode(out);
        encode_list(&self.rollups, out);
        encode_list(&self.dropped, out);
    }
}

impl Decode for OrderedBlock {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            committed: decode_committed(reader)?,
            headers: reader.list("headers", ITEMS_MAX)?,
            result: Decode::decode(reader)?,
            attestation: Decode::decode(reader)?,
            rollups: reader.list("rollups", ITEMS_MAX)?,
            dropped: reader.list("dropped", ITEMS_MAX)?,
        })
    }
}

/// Reads the committed block at the start of a record, without the rest.
pub(crate) fn decode_committed(reader: &mut Reader<'_>) -> Result<CommittedBlock, DecodeError> {
    let block: Block = Decode::decode(reader)?;
    let hash: Digest = Decode::decode(reader)?;
    let parent_cut: Cut = Decode::decode(reader)?;
    let proof: CommitProof = Decode::decode(reader)?;
    Ok(CommittedBlock {
        hash,
        block,
        parent_cut,
        proof: Arc::new(proof),
    })
}

/// Reference to the block of a record.
pub(crate) fn reference(committed: &CommittedBlock) -> BlockRef {
    BlockRef {
        hash: committed.hash,
        at: committed.block.at,
    }
}
