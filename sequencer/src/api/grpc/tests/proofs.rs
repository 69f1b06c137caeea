//! Proofs verify with nothing but the committee; batches are found by digest and position.

use super::reason;
use crate::api::testing::{ROLLUPS, TestNode, transaction};
use squad_primitives::certificate::CommitProof;
use squad_primitives::order::{LeafProof, OrderResult, RollupProof};
use squad_primitives::{
    BatchHeader, Block, Ed25519Verifier, Epoch, Height, OperatorId, RollupId, Signature, TxId,
    merkle,
};
use squad_proto::v1;
use tonic::Code;

/// Three batches of lane 2 and one of lane 0 in one block, after a block that is not empty.
fn history(node: &TestNode) -> Vec<TxId> {
    let tx = |n: u64| transaction(ROLLUPS[n as usize % 2], 30, n, 20);
    let batch = node.batch(2, &[tx(1), tx(2)]);
    node.order(&[batch]);
    let txs: Vec<_> = (10..25).map(tx).collect();
    let batches = [
        node.batch(0, &txs[..5]),
        node.batch(2, &txs[5..8]),
        node.batch(2, &txs[8..9]),
        node.batch(2, &txs[9..]),
    ];
    node.order(&batches);
    txs.iter().map(|tx| tx.id(&node.network)).collect()
}

fn check_availability(node: &TestNode, proof: &v1::AvailabilityProof, id: &TxId) {
    let block = Block::try_from(proof.block.as_ref().unwrap()).unwrap();
    let commit = CommitProof::try_from(proof.commit.as_ref().unwrap()).unwrap();
    let committee = node.committee(Epoch(0));
    commit
        .verify(&node.network, &block, &committee, &Ed25519Verifier)
        .unwrap();
    let headers: Vec<_> = proof
        .headers
        .iter()
        .map(|header| BatchHeader::try_from(header).unwrap())
        .collect();
    let path = merkle::Path::try_from(proof.path.as_ref().unwrap()).unwrap();
    assert_eq!(path.root(id), Some(headers[0].body_root));
    for pair in headers.windows(2) {
        assert_eq!(pair[1].parent, pair[0].digest(&node.network));
    }
    let last = headers.last().unwrap().tip(&node.network);
    assert_eq!(block.cut.tip(last.lane), Some(&last));
}

fn check_order(node: &TestNode, proof: &v1::OrderProof, id: &TxId, position: &v1::Position) {
    let result = OrderResult::try_from(proof.result.as_ref().unwrap()).unwrap();
    let leaf = LeafProof::try_from(proof.leaf.as_ref().unwrap()).unwrap();
    let path = merkle::Path::try_from(proof.position.as_ref().unwrap()).unwrap();
    assert_eq!(path.root(id), Some(leaf.leaf.list_root));
    assert_eq!(path.index, position.position);
    assert_eq!(result.height.0, position.height);
    let rollup = RollupId(position.rollup_id);
    assert!(RollupProof::Present(leaf).verify(&node.network, &result, rollup));
    let (operator, signature): (OperatorId, Signature) =
        (&proof.attestations[0]).try_into().unwrap();
    let committee = node.committee(Epoch(0));
    assert!(result.verify_attestation(
        &node.network,
        &committee,
        operator,
        &signature,
        &Ed25519Verifier
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_transaction_is_proven_by_id_and_by_place() {
    use v1::get_inclusion_proof_request::Transaction;
    let node = TestNode::operator(3);
    let ids = history(&node);
    let serving = node.serve().await;
    let mut client = serving.blocks().await;
    for id in ids {
        let by_id = v1::GetInclusionProofRequest {
            transaction: Some(Transaction::TxId(id.0.to_vec().into())),
        };
        let by_id = client
            .get_inclusion_proof(by_id)
            .await
            .unwrap()
            .into_inner();
        let position = by_id.position.unwrap();
        let by_place = v1::GetInclusionProofRequest {
            transaction: Some(Transaction::Position(position)),
        };
        let by_place = client.get_inclusion_proof(by_place).await.unwrap();
        assert_eq!(by_id, by_place.into_inner());
        assert_eq!(by_id.tx_id, id.0.to_vec());
        check_availability(&node, by_id.availability.as_ref().unwrap(), &id);
        check_order(&node, by_id.order.as_ref().unwrap(), &id, &position);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollup_is_shown_its_part_or_its_absence() {
    let node = TestNode::operator(0);
    history(&node);
    node.order(&[]);
    let serving = node.serve().await;
    let mut client = serving.blocks().await;
    for height in 1..=3 {
        for rollup in [1, 7, 8, 9, 901] {
            let request = v1::GetBlockRequest {
                block: Some(v1::get_block_request::Block::Height(height)),
                rollup_id: Some(rollup),
                ..v1::GetBlockRequest::default()
            };
            let response = client.get_block(request).await.unwrap().into_inner();
            let header = response.header.unwrap();
            let result = OrderResult::try_from(header.result.as_ref().unwrap()).unwrap();
            let proof = RollupProof::try_from(header.rollup_proof.as_ref().unwrap()).unwrap();
            assert!(proof.verify(&node.network, &result, RollupId(rollup)));
            match proof {
                RollupProof::Present(proof) => {
                    let ids = super::ids(&response.entries[0].tx_ids);
                    assert_eq!(merkle::root(&ids), proof.leaf.list_root);
                    assert_eq!(response.entries.len(), 1);
                }
                RollupProof::Absent { .. } => assert_eq!(response.entries, []),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_proofs_say_why() {
    use v1::get_inclusion_proof_request::Transaction;
    let node = TestNode::operator(0);
    let ids = history(&node);
    let serving = node.serve().await;
    let tx = transaction(ROLLUPS[0], 9, 1_000, 8);
    let submit = v1::SubmitTransactionRequest {
        transaction: Some(super::message(&tx)),
        wait_ms: 1,
        ..v1::SubmitTransactionRequest::default()
    };
    let mut sequencer = serving.sequencer().await;
    sequencer.submit_transaction(submit).await.unwrap_err();
    let mut client = serving.blocks().await;
    let mut failed = async |transaction| {
        let request = v1::GetInclusionProofRequest { transaction };
        client.get_inclusion_proof(request).await.unwrap_err()
    };
    let by_id = |id: TxId| Some(Transaction::TxId(id.0.to_vec().into()));
    let place = |height, position| {
        Some(Transaction::Position(v1::Position {
            height,
            rollup_id: 7,
            position,
        }))
    };
    let status = failed(by_id(tx.id(&node.network))).await;
    let facts = reason(&status, Code::FailedPrecondition, "NOT_ORDERED");
    assert_eq!(facts["status"], "STATUS_RECEIVED");
    reason(
        &failed(by_id(TxId::ZERO)).await,
        Code::NotFound,
        "UNKNOWN_TX",
    );
    reason(&failed(place(2, 999)).await, Code::NotFound, "UNKNOWN_TX");
    reason(
        &failed(place(3, 0)).await,
        Code::OutOfRange,
        "FUTURE_HEIGHT",
    );
    reason(&failed(None).await, Code::InvalidArgument, "UNDECODABLE");
    node.order_empty_up_to(200);
    node.prune(Height(3));
    reason(&failed(by_id(ids[0])).await, Code::OutOfRange, "PRUNED");
    reason(&failed(place(2, 0)).await, Code::OutOfRange, "PRUNED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_are_found_by_digest_and_by_place_in_their_lane() {
    use v1::get_batch_request::Batch;
    let node = TestNode::operator(0);
    history(&node);
    let unordered = node.batch(2, &[transaction(ROLLUPS[0], 9, 2_000, 8)]);
    let serving = node.serve().await;
    let mut client = serving.blocks().await;
    let mut get = async |batch| client.get_batch(v1::GetBatchRequest { batch }).await;
    let place = |lane, seq| Some(Batch::Position(v1::LanePosition { lane, seq }));
    for (lane, last) in [(0, 1), (2, 4)] {
        for seq in 1..=last {
            let found = get(place(lane, seq)).await.unwrap().into_inner();
            let header = found.header.clone().unwrap().header.unwrap();
            assert_eq!((header.lane, header.seq), (lane, seq));
            let ids = super::ids(&found.tx_ids);
            let root = merkle::root(&ids);
            assert_eq!(header.body_root, root.0.to_vec());
            for (id, bytes) in ids.iter().zip(&found.transactions) {
                let computed = squad_primitives::transaction::id_of_encoded(&node.network, bytes);
                assert_eq!(computed, *id);
            }
            let by_digest = get(Some(Batch::Digest(found.digest.clone()))).await;
            assert_eq!(by_digest.unwrap().into_inner(), found);
        }
    }
    let digest = unordered.digest().0.to_vec();
    get(Some(Batch::Digest(digest.into()))).await.unwrap();
    let missing = get(place(2, 5)).await.unwrap_err();
    reason(&missing, Code::NotFound, "UNKNOWN_BATCH");
    let missing = get(place(77, 1)).await.unwrap_err();
    reason(&missing, Code::NotFound, "UNKNOWN_BATCH");
    let zero = get(place(2, 0)).await.unwrap_err();
    reason(&zero, Code::InvalidArgument, "UNDECODABLE");
}
