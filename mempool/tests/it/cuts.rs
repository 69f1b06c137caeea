//! Legal cuts, and the cuts that a leader proposes.

use crate::keys::committee;
use crate::world::{Alone, NETWORK, batch, batch_in, chain, id, poa, tip};
use squad_mempool::lanes::{CutCheck, CutError};
use squad_mempool::{LaneInput, LaneOutput, LanesConfig};
use squad_primitives::message::LaneMessage;
use squad_primitives::{BatchSeq, Cut, Digest, Epoch, Height, SignedHeader, Tip};

fn four(block_bytes_max: u64) -> Alone {
    let config = LanesConfig {
        block_bytes_max,
        ..LanesConfig::new(NETWORK, Some(id(0)))
    };
    Alone::with(config, &[1; 4])
}

fn tips(headers: &[SignedHeader]) -> Vec<Tip> {
    headers.iter().map(tip).collect()
}

fn check(alone: &mut Alone, parent: &[Tip], cut: &[Tip]) -> CutCheck {
    let (parent, cut) = (Cut::new(parent.to_vec()), Cut::new(cut.to_vec()));
    alone.lanes.check_cut(&parent, &cut, Epoch(0))
}

#[test]
fn lanes_never_move_back_or_sideways() {
    let mut alone = four(1 << 20);
    let lane = tips(&chain(1, 3, 100));
    for signed in chain(1, 3, 100) {
        alone.receive(0, 1, signed);
    }
    let fork = batch(1, Some(lane[0]), 99, 100);
    alone.receive(0, 1, fork);
    let back = CutCheck::Illegal(CutError::Back(id(1)));
    assert_eq!(check(&mut alone, &[lane[1]], &[lane[2]]), CutCheck::Ok);
    assert_eq!(check(&mut alone, &[lane[1]], &[lane[1]]), CutCheck::Ok);
    assert_eq!(check(&mut alone, &[lane[1]], &[lane[0]]), back);
    assert_eq!(check(&mut alone, &[lane[1]], &[]), back);
    assert_eq!(check(&mut alone, &[lane[1]], &[tip(&fork)]), back);
    let branch = CutCheck::Illegal(CutError::Branch(id(1)));
    let on_fork = batch(1, Some(tip(&fork)), 100, 100);
    alone.receive(0, 1, on_fork);
    assert_eq!(check(&mut alone, &[lane[1]], &[tip(&on_fork)]), branch);
}

#[test]
fn a_tip_without_headers_data_or_proof_is_missing_and_its_arrival_is_told() {
    let mut alone = Alone::new(0, &[1; 7]);
    let headers = chain(1, 3, 100);
    let wanted = tip(&headers[2]);
    assert_eq!(
        check(&mut alone, &[], &[wanted]),
        CutCheck::Missing(vec![wanted])
    );
    let proposer = id(5);
    let tips = vec![wanted];
    let out = alone.step(1, LaneInput::Missing { tips, proposer });
    let request = LaneMessage::HeadersRequest {
        after: BatchSeq(0),
        tip: wanted,
    };
    assert!(out.contains(&LaneOutput::Send {
        to: proposer,
        message: request
    }));
    // Headers with a proof are enough to vote; bodies are fetched as well.
    let proof = poa(&committee(0, &[1; 7]), wanted, &[1, 2, 3]);
    let answer = LaneMessage::Headers {
        lane: id(1),
        headers: headers.clone(),
        poa: Some(Box::new(proof)),
    };
    let out = alone.message(2, 5, answer);
    assert!(out.contains(&LaneOutput::DataArrived));
    let fetched = out
        .iter()
        .filter(|output| matches!(output, LaneOutput::FetchBatch { from, .. } if *from == proposer))
        .count();
    assert_eq!(fetched, 3);
    assert_eq!(check(&mut alone, &[], &[wanted]), CutCheck::Ok);
}

#[test]
fn bodies_without_a_proof_are_enough_once_durable() {
    let mut alone = Alone::new(0, &[1; 7]);
    let signed = batch(1, None, 1, 100);
    alone.offer(0, 1, signed);
    let wanted = vec![tip(&signed)];
    assert_eq!(
        check(&mut alone, &[], &wanted),
        CutCheck::Missing(wanted.clone())
    );
    alone.receive(1, 1, signed);
    let last = squad_mempool::PersistId(2);
    alone.step(2, LaneInput::Persisted(last));
    assert_eq!(check(&mut alone, &[], &wanted), CutCheck::Ok);
}

#[test]
fn a_proof_for_a_later_batch_covers_an_earlier_one() {
    let mut alone = Alone::new(0, &[1; 7]);
    let headers = chain(1, 2, 100);
    for signed in &headers {
        alone.offer(0, 1, *signed);
    }
    let proof = poa(&committee(0, &[1; 7]), tip(&headers[1]), &[1, 2, 3]);
    alone.message(1, 1, LaneMessage::Poa(Box::new(proof)));
    assert_eq!(check(&mut alone, &[], &[tip(&headers[0])]), CutCheck::Ok);
}

#[test]
fn a_block_above_the_limit_is_illegal_and_never_proposed() {
    let mut alone = four(2_500);
    for lane in [1, 2, 3] {
        for signed in chain(lane, 4, 979) {
            assert_eq!(signed.header.body_bytes, 1_000);
            alone.receive(0, lane, signed);
        }
    }
    let all = |length: usize| -> Vec<Tip> {
        [1, 2, 3]
            .map(|lane| tip(&chain(lane, 4, 979)[length - 1]))
            .to_vec()
    };
    assert_eq!(
        check(&mut alone, &[], &all(1)),
        CutCheck::Illegal(CutError::TooLarge)
    );
    let mut parent = Cut::default();
    let mut blocks = 0;
    loop {
        let cut = alone.lanes.propose_cut(&parent, Epoch(0));
        if cut == parent {
            break;
        }
        assert_eq!(alone.lanes.check_cut(&parent, &cut, Epoch(0)), CutCheck::Ok);
        let seqs: Vec<_> = [1, 2, 3].map(|lane| cut.seq(id(lane)).0).to_vec();
        blocks += 1;
        assert_eq!(seqs.iter().sum::<u64>(), (2 * blocks).min(12), "{seqs:?}");
        parent = cut;
    }
    assert_eq!(parent, Cut::new(all(4)));
}

#[test]
fn a_lane_of_large_batches_does_not_crowd_out_the_others() {
    let mut alone = four(10_000);
    for signed in chain(1, 10, 4_000) {
        alone.receive(0, 1, signed);
    }
    for signed in chain(2, 10, 400) {
        alone.receive(0, 2, signed);
    }
    let cut = alone.lanes.propose_cut(&Cut::default(), Epoch(0));
    assert_eq!(cut.seq(id(2)), BatchSeq(10), "fewer bytes than the other");
    assert_eq!(cut.seq(id(1)), BatchSeq(1));
}

/// After a change of epochs, or when many batches waited for a partition to end, only the last of them
/// has a proof. Found by the simulator: such a lane never moved again.
#[test]
fn a_lane_whose_only_proof_lies_more_than_a_block_ahead_moves_on() {
    let mut alone = four(10_000);
    let headers = chain(1, 10, 4_000);
    for signed in &headers[..9] {
        alone.offer(0, 1, *signed);
    }
    // One sync for all: one acknowledgement, one proof.
    alone.receive(0, 1, headers[9]);
    let mut parent = Cut::default();
    for blocks in 1..=5 {
        let cut = alone.lanes.propose_cut(&parent, Epoch(0));
        assert_eq!(cut.seq(id(1)), BatchSeq(2 * blocks));
        assert_eq!(alone.lanes.check_cut(&parent, &cut, Epoch(0)), CutCheck::Ok);
        parent = cut;
    }
}

#[test]
fn strangers_have_no_lane() {
    let mut alone = four(1 << 20);
    let stranger = Tip {
        lane: id(9),
        seq: BatchSeq(1),
        digest: Digest([1; 32]),
    };
    let closed = CutCheck::Illegal(CutError::Closed(id(9)));
    assert_eq!(check(&mut alone, &[], &[stranger]), closed);
}

/// Operator 3 leaves with epoch 1.
#[test]
fn the_lane_of_an_operator_that_left_advances_by_proofs_of_its_last_epoch_only() {
    let mut alone = four(1 << 20);
    let headers = chain(3, 2, 100);
    for signed in &headers {
        alone.receive(0, 3, *signed);
    }
    // One more batch, stored but not acknowledged before the epoch ends.
    let late = batch_in(Epoch(0), 3, Some(tip(&headers[1])), 7, 100);
    alone.offer(0, 3, late);
    alone.step(1, LaneInput::EpochReady(committee(1, &[1, 1, 1])));
    alone.step(2, LaneInput::Persisted(squad_mempool::PersistId(99)));
    let parent = Cut::default();
    let cut = alone.lanes.propose_cut(&parent, Epoch(1));
    assert_eq!(cut, Cut::new(vec![tip(&headers[1])]));
    let checked = alone.lanes.check_cut(&parent, &cut, Epoch(1));
    assert_eq!(checked, CutCheck::Ok);
    let further = Cut::new(vec![tip(&late)]);
    assert_eq!(
        alone.lanes.check_cut(&parent, &further, Epoch(1)),
        CutCheck::Missing(vec![tip(&late)]),
        "held, but only a proof of epoch 0 would do"
    );
    alone.step(3, LaneInput::EpochReady(committee(2, &[1, 1, 1])));
    assert_eq!(
        alone.lanes.check_cut(&parent, &cut, Epoch(2)),
        CutCheck::Illegal(CutError::Closed(id(3)))
    );
}

/// Acknowledgements of the new epoch prove that a batch is available, but nothing makes it legal: to
/// count it as work would make every leader propose an empty block, each as soon as it may.
#[test]
fn a_proof_that_no_cut_may_use_is_no_work() {
    let mut alone = four(1 << 20);
    let headers = chain(3, 2, 100);
    alone.receive(0, 3, headers[0]);
    alone.receive(0, 3, headers[1]);
    let next = committee(1, &[1, 1, 1]);
    alone.step(1, LaneInput::EpochReady(next.clone()));
    assert!(alone.lanes.has_work(&Cut::default()), "of the epoch before");
    let parent = Cut::new(vec![tip(&headers[1])]);
    let late = batch_in(Epoch(0), 3, Some(tip(&headers[1])), 7, 100);
    alone.offer(2, 3, late);
    let proof = poa(&next, tip(&late), &[1, 2]);
    alone.message(3, 1, LaneMessage::Poa(Box::new(proof)));
    assert_eq!(alone.lanes.propose_cut(&parent, Epoch(1)), parent);
    assert!(!alone.lanes.has_work(&parent));
}

#[test]
fn the_batches_of_a_block_become_ready_in_order_when_all_are_durable() {
    let mut alone = Alone::new(0, &[1; 4]);
    let (one, two) = (chain(1, 2, 100), chain(2, 1, 100));
    let first = Cut::new(vec![tip(&one[0])]);
    let second = Cut::new(vec![tip(&one[1]), tip(&two[0])]);
    alone.receive(0, 1, one[0]);
    alone.receive(0, 1, one[1]);
    let commit = |height, cut: &Cut| LaneInput::Committed {
        height: Height(height),
        cut: cut.clone(),
    };
    let ready = |out: &[LaneOutput]| -> Vec<(u64, Vec<Tip>)> {
        out.iter()
            .filter_map(|output| match output {
                LaneOutput::BlockReady { height, batches } => Some((height.0, batches.clone())),
                _ => None,
            })
            .collect()
    };
    let out = alone.step(1, commit(1, &first));
    assert_eq!(ready(&out), [(1, vec![tip(&one[0])])]);
    let out = alone.step(2, commit(2, &second));
    assert!(ready(&out).is_empty(), "lane 2 is missing");
    let out = alone.step(3, commit(3, &second));
    assert!(ready(&out).is_empty());
    assert_eq!(alone.lanes.blocks_waiting(), 2);
    let out = alone.receive(4, 2, two[0]);
    assert_eq!(
        ready(&out),
        [(2, vec![tip(&one[1]), tip(&two[0])]), (3, vec![])]
    );
}
