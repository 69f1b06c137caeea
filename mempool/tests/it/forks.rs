//! An owner that signs two batches for one position.

use crate::keys::{CountingVerifier, committee, key_of};
use crate::world::{Alone, CALM, MS, NETWORK, World, acks_in, batch, chain, id, tip};
use squad_mempool::{LaneInput, LaneOutput, Lanes, LanesConfig, Recovered};
use squad_primitives::{Cut, Evidence, Height, SignedHeader};
use std::sync::Arc;

#[test]
fn a_fork_is_evidence_and_the_lane_goes_on_along_the_committed_branch() {
    for seed in 0..10 {
        let mut world = World::new(seed, &[1, 1, 1, 1], CALM);
        // The faulty owner runs no lanes of its own: it only sends.
        world.crash(3);
        let (left, right) = (batch(3, None, 1, 100), batch(3, None, 2, 100));
        world.send_batch(3, &[0], left);
        world.send_batch(3, &[1, 2], right);
        world.run(500 * MS);
        let committed = *world.last_cut().tip(id(3)).unwrap();
        assert!(committed == tip(&left) || committed == tip(&right));
        // Both branches are extended; only the committed one can be acknowledged and ordered.
        let mut good = committed;
        let mut bad = if committed == tip(&left) {
            tip(&right)
        } else {
            tip(&left)
        };
        for salt in 10..14 {
            let (next, void) = (
                batch(3, Some(good), salt, 100),
                batch(3, Some(bad), salt + 90, 100),
            );
            world.send_batch(3, &[0, 1, 2], void);
            world.send_batch(3, &[0, 1, 2], next);
            (good, bad) = (tip(&next), tip(&void));
            world.run(5 * MS);
        }
        for me in 0..3 {
            world.seal(me);
        }
        world.run(1_000 * MS);
        assert_eq!(world.last_cut().tip(id(3)), Some(&good), "seed {seed}");
        for me in 0..3 {
            assert!(
                matches!(world.evidence(me), [Evidence::Lane(..)]),
                "seed {seed}: each honest operator saw both, and says so once"
            );
            let own = world.own_tip(me).unwrap();
            assert_eq!(world.last_cut().tip(id(me)), Some(&own));
        }
    }
}

fn recovered(acked: &SignedHeader, headers: &[SignedHeader]) -> Lanes {
    Lanes::recover(
        LanesConfig::new(NETWORK, Some(id(0))),
        committee(0, &[1; 4]),
        Some(Arc::new(key_of(0))),
        Arc::new(CountingVerifier::default()),
        Recovered {
            records: vec![squad_mempool::LaneRecord { acked: tip(acked) }],
            headers: headers.to_vec(),
            ..Recovered::default()
        },
    )
}

fn alone_with(lanes: Lanes) -> Alone {
    Alone {
        lanes,
        verifier: Arc::default(),
    }
}

#[test]
fn the_second_batch_for_a_position_is_never_acked_not_even_after_a_restart() {
    let (first, rival) = (batch(1, None, 1, 100), batch(1, None, 2, 100));
    let mut alone = Alone::new(0, &[1; 4]);
    assert_eq!(acks_in(&alone.receive(0, 1, first)).len(), 1);
    assert!(acks_in(&alone.receive(1, 1, rival)).is_empty());
    // The record was written, the acknowledgement perhaps never sent, the body perhaps lost.
    for headers in [vec![first], vec![]] {
        let mut restarted = alone_with(recovered(&first, &headers));
        assert!(acks_in(&restarted.receive(0, 1, rival)).is_empty());
        let on_rival = batch(1, Some(tip(&rival)), 3, 100);
        assert!(acks_in(&restarted.receive(1, 1, on_rival)).is_empty());
        // On the acknowledged branch it goes on, as soon as the body is there again.
        restarted.receive(2, 1, first);
        let next = batch(1, Some(tip(&first)), 4, 100);
        let acks = acks_in(&restarted.receive(3, 1, next));
        assert_eq!(acks.last().map(|ack| ack.tip), Some(tip(&next)));
    }
}

#[test]
fn positions_up_to_the_record_stay_closed_until_the_other_branch_is_committed_past_them() {
    let mine = chain(1, 3, 100);
    let mut alone = Alone::new(0, &[1; 4]);
    for signed in &mine {
        alone.receive(0, 1, *signed);
    }
    // Others commit another branch: one batch first, later as far as this operator's record.
    let mut other: Vec<SignedHeader> = Vec::new();
    for salt in 50..54 {
        let next = batch(1, other.last().map(tip), salt, 100);
        other.push(next);
    }
    let commit = |alone: &mut Alone, height: u64, upto: usize| {
        let cut = Cut::new(vec![tip(&other[upto])]);
        let height = Height(height);
        alone.step(height.0, LaneInput::Committed { height, cut })
    };
    let mut acks = acks_in(&commit(&mut alone, 1, 0));
    for signed in &other {
        acks.extend(acks_in(&alone.receive(5, 1, *signed)));
    }
    assert!(acks.is_empty(), "1 to 3 are promised to the first branch");
    let out = commit(&mut alone, 2, 2);
    let last = out.iter().filter_map(crate::world::persist_id).max();
    let out = match last {
        Some(last) => alone.step(6, LaneInput::Persisted(last)),
        None => alone.receive(6, 1, other[3]),
    };
    let acked: Vec<_> = acks_in(&out).iter().map(|ack| ack.tip).collect();
    assert_eq!(acked.last(), Some(&tip(&other[3])));
}

/// The record of an acknowledgement replaces the one before, which may have been for another branch: of what
/// lies below its record, an operator that was restarted knows no more what it acknowledged.
#[test]
fn nothing_below_the_record_is_acked_after_a_restart() {
    let mut held = chain(1, 3, 100);
    let parent = tip(&held[2]);
    let [mine, other] = [1, 2].map(|salt| batch(1, Some(parent), salt, 100));
    let next = batch(1, Some(tip(&other)), 3, 100);
    let mut alone = Alone::new(0, &[1; 4]);
    held.push(mine);
    let acked: Vec<_> = held
        .iter()
        .flat_map(|signed| acks_in(&alone.receive(0, 1, *signed)))
        .map(|ack| ack.tip)
        .collect();
    assert!(acked.contains(&tip(&mine)));
    let (height, cut) = (Height(1), Cut::new(vec![tip(&other)]));
    alone.step(1, LaneInput::Committed { height, cut });
    let acks = acks_in(&alone.receive(2, 1, next));
    assert_eq!(acks.last().map(|ack| ack.tip), Some(tip(&next)));

    // It crashes before it has the committed batch, and so without having processed the block.
    held.push(next);
    let mut restarted = alone_with(recovered(&next, &held));
    let (tips, proposer) = (vec![tip(&other)], id(2));
    restarted.step(3, LaneInput::Missing { tips, proposer });
    let acks = acks_in(&restarted.receive(4, 1, other));
    let acked: Vec<_> = acks.iter().map(|ack| ack.tip).collect();
    assert_eq!(acked, [tip(&next)]);
}

#[test]
fn a_block_on_the_other_branch_is_fetched_and_becomes_ready() {
    let (mine, other) = (batch(1, None, 1, 100), batch(1, None, 2, 100));
    let mut alone = Alone::new(0, &[1; 4]);
    alone.receive(0, 1, mine);
    let (height, cut) = (Height(1), Cut::new(vec![tip(&other)]));
    let out = alone.step(1, LaneInput::Committed { height, cut });
    assert!(!out.is_empty(), "headers are asked for");
    let out = alone.receive(2, 2, other);
    let expected = LaneOutput::BlockReady {
        height,
        batches: vec![tip(&other)],
    };
    assert!(out.contains(&expected), "{out:?}");
}

#[test]
fn an_own_batch_made_elsewhere_is_reported() {
    let mut alone = Alone::new(1, &[1; 4]);
    let foreign = batch(1, None, 1, 100);
    let out = alone.offer(0, 0, foreign);
    assert!(out.contains(&LaneOutput::ForeignOwnBatch(tip(&foreign).digest)));
}
