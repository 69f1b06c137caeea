//! Views, tips, cuts and blocks.

use super::{ConvertError, digest, digest_bytes, list, required};
use crate::v1;
use squad_primitives::cut::CUT_LANES_MAX;
use squad_primitives::{
    BatchSeq, Block, BlockRef, Cut, Epoch, Height, OperatorId, Tip, View, ViewId,
};

impl From<&ViewId> for v1::ViewId {
    fn from(at: &ViewId) -> Self {
        Self {
            epoch: at.epoch.0,
            view: at.view.0,
        }
    }
}

impl TryFrom<&v1::ViewId> for ViewId {
    type Error = ConvertError;

    fn try_from(message: &v1::ViewId) -> Result<Self, ConvertError> {
        Ok(Self::new(Epoch(message.epoch), View(message.view)))
    }
}

impl From<&BlockRef> for v1::BlockRef {
    fn from(block: &BlockRef) -> Self {
        Self {
            hash: digest_bytes(&block.hash),
            at: Some((&block.at).into()),
        }
    }
}

impl TryFrom<&v1::BlockRef> for BlockRef {
    type Error = ConvertError;

    fn try_from(message: &v1::BlockRef) -> Result<Self, ConvertError> {
        Ok(Self {
            hash: digest("hash", &message.hash)?,
            at: required("at", &message.at)?,
        })
    }
}

impl From<&Tip> for v1::Tip {
    fn from(tip: &Tip) -> Self {
        Self {
            lane: tip.lane.0,
            seq: tip.seq.0,
            digest: digest_bytes(&tip.digest),
        }
    }
}

impl TryFrom<&v1::Tip> for Tip {
    type Error = ConvertError;

    fn try_from(message: &v1::Tip) -> Result<Self, ConvertError> {
        Ok(Self {
            lane: OperatorId(message.lane),
            seq: BatchSeq(message.seq),
            digest: digest("digest", &message.digest)?,
        })
    }
}

/// The tips of a cut.
#[must_use]
pub fn cut_tips(cut: &Cut) -> Vec<v1::Tip> {
    cut.tips().iter().map(v1::Tip::from).collect()
}

/// Reads a cut, which must be in canonical order.
///
/// # Errors
/// Too many tips, a wrong digest, a tip at sequence 0, or not strictly ascending by lane.
pub fn cut(field: &'static str, tips: &[v1::Tip]) -> Result<Cut, ConvertError> {
    let tips: Vec<Tip> = list(field, CUT_LANES_MAX, tips)?;
    let sorted = tips
        .iter()
        .zip(tips.iter().skip(1))
        .all(|(left, right)| left.lane < right.lane);
    if !sorted || tips.iter().any(|tip| tip.seq == BatchSeq::ZERO) {
        return Err(ConvertError::not_canonical(field));
    }
    Ok(Cut::new(tips))
}

impl From<&Block> for v1::Block {
    fn from(block: &Block) -> Self {
        Self {
            at: Some((&block.at).into()),
            height: block.height.0,
            parent: Some((&block.parent).into()),
            timestamp_ms: block.timestamp_ms,
            cut: cut_tips(&block.cut),
        }
    }
}

impl TryFrom<&v1::Block> for Block {
    type Error = ConvertError;

    fn try_from(message: &v1::Block) -> Result<Self, ConvertError> {
        Ok(Self {
            at: required("at", &message.at)?,
            height: Height(message.height),
            parent: required("parent", &message.parent)?,
            timestamp_ms: message.timestamp_ms,
            cut: cut("cut", &message.cut)?,
        })
    }
}
