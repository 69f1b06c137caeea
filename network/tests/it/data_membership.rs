//! Who is in the committee changes at run time; who misbehaves is shut out.

use crate::harness::{committee, operator, silent, stop};
use bytes::Bytes;
use squad_network::data::{Class, Offence, SendError};

#[tokio::test]
async fn an_operator_that_leaves_is_disconnected_and_one_that_stays_is_not() {
    let mut nodes = committee(3, silent).await;
    let peers: Vec<_> = nodes.iter().map(|node| node.peer()).collect();
    nodes[0].plane.set_peers(vec![peers[1].clone()]);
    nodes[0].disconnected(2).await;
    nodes[2].disconnected(0).await;
    let frame = Bytes::from_static(b"x");
    assert_eq!(
        nodes[0].plane.send(operator(2), Class::Acks, frame.clone()),
        Err(SendError::UnknownPeer)
    );
    nodes[0]
        .plane
        .send(operator(1), Class::Acks, frame.clone())
        .unwrap();
    assert_eq!(nodes[1].frame().await, (operator(0), Class::Acks, frame));

    nodes[0].plane.set_peers(peers);
    nodes[0].connected(2).await;
    nodes[2].connected(0).await;
    stop(nodes).await;
}

#[tokio::test]
async fn the_third_offence_closes_the_link() {
    let mut nodes = committee(2, silent).await;
    for _ in 0..2 {
        nodes[1].plane.penalize(operator(0), Offence::BadSignature);
    }
    let frame = Bytes::from_static(b"still here");
    nodes[0]
        .plane
        .send(operator(1), Class::Acks, frame.clone())
        .unwrap();
    assert_eq!(nodes[1].frame().await, (operator(0), Class::Acks, frame));
    nodes[1].plane.penalize(operator(0), Offence::BadSignature);
    nodes[1].disconnected(0).await;
    nodes[0].disconnected(1).await;
    assert!(nodes[1].plane.peers()[0].banned.is_some());
    assert_eq!(
        nodes[0].metric(r#"squad_network_closed_total{reason="banned"}"#),
        1
    );
    stop(nodes).await;
}
