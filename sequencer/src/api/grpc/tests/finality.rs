//! Certificates, what they cover, and proofs that a light client believes without this node.

use super::reason;
use crate::api::testing::{ROLLUPS, Serving, TestNode, transaction};
use bytes::Bytes;
use squad_client::finality::light_client;
use squad_mach::{Certificate, Handover, LightError, RollupProof, TransactionProof};
use squad_primitives::{Epoch, Height, TxId};
use squad_proto::mach::finality_service_client::FinalityServiceClient;
use squad_proto::mach::is_final_request::Subject;
use squad_proto::mach::subscribe_certificates_response::Item;
use squad_proto::mach::{
    GetCertificateRequest, GetHandoverRequest, IsFinalRequest, IsFinalResponse, RollupBlock,
    SubscribeCertificatesRequest,
};
use squad_proto::v1;
use std::sync::Arc;
use tonic::Code;
use tonic::transport::Channel;

impl Serving {
    async fn finality(&self) -> FinalityServiceClient<Channel> {
        FinalityServiceClient::new(self.channel().await)
    }
}

/// Three blocks, each with a transaction of the first rollup; their ids.
fn history(node: &TestNode) -> Vec<TxId> {
    (1..=3)
        .map(|number| {
            let tx = transaction(ROLLUPS[0], 30, number, 20);
            node.order(&[node.batch(2, std::slice::from_ref(&tx))]);
            tx.id(&node.network)
        })
        .collect()
}

fn by_id(id: &TxId) -> IsFinalRequest {
    IsFinalRequest {
        subject: Some(Subject::TxId(Bytes::copy_from_slice(&id.0))),
        include_proof: true,
    }
}

async fn ask(client: &mut FinalityServiceClient<Channel>, id: &TxId) -> IsFinalResponse {
    client.is_final(by_id(id)).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_is_final_once_a_later_block_is_certified_and_proves_it() {
    let node = TestNode::with_finality(0);
    let ids = history(&node);
    let serving = node.serve().await;
    let mut client = serving.finality().await;
    let answer = ask(&mut client, &ids[0]).await;
    assert_eq!((answer.r#final, answer.height), (false, 1));
    let none = client.get_certificate(GetCertificateRequest { height: 1 });
    reason(
        &none.await.unwrap_err(),
        Code::FailedPrecondition,
        "NOT_FINAL",
    );

    let certificate = node.certify(2);
    let answer = ask(&mut client, &ids[0]).await;
    assert!(answer.r#final && answer.final_height == 2);
    let proof = TransactionProof::from_bytes(&answer.transaction_proof).unwrap();
    assert_eq!(proof.rollup.certificate, certificate);
    assert_eq!(
        proof.rollup.older.len(),
        1,
        "block 1 is below block 2's leaf"
    );
    let mut light = light_client(&node.genesis).unwrap();
    let block = light.verify_transaction(&proof, ROLLUPS[0]).unwrap();
    assert_eq!((block.last_height, block.number), (Height(1), 1));
    assert_eq!(
        (proof.id, ask(&mut client, &ids[2]).await.r#final),
        (ids[0], false)
    );
    let other = light.verify_transaction(&proof, ROLLUPS[1]).unwrap_err();
    assert!(matches!(other, LightError::Rollup { .. }), "{other}");

    let request = IsFinalRequest {
        subject: Some(Subject::RollupBlock(RollupBlock {
            rollup_id: ROLLUPS[0].0,
            number: 2,
        })),
        include_proof: true,
    };
    let answer = client.is_final(request).await.unwrap().into_inner();
    let proof = RollupProof::from_bytes(&answer.rollup_proof).unwrap();
    let block = light.verify_rollup(&proof, ROLLUPS[0]).unwrap();
    assert_eq!((block.number, block.last_height), (2, Height(2)));
    let unknown = client.is_final(by_id(&TxId::ZERO)).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hand_overs_lead_from_the_genesis_to_a_later_epoch() {
    let node = TestNode::with_finality(0);
    history(&node);
    node.certify(3);
    node.order_empty_up_to(101);
    let last = node.certify(101);
    let serving = node.serve().await;
    let mut client = serving.finality().await;
    let mut light = light_client(&node.genesis).unwrap();
    let early = light.verify_certificate(&last).unwrap_err();
    assert!(matches!(early, LightError::UnknownEpoch { .. }), "{early}");
    let request = GetHandoverRequest {
        epoch: 0,
        to_epoch: 1,
    };
    let answer = client.get_handover(request).await.unwrap().into_inner();
    assert_eq!(answer.handovers.len(), 1);
    light
        .follow(Handover::from_bytes(&answer.handovers[0]).unwrap())
        .unwrap();
    light.verify_certificate(&last).unwrap();
    assert_eq!(
        (light.committee().epoch(), light.highest()),
        (Epoch(1), Height(101))
    );
    let far = GetHandoverRequest {
        epoch: 0,
        to_epoch: 66,
    };
    let refused = client.get_handover(far).await.unwrap_err();
    reason(&refused, Code::InvalidArgument, "TOO_LARGE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_replayed_and_followed_by_new_ones() {
    let node = TestNode::with_finality(0);
    history(&node);
    node.certify(1);
    let serving = node.serve().await;
    let mut client = serving.finality().await;
    let request = SubscribeCertificatesRequest { from_height: 1 };
    let mut stream = client
        .subscribe_certificates(request)
        .await
        .unwrap()
        .into_inner();
    let first = stream.message().await.unwrap().unwrap().item.unwrap();
    assert!(matches!(first, Item::Hello(hello) if hello.head_height == 3));
    for height in [1, 3] {
        if height > 1 {
            node.certify(height);
        }
        let item = stream.message().await.unwrap().unwrap().item.unwrap();
        let Item::Certificate(found) = item else {
            panic!("{item:?}");
        };
        assert_eq!((found.height, found.signed_stake), (height, 300));
        let committee = node.handle.finality.as_ref().unwrap().committee(Epoch(0));
        Certificate::from_bytes(&found.encoded)
            .unwrap()
            .verify(&node.network, &committee)
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_ladder_ends_with_final() {
    let node = TestNode::with_finality(0);
    let ids = history(&node);
    node.certify(1);
    let serving = node.serve().await;
    let mut client = serving.sequencer().await;
    let mut statuses = Vec::new();
    for id in &ids[..2] {
        let request = v1::GetTransactionStatusRequest {
            tx_id: Bytes::copy_from_slice(&id.0),
            include_proof: false,
        };
        let answer = client.get_transaction_status(request).await.unwrap();
        statuses.push(answer.into_inner().status.unwrap().status());
    }
    assert_eq!(statuses, [v1::Status::Final, v1::Status::Ordered]);

    let subscribe = |min: v1::Status| v1::SubscribeTransactionStatusRequest {
        filter: Some(v1::subscribe_transaction_status_request::Filter::TxIds(
            squad_proto::convert::digests_packed(&ids),
        )),
        min_status: min.into(),
        from_cursor: Bytes::new(),
    };
    // Those who wait for less are told less.
    let stream = client.subscribe_transaction_status(subscribe(v1::Status::Ordered));
    let told = told(stream.await.unwrap().into_inner(), || ()).await;
    assert_eq!(told, vec![v1::Status::Ordered; 3]);
    let stream = client.subscribe_transaction_status(subscribe(v1::Status::Final));
    let certifier = Arc::clone(&node);
    let told = self::told(stream.await.unwrap().into_inner(), move || {
        certifier.certify(3);
    })
    .await;
    assert_eq!(told, vec![v1::Status::Final; 3]);
}

/// Statuses of all transactions of a stream until it ends; `after_first` runs after the first.
async fn told(
    mut stream: tonic::Streaming<v1::SubscribeTransactionStatusResponse>,
    after_first: impl FnOnce(),
) -> Vec<v1::Status> {
    use v1::subscribe_transaction_status_response::Item;
    let mut after_first = Some(after_first);
    let mut told = Vec::new();
    while let Some(item) = stream.message().await.unwrap() {
        if let Some(Item::Statuses(group)) = item.item {
            told.extend(group.tx_ids.chunks(32).map(|_| group.status()));
            if let Some(after_first) = after_first.take() {
                after_first();
            }
        }
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_finality_keys_nothing_pretends_to_be_final() {
    let node = TestNode::operator(0);
    let ids = history(&node);
    let serving = node.serve().await;
    let mut client = serving.finality().await;
    let refused = client.is_final(by_id(&ids[0])).await.unwrap_err();
    reason(&refused, Code::FailedPrecondition, "NO_FINALITY");
    let mut operators = serving.operators().await;
    let status = operators.get_status(v1::GetStatusRequest {}).await.unwrap();
    assert_eq!(status.into_inner().final_height, None);
}
