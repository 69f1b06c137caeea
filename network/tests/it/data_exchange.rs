//! Frames of every class arrive whole, in order and from whom they say.

use crate::harness::{committee, operator, silent, stop};
use bytes::Bytes;
use squad_network::data::{Class, FrameTooLarge, SendError};
use std::collections::BTreeMap;

fn payload(from: u8, class: Class, number: u8, size: usize) -> Bytes {
    let mut bytes: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
    bytes.extend_from_slice(class.name().as_bytes());
    bytes.extend([from, number]);
    bytes.into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_classes_reach_all_peers_in_order() {
    let mut nodes = committee(4, silent).await;
    let sizes = |class| match class {
        Class::Consensus => [0, 300, 60_000],
        Class::Acks => [100, 1, 16_000],
        Class::Batches => [1 << 20, 40_000, 512 << 10],
    };
    for from in 0..4_u8 {
        for class in Class::ALL {
            for (number, size) in (0..).zip(sizes(class)) {
                let frame = payload(from, class, number, size);
                assert_eq!(
                    nodes[usize::from(from)].plane.broadcast(class, frame),
                    Ok(3)
                );
            }
        }
    }
    for (to, node) in (0_u8..).zip(&mut nodes) {
        let mut next = BTreeMap::new();
        for _ in 0..3 * 3 * 3 {
            let (from, class, frame) = node.frame().await;
            let number = next.entry((from, class)).or_insert(0_u8);
            let size = sizes(class)[usize::from(*number)];
            assert_eq!(frame, payload(from.0 as u8, class, *number, size));
            assert_ne!(from, operator(to));
            *number += 1;
        }
        assert_eq!(next.len(), 3 * 3);
    }
    stop(nodes).await;
}

#[tokio::test]
async fn what_cannot_be_sent_says_why() {
    let nodes = committee(2, silent).await;
    let plane = &nodes[0].plane;
    for class in Class::ALL {
        let limit = class.frame_bytes_limit();
        let too_large = Err(SendError::TooLarge(FrameTooLarge {
            claimed: limit + 1,
            limit,
        }));
        let frame = Bytes::from(vec![0; limit + 1]);
        assert_eq!(plane.send(operator(1), class, frame), too_large);
    }
    let frame = Bytes::from_static(b"x");
    assert_eq!(
        plane.send(operator(9), Class::Acks, frame.clone()),
        Err(SendError::UnknownPeer)
    );
    assert_eq!(
        plane.send(operator(0), Class::Acks, frame),
        Err(SendError::UnknownPeer),
        "a node is not its own peer"
    );
    stop(nodes).await;
}
