//! Cuts: one tip per lane, the only content that consensus orders.

use crate::codec::{Decode, DecodeError, Encode, Reader, encode_list};
use crate::{BatchSeq, Digest, OperatorId, canonical, committee::COMMITTEE_SIZE_MAX};

/// The last batch of a lane that a cut includes. A digest stands for the whole lane behind it,
/// because headers chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tip {
    /// Owner of the lane.
    pub lane: OperatorId,
    /// Number of the batch in the lane.
    pub seq: BatchSeq,
    /// Digest of the batch header.
    pub digest: Digest,
}

canonical!(Tip { lane, seq, digest });

/// Most lanes in a cut: two committees may overlap at an epoch change.
pub const CUT_LANES_MAX: usize = 2 * COMMITTEE_SIZE_MAX;

/// Tips sorted by lane, each lane at most once. A lane that is absent is still at sequence 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cut {
    tips: Vec<Tip>,
}

impl Cut {
    /// Sorts tips into a cut; of several tips for one lane the highest stays. Tips at sequence 0 are
    /// left out, since absence says the same.
    #[must_use]
    pub fn new(mut tips: Vec<Tip>) -> Self {
        tips.retain(|tip| tip.seq != BatchSeq::ZERO);
        tips.sort_by_key(|tip| (tip.lane, std::cmp::Reverse(tip.seq)));
        tips.dedup_by_key(|tip| tip.lane);
        Self { tips }
    }

    /// Tips in lane order.
    #[must_use]
    pub fn tips(&self) -> &[Tip] {
        &self.tips
    }

    /// Tip of a lane.
    #[must_use]
    pub fn tip(&self, lane: OperatorId) -> Option<&Tip> {
        self.tips
            .binary_search_by_key(&lane, |tip| tip.lane)
            .ok()
            .and_then(|index| self.tips.get(index))
    }

    /// Sequence number of a lane's tip; zero if the lane is absent.
    #[must_use]
    pub fn seq(&self, lane: OperatorId) -> BatchSeq {
        self.tip(lane).map_or(BatchSeq::ZERO, |tip| tip.seq)
    }

    /// Replaces or inserts one tip.
    pub fn set(&mut self, tip: Tip) {
        match self.tips.binary_search_by_key(&tip.lane, |t| t.lane) {
            Ok(index) => {
                if let Some(slot) = self.tips.get_mut(index) {
                    *slot = tip;
                }
            }
            Err(index) => self.tips.insert(index, tip),
        }
    }

    /// Lanes whose tip differs from the one in `parent`, in lane order.
    pub fn moved<'a>(&'a self, parent: &'a Self) -> impl Iterator<Item = &'a Tip> {
        self.tips
            .iter()
            .filter(|tip| parent.tip(tip.lane) != Some(*tip))
    }
}

impl Encode for Cut {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_list(&self.tips, out);
    }
}

impl Decode for Cut {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let tips: Vec<Tip> = reader.list("cut", CUT_LANES_MAX)?;
        let sorted = tips
            .iter()
            .zip(tips.iter().skip(1))
            .all(|(a, b)| a.lane < b.lane);
        let started = tips.iter().all(|tip| tip.seq != BatchSeq::ZERO);
        if sorted && started {
            Ok(Self { tips })
        } else {
            Err(DecodeError::Illegal { field: "cut" })
        }
    }
}
