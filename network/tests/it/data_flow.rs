//! A receiver that doesn't keep up with batches makes their sender wait, and nothing else.

use crate::harness::{Event, committee, operator, silent, stop};
use bytes::Bytes;
use squad_network::data::{Class, SendError};

const BATCH_BYTES: usize = 512 << 10;
/// Batches whose credits make up a peer's budget of 8 MiB.
const BUDGET_BATCHES: usize = 16;

fn batch(number: usize) -> Bytes {
    let mut bytes = vec![0; BATCH_BYTES];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes.into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn votes_pass_batches_that_wait_and_no_batch_is_lost() {
    let mut nodes = committee(2, silent).await;
    let (plane, to) = (nodes[0].plane.clone(), operator(1));
    let receiver = &mut nodes[1];

    // Nobody returns credits, so windows and queues fill up until batches are refused.
    let mut held = Vec::new();
    let mut sent = 0;
    loop {
        match plane.send(to, Class::Batches, batch(sent)) {
            Ok(()) => sent += 1,
            Err(refusal) if held.len() == BUDGET_BATCHES => {
                assert_eq!(refusal, SendError::QueueFull);
                break;
            }
            // The queue is full for a moment; the next event shows that it moves.
            Err(SendError::QueueFull) => held.push(receiver.event().await),
            Err(other) => panic!("{other}"),
        }
    }
    assert!(sent > BUDGET_BATCHES);

    // Consensus and acks have budgets of their own and get through.
    for class in [Class::Consensus, Class::Acks] {
        plane.send(to, class, Bytes::from_static(b"now")).unwrap();
        let Event::Frame(_, got, _, _credit) = receiver.event().await else {
            panic!("expected a frame");
        };
        assert_eq!(got, class);
    }

    // Once the receiver works again, every batch arrives, in order.
    for number in 0..sent {
        let event = match held.is_empty() {
            false => held.remove(0),
            true => receiver.event().await,
        };
        let Event::Frame(_, Class::Batches, frame, _credit) = event else {
            panic!("expected a batch");
        };
        assert_eq!(frame, batch(number));
    }
    assert_eq!(
        nodes[0].metric(r#"squad_network_dropped_total{class="batches"}"#),
        0
    );
    assert_eq!(
        nodes[0].metric(r#"squad_network_queue{class="batches"}"#),
        0
    );
    stop(nodes).await;
}
