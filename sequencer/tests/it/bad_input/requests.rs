//! Requests that are well-formed messages and ask for what can't be.

use super::{Memory, Refusal, assert_serves, submit, transaction};
use crate::load::ROLLUPS;
use crate::net::Localnet;
use squad_client::v1;
use tonic::{Code, Request, Status};

const fn undecodable(field: &'static str) -> Refusal {
    Refusal {
        code: Code::InvalidArgument,
        reason: "UNDECODABLE",
        field: Some(field),
        facts: &[],
    }
}

const fn too_large(field: &'static str, limit: &'static [(&'static str, &'static str)]) -> Refusal {
    Refusal {
        code: Code::InvalidArgument,
        reason: "TOO_LARGE",
        field: Some(field),
        facts: limit,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn requests_that_break_a_rule_name_reason_field_and_limit() {
    let net = Localnet::up(&["--nodes=1", ROLLUPS]);
    let memory = Memory::of(&net, 0);
    transactions(&net).await;
    calls(&net).await;
    networks(&net).await;
    duplicates(&net).await;
    assert_serves(&net, 0, "afterwards").await;
    memory.assert_flat(&net, 0);
    net.assert_calm();
}

async fn status(net: &Localnet) -> v1::GetStatusResponse {
    let mut operators = net.endpoint(0).operators();
    let answer = operators.get_status(v1::GetStatusRequest {}).await;
    answer.expect("a status").into_inner()
}

async fn refused(net: &Localnet, transaction: v1::Transaction) -> Status {
    let answer = submit(net, 0, transaction).await;
    answer.expect_err("it breaks a rule")
}

/// Transactions at their limits are taken, and refused beyond.
async fn transactions(net: &Localnet) {
    let limits = status(net).await.limits.expect("limits");
    assert_eq!(limits.payload_bytes_limit, 131_072);
    let largest = transaction(vec![1; 131_072]);
    submit(net, 0, largest).await.expect("the limit is legal");
    let refusal = too_large("payload", &[("limit", "131072"), ("found", "131073")]);
    refusal.assert(&refused(net, transaction(vec![1; 131_073])).await);

    let head = status(net).await.ordered_height;
    let farthest = v1::Transaction {
        expiry_height: head + limits.expiry_max_blocks,
        ..transaction("farthest")
    };
    submit(net, 0, farthest).await.expect("the limit is legal");
    let too_far = Refusal {
        code: Code::InvalidArgument,
        reason: "EXPIRY_TOO_FAR",
        field: Some("expiry_height"),
        facts: &[("limit", "")],
    };
    // The limit moves on with every block, so it can't be missed by one from here.
    for expiry_height in [head + limits.expiry_max_blocks + 1_000, u64::MAX] {
        let transaction = v1::Transaction {
            expiry_height,
            ..transaction("too far")
        };
        too_far.assert(&refused(net, transaction).await);
    }
    let expired = v1::Transaction {
        expiry_height: head,
        ..transaction("expired")
    };
    let refusal = Refusal {
        code: Code::FailedPrecondition,
        reason: "EXPIRED",
        field: None,
        facts: &[("head_height", "")],
    };
    refusal.assert(&refused(net, expired).await);

    let stranger = v1::Transaction {
        rollup_id: 9,
        ..transaction("stranger")
    };
    let refusal = Refusal {
        code: Code::NotFound,
        reason: "UNKNOWN_ROLLUP",
        field: None,
        facts: &[("rollup_id", "9")],
    };
    refusal.assert(&refused(net, stranger).await);

    for kind in [0, 77, -1] {
        let transaction = v1::Transaction {
            kind,
            ..transaction("kind")
        };
        undecodable("kind").assert(&refused(net, transaction).await);
    }
    let sealed = v1::Transaction {
        kind: v1::TransactionKind::Sealed.into(),
        ..transaction("sealed")
    };
    let refusal = Refusal {
        code: Code::FailedPrecondition,
        reason: "ERA_NOT_ACTIVE",
        field: Some("kind"),
        facts: &[],
    };
    refusal.assert(&refused(net, sealed).await);
}

/// Calls that name nothing, too much, or what is not there.
async fn calls(net: &Localnet) {
    let mut sequencer = net.endpoint(0).sequencer();
    let mut blocks = net.endpoint(0).blocks();

    let missing = v1::SubmitTransactionRequest::default();
    let answer = sequencer.submit_transaction(missing).await;
    undecodable("transaction").assert(&answer.unwrap_err());
    let patient = v1::SubmitTransactionRequest {
        transaction: Some(transaction("patient")),
        wait_for: 0,
        wait_ms: 10_001,
    };
    let answer = sequencer.submit_transaction(patient).await;
    too_large("wait_ms", &[("limit", "10000")]).assert(&answer.unwrap_err());

    let empty = v1::SubmitTransactionBatchRequest::default();
    let answer = sequencer.submit_transaction_batch(empty).await;
    undecodable("transactions").assert(&answer.unwrap_err());
    let crowd = v1::SubmitTransactionBatchRequest {
        transactions: vec![transaction("one of many"); 1_001],
        want_receipt: false,
    };
    let answer = sequencer.submit_transaction_batch(crowd).await;
    too_large("transactions", &[("limit", "1000")]).assert(&answer.unwrap_err());

    let ask = |id: usize| v1::GetTransactionStatusRequest {
        tx_id: vec![5; id].into(),
        include_proof: true,
    };
    for length in [0, 31, 33] {
        let answer = sequencer.get_transaction_status(ask(length)).await;
        undecodable("tx_id").assert(&answer.unwrap_err());
    }
    let refusal = Refusal {
        code: Code::NotFound,
        reason: "UNKNOWN_TX",
        field: None,
        facts: &[],
    };
    let answer = sequencer.get_transaction_status(ask(32)).await;
    refusal.assert(&answer.unwrap_err());

    use v1::get_block_request::Block;
    let ask = |block| v1::GetBlockRequest {
        block,
        ..Default::default()
    };
    let answer = blocks.get_block(ask(None)).await;
    undecodable("block").assert(&answer.unwrap_err());
    let answer = blocks.get_block(ask(Some(Block::Height(0)))).await;
    undecodable("height").assert(&answer.unwrap_err());
    let refusal = Refusal {
        code: Code::OutOfRange,
        reason: "FUTURE_HEIGHT",
        field: None,
        facts: &[("head_height", "")],
    };
    let answer = blocks.get_block(ask(Some(Block::Height(u64::MAX)))).await;
    refusal.assert(&answer.unwrap_err());
    let forged = v1::SubscribeBlocksRequest {
        from: Some(v1::subscribe_blocks_request::From::FromCursor(
            vec![1; 22].into(),
        )),
        ..Default::default()
    };
    let refusal = Refusal {
        code: Code::InvalidArgument,
        reason: "BAD_CURSOR",
        field: Some("from_cursor"),
        facts: &[],
    };
    let answer = blocks.subscribe_blocks(forged).await;
    refusal.assert(&answer.unwrap_err());
}

/// A client of another network is told so before its request is looked at.
async fn networks(net: &Localnet) {
    let refusal = Refusal {
        code: Code::FailedPrecondition,
        reason: "WRONG_NETWORK",
        field: None,
        facts: &[("network_id", "")],
    };
    let own = net.state().network_id.to_string();
    let zero = format!("0x{}", "00".repeat(32));
    for (network, legal) in [(&*own, true), (&zero, false), ("mine", false)] {
        let mut request = Request::new(v1::GetStatusRequest {});
        let network = network.parse().expect("a header");
        request.metadata_mut().insert("squad-network-id", network);
        let answer = net.endpoint(0).operators().get_status(request).await;
        match answer {
            Ok(_) => assert!(legal),
            Err(status) => {
                assert!(!legal, "{status:?}");
                refusal.assert(&status);
            }
        }
    }
}

/// A transaction that is known is no error, alone or in a batch, and keeps its place.
async fn duplicates(net: &Localnet) {
    // The expiry is part of the id.
    let twice = v1::Transaction {
        expiry_height: status(net).await.ordered_height + 500,
        ..transaction("twice")
    };
    let place =
        |status: &v1::TransactionStatus| (status.tx_id.clone(), status.height, status.position);
    let first = submit(net, 0, twice.clone()).await.expect("ordered");
    let again = submit(net, 0, twice.clone()).await.expect("known");
    assert_eq!(place(&again), place(&first));

    let batch = v1::SubmitTransactionBatchRequest {
        transactions: vec![twice.clone(); 3],
        want_receipt: false,
    };
    let mut sequencer = net.endpoint(0).sequencer();
    let answer = sequencer.submit_transaction_batch(batch).await;
    for result in answer.expect("an answer").into_inner().results {
        let Some(v1::submit_result::Result::Accepted(known)) = result.result else {
            panic!("{result:?}");
        };
        assert_eq!(known.tx_id, first.tx_id);
        assert!(known.status() >= v1::Status::Accepted, "{known:?}");
    }
    // What is submitted now is ordered after the copies.
    assert_serves(net, 0, "after the copies").await;
    let again = submit(net, 0, twice).await.expect("known");
    assert_eq!(place(&again), place(&first));
}
