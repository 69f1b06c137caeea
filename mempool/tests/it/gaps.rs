//! Several gaps in one lane, as after an absence: one request at a time, not one for each of them.

use crate::world::{Alone, MS, batch, id};
use squad_mempool::LaneOutput;
use squad_primitives::message::LaneMessage;
use squad_primitives::{BatchSeq, Digest, Tip};

const OWNER: u32 = 3;

fn requested<'a>(out: impl IntoIterator<Item = &'a LaneOutput>) -> Vec<u64> {
    out.into_iter()
        .filter_map(|output| match output {
            LaneOutput::Send {
                message: LaneMessage::HeadersRequest { tip, .. },
                ..
            } => Some(tip.seq.0),
            _ => None,
        })
        .collect()
}

/// A batch arrives whose parent is not known.
fn gap(alone: &mut Alone, seq: u64) -> Vec<u64> {
    let parent = Tip {
        lane: id(OWNER),
        seq: BatchSeq(seq),
        digest: Digest([seq as u8; 32]),
    };
    requested(&alone.offer(0, OWNER, batch(OWNER, Some(parent), seq, 20)))
}

fn requested_until(alone: &mut Alone, ms: u64) -> Vec<u64> {
    let out = alone.run_to(ms * MS);
    requested(out.iter().map(|(_, output)| output))
}

#[test]
fn the_highest_gap_is_asked_for_and_lower_ones_when_nobody_has_it() {
    let mut alone = Alone::new(0, &[1; 4]);
    for seq in [3, 5, 7] {
        assert_eq!(gap(&mut alone, seq), [seq]);
    }
    // The owner was asked at once; the other two follow, for the highest only.
    assert_eq!(requested_until(&mut alone, 149), [7, 7]);
    assert_eq!(requested_until(&mut alone, 150), [5]);
}
