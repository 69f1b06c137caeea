//! What every call has in common, and the services about rollups and operators.

use super::{field, reason};
use crate::api::testing::{EPOCH_BLOCKS, ROLLUPS, TestNode, transaction};
use squad_primitives::{Epoch, OperatorId, View, ViewId};
use squad_proto::v1;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_name_the_network_and_requests_for_another_are_refused() {
    let node = TestNode::operator(0);
    let serving = node.serve().await;
    let mut client = serving.operators().await;
    let network = node.network.to_string();
    let response = client.get_status(v1::GetStatusRequest {}).await.unwrap();
    assert_eq!(
        response.metadata().get("squad-network-id").unwrap(),
        &*network
    );

    let with = |value: &str| {
        let mut request = Request::new(v1::GetStatusRequest {});
        request
            .metadata_mut()
            .insert("squad-network-id", value.parse().unwrap());
        request
    };
    client.get_status(with(&network)).await.unwrap();
    let other = squad_primitives::Digest([9; 32]).to_string();
    for wrong in [&*other, "nonsense"] {
        let status = client.get_status(with(wrong)).await.unwrap_err();
        let facts = reason(&status, Code::FailedPrecondition, "WRONG_NETWORK");
        assert_eq!(facts["network_id"], network);
        assert_eq!(
            status.metadata().get("squad-network-id").unwrap(),
            &*network
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_a_connection_and_of_the_node_are_limited() {
    let node = TestNode::operator(0);
    let serving = node
        .serve_with(|config| {
            config.limits.streams_per_connection = 2;
            config.limits.streams_max = 3;
        })
        .await;
    let request = v1::SubscribeBlocksRequest::default;
    let mut first = serving.blocks().await;
    let one = first.subscribe_blocks(request()).await.unwrap();
    let two = first.subscribe_blocks(request()).await.unwrap();
    let status = first.subscribe_blocks(request()).await.unwrap_err();
    reason(&status, Code::ResourceExhausted, "TOO_MANY_STREAMS");
    let mut second = serving.blocks().await;
    let _three = second.subscribe_blocks(request()).await.unwrap();
    let status = second.subscribe_blocks(request()).await.unwrap_err();
    reason(&status, Code::ResourceExhausted, "TOO_MANY_STREAMS");
    // Places come back when streams are dropped.
    drop((one, two));
    while second.subscribe_blocks(request()).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_above_the_limit_are_closed() {
    let node = TestNode::operator(0);
    let serving = node
        .serve_with(|config| config.grpc.connections_max = 1)
        .await;
    let mut first = serving.operators().await;
    first.get_status(v1::GetStatusRequest {}).await.unwrap();
    let endpoint = format!("http://{}", serving.grpc);
    let endpoint = tonic::transport::Endpoint::from_shared(endpoint).unwrap();
    let refused = match endpoint.connect().await {
        Err(_) => true,
        Ok(channel) => {
            let mut second = v1::operator_service_client::OperatorServiceClient::new(channel);
            second.get_status(v1::GetStatusRequest {}).await.is_err()
        }
    };
    assert!(refused);
    first.get_status(v1::GetStatusRequest {}).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_follows_the_node() {
    let node = TestNode::operator(0);
    let serving = node.serve().await;
    let mut client = HealthClient::new(serving.channel().await);
    for service in ["", "squad.v1.SequencerService", "squad.v1.BlockService"] {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let mut changes = client.watch(request).await.unwrap().into_inner();
        while super::next(&mut changes).await.status != 1 {}
        node.status
            .send_modify(|status| status.quorum_connected = false);
        while super::next(&mut changes).await.status != 2 {}
        node.status
            .send_modify(|status| status.quorum_connected = true);
        while super::next(&mut changes).await.status != 1 {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reflection_lists_the_services() {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    let node = TestNode::operator(0);
    let serving = node.serve().await;
    let mut client = ServerReflectionClient::new(serving.channel().await);
    let request = tonic_reflection::pb::v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let requests = futures::stream::iter([request]);
    let response = client.server_reflection_info(requests).await.unwrap();
    let response = super::next(&mut response.into_inner()).await;
    let Some(MessageResponse::ListServicesResponse(list)) = response.message_response else {
        panic!("{response:?}");
    };
    let names: Vec<_> = list.service.iter().map(|service| &*service.name).collect();
    for name in ["Sequencer", "Block", "Rollup", "Operator"] {
        assert!(
            names.contains(&&*format!("squad.v1.{name}Service")),
            "{names:?}"
        );
    }
    assert!(names.contains(&"grpc.health.v1.Health"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rollups_are_listed_in_pages_with_their_heads() {
    let node = TestNode::operator(0);
    let batch = node.batch(0, &[transaction(ROLLUPS[1], 9, 1, 8)]);
    node.order(&[]);
    node.order(&[batch]);
    let serving = node.serve().await;
    let mut client = serving.rollups().await;
    let mut request = v1::ListRollupsRequest {
        page_size: 2,
        ..v1::ListRollupsRequest::default()
    };
    let first = client
        .list_rollups(request.clone())
        .await
        .unwrap()
        .into_inner();
    request.page_token = first.next_page_token;
    let second = client
        .list_rollups(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert!(second.next_page_token.is_empty());
    let all: Vec<_> = first.rollups.iter().chain(&second.rollups).collect();
    let ids: Vec<_> = all.iter().map(|rollup| rollup.rollup_id).collect();
    assert_eq!(ids, [7, 8, 901]);
    let head = all[1].head.unwrap();
    assert_eq!((head.height, head.rollup_block_number), (2, 1));
    assert_eq!(all[0].head, Some(v1::RollupHead::default()));

    use v1::get_rollup_request::Rollup;
    let mut get = async |rollup| client.get_rollup(v1::GetRollupRequest { rollup }).await;
    let by_name = get(Some(Rollup::Name("rollup-8".to_owned())))
        .await
        .unwrap();
    let by_id = get(Some(Rollup::RollupId(8))).await.unwrap();
    assert_eq!(by_name.get_ref(), by_id.get_ref());
    assert_eq!(by_id.get_ref().rollup.as_ref(), Some(all[1]));
    for unknown in [Rollup::Name("other".to_owned()), Rollup::RollupId(1)] {
        let status = get(Some(unknown)).await.unwrap_err();
        reason(&status, Code::NotFound, "UNKNOWN_ROLLUP");
    }
    reason(
        &get(None).await.unwrap_err(),
        Code::InvalidArgument,
        "UNDECODABLE",
    );

    request.page_token = vec![1, 2].into();
    let status = client.list_rollups(request.clone()).await.unwrap_err();
    reason(&status, Code::InvalidArgument, "BAD_CURSOR");
    request.page_size = 201;
    let status = client.list_rollups(request).await.unwrap_err();
    let facts = reason(&status, Code::InvalidArgument, "TOO_LARGE");
    assert_eq!(
        (facts["limit"].as_str(), &*field(&status)),
        ("200", "page_size")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn epochs_have_committees_and_spans() {
    let node = TestNode::operator(2);
    node.order_empty_up_to(EPOCH_BLOCKS + 5);
    let serving = node.serve().await;
    let mut client = serving.operators().await;
    let current = client.get_epoch(v1::GetEpochRequest { epoch: None }).await;
    let current = current.unwrap().into_inner();
    assert_eq!((current.epoch, current.first_height), (1, EPOCH_BLOCKS + 1));
    assert_eq!(current.last_height, None);
    let first = client
        .get_epoch(v1::GetEpochRequest { epoch: Some(0) })
        .await;
    let first = first.unwrap().into_inner();
    assert_eq!(
        (first.first_height, first.last_height),
        (1, Some(EPOCH_BLOCKS))
    );
    assert_eq!((first.operators.len(), first.total_stake), (4, 400));
    let own = &first.operators[2];
    assert_eq!(own.endpoint, format!("http://{}", serving.grpc));
    assert_eq!(own.address, "10.0.0.1:4103");
    let listed = client
        .list_operators(v1::ListOperatorsRequest { epoch: Some(0) })
        .await;
    assert_eq!(listed.unwrap().into_inner().operators, first.operators);
    let status = client
        .get_epoch(v1::GetEpochRequest { epoch: Some(2) })
        .await;
    reason(&status.unwrap_err(), Code::NotFound, "UNKNOWN_EPOCH");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_shows_role_heights_and_limits() {
    let node = TestNode::operator(2);
    let last = node.order(&[]);
    let serving = node.serve().await;
    let mut client = serving.operators().await;
    let status = client
        .get_status(v1::GetStatusRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(status.network_id, node.network.0.to_vec());
    assert_eq!(
        (status.role(), status.operator_id),
        (v1::Role::Operator, Some(2))
    );
    assert_eq!((status.ordered_height, status.committed_height), (1, 1));
    assert_eq!(status.ordered_block, last.committed.hash.0.to_vec());
    let limits = status.limits.unwrap();
    assert_eq!(
        (limits.payload_bytes_limit, limits.stream_window),
        (64 << 10, 8_192)
    );
    assert_eq!(
        (limits.message_bytes_limit, limits.transactions_per_message),
        (4 << 20, 1_000)
    );

    let observer = TestNode::observer().serve().await;
    let mut client = observer.operators().await;
    let status = client
        .get_status(v1::GetStatusRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (status.role(), status.operator_id),
        (v1::Role::Observer, None)
    );
    assert_eq!(status.lane, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_of_the_current_view_is_told() {
    let node = TestNode::operator(0);
    let serving = node.serve().await;
    let mut client = serving.operators().await;
    node.status.send_modify(|status| {
        status.view = ViewId::new(Epoch(3), View(17));
        status.leader = Some(OperatorId(2));
    });
    let mut get = async |view| client.get_leader(v1::GetLeaderRequest { view }).await;
    let view = v1::ViewId { epoch: 3, view: 17 };
    for asked in [None, Some(view)] {
        let leader = get(asked).await.unwrap().into_inner();
        assert_eq!((leader.view, leader.operator_id), (Some(view), 2));
    }
    let status = get(Some(v1::ViewId { epoch: 2, view: 17 }))
        .await
        .unwrap_err();
    reason(&status, Code::NotFound, "UNKNOWN_EPOCH");
    let status = get(Some(v1::ViewId { epoch: 3, view: 18 }))
        .await
        .unwrap_err();
    reason(&status, Code::InvalidArgument, "UNDECODABLE");
}
