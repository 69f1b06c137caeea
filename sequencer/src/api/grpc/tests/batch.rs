//! `SubmitTransactionBatch`: each transaction has its own result, in the order of the request.

use super::{field, message, reason};
use crate::api::testing::{ROLLUPS, TestNode, transaction};
use squad_primitives::merkle;
use squad_proto::v1::submit_result::Result as Answer;
use squad_proto::v1::{self, Status};
use tonic::Code;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_are_separate_and_in_order() {
    let node = TestNode::operator(0);
    let serving = node.serve().await;
    let mut client = serving.sequencer().await;
    let good: Vec<_> = (0..3).map(|n| transaction(ROLLUPS[0], 5, n, 50)).collect();
    let mut transactions: Vec<_> = good.iter().map(message).collect();
    transactions.insert(1, message(&transaction(ROLLUPS[0], 5 + 10_000, 9, 8)));
    transactions.insert(3, v1::Transaction::default());
    // The same transaction twice in one call.
    transactions.push(message(&good[0]));
    let asked = v1::SubmitTransactionBatchRequest {
        transactions,
        want_receipt: true,
    };
    let (response, batch) = tokio::join!(client.submit_transaction_batch(asked), node.own_batch());
    let results = response.unwrap().into_inner().results;
    let results: Vec<_> = results.into_iter().map(|r| r.result.unwrap()).collect();
    assert_eq!(results.len(), 6);
    for (index, number) in [(0, 0), (2, 1), (4, 2), (5, 0)] {
        let Answer::Accepted(accepted) = &results[index] else {
            panic!("{index}: {:?}", results[index]);
        };
        let id = good[number].id(&node.network);
        assert_eq!(accepted.tx_id, id.0.to_vec());
        assert_eq!(
            (accepted.status(), accepted.expiry_height),
            (Status::Accepted, 5)
        );
        let path = accepted.receipt.as_ref().unwrap().path.as_ref().unwrap();
        let path = merkle::Path::try_from(path).unwrap();
        assert_eq!(path.root(&id), Some(batch.header().body_root));
        assert_eq!(accepted.placement.unwrap().index, path.index);
    }
    for (index, reason) in [(1, "EXPIRY_TOO_FAR"), (3, "UNDECODABLE")] {
        let Answer::Error(error) = &results[index] else {
            panic!("{index}: {:?}", results[index]);
        };
        assert_eq!((error.code, &*error.reason), (3, reason));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_and_none_are_refused() {
    let node = TestNode::operator(0);
    let serving = node.serve().await;
    let mut client = serving.sequencer().await;
    let many = v1::SubmitTransactionBatchRequest {
        transactions: vec![v1::Transaction::default(); 1_001],
        want_receipt: false,
    };
    let status = client.submit_transaction_batch(many).await.unwrap_err();
    let facts = reason(&status, Code::InvalidArgument, "TOO_LARGE");
    assert_eq!(facts["limit"], "1000");
    let none = v1::SubmitTransactionBatchRequest::default();
    let status = client.submit_transaction_batch(none).await.unwrap_err();
    reason(&status, Code::InvalidArgument, "UNDECODABLE");
    assert_eq!(field(&status), "transactions");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_above_the_limit_is_refused_before_it_is_read() {
    let node = TestNode::operator(0);
    let serving = node
        .serve_with(|config| config.grpc.message_bytes_limit = 1 << 20)
        .await;
    let mut client = serving.sequencer().await;
    let asked = v1::SubmitTransactionBatchRequest {
        transactions: vec![message(&transaction(ROLLUPS[0], 5, 1, 64 << 10)); 20],
        want_receipt: false,
    };
    let status = client.submit_transaction_batch(asked).await.unwrap_err();
    let facts = reason(&status, Code::InvalidArgument, "TOO_LARGE");
    assert_eq!(facts["limit"], (1 << 20).to_string());
}
