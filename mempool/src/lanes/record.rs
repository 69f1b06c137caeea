//! What must survive a crash so that this operator never contradicts itself.

use squad_primitives::codec::Encode;
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
        lane.to_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squad_primitives::codec::decode;
    use squad_primitives::{BatchSeq, Digest};

    /// Stored on disk: a change here needs a new format version of the data directory.
    #[test]
    fn the_encoding_is_pinned() {
        let record = LaneRecord {
            acked: Tip {
                lane: OperatorId(3),
                seq: BatchSeq(0x0102),
                digest: Digest([0xab; 32]),
            },
        };
        let mut expected = vec![3, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0];
        expected.extend([0xab; 32]);
        assert_eq!(record.to_bytes(), expected);
        assert_eq!(decode::<LaneRecord>(&expected), Ok(record));
        assert_eq!(LaneRecord::key(OperatorId(3)), [3, 0, 0, 0]);
    }
}
