//! What must survive a crash so that this operator never contradicts itself.

use squad_primitives::codec::{Encode, encode_length};
use squad_primitives::{OperatorId, Tip, canonical};

/// Number of a write. Writes are numbered from 1 in the order of their outputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersistId(pub u64);

/// The highest batch of a lane that this operator has acknowledged or is about to.
///
/// It is written beside the body, before the acknowledgement is signed, so one sync serves both. After
/// a crash the operator treats it as acknowledged whether or not the message ever left: it will sign
/// for this batch or for one that descends from it, for nothing else at or below its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneRecord {
    /// The batch.
    pub acked: Tip,
}

canonical!(LaneRecord { acked });

impl LaneRecord {
    /// Key of the record: one per lane, newer ones replace older ones.
    #[must_use]
    pub fn key(lane: OperatorId) -> Vec<u8> {
        let mut key = Vec::with_capacity(12);
        encode_length(0, &mut key);
        lane.encode(&mut key);
        key
    }
}
