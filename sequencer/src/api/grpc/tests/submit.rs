//! `SubmitTransaction`: acceptance, waits, repetition, bad input.

use super::{field, message, reason};
use crate::api::testing::{EXPIRY_BLOCKS_MAX, ROLLUPS, TestNode, transaction};
use squad_mempool::PoolConfig;
use squad_primitives::batch::SignedHeader;
use squad_primitives::{Ed25519Verifier, Epoch, Height, merkle};
use squad_proto::v1::{self, Status};
use tonic::Code;

fn request(transaction: v1::Transaction) -> v1::SubmitTransactionRequest {
    v1::SubmitTransactionRequest {
        transaction: Some(transaction),
        wait_for: Status::Unspecified.into(),
        wait_ms: 0,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acceptance_comes_with_a_receipt_that_binds_the_operator() {
    let node = TestNode::operator(2);
    let serving = node.serve().await;
    let mut client = serving.sequencer().await;
    let tx = transaction(ROLLUPS[0], 5, 1, 100);
    let id = tx.id(&node.network);
    let (response, _) = tokio::join!(
        client.submit_transaction(request(message(&tx))),
        node.own_batch()
    );
    let response = response.unwrap().into_inner();
    let status = response.status.unwrap();
    assert_eq!(status.status(), Status::Accepted);
    assert_eq!(status.tx_id, id.0.to_vec());
    assert_eq!((status.rollup_id, status.expiry_height), (7, 5));

    let receipt = response.receipt.unwrap();
    let signed = SignedHeader::try_from(receipt.header.as_ref().unwrap()).unwrap();
    assert!(signed.verify(&node.network, &node.committee(Epoch(0)), &Ed25519Verifier));
    assert_eq!(signed.header.lane.0, 2);
    let path = merkle::Path::try_from(receipt.path.as_ref().unwrap()).unwrap();
    assert_eq!(path.root(&id), Some(signed.header.body_root));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_for_order_ends_with_the_place() {
    let node = TestNode::operator(0);
    let serving = node.serve().await;
    let mut client = serving.sequencer().await;
    let tx = transaction(ROLLUPS[1], 9, 1, 8);
    let mut asked = request(message(&tx));
    asked.set_wait_for(Status::Ordered);
    let ordering = async {
        node.order(&[]);
        let batch = node.own_batch().await;
        node.order(&[batch])
    };
    let (response, block) = tokio::join!(client.submit_transaction(asked.clone()), ordering);
    let response = response.unwrap().into_inner();
    let status = response.status.unwrap();
    assert_eq!(status.status(), Status::Ordered);
    assert_eq!((status.height, status.position), (2, 0));
    assert_eq!(status.rollup_block_number, 1);
    assert_eq!(status.updated_at_ms, block.committed.block.timestamp_ms);
    assert!(response.receipt.is_some());

    // Again, as after a lost answer: the same answer, nothing queued.
    let again = client.submit_transaction(asked).await.unwrap().into_inner();
    assert_eq!(again.status.unwrap(), status);
    assert_eq!(again.receipt, response.receipt);
    assert!(node.make_own_batch().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_transaction_is_answered_with_its_receipt() {
    let node = TestNode::operator(0);
    let serving = node.serve().await;
    let mut client = serving.sequencer().await;
    let tx = transaction(ROLLUPS[0], 5, 1, 8);
    let (first, _) = tokio::join!(
        client.submit_transaction(request(message(&tx))),
        node.own_batch()
    );
    let mut client = serving.sequencer().await;
    let second = client.submit_transaction(request(message(&tx))).await;
    let (first, second) = (first.unwrap().into_inner(), second.unwrap().into_inner());
    assert_eq!(first.receipt, second.receipt);
    assert_eq!(second.status.unwrap().status(), Status::Accepted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_that_ends_first_says_how_far_the_transaction_is() {
    let node = TestNode::operator(0);
    let serving = node.serve().await;
    let mut client = serving.sequencer().await;
    let tx = transaction(ROLLUPS[0], 5, 1, 8);
    let mut asked = request(message(&tx));
    asked.wait_ms = 1;
    let status = client.submit_transaction(asked).await.unwrap_err();
    let facts = reason(&status, Code::DeadlineExceeded, "WAIT_ELAPSED");
    assert_eq!(facts["status"], "STATUS_RECEIVED");
    assert_eq!(facts["tx_id"], tx.id(&node.network).to_string());
    assert!(node.make_own_batch().is_some(), "it lives on");

    // The client's own deadline counts too, and the answer reaches it in time.
    let mut asked = tonic::Request::new(request(message(&transaction(ROLLUPS[0], 5, 2, 8))));
    asked.set_timeout(std::time::Duration::from_millis(300));
    let status = client.submit_transaction(asked).await.unwrap_err();
    reason(&status, Code::DeadlineExceeded, "WAIT_ELAPSED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_for_order_ends_when_the_expiry_has_passed() {
    let node = TestNode::operator(0);
    let serving = node.serve().await;
    let mut client = serving.sequencer().await;
    let tx = transaction(ROLLUPS[0], 2, 1, 8);
    let mut asked = request(message(&tx));
    asked.set_wait_for(Status::Ordered);
    let ordering = async {
        node.own_batch().await;
        node.order_empty_up_to(2);
    };
    let (response, ()) = tokio::join!(client.submit_transaction(asked), ordering);
    let status = response.unwrap().into_inner().status.unwrap();
    assert_eq!(status.status(), Status::Expired);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expiry_of_zero_is_chosen_by_the_server() {
    let node = TestNode::operator(0);
    node.order_empty_up_to(3);
    let serving = node.serve().await;
    let mut client = serving.sequencer().await;
    let tx = transaction(ROLLUPS[0], 0, 1, 8);
    let (response, _) = tokio::join!(
        client.submit_transaction(request(message(&tx))),
        node.own_batch()
    );
    let status = response.unwrap().into_inner().status.unwrap();
    assert_eq!(status.expiry_height, 3 + EXPIRY_BLOCKS_MAX);
    let mut known = tx;
    known.expiry = Height(status.expiry_height);
    assert_eq!(status.tx_id, known.id(&node.network).0.to_vec());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_names_reason_field_and_limit() {
    let node = TestNode::operator(0);
    node.order_empty_up_to(4);
    let serving = node.serve().await;
    let mut client = serving.sequencer().await;
    let good = message(&transaction(ROLLUPS[0], 9, 1, 8));
    let invalid = Code::InvalidArgument;
    let refused = Code::FailedPrecondition;
    type Change = fn(&mut v1::SubmitTransactionRequest);
    type Case<'a> = (
        Change,
        Code,
        &'a str,
        Option<&'a str>,
        Option<(&'a str, &'a str)>,
    );
    let cases: [Case<'_>; 10] = [
        (
            |r| r.transaction = None,
            invalid,
            "UNDECODABLE",
            Some("transaction"),
            None,
        ),
        (
            |r| r.transaction.as_mut().unwrap().kind = 0,
            invalid,
            "UNDECODABLE",
            Some("kind"),
            None,
        ),
        (
            |r| r.transaction.as_mut().unwrap().kind = 9,
            invalid,
            "UNDECODABLE",
            Some("kind"),
            None,
        ),
        (
            |r| r.transaction.as_mut().unwrap().kind = 2,
            refused,
            "ERA_NOT_ACTIVE",
            Some("kind"),
            None,
        ),
        (
            |r| r.transaction.as_mut().unwrap().payload = vec![0; (64 << 10) + 1].into(),
            invalid,
            "TOO_LARGE",
            Some("payload"),
            Some(("limit", "65536")),
        ),
        (
            |r| r.transaction.as_mut().unwrap().rollup_id = 999,
            Code::NotFound,
            "UNKNOWN_ROLLUP",
            None,
            Some(("rollup_id", "999")),
        ),
        (
            |r| r.transaction.as_mut().unwrap().expiry_height = 4,
            refused,
            "EXPIRED",
            None,
            Some(("head_height", "4")),
        ),
        (
            |r| r.transaction.as_mut().unwrap().expiry_height = 5 + EXPIRY_BLOCKS_MAX + 1,
            invalid,
            "EXPIRY_TOO_FAR",
            Some("expiry_height"),
            Some(("limit", "69")),
        ),
        (
            |r| r.wait_for = Status::Expired.into(),
            invalid,
            "UNDECODABLE",
            Some("wait_for"),
            None,
        ),
        (
            |r| r.wait_ms = 10_001,
            invalid,
            "TOO_LARGE",
            Some("wait_ms"),
            Some(("limit", "10000")),
        ),
    ];
    for (change, code, name, about, fact) in cases {
        let mut asked = request(good.clone());
        change(&mut asked);
        let status = client.submit_transaction(asked).await.unwrap_err();
        let facts = reason(&status, code, name);
        if let Some(about) = about {
            assert_eq!(field(&status), about, "{status:?}");
        }
        if let Some((key, value)) = fact {
            assert_eq!(facts[key], value, "{status:?}");
        }
    }
    assert!(node.make_own_batch().is_none(), "nothing was kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_names_a_delay() {
    use tonic_types::StatusExt;
    let node = TestNode::with_pool(PoolConfig {
        transactions_max: 1,
        ..PoolConfig::default()
    });
    let serving = node.serve().await;
    let mut client = serving.sequencer().await;
    let mut first = request(message(&transaction(ROLLUPS[0], 5, 1, 8)));
    first.wait_ms = 1;
    client.submit_transaction(first).await.unwrap_err();
    let second = request(message(&transaction(ROLLUPS[0], 5, 2, 8)));
    let status = client.submit_transaction(second).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let delay = status
        .get_details_retry_info()
        .unwrap()
        .retry_delay
        .unwrap();
    assert!((10..=5_000).contains(&delay.as_millis()), "{delay:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn observers_and_stopping_nodes_take_nothing() {
    let asked = request(message(&transaction(ROLLUPS[0], 5, 1, 8)));
    let observer = TestNode::observer();
    let serving = observer.serve().await;
    let mut client = serving.sequencer().await;
    let status = client.submit_transaction(asked.clone()).await.unwrap_err();
    reason(&status, Code::FailedPrecondition, "NOT_A_COMMITTEE_MEMBER");

    let node = TestNode::operator(0);
    node.handle.ingress.as_ref().unwrap().close();
    let serving = node.serve().await;
    let mut client = serving.sequencer().await;
    let status = client.submit_transaction(asked).await.unwrap_err();
    reason(&status, Code::Unavailable, "SHUTTING_DOWN");
}
