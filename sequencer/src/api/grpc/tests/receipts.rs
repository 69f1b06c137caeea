//! `SubscribeReceipts`: every own batch once, in lane order, from memory or from the blocks.

use super::{ids, reason};
use crate::api::testing::{EXPIRY_BLOCKS_MAX, ROLLUPS, Serving, TestNode, transaction};
use crate::node::submission::Submission;
use bytes::Bytes;
use squad_proto::v1::subscribe_receipts_response::Item;
use squad_proto::v1::{ReceiptGroup, SubscribeReceiptsRequest, SubscribeReceiptsResponse};
use tokio::sync::mpsc;
use tonic::Code;

async fn read(
    serving: &Serving,
    request: SubscribeReceiptsRequest,
    count: usize,
) -> Vec<SubscribeReceiptsResponse> {
    let mut client = serving.sequencer().await;
    let stream = client.subscribe_receipts(request).await.unwrap();
    let mut stream = stream.into_inner();
    let mut items = Vec::new();
    while items.len() < count {
        items.push(super::next(&mut stream).await);
    }
    items
}

fn groups(items: &[SubscribeReceiptsResponse]) -> Vec<ReceiptGroup> {
    let group = |item: &SubscribeReceiptsResponse| match &item.item {
        Some(Item::Receipts(group)) => Some(group.clone()),
        _ => None,
    };
    items.iter().filter_map(group).collect()
}

/// Accepts transactions as a client's would be.
fn accept(node: &TestNode, numbers: std::ops::Range<u64>) -> squad_primitives::Batch {
    let (answers, _receiver) = mpsc::unbounded_channel();
    let expiry = node.handle.hub.head().0 + EXPIRY_BLOCKS_MAX;
    let submissions = numbers
        .map(|seq| Submission {
            seq,
            transaction: transaction(ROLLUPS[seq as usize % 2], expiry, seq, 8),
        })
        .collect();
    let ingress = node.handle.ingress.as_ref().unwrap();
    ingress.submit(submissions, &answers);
    node.make_own_batch().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_resume_anywhere_also_when_batches_have_left_memory() {
    let node = TestNode::operator(0);
    let serving = node.serve().await;
    for (rollup_id, want_receipt) in [(None, false), (Some(8), true)] {
        let request = SubscribeReceiptsRequest {
            rollup_id,
            want_receipt,
            from_cursor: Bytes::new(),
        };
        let start = read(&serving, request.clone(), 1).await[0].cursor.clone();
        // More than the ring holds; the last ones are not ordered.
        let base = 10_000 * u64::from(want_receipt);
        let mut expected = Vec::new();
        for n in 0..100 {
            let first = base + 10 * n;
            let batch = accept(&node, first..first + 4);
            let wanted = |index: &usize| {
                let rollup = batch.meta(*index).unwrap().rollup.0;
                rollup_id.is_none_or(|asked| asked == rollup)
            };
            expected.extend((0..4).filter(wanted).map(|index| batch.ids()[index]));
            if n < 90 || !want_receipt {
                node.order(&[batch]);
            }
        }
        let resume = |cursor: &Bytes| SubscribeReceiptsRequest {
            from_cursor: cursor.clone(),
            ..request.clone()
        };
        let uncut = read(&serving, resume(&start), 101).await;
        let told: Vec<_> = groups(&uncut).iter().flat_map(|g| ids(&g.tx_ids)).collect();
        let sequences: Vec<_> = groups(&uncut).iter().map(|group| group.batch_seq).collect();
        assert!(sequences.is_sorted());
        assert_eq!(told, expected);
        for cut in (0..uncut.len() - 1).step_by(9) {
            let rest = read(&serving, resume(&uncut[cut].cursor), uncut.len() - cut).await;
            assert_eq!(groups(&rest), groups(&uncut[cut + 1..]), "cut at {cut}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cursors_of_another_operator_and_observers_are_refused() {
    let one = TestNode::operator(0).serve().await;
    let cursor = read(&one, SubscribeReceiptsRequest::default(), 1).await[0]
        .cursor
        .clone();
    let other = TestNode::operator(1).serve().await;
    let request = SubscribeReceiptsRequest {
        from_cursor: cursor,
        ..SubscribeReceiptsRequest::default()
    };
    let mut client = other.sequencer().await;
    let status = client.subscribe_receipts(request).await.unwrap_err();
    reason(&status, Code::InvalidArgument, "BAD_CURSOR");

    let observer = TestNode::observer().serve().await;
    let mut client = observer.sequencer().await;
    let status = client
        .subscribe_receipts(SubscribeReceiptsRequest::default())
        .await;
    reason(
        &status.unwrap_err(),
        Code::FailedPrecondition,
        "NOT_A_COMMITTEE_MEMBER",
    );
}
