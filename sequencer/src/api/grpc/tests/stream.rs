//! `SubmitTransactionStream`: every transaction is answered once, and no more are open than allowed.

use super::{item, reason};
use crate::api::grpc::submit_stream::STREAM_WINDOW;
use crate::api::testing::{ROLLUPS, TestNode, transaction};
use squad_primitives::batch::SignedHeader;
use squad_primitives::{Ed25519Verifier, Epoch, merkle};
use squad_proto::v1;
use std::collections::BTreeMap;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Streaming};

type Request = v1::SubmitTransactionStreamRequest;
type Response = v1::SubmitTransactionStreamResponse;

/// Opens a stream that sends what is put into the channel.
async fn open(
    serving: &crate::api::testing::Serving,
) -> (mpsc::UnboundedSender<Request>, Streaming<Response>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let requests = futures::stream::unfold(receiver, |mut receiver| async move {
        Some((receiver.recv().await?, receiver))
    });
    let mut client = serving.sequencer().await;
    let response = client.submit_transaction_stream(requests).await.unwrap();
    (sender, response.into_inner())
}

/// Outcome by client number; fails if one comes twice.
#[derive(Debug, Default)]
struct Outcomes(BTreeMap<u64, String>);

impl Outcomes {
    fn put(&mut self, seq: u64, outcome: &str) {
        let before = self.0.insert(seq, outcome.to_owned());
        assert_eq!(before, None, "{seq} was answered twice");
    }

    fn take(&mut self, response: Response) {
        for group in response.accepted {
            let receipts = group.receipts.unwrap();
            assert_eq!(receipts.tx_ids.len(), 32 * group.client_seqs.len());
            assert_eq!(receipts.indices.len(), group.client_seqs.len());
            for seq in group.client_seqs {
                self.put(seq, "ACCEPTED");
            }
        }
        for known in response.known {
            self.put(known.client_seq, "KNOWN");
        }
        for group in response.refused {
            let error = group.error.unwrap();
            for seq in group.client_seqs {
                self.put(seq, &error.reason);
            }
        }
    }
}

/// Keeps turning what waits into batches, until cancelled.
fn batching(node: &std::sync::Arc<TestNode>) -> CancellationToken {
    let (node, stop) = (node.clone(), CancellationToken::new());
    let stopped = stop.clone();
    tokio::spawn(async move {
        while !stopped.is_cancelled() {
            node.make_own_batch();
            tokio::task::yield_now().await;
        }
    });
    stop
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_transaction_is_answered_exactly_once() {
    let node = TestNode::operator(1);
    let serving = node.serve().await;
    let (sender, mut responses) = open(&serving).await;
    let mut expected = BTreeMap::new();
    let mut seq = 0;
    for message in 0..30_u64 {
        let mut transactions = Vec::new();
        for number in 0..40 {
            let rollup = ROLLUPS[number as usize % 3];
            let mut tx = item(seq, &transaction(rollup, 9, 1_000 * message + number, 40));
            let outcome = match number {
                7 => {
                    tx.rollup_id = 1;
                    "UNKNOWN_ROLLUP"
                }
                8 => {
                    tx.kind = 0;
                    "UNDECODABLE"
                }
                9 => {
                    tx.expiry_height = 1_000;
                    "EXPIRY_TOO_FAR"
                }
                _ => "ACCEPTED",
            };
            expected.insert(seq, outcome.to_owned());
            transactions.push(tx);
            seq += 1;
        }
        let want_receipt = message % 2 == 0;
        sender
            .send(Request {
                transactions,
                want_receipt,
            })
            .unwrap();
    }
    drop(sender);
    let stop = batching(&node);
    let mut outcomes = Outcomes::default();
    while let Some(response) = responses.message().await.unwrap() {
        outcomes.take(response);
    }
    stop.cancel();
    assert_eq!(outcomes.0, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_come_for_the_messages_that_want_them() {
    let node = TestNode::operator(3);
    let serving = node.serve().await;
    let (sender, mut responses) = open(&serving).await;
    let number_of = |want: bool| if want { 100..105 } else { 0..5_u64 };
    for want_receipt in [true, false] {
        let transactions = number_of(want_receipt)
            .map(|n| item(n, &transaction(ROLLUPS[2], 6, n, 33)))
            .collect();
        sender
            .send(Request {
                transactions,
                want_receipt,
            })
            .unwrap();
    }
    drop(sender);
    let stop = batching(&node);
    let mut with_receipts = 0;
    while let Some(response) = responses.message().await.unwrap() {
        for group in response.accepted {
            let receipts = group.receipts.unwrap();
            assert_eq!(receipts.expiry_heights, [6], "one value stands for all");
            let Some(header) = &receipts.header else {
                assert!(receipts.paths.is_empty());
                assert!(group.client_seqs.iter().all(|seq| *seq < 100));
                continue;
            };
            let signed = SignedHeader::try_from(header).unwrap();
            assert!(signed.verify(&node.network, &node.committee(Epoch(0)), &Ed25519Verifier));
            let ids = super::ids(&receipts.tx_ids);
            for ((seq, id), path) in group.client_seqs.iter().zip(ids).zip(&receipts.paths) {
                assert_eq!(id, transaction(ROLLUPS[2], 6, *seq, 33).id(&node.network));
                let path = merkle::Path::try_from(path).unwrap();
                assert_eq!(path.root(&id), Some(signed.header.body_root));
                with_receipts += 1;
            }
        }
    }
    stop.cancel();
    assert_eq!(with_receipts, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_than_the_window_is_open_and_the_rest_follows() {
    let node = TestNode::operator(0);
    let serving = node.serve().await;
    let (sender, mut responses) = open(&serving).await;
    // Messages of 1,000 do not fit evenly: the ninth has to wait for the first answers.
    let messages = 12_u64;
    for message in 0..messages {
        let transactions = (0..1_000)
            .map(|n| 1_000 * message + n)
            .map(|seq| item(seq, &transaction(ROLLUPS[0], 9, seq, 8)))
            .collect();
        sender
            .send(Request {
                transactions,
                want_receipt: false,
            })
            .unwrap();
    }
    drop(sender);
    let waiting = || {
        let ingress = node.handle.ingress.as_ref().unwrap();
        ingress.lock().pool.load().transactions
    };
    let full = STREAM_WINDOW as u64 / 1_000 * 1_000;
    while waiting() < full {
        tokio::task::yield_now().await;
    }
    // Whatever else the server could take it would take now: it has all messages.
    for _ in 0..2_000 {
        tokio::task::yield_now().await;
        assert_eq!(waiting(), full);
    }
    let stop = batching(&node);
    let mut outcomes = Outcomes::default();
    while let Some(response) = responses.message().await.unwrap() {
        outcomes.take(response);
    }
    stop.cancel();
    assert_eq!(outcomes.0.len() as u64, 1_000 * messages);
    assert!(outcomes.0.values().all(|outcome| outcome == "ACCEPTED"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_message_ends_the_stream_after_the_open_answers() {
    let node = TestNode::operator(0);
    let serving = node.serve().await;
    let (sender, mut responses) = open(&serving).await;
    let transactions = vec![item(5, &transaction(ROLLUPS[0], 9, 1, 8))];
    sender
        .send(Request {
            transactions,
            want_receipt: false,
        })
        .unwrap();
    sender.send(Request::default()).unwrap();
    let stop = batching(&node);
    let mut outcomes = Outcomes::default();
    outcomes.take(super::next(&mut responses).await);
    assert_eq!(outcomes.0[&5], "ACCEPTED");
    let status = responses.message().await.unwrap_err();
    stop.cancel();
    reason(&status, Code::InvalidArgument, "UNDECODABLE");
    assert_eq!(super::field(&status), "transactions");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_transaction_is_known_to_the_stream() {
    let node = TestNode::operator(0);
    let batch = [transaction(ROLLUPS[0], 9, 1, 8)];
    let ingress = node.handle.ingress.clone().unwrap();
    let serving = node.serve().await;
    let (sender, mut responses) = open(&serving).await;
    let send = |seq| {
        let transactions = vec![item(seq, &batch[0])];
        sender
            .send(Request {
                transactions,
                want_receipt: false,
            })
            .unwrap();
    };
    send(1);
    node.own_batch().await;
    let mut outcomes = Outcomes::default();
    outcomes.take(super::next(&mut responses).await);
    send(2);
    let response = super::next(&mut responses).await;
    assert_eq!(response.known[0].status(), v1::Status::Accepted);
    outcomes.take(response);
    assert_eq!(outcomes.0[&1], "ACCEPTED");
    assert_eq!(outcomes.0[&2], "KNOWN");
    assert_eq!(ingress.lock().pool.load().transactions, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_end_when_the_node_stops() {
    let node = TestNode::operator(0);
    let serving = node.serve().await;
    let (_sender, mut responses) = open(&serving).await;
    serving.shutdown.cancel();
    let status = responses.message().await.unwrap_err();
    reason(&status, Code::Unavailable, "SHUTTING_DOWN");
    serving.running.await.unwrap().unwrap();
}
