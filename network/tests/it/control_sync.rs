//! Requests and replies between any two nodes.

use crate::control_harness::{ControlNode, config, observer_role, operator_role};
use bytes::Bytes;
use squad_network::control::{
    ControlPlaneConfig, PeerId, RequestError, SYNC_REPLY_BYTES_LIMIT, SYNC_REQUEST_BYTES_LIMIT,
};

async fn pair(serve_sync: bool) -> (ControlNode, ControlNode) {
    let server = ControlPlaneConfig {
        serve_sync,
        ..config(operator_role(0), Vec::new())
    };
    let server = ControlNode::start(server).await;
    let client = ControlNode::start(config(observer_role(0), vec![server.address()])).await;
    client.follows(&server).await;
    (server, client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_of_any_permitted_size_arrive() {
    let (server, client) = pair(true).await;
    let peer = server.plane.local_peer();
    client
        .wait_for(|peers| peers.iter().any(|p| p.peer == peer && p.serves_sync))
        .await;
    for size in [0, 1, 100_000, SYNC_REPLY_BYTES_LIMIT] {
        let reply = client.plane.request(peer, size.to_string().into()).await;
        assert_eq!(reply, Ok(Bytes::from(vec![7; size])));
    }
    for node in [server, client] {
        node.plane.shutdown().await;
    }
}

#[tokio::test]
async fn what_cannot_be_had_says_why() {
    let (server, client) = pair(true).await;
    let peer = server.plane.local_peer();
    let too_large = Bytes::from(vec![b'0'; SYNC_REQUEST_BYTES_LIMIT + 1]);
    let above = (SYNC_REPLY_BYTES_LIMIT + 1).to_string();
    for (peer, request, expected) in [
        (peer, "unknown".into(), RequestError::NotFound),
        (peer, above.into(), RequestError::NotFound),
        (
            peer,
            too_large,
            RequestError::TooLarge(SYNC_REQUEST_BYTES_LIMIT + 1),
        ),
        (PeerId::random(), "1".into(), RequestError::Unreachable),
    ] {
        assert_eq!(client.plane.request(peer, request).await, Err(expected));
    }
    client.plane.shutdown().await;
    assert_eq!(
        client.plane.request(peer, "1".into()).await,
        Err(RequestError::Stopped)
    );
    server.plane.shutdown().await;
}

#[tokio::test]
async fn a_node_may_keep_out_of_serving() {
    let (server, client) = pair(false).await;
    let peer = server.plane.local_peer();
    assert_eq!(
        client.plane.request(peer, "1".into()).await,
        Err(RequestError::Unsupported)
    );
    let reply = server.plane.request(client.plane.local_peer(), "1".into());
    assert_eq!(reply.await, Ok(Bytes::from(vec![7; 1])));
    for node in [server, client] {
        node.plane.shutdown().await;
    }
}
