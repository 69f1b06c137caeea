//! More transactions than the queue holds.

use super::{Memory, Refusal, assert_serves, transaction};
use crate::load::{LOADED, QUIET, ROLLUPS};
use crate::net::Localnet;
use squad_client::v1;
use tonic::Code;
use v1::submit_result::Result as Answer;

/// Submits transactions that enter the queue together, before a batch can make room: 30 of 100,000
/// bytes, to these rollups in turn. How many were accepted, and why the others were not.
async fn flood(net: &Localnet, number: u8, rollups: &[u64]) -> (usize, Vec<v1::Error>) {
    let transactions = (0..30).zip(rollups.iter().cycle()).map(|(index, rollup)| {
        let mut payload = vec![number; 100_000];
        payload[0] = index;
        v1::Transaction {
            rollup_id: *rollup,
            ..transaction(payload)
        }
    });
    let request = v1::SubmitTransactionBatchRequest {
        transactions: transactions.collect(),
        want_receipt: false,
    };
    let mut sequencer = net.endpoint(0).sequencer();
    let answer = sequencer.submit_transaction_batch(request).await;
    let results = answer.expect("an answer").into_inner().results;
    assert_eq!(results.len(), 30);
    let mut refused = Vec::new();
    for result in results {
        match result.result.expect("a result") {
            Answer::Accepted(_) => {}
            Answer::Error(error) => refused.push(error),
        }
    }
    (30 - refused.len(), refused)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_full_queue_names_its_limit_and_has_room_again_later() {
    let net = Localnet::up(&["--nodes=1", ROLLUPS, "--set=mempool.bytes_max=1MiB"]);
    let memory = Memory::of(&net, 0);

    // Two rollups fill it: each gets what no other can take from it, half a mebibyte.
    let (accepted, refused) = flood(&net, 1, &[LOADED, QUIET]).await;
    assert_eq!(accepted, 10);
    let full = Refusal {
        code: Code::ResourceExhausted,
        reason: "QUEUE_FULL",
        field: None,
        facts: &[("limit", "1048576 bytes")],
    };
    refused.iter().for_each(|error| full.assert_item(error));
    assert_serves(&net, 0, "after the first flood").await;

    // One rollup alone can't: beyond that half it gets four times the room that it leaves free.
    let (accepted, refused) = flood(&net, 2, &[LOADED]).await;
    assert_eq!(accepted, 9);
    let share = Refusal {
        code: Code::ResourceExhausted,
        reason: "ROLLUP_SHARE",
        field: None,
        facts: &[("rollup_id", "7"), ("limit", "")],
    };
    refused.iter().for_each(|error| share.assert_item(error));
    assert_serves(&net, 0, "after the second flood").await;
    memory.assert_flat(&net, 0);
    net.assert_calm();
}
