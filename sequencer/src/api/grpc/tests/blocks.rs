//! `SubscribeBlocks` and `GetBlock`: resuming, joining, starting points, pages, equality across nodes.

use super::{field, ids, reason};
use crate::api::testing::{ROLLUPS, Serving, TestNode, transaction};
use bytes::Bytes;
use squad_primitives::{Batch, Height};
use squad_proto::v1::subscribe_blocks_request::From;
use squad_proto::v1::subscribe_blocks_response::Item;
use squad_proto::v1::{self, SubscribeBlocksRequest, SubscribeBlocksResponse};
use std::sync::Arc;
use tonic::Code;

/// Orders blocks of all shapes: empty, small, one rollup, larger than one message.
fn history(node: &TestNode) -> Vec<Vec<Batch>> {
    let big: Vec<_> = (0..15)
        .map(|n| transaction(ROLLUPS[n as usize % 2], 50, 5_000 + n, 60 << 10))
        .collect();
    let bigger: Vec<_> = (0..15)
        .map(|n| transaction(ROLLUPS[2], 50, 6_000 + n, 60 << 10))
        .collect();
    let small: Vec<_> = (0..9)
        .map(|n| transaction(ROLLUPS[n as usize % 3], 50, n, 20))
        .collect();
    let blocks = vec![
        vec![node.batch(0, &small[..4]), node.batch(2, &small[4..])],
        vec![],
        vec![
            node.batch(0, &big),
            node.batch(1, &bigger),
            // A copy of what was ordered before does not count.
            node.batch(3, &small[..2]),
        ],
        vec![node.batch(2, &[transaction(ROLLUPS[1], 50, 77, 8)])],
    ];
    for block in &blocks {
        node.order(block);
    }
    blocks
}

/// Reads until the last part of the block at `last`.
async fn read(
    serving: &Serving,
    request: SubscribeBlocksRequest,
    last: u64,
) -> Vec<SubscribeBlocksResponse> {
    let mut client = serving.blocks().await;
    let mut stream = client.subscribe_blocks(request).await.unwrap().into_inner();
    let mut items = Vec::new();
    loop {
        let item = super::next(&mut stream).await;
        assert_eq!(item.sequence, items.len() as u64, "sequence is dense");
        let done =
            matches!(&item.item, Some(Item::Block(part)) if part.height == last && part.last);
        items.push(item);
        if done {
            return items;
        }
    }
}

fn requests() -> Vec<SubscribeBlocksRequest> {
    let base = SubscribeBlocksRequest {
        from: Some(From::FromHeight(1)),
        ..SubscribeBlocksRequest::default()
    };
    let mut requests = Vec::new();
    for rollup_id in [None, Some(8), Some(901), Some(555)] {
        for (include_payload, headers_only) in [(false, false), (true, false), (false, true)] {
            requests.push(SubscribeBlocksRequest {
                rollup_id,
                include_payload,
                headers_only,
                ..base.clone()
            });
        }
    }
    requests
}

/// What resuming must repeat: everything but the sequence.
fn contents(items: &[SubscribeBlocksResponse]) -> Vec<(Bytes, Option<Item>)> {
    items
        .iter()
        .map(|item| (item.cursor.clone(), item.item.clone()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_cut_at_any_item_goes_on_as_if_uncut() {
    let node = TestNode::operator(0);
    history(&node);
    let serving = node.serve().await;
    for request in requests() {
        let uncut = read(&serving, request.clone(), 4).await;
        assert!(matches!(uncut[0].item, Some(Item::Hello(_))));
        for cut in 0..uncut.len() - 1 {
            let resumed = SubscribeBlocksRequest {
                from: Some(From::FromCursor(uncut[cut].cursor.clone())),
                ..request.clone()
            };
            let rest = read(&serving, resumed, 4).await;
            assert!(matches!(rest[0].item, Some(Item::Hello(_))));
            assert_eq!(
                contents(&rest[1..]),
                contents(&uncut[cut + 1..]),
                "cut at {cut}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observer_streams_what_an_operator_streams() {
    let operator = TestNode::operator(0);
    let observer = TestNode::observer();
    for block in history(&operator) {
        block.iter().for_each(|batch| observer.receive(batch));
        observer.order(&block);
    }
    let (one, other) = (operator.serve().await, observer.serve().await);
    for request in requests() {
        let mut from_one = read(&one, request.clone(), 4).await;
        let mut from_other = read(&other, request.clone(), 4).await;
        // Cursors too: a stream may be resumed on another node.
        assert_eq!(from_one.len(), from_other.len());
        for item in from_one.iter_mut().chain(&mut from_other) {
            if let Some(Item::Block(part)) = &mut item.item
                && let Some(header) = &mut part.header
            {
                assert!(header.commit.take().is_some());
                header.attestations.clear();
            }
        }
        assert_eq!(from_one[1..], from_other[1..]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_joins_live_without_gap() {
    let node = TestNode::operator(0);
    history(&node);
    let serving = node.serve().await;
    let writer = {
        let node = Arc::clone(&node);
        tokio::spawn(async move {
            for n in 0..300 {
                let batch = node.batch(0, &[transaction(ROLLUPS[0], 60 + n, 10_000 + n, 8)]);
                node.order(&[batch]);
                tokio::task::yield_now().await;
            }
        })
    };
    let request = SubscribeBlocksRequest {
        from: Some(From::FromHeight(1)),
        rollup_id: Some(7),
        ..SubscribeBlocksRequest::default()
    };
    let items = read(&serving, request, 304).await;
    writer.await.unwrap();
    let mut heights = Vec::new();
    let mut count = 0;
    for item in &items[1..] {
        if let Some(Item::Block(part)) = &item.item {
            heights.extend(part.header.as_ref().map(|_| part.height));
            count += part
                .entries
                .iter()
                .map(|e| e.tx_ids.len() / 32)
                .sum::<usize>();
        }
    }
    assert_eq!(heights, (1..=304).collect::<Vec<_>>());
    assert_eq!(count, 3 + 8 + 300);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starting_points_follow_their_rules() {
    let node = TestNode::operator(0);
    history(&node);
    let serving = node.serve().await;
    let mut client = serving.blocks().await;
    let from = |from| SubscribeBlocksRequest {
        from,
        ..SubscribeBlocksRequest::default()
    };
    // Live only, three ways: the next block is the first.
    for start in [None, Some(From::FromHeight(0)), Some(From::FromHeight(5))] {
        let head = node.handle.hub.head().0;
        let start = match start {
            Some(From::FromHeight(5)) => Some(From::FromHeight(head + 1)),
            start => start,
        };
        let stream = client.subscribe_blocks(from(start)).await.unwrap();
        let mut stream = stream.into_inner();
        let Some(Item::Hello(hello)) = super::next(&mut stream).await.item else {
            panic!("no hello");
        };
        assert_eq!((hello.head_height, hello.earliest_height), (head, 1));
        node.order(&[]);
        let Some(Item::Block(part)) = super::next(&mut stream).await.item else {
            panic!("no block");
        };
        assert_eq!(part.height, head + 1);
    }
    let head = node.handle.hub.head().0;
    let status = client
        .subscribe_blocks(from(Some(From::FromHeight(head + 2))))
        .await
        .unwrap_err();
    let facts = reason(&status, Code::OutOfRange, "FUTURE_HEIGHT");
    assert_eq!(facts["head_height"], head.to_string());

    node.prune(Height(3));
    let status = client
        .subscribe_blocks(from(Some(From::FromHeight(2))))
        .await
        .unwrap_err();
    let facts = reason(&status, Code::OutOfRange, "PRUNED");
    assert_eq!(facts["earliest_height"], "3");

    let status = client
        .subscribe_blocks(from(Some(From::FromCursor(Bytes::from_static(b"made up")))))
        .await
        .unwrap_err();
    reason(&status, Code::InvalidArgument, "BAD_CURSOR");
    assert_eq!(field(&status), "from_cursor");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_belongs_to_its_request() {
    let node = TestNode::operator(0);
    history(&node);
    let serving = node.serve().await;
    let all = requests();
    let cursor = read(&serving, all[0].clone(), 1).await[1].cursor.clone();
    let mut client = serving.blocks().await;
    for request in &all[1..] {
        let resumed = SubscribeBlocksRequest {
            from: Some(From::FromCursor(cursor.clone())),
            ..request.clone()
        };
        let status = client.subscribe_blocks(resumed).await.unwrap_err();
        reason(&status, Code::InvalidArgument, "BAD_CURSOR");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_overtaken_by_pruning_is_told_its_cursor() {
    let node = TestNode::operator(0);
    // 36 MiB, far above what the transport takes before it is read; then enough blocks that these are
    // no longer in memory.
    for n in 0..40_u64 {
        let txs: Vec<_> = (0..15)
            .map(|i| transaction(ROLLUPS[0], n + 20, 100 * n + i, 60 << 10))
            .collect();
        let batch = node.batch(0, &txs);
        node.order(&[batch]);
    }
    node.order_empty_up_to(200);
    let serving = node.serve().await;
    let mut client = serving.blocks().await;
    let request = SubscribeBlocksRequest {
        from: Some(From::FromHeight(1)),
        include_payload: true,
        ..SubscribeBlocksRequest::default()
    };
    let stream = client.subscribe_blocks(request).await.unwrap();
    let mut stream = stream.into_inner();
    super::next(&mut stream).await;
    let mut last = super::next(&mut stream).await.cursor;
    node.prune(Height(60));
    let status = loop {
        match stream.message().await {
            Ok(item) => last = item.expect("the stream ended").cursor,
            Err(status) => break status,
        }
    };
    let facts = reason(&status, Code::Aborted, "SLOW_CONSUMER");
    assert_eq!(facts["cursor"], format!("0x{}", hex::encode(last)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_a_block_make_the_block() {
    let node = TestNode::operator(0);
    // About 5 MiB in one block: three pages.
    let batches: Vec<_> = (0..4)
        .map(|lane| {
            let txs: Vec<_> = (0..16)
                .map(|n| {
                    transaction(
                        ROLLUPS[n as usize % 2],
                        9,
                        100 * u64::from(lane) + n,
                        60 << 10,
                    )
                })
                .collect();
            node.batch(lane, &txs)
        })
        .collect();
    let block = node.order(&batches);
    let serving = node.serve().await;
    let mut client = serving.blocks().await;
    let mut request = v1::GetBlockRequest {
        block: Some(v1::get_block_request::Block::Latest(true)),
        view: v1::BlockView::Full.into(),
        ..v1::GetBlockRequest::default()
    };
    let mut found = Vec::new();
    let mut pages = 0;
    loop {
        let page = client
            .get_block(request.clone())
            .await
            .unwrap()
            .into_inner();
        assert_eq!(page.header.is_some(), pages == 0);
        pages += 1;
        // The head moves on between the pages; the token names the block.
        node.order(&[]);
        for entries in page.entries {
            assert_eq!(entries.transactions.len() * 32, entries.tx_ids.len());
            for (id, bytes) in ids(&entries.tx_ids).iter().zip(&entries.transactions) {
                let computed = squad_primitives::transaction::id_of_encoded(&node.network, bytes);
                assert_eq!(computed, *id);
            }
            found.extend(ids(&entries.tx_ids));
        }
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let expected: Vec<_> = block
        .rollups
        .iter()
        .flat_map(|part| part.ids.clone())
        .collect();
    assert_eq!(found, expected);
    assert_eq!(pages, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_are_found_by_height_and_hash_and_bad_requests_refused() {
    use v1::get_block_request::Block;
    let node = TestNode::operator(0);
    history(&node);
    let serving = node.serve().await;
    let mut client = serving.blocks().await;
    let request = |block| v1::GetBlockRequest {
        block,
        ..v1::GetBlockRequest::default()
    };
    let by_height = client.get_block(request(Some(Block::Height(3)))).await;
    let by_height = by_height.unwrap().into_inner();
    let hash = by_height.header.as_ref().unwrap().hash.clone();
    let by_hash = client.get_block(request(Some(Block::Hash(hash)))).await;
    assert_eq!(by_height, by_hash.unwrap().into_inner());
    assert!(!by_height.entries.is_empty());

    node.prune(Height(2));
    let invalid = Code::InvalidArgument;
    let cases = [
        (request(None), invalid, "UNDECODABLE"),
        (request(Some(Block::Height(0))), invalid, "UNDECODABLE"),
        (request(Some(Block::Latest(false))), invalid, "UNDECODABLE"),
        (
            request(Some(Block::Hash(vec![1; 31].into()))),
            invalid,
            "UNDECODABLE",
        ),
        (
            request(Some(Block::Hash(vec![1; 32].into()))),
            Code::NotFound,
            "UNKNOWN_BLOCK",
        ),
        (
            request(Some(Block::Height(5))),
            Code::OutOfRange,
            "FUTURE_HEIGHT",
        ),
        (request(Some(Block::Height(1))), Code::OutOfRange, "PRUNED"),
        (
            v1::GetBlockRequest {
                view: 9,
                ..request(Some(Block::Height(3)))
            },
            invalid,
            "UNDECODABLE",
        ),
        (
            v1::GetBlockRequest {
                page_token: Bytes::from_static(b"no token"),
                ..request(Some(Block::Height(3)))
            },
            invalid,
            "BAD_CURSOR",
        ),
    ];
    for (request, code, name) in cases {
        let status = client.get_block(request).await.unwrap_err();
        reason(&status, code, name);
    }
}
