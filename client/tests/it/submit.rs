//! Submitting again is harmless, and gives up only when it must.

use crate::operator::{EXPIRY_MAX_BLOCKS, Network, refusal};
use crate::world::World;
use squad_client::{ClientConfig, SendError, StreamConfig, SubmitError, v1};
use squad_primitives::{EXPIRY_BLOCKS_DEFAULT, RollupId, TxKind};
use std::time::Duration;
use tonic::Code;

#[tokio::test]
async fn a_lost_answer_is_repaired_elsewhere_and_ordered_once() {
    let network = Network::start(World::with_blocks(1)).await;
    network.faults(0).lose_answers = 1;
    let client = network.client();
    let transaction = client.prepare(RollupId(901), "once").await.unwrap();
    let submitted = client.submit(&transaction).await.unwrap();
    assert_eq!(submitted.endpoint, 1);
    assert_eq!(submitted.receipt.unwrap().tx_id, submitted.id);
    assert_eq!(network.seen(0).submitted, [submitted.id]);
    assert_eq!(network.seen(1).submitted, [submitted.id]);
    assert_eq!(network.world.lock().unwrap().head(), 2);
    // The operator that answered is asked first from now on.
    assert_eq!(client.submit(&transaction).await.unwrap().endpoint, 1);
}

#[tokio::test]
async fn overload_is_waited_out_and_verdicts_are_not() {
    let network = Network::start(World::with_blocks(1)).await;
    let full = refusal(
        Code::ResourceExhausted,
        "QUEUE_FULL",
        Some(Duration::from_millis(10)),
    );
    for operator in 0..4 {
        network
            .faults(operator)
            .refuse
            .extend([full.clone(), full.clone()]);
    }
    let client = network.client();
    let transaction = client.prepare(RollupId(901), "patient").await.unwrap();
    client.submit(&transaction).await.unwrap();
    assert!((0..4).all(|operator| network.faults(operator).refuse.is_empty()));

    let first = client.submit(&transaction).await.unwrap().endpoint;
    let unknown = refusal(Code::NotFound, "UNKNOWN_ROLLUP", None);
    network.faults(first).refuse.push_back(unknown);
    match client.submit(&transaction).await {
        Err(SubmitError::Refused(refusal)) => assert_eq!(refusal.reason, "UNKNOWN_ROLLUP"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn operators_that_cannot_order_now_are_left_for_others_at_once() {
    let network = Network::start(World::with_blocks(1)).await;
    let client = network.client();
    let transaction = client.prepare(RollupId(901), "elsewhere").await.unwrap();
    // Who waited for them would find them willing the second time.
    let wait = Some(Duration::from_secs(5));
    for (operator, reason) in [(0, "SYNCING"), (1, "NO_QUORUM")] {
        let refused = refusal(Code::Unavailable, reason, wait);
        network.faults(operator).refuse.push_back(refused);
    }
    let submitted = client.submit(&transaction).await.unwrap();
    assert_eq!(submitted.endpoint, 2);

    let refused = refusal(Code::Unavailable, "SYNCING", wait);
    network.faults(2).refuse.push_back(refused);
    let many = client.submit_many(&[transaction]).await;
    assert_eq!(many[0].as_ref().unwrap().endpoint, 3);
}

#[tokio::test]
async fn an_expiry_is_counted_from_the_head_of_an_operator_that_keeps_up() {
    let network = Network::start(World::with_blocks(3)).await;
    network.faults(0).lag = 501;
    let client = network.client();
    let transaction = client.prepare(RollupId(901), "here").await.unwrap();
    assert_eq!(transaction.expiry.0, 3 + EXPIRY_BLOCKS_DEFAULT);
    let far = network.client_with(ClientConfig {
        expiry_blocks: u64::MAX,
        ..ClientConfig::default()
    });
    let transaction = far.prepare(RollupId(901), "far").await.unwrap();
    assert_eq!(transaction.expiry.0, 3 + EXPIRY_MAX_BLOCKS);
}

#[tokio::test]
async fn an_answer_for_another_transaction_is_noticed() {
    let network = Network::start(World::with_blocks(1)).await;
    network.faults(0).answer_wrong = true;
    let client = network.client();
    let transaction = client.prepare(RollupId(901), "mine").await.unwrap();
    assert_eq!(
        client.submit(&transaction).await,
        Err(SubmitError::OtherTransaction)
    );
}

#[tokio::test]
async fn of_many_only_the_refused_ones_are_sent_again() {
    let network = Network::start(World::with_blocks(1)).await;
    let busy = refusal(Code::ResourceExhausted, "ROLLUP_SHARE", None);
    let frozen = refusal(Code::FailedPrecondition, "ROLLUP_FROZEN", None);
    network.faults(0).refuse.extend([busy, frozen]);
    let client = network.client();
    let mut transactions = Vec::new();
    for n in 0..5 {
        transactions.push(client.prepare(RollupId(7), format!("{n}")).await.unwrap());
    }
    let results = client.submit_many(&transactions).await;
    assert_eq!(results[0].as_ref().unwrap().endpoint, 1);
    match &results[1] {
        Err(SubmitError::Refused(refusal)) => assert_eq!(refusal.reason, "ROLLUP_FROZEN"),
        other => panic!("{other:?}"),
    }
    for (result, transaction) in results.iter().zip(&transactions).skip(2) {
        let submitted = result.as_ref().unwrap();
        assert_eq!(submitted.endpoint, 0);
        assert_eq!(submitted.id, transaction.id(&client.trusted().id()));
        assert!(submitted.receipt.is_some());
    }
    assert_eq!(network.seen(0).submitted.len(), 3);
    assert_eq!(network.seen(1).submitted.len(), 1);
}

fn message(range: std::ops::Range<u64>) -> Vec<v1::StreamTransaction> {
    range
        .map(|client_seq| v1::StreamTransaction {
            client_seq,
            rollup_id: 7,
            payload: client_seq.to_string().into(),
            kind: v1::TransactionKind::from(TxKind::Plain).into(),
            expiry_height: 99,
        })
        .collect()
}

#[tokio::test]
async fn the_window_bounds_what_is_unanswered() {
    let network = Network::start(World::with_blocks(1)).await;
    let client = network.client();
    let config = StreamConfig {
        window: 10,
        want_receipt: false,
    };
    let (sender, mut answers) = client.endpoints()[0]
        .open_submit_stream(config)
        .await
        .unwrap();
    sender.try_send(message(0..6)).unwrap();
    match sender.try_send(message(6..12)) {
        Err(SendError::Full(returned)) => assert_eq!(returned.len(), 6),
        other => panic!("{other:?}"),
    }
    sender.try_send(message(6..10)).unwrap();
    assert_eq!(sender.free(), 0);
    let mut answered = Vec::new();
    while answered.len() < 10 {
        let group = answers.next().await.unwrap().unwrap();
        answered.extend(group.accepted.iter().flat_map(|g| g.client_seqs.clone()));
    }
    assert_eq!(answered, (0..10).collect::<Vec<_>>());
    assert_eq!(sender.free(), 10);
    sender.send(message(10..20)).await.unwrap();
    drop(sender);
    let last = answers.next().await.unwrap().unwrap();
    assert_eq!(last.accepted[0].client_seqs.len(), 10);
    assert_eq!(answers.next().await, Ok(None));
}

#[tokio::test]
async fn an_inclusion_proof_needs_a_second_operator() {
    let network = Network::start(World::with_blocks(4)).await;
    let client = network.client();
    let id = network.world.lock().unwrap().id_at(4, 7, 1);
    let inclusion = client.prove_inclusion(id).await.unwrap();
    assert_eq!((inclusion.tx_id, inclusion.position), (id, 1));
}

#[tokio::test]
async fn an_operator_that_attests_a_false_result_does_not_spoil_the_proof_of_the_others() {
    let network = Network::start(World::with_blocks(4)).await;
    network.faults(0).attest_falsely = true;
    let client = network.client();
    let id = network.world.lock().unwrap().id_at(4, 7, 1);
    assert_eq!(client.prove_inclusion(id).await.unwrap().position, 1);
}
