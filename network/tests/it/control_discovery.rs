//! A node that knows one bootnode finds everybody.

use crate::{
    control_harness::{ControlNode, config, observer_role, operator_role},
    harness::operator,
};
use futures::future::join_all;
use squad_network::control::{ControlPlaneConfig, ControlStartError, Role};
use squad_primitives::{Digest, OperatorId};

fn operators(peers: &[squad_network::control::PeerInfo]) -> Vec<OperatorId> {
    let mut found: Vec<_> = peers.iter().filter_map(|peer| peer.operator).collect();
    found.sort_unstable();
    found
}

async fn stop(nodes: Vec<ControlNode>) {
    join_all(nodes.iter().map(|node| node.plane.shutdown())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observer_with_one_bootnode_finds_all_operators() {
    // The bootnode is no operator, and the operators know only it.
    let bootnode = ControlNode::start(config(observer_role(0), Vec::new())).await;
    let address = bootnode.address();
    let mut nodes = vec![bootnode];
    for number in 0..3 {
        let config = config(operator_role(number), vec![address.clone()]);
        nodes.push(ControlNode::start(config).await);
    }
    let observer = ControlNode::start(config(observer_role(1), vec![address])).await;
    let all = [operator(0), operator(1), operator(2)];
    let peers = observer.wait_for(|peers| operators(peers) == all).await;
    assert!(peers.len() >= 4);
    for peer in peers.iter().filter(|peer| peer.operator.is_some()) {
        let number = peer.operator.unwrap().0 as u8;
        let expected = nodes[usize::from(number) + 1].plane.local_peer();
        assert_eq!(peer.peer, expected);
    }
    // Operators find each other the same way.
    nodes[1]
        .wait_for(|peers| operators(peers) == [operator(1), operator(2)])
        .await;
    nodes.push(observer);
    stop(nodes).await;
}

#[tokio::test]
async fn who_claims_an_operator_without_its_key_stays_a_stranger() {
    let node = ControlNode::start(config(observer_role(0), Vec::new())).await;
    // The right number, the wrong identity.
    let role = Role::Operator {
        me: operator(1),
        identity: crate::harness::identity(9),
    };
    let claimant = ControlPlaneConfig {
        operators: vec![(
            operator(1),
            squad_primitives::Signer::public_key(&crate::harness::identity(9)),
        )],
        ..config(role, vec![node.address()])
    };
    let claimant = ControlNode::start(claimant).await;
    let honest = ControlNode::start(config(operator_role(2), vec![node.address()])).await;
    let peers = node
        .wait_for(|peers| operators(peers) == [operator(2)] && peers.len() == 2)
        .await;
    let peer = claimant.plane.local_peer();
    let info = peers.iter().find(|info| info.peer == peer).unwrap();
    assert_eq!(info.operator, None);
    stop(vec![node, claimant, honest]).await;
}

#[tokio::test]
async fn networks_do_not_mix() {
    let node = ControlNode::start(config(observer_role(0), Vec::new())).await;
    let foreign = ControlPlaneConfig {
        network: Digest([2; 32]),
        ..config(observer_role(1), vec![node.address()])
    };
    let foreign = ControlNode::start(foreign).await;
    let friend = ControlNode::start(config(observer_role(2), vec![node.address()])).await;
    node.follows(&friend).await;
    foreign.wait_for(|peers| !peers.is_empty()).await;
    let answer = foreign
        .plane
        .request(node.plane.local_peer(), "5".into())
        .await;
    assert_eq!(
        answer,
        Err(squad_network::control::RequestError::Unsupported)
    );
    let stranger = foreign.plane.local_peer();
    assert!(
        node.plane
            .peers()
            .iter()
            .all(|peer| peer.peer != stranger || !(peer.follows_blocks || peer.serves_sync))
    );
    stop(vec![node, foreign, friend]).await;
}

#[tokio::test]
async fn an_address_in_use_is_an_error() {
    let node = ControlNode::start(config(observer_role(0), Vec::new())).await;
    let mut second = config(observer_role(1), Vec::new());
    let mut address = node.address();
    address.pop();
    second.listen = Some(address);
    let started = ControlNode::try_start(second).await;
    assert!(matches!(started, Err(ControlStartError::Listen { .. })));
    stop(vec![node]).await;
}
