//! Following survives cuts at every item, and lies, without a gap or a repetition.

use crate::operator::{Network, refusal};
use crate::world::World;
use squad_client::follow::{FollowError, FollowedBlock, Follower, Untrue};
use squad_client::verify::attestation::AttestationError;
use squad_client::verify::rollup::RollupError;
use squad_client::{BlockStream, StreamError, Subscription, v1};
use squad_primitives::{Height, RollupId, Stake};
use tonic::Code;

const BLOCKS: u64 = 7;

async fn collect(mut follower: Follower, count: u64) -> Vec<FollowedBlock> {
    let mut blocks = Vec::new();
    while (blocks.len() as u64) < count {
        blocks.push(follower.next().await.unwrap());
    }
    blocks
}

/// What an unbroken run gives, without the attestations, which depend on the operator.
fn content(
    blocks: &[FollowedBlock],
) -> Vec<(Height, Vec<squad_client::verify::rollup::RollupBlock>)> {
    let content = |b: &FollowedBlock| (b.header.height(), b.rollups.clone());
    blocks.iter().map(content).collect()
}

#[tokio::test]
async fn a_cut_at_any_item_changes_nothing() {
    let uncut = Network::start(World::with_blocks(BLOCKS)).await;
    let follower = uncut.client().follow_rollup(RollupId(7), Height(1));
    let expected = content(&collect(follower, BLOCKS).await);
    assert!(expected.iter().any(|(_, rollups)| rollups.is_empty()));
    for cut in 0..16 {
        let network = Network::start(World::with_blocks(BLOCKS)).await;
        // The same operator is asked again with the cursor, and breaks again at once.
        network.faults(0).cut_after.extend([cut, 0, cut, 0]);
        network.faults(1).cut_after.push_back(cut);
        let follower = network.client().follow_rollup(RollupId(7), Height(1));
        assert_eq!(
            content(&collect(follower, BLOCKS).await),
            expected,
            "cut at {cut}"
        );
    }
}

#[tokio::test]
async fn the_cursor_is_for_the_same_operator_and_the_height_for_others() {
    let network = Network::start(World::with_blocks(BLOCKS)).await;
    network.faults(0).cut_after.extend([4, 0]);
    let endpoints: Vec<_> = network
        .addresses
        .iter()
        .map(|address| squad_client::Endpoint::new(address).unwrap())
        .collect();
    let subscription = Subscription::from_height(Height(1));
    let mut stream = BlockStream::new(endpoints.into(), 0, subscription);
    for height in 1..=BLOCKS {
        assert_eq!(stream.next().await.unwrap().height, Height(height));
    }
    assert_eq!(network.seen(0).starts, ["height 1", "cursor"]);
    // Three items after the hello: block 1 in three or more parts was not complete.
    assert_eq!(network.seen(1).starts, ["height 1"]);
}

#[tokio::test]
async fn live_blocks_follow_history_without_a_seam() {
    let network = Network::start(World::with_blocks(3)).await;
    let client = network.client();
    let mut follower = client.follow_blocks(Height(2));
    for height in 2..=3 {
        assert_eq!(
            follower.next().await.unwrap().header.height(),
            Height(height)
        );
    }
    for height in 4..=6 {
        let transaction = client
            .prepare(RollupId(7), format!("{height}"))
            .await
            .unwrap();
        client.submit(&transaction).await.unwrap();
        let block = follower.next().await.unwrap();
        assert_eq!(block.header.height(), Height(height));
        assert_eq!(
            block.rollups[0].ids,
            [transaction.id(&client.trusted().id())]
        );
    }
}

#[tokio::test]
async fn a_skipped_item_ends_the_subscription() {
    let network = Network::start(World::with_blocks(BLOCKS)).await;
    network.faults(0).skip_sequence = Some(3);
    let mut follower = network.client().follow_rollup(RollupId(7), Height(1));
    let error = loop {
        if let Err(error) = follower.next().await {
            break error;
        }
    };
    let gap = StreamError::SequenceGap {
        expected: 3,
        found: 4,
    };
    assert_eq!(error, FollowError::Stream(gap));
}

fn drop_an_id(item: &mut v1::SubscribeBlocksResponse) {
    if let Some(v1::subscribe_blocks_response::Item::Block(part)) = &mut item.item
        && part.height == 4
        && let Some(entries) = part.entries.first_mut()
    {
        entries.tx_ids = entries.tx_ids.slice(32..);
        entries.transactions.remove(0);
    }
}

#[tokio::test]
async fn a_lying_operator_is_named_and_left() {
    let network = Network::start(World::with_blocks(BLOCKS)).await;
    network.faults(0).forge = Some(drop_an_id);
    let mut follower = network.client().follow_rollup(RollupId(7), Height(1));
    for height in 1..=3 {
        assert_eq!(
            follower.next().await.unwrap().header.height(),
            Height(height)
        );
    }
    let error = follower.next().await.unwrap_err();
    let FollowError::Untrue {
        operator,
        height,
        error,
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(operator.trim_end_matches('/'), network.addresses[0]);
    let position = RollupError::Position {
        expected: 1,
        found: 2,
    };
    assert_eq!((height, error), (Height(4), Untrue::Rollup(position)));
    for height in 4..=BLOCKS {
        assert_eq!(
            follower.next().await.unwrap().header.height(),
            Height(height)
        );
    }
}

fn forget_attestations(item: &mut v1::SubscribeBlocksResponse) {
    if let Some(v1::subscribe_blocks_response::Item::Block(part)) = &mut item.item
        && let Some(header) = &mut part.header
    {
        header.attestations.clear();
    }
}

#[tokio::test]
async fn one_operators_word_is_not_enough() {
    let network = Network::start(World::with_blocks(2)).await;
    for silent in [1, 2, 3] {
        network.faults(silent).forge = Some(forget_attestations);
        let stopped = refusal(Code::OutOfRange, "PRUNED", None);
        network.faults(silent).refuse.push_back(stopped);
    }
    let mut follower = network.client().follow_rollup(RollupId(7), Height(1));
    let not_attested = FollowError::NotAttested {
        height: Height(1),
        error: AttestationError::NotEnough {
            found: Stake(1),
            total: Stake(4),
        },
    };
    assert_eq!(follower.next().await, Err(not_attested));
    network.faults(2).forge = None;
    assert_eq!(follower.next().await.unwrap().header.height(), Height(1));
}

#[tokio::test]
async fn a_final_verdict_is_not_retried() {
    let network = Network::start(World::with_blocks(2)).await;
    let pruned = refusal(Code::OutOfRange, "PRUNED", None);
    network.faults(0).refuse.push_back(pruned);
    let mut follower = network.client().follow_rollup(RollupId(7), Height(1));
    match follower.next().await {
        Err(FollowError::Stream(StreamError::Refused(refusal))) => {
            assert_eq!(refusal.reason, "PRUNED");
        }
        other => panic!("{other:?}"),
    }
}
