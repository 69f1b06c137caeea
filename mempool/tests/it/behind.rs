//! An operator that knows far more committed blocks than it has batches of: however many those are, it
//! collects them, and its own lane stays its own.

use crate::world::{Alone, CALM, MS, NETWORK, World, at, batch, chain, id, tip};
use squad_mempool::{LaneInput, LaneOutput, LanesConfig};
use squad_primitives::{Cut, Height};

#[test]
fn a_lane_many_windows_behind_is_collected_block_by_block() {
    for seed in 0..4 {
        let mut world = World::new(seed, &[1; 4], CALM);
        world.crash(3);
        for _ in 0..200 {
            for me in 0..3 {
                world.seal(me);
            }
            world.run(5 * MS);
        }
        world.run(100 * MS);
        // Headers of 64 batches find room; 200 of each lane are committed.
        world.window_batches = 8;
        world.restart(3);
        world.run(3_000 * MS);
        assert_eq!(world.ready(3).len() + 1, world.cuts.len(), "seed {seed}");
        assert!(
            world.ready(3) == world.ready(0),
            "seed {seed}: other batches"
        );
    }
}

#[test]
fn own_batches_that_are_committed_and_not_processed_fill_the_window() {
    let window = 8;
    let config = LanesConfig {
        window_batches: window,
        ..LanesConfig::new(NETWORK, Some(id(0)))
    };
    let mut alone = Alone::with(config, &[1; 4]);
    let theirs = chain(1, 1_000, 20);
    let (mut own, mut sealed, mut height) = (None, 0, 0);
    // The bodies of the other lane never come, so no block is ever processed.
    while !alone.lanes.own_window().full && sealed < 1_000 {
        sealed += 1;
        let signed = batch(0, own, sealed, 20);
        own = Some(tip(&signed));
        let mut out = alone.step(sealed, LaneInput::OwnBatch(signed));
        height += 1;
        let cut = Cut::new(vec![tip(&signed), tip(&theirs[height - 1])]);
        let height = Height(height as u64);
        out.extend(alone.step(sealed, LaneInput::Committed { height, cut }));
        let foreign = out
            .iter()
            .any(|output| matches!(output, LaneOutput::ForeignOwnBatch(_)));
        assert!(!foreign, "batch {sealed}");
    }
    assert!(
        (2 * window..8 * window).contains(&sealed),
        "{sealed} batches before the window is full"
    );
    assert!(
        alone
            .lanes
            .next_deadline()
            .is_some_and(|due| due >= at(0).time)
    );
    // Its own headers are asked of nobody.
    let asked = alone.run_to(500 * MS).into_iter().any(|(_, output)| {
        matches!(output, LaneOutput::Send { message: squad_primitives::message::LaneMessage::HeadersRequest { tip, .. }, .. } if tip.lane == id(0))
    });
    assert!(!asked);
}
