//! Blocks spread by gossip, and only valid ones.

use crate::control_harness::{
    ControlNode, INVALID, Seen, USELESS, config, observer_role, operator_role,
};
use bytes::Bytes;
use squad_network::control::{BLOCK_BYTES_LIMIT, ControlPlaneConfig, PublishError};

/// Publisher, relay, follower. Neither end listens, so that the relay is the only way between them.
async fn line() -> [ControlNode; 3] {
    let relay = ControlNode::start(config(observer_role(0), Vec::new())).await;
    let hidden = |role| ControlPlaneConfig {
        listen: None,
        ..config(role, vec![relay.address()])
    };
    let publisher = ControlNode::start(hidden(operator_role(0))).await;
    let follower = ControlNode::start(hidden(observer_role(1))).await;
    publisher.follows(&relay).await;
    relay.follows(&follower).await;
    [publisher, relay, follower]
}

async fn stop(nodes: [ControlNode; 3]) {
    for node in nodes {
        node.plane.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_reaches_who_is_not_connected_to_its_publisher() {
    let [publisher, relay, mut follower] = line().await;
    let block = Bytes::from(vec![5; BLOCK_BYTES_LIMIT]);
    publisher.plane.publish_block(block.clone()).unwrap();
    assert_eq!(follower.next().await, Seen::Judged(block.clone()));
    assert_eq!(follower.next().await, Seen::Block(block));
    stop([publisher, relay, follower]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_and_useless_blocks_are_not_forwarded() {
    let [publisher, mut relay, mut follower] = line().await;
    let blocks = [&[INVALID, 1], &[USELESS, 2], &[0, 3]].map(|block| Bytes::from(&block[..]));
    for block in &blocks {
        publisher.plane.publish_block(block.clone()).unwrap();
    }
    for block in &blocks {
        assert_eq!(relay.next().await, Seen::Judged(block.clone()));
    }
    assert_eq!(relay.next().await, Seen::Block(blocks[2].clone()));
    // The valid one was published last: had the others been forwarded, they would be here first.
    assert_eq!(follower.next().await, Seen::Judged(blocks[2].clone()));
    assert_eq!(follower.next().await, Seen::Block(blocks[2].clone()));
    stop([publisher, relay, follower]).await;
}

#[tokio::test]
async fn a_block_above_the_limit_is_refused() {
    let node = ControlNode::start(config(observer_role(0), Vec::new())).await;
    let block = Bytes::from(vec![5; BLOCK_BYTES_LIMIT + 1]);
    assert_eq!(
        node.plane.publish_block(block),
        Err(PublishError::TooLarge(BLOCK_BYTES_LIMIT + 1))
    );
    node.plane.shutdown().await;
    // The driver is gone, and says so.
    assert_eq!(
        node.plane.publish_block(Bytes::new()),
        Err(PublishError::Stopped)
    );
}
