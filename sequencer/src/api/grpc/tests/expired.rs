//! What becomes of transactions that were taken and not ordered in time.

use super::{ids, message, reason};
use crate::api::testing::{ROLLUPS, Serving, TestNode, transaction};
use squad_primitives::{Height, TxId};
use squad_proto::convert::digests_packed;
use squad_proto::v1::subscribe_transaction_status_request::Filter;
use squad_proto::v1::subscribe_transaction_status_response::Item;
use squad_proto::v1::{self, Status, StatusGroup};
use std::sync::Arc;
use tonic::{Code, Streaming};

type Statuses = Streaming<v1::SubscribeTransactionStatusResponse>;

async fn status(serving: &Serving, id: TxId) -> Result<v1::TransactionStatus, tonic::Status> {
    let asked = v1::GetTransactionStatusRequest {
        tx_id: id.0.to_vec().into(),
        include_proof: true,
    };
    let mut client = serving.sequencer().await;
    let response = client.get_transaction_status(asked).await?;
    Ok(response.into_inner().status.unwrap())
}

async fn subscribe(serving: &Serving, filter: Filter) -> Statuses {
    let request = v1::SubscribeTransactionStatusRequest {
        filter: Some(filter),
        ..v1::SubscribeTransactionStatusRequest::default()
    };
    let mut client = serving.sequencer().await;
    let stream = client.subscribe_transaction_status(request).await.unwrap();
    let mut stream = stream.into_inner();
    super::next(&mut stream).await;
    stream
}

/// The next group; heartbeats are passed over.
async fn group(stream: &mut Statuses) -> StatusGroup {
    loop {
        if let Some(Item::Statuses(group)) = super::next(stream).await.item {
            return group;
        }
    }
}

/// Submits and returns when the transaction is in an own batch (`batched`) or only queued.
async fn submit(
    node: &Arc<TestNode>,
    serving: &Serving,
    tx: &squad_primitives::Transaction,
    batched: bool,
) {
    let mut client = serving.sequencer().await;
    let submit = v1::SubmitTransactionRequest {
        transaction: Some(message(tx)),
        wait_ms: if batched { 0 } else { 1 },
        ..v1::SubmitTransactionRequest::default()
    };
    if batched {
        let (answer, _) = tokio::join!(client.submit_transaction(submit), node.own_batch());
        answer.unwrap();
    } else {
        client.submit_transaction(submit).await.unwrap_err();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_accepted_transaction_that_no_block_held_in_time_expires() {
    let node = TestNode::operator(0);
    let serving = node.serve().await;
    let tx = transaction(ROLLUPS[0], 3, 1, 8);
    let id = tx.id(&node.network);
    let filters = [
        Filter::TxIds(digests_packed([&id])),
        Filter::RollupId(ROLLUPS[0].0),
        Filter::AcceptedHere(true),
    ];
    let mut streams = Vec::new();
    for filter in filters {
        streams.push(subscribe(&serving, filter).await);
    }
    submit(&node, &serving, &tx, true).await;
    node.order_empty_up_to(2);
    assert_eq!(
        status(&serving, id).await.unwrap().status(),
        Status::Accepted
    );
    let block = node.order(&[]);
    let told = status(&serving, id).await.unwrap();
    assert_eq!((told.status(), &*told.reason), (Status::Expired, "EXPIRED"));
    assert_eq!((told.rollup_id, told.expiry_height, told.height), (7, 3, 3));
    assert_eq!(told.updated_at_ms, block.committed.block.timestamp_ms);
    for mut stream in streams {
        let group = group(&mut stream).await;
        assert_eq!(
            (group.status(), &*group.reason),
            (Status::Expired, "EXPIRED")
        );
        assert_eq!((group.rollup_id, group.height), (7, 3));
        assert_eq!(ids(&group.tx_ids), [id]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_never_left_the_queue_expires() {
    let node = TestNode::operator(0);
    let serving = node.serve().await;
    let tx = transaction(ROLLUPS[1], 2, 1, 8);
    submit(&node, &serving, &tx, false).await;
    node.order_empty_up_to(2);
    let told = status(&serving, tx.id(&node.network)).await.unwrap();
    assert_eq!((told.status(), told.height), (Status::Expired, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_comes_too_late_tells_nothing_again() {
    let node = TestNode::operator(0);
    let serving = node.serve().await;
    let tx = transaction(ROLLUPS[0], 2, 1, 8);
    let good = transaction(ROLLUPS[0], 20, 2, 8);
    let mut stream = subscribe(&serving, Filter::AcceptedHere(true)).await;
    let mut client = serving.sequencer().await;
    let both = v1::SubmitTransactionBatchRequest {
        transactions: vec![message(&tx), message(&good)],
        want_receipt: false,
    };
    let (answer, batch) = tokio::join!(client.submit_transaction_batch(both), node.own_batch());
    answer.unwrap();
    node.order_empty_up_to(4);
    node.order(&[batch]);
    let statuses = [group(&mut stream).await, group(&mut stream).await];
    let statuses = statuses.map(|group| (group.status(), group.height, ids(&group.tx_ids)));
    let expected = [(Status::Expired, 2, &tx), (Status::Ordered, 5, &good)];
    let expected =
        expected.map(|(status, height, tx)| (status, height, vec![tx.id(&node.network)]));
    assert_eq!(statuses, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_another_operator_had_ordered_does_not_expire() {
    let node = TestNode::operator(0);
    let serving = node.serve().await;
    let tx = transaction(ROLLUPS[0], 2, 1, 8);
    let id = tx.id(&node.network);
    let mut stream = subscribe(&serving, Filter::RollupId(ROLLUPS[0].0)).await;
    let elsewhere = node.batch(1, std::slice::from_ref(&tx));
    submit(&node, &serving, &tx, true).await;
    node.order(&[elsewhere]);
    node.order_empty_up_to(4);
    node.order(&[node.batch(2, &[transaction(ROLLUPS[0], 9, 3, 8)])]);
    assert_eq!(
        status(&serving, id).await.unwrap().status(),
        Status::Ordered
    );
    let first = group(&mut stream).await;
    assert_eq!((first.status(), first.height), (Status::Ordered, 1));
    assert_eq!(group(&mut stream).await.height, 5, "nothing in between");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_saw_a_transaction_says_which_blocks_it_holds() {
    let node = TestNode::operator(0);
    node.order_empty_up_to(6);
    node.prune(Height(3));
    let serving = node.serve().await;
    let unknown = transaction(ROLLUPS[0], 2, 1, 8).id(&node.network);
    let facts = reason(
        &status(&serving, unknown).await.unwrap_err(),
        Code::NotFound,
        "UNKNOWN_TX",
    );
    assert_eq!(
        (&*facts["earliest_height"], &*facts["head_height"]),
        ("3", "6")
    );
}
