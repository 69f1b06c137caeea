//! A transaction that is known is answered alike by all ways to submit it, and not queued again.

use super::{item, message};
use crate::api::testing::{ROLLUPS, Serving, TestNode, transaction};
use squad_primitives::Transaction;
use squad_proto::v1::submit_result::Result as Answer;
use squad_proto::v1::{self, Status};

/// What each way answers: unary, batch, stream.
async fn answers(serving: &Serving, tx: &Transaction) -> [(Status, u64); 3] {
    let mut client = serving.sequencer().await;
    let unary = v1::SubmitTransactionRequest {
        transaction: Some(message(tx)),
        ..v1::SubmitTransactionRequest::default()
    };
    let unary = client.submit_transaction(unary).await.unwrap().into_inner();
    let unary = unary.status.unwrap();
    let batch = v1::SubmitTransactionBatchRequest {
        transactions: vec![message(tx)],
        want_receipt: false,
    };
    let batch = client.submit_transaction_batch(batch).await.unwrap();
    let batch = match batch.into_inner().results.remove(0).result {
        Some(Answer::Accepted(accepted)) => accepted,
        other => panic!("{other:?}"),
    };
    let stream = futures::stream::iter([v1::SubmitTransactionStreamRequest {
        transactions: vec![item(5, tx)],
        want_receipt: true,
    }]);
    let stream = client.submit_transaction_stream(stream).await.unwrap();
    let response = super::next(&mut stream.into_inner()).await;
    assert!(response.accepted.is_empty() && response.refused.is_empty());
    let known = &response.known[0];
    assert_eq!((known.client_seq, &known.tx_id), (5, &unary.tx_id));
    assert_eq!(batch.tx_id, unary.tx_id);
    [
        (unary.status(), unary.expiry_height),
        (batch.status(), batch.expiry_height),
        (known.status(), known.expiry_height),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_operator_had_ordered_is_known_to_all_ways() {
    let node = TestNode::operator(0);
    let serving = node.serve().await;
    let tx = transaction(ROLLUPS[0], 9, 1, 8);
    let batch = node.batch(1, std::slice::from_ref(&tx));
    node.order(&[batch]);
    assert_eq!(answers(&serving, &tx).await, [(Status::Ordered, 9); 3]);
    assert!(node.make_own_batch().is_none(), "nothing was queued");

    // Its neighbours in a message are taken all the same.
    let stream = futures::stream::iter([v1::SubmitTransactionStreamRequest {
        transactions: vec![item(1, &transaction(ROLLUPS[0], 9, 2, 8)), item(2, &tx)],
        want_receipt: false,
    }]);
    let mut client = serving.sequencer().await;
    let stream = client.submit_transaction_stream(stream).await.unwrap();
    let mut stream = stream.into_inner();
    let first = super::next(&mut stream).await;
    assert_eq!((first.known[0].client_seq, first.accepted.len()), (2, 0));
    node.own_batch().await;
    let second = super::next(&mut stream).await;
    assert_eq!(second.accepted[0].client_seqs, [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_lost_the_answer_gets_it_even_after_the_expiry() {
    let node = TestNode::operator(0);
    let serving = node.serve().await;
    let tx = transaction(ROLLUPS[0], 2, 1, 8);
    let batch = node.batch(0, std::slice::from_ref(&tx));
    node.order(&[batch]);
    node.order_empty_up_to(5);
    assert_eq!(answers(&serving, &tx).await, [(Status::Ordered, 2); 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_in_the_own_lane_is_known_to_all_ways_with_its_place() {
    let node = TestNode::operator(0);
    let serving = node.serve().await;
    let tx = transaction(ROLLUPS[0], 9, 1, 8);
    let submit = v1::SubmitTransactionBatchRequest {
        transactions: vec![message(&tx)],
        want_receipt: true,
    };
    let mut client = serving.sequencer().await;
    let (first, _) = tokio::join!(
        client.submit_transaction_batch(submit.clone()),
        node.own_batch()
    );
    assert_eq!(answers(&serving, &tx).await, [(Status::Accepted, 9); 3]);
    let mut client = serving.sequencer().await;
    let again = client.submit_transaction_batch(submit).await.unwrap();
    assert_eq!(again.into_inner(), first.unwrap().into_inner());
    assert!(node.make_own_batch().is_none());
}
