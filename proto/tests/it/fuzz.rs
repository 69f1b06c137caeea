//! Bytes from strangers never panic a decoder nor make it hold more memory than they justify, whether
//! they are noise or a damaged message. What a decoder accepts is a canonical value: it can be encoded,
//! read again, and hashed or signed in one way only. (Protobuf bytes themselves are never hashed, so
//! unknown fields and other forms of one value are harmless.)

use crate::any;
use bytes::Bytes;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use prost::Message;
use squad_fuzz::{Bound, bounded, damage_protobuf, hostile, run};
use squad_primitives::certificate::CommitProof;
use squad_primitives::codec::{self, Decode, Encode};
use squad_primitives::message::{ConsensusMessage, LaneMessage, SyncedBlock};
use squad_primitives::order::{LeafProof, OrderResult, RollupLeaf, RollupProof};
use squad_primitives::*;
use squad_proto::peer::observer::{
    FollowedBlock, Request, Response, decode_block, decode_request, decode_response, encode_block,
    encode_request, encode_response,
};
use squad_proto::peer::{PeerMessage, decode, encode};
use squad_proto::v1;
use std::fmt::Debug;

/// Messages that the damage starts from; the same in every run.
const CORPUS: usize = 200;

fn corpus<T>(values: impl Strategy<Value = T>, encode: impl Fn(T) -> Vec<u8>) -> Vec<Vec<u8>> {
    let mut runner = TestRunner::deterministic();
    let mut value = || values.new_tree(&mut runner).unwrap().current();
    (0..CORPUS).map(|_| encode(value())).collect()
}

/// Feeds damaged messages; `decode` returns what was accepted.
fn target<T>(
    name: &str,
    valid: &[Vec<u8>],
    decode: impl Fn(Bytes) -> Option<T>,
    judge: impl Fn(T),
) {
    run(name, |u| {
        let input = Bytes::from(hostile(u, valid, damage_protobuf)?);
        let decoded = bounded(Bound::PROTOBUF, input.len(), || decode(input.clone()));
        Ok(decoded.map(&judge).is_some())
    });
}

/// What is hashed or signed of the value has one form.
fn canonical<T: Encode + Decode + PartialEq + Debug>(value: &T) {
    let bytes = value.to_bytes();
    assert_eq!(codec::decode::<T>(&bytes).as_ref(), Ok(value));
}

fn canonical_all<T: Encode + Decode + PartialEq + Debug>(values: &[T]) {
    values.iter().for_each(canonical);
}

fn canonical_synced(synced: &SyncedBlock) {
    canonical(&synced.block);
    canonical(&synced.proof);
}

fn canonical_peer(message: &PeerMessage) {
    use ConsensusMessage as C;
    use LaneMessage as L;
    match message {
        PeerMessage::Consensus(message) => match message {
            C::Proposal(proposal) => canonical(&**proposal),
            C::Vote(vote) => canonical(vote),
            C::Certificate(certificate) => canonical(&**certificate),
            C::Certificates(certificates) => canonical_all(certificates),
            C::Block(block) => canonical(&**block),
            C::Sync(blocks) => blocks.iter().for_each(canonical_synced),
            C::CertificatesRequest { .. } | C::BlockRequest(_) | C::SyncRequest(_) => {}
        },
        PeerMessage::Lane(message) => match message {
            L::Batch { signed, poas, .. } => {
                canonical(signed);
                canonical_all(poas);
            }
            L::Ack(ack) => canonical(ack),
            L::Poa(poa) => canonical(&**poa),
            L::Status(tips) => canonical_all(tips),
            L::Headers { headers, poa, .. } => {
                canonical_all(headers);
                poa.iter().for_each(|poa| canonical(&**poa));
            }
            L::HeadersRequest { tip, .. } => canonical(tip),
            L::BatchRequest(digest) => canonical(digest),
        },
        // Opaque here; squad-mach decodes them.
        PeerMessage::Finality(_) => {}
    }
}

fn judge_peer(message: PeerMessage) {
    canonical_peer(&message);
    let bytes = encode(&message);
    assert_eq!(decode(bytes.clone()).as_ref(), Ok(&message));
    assert_eq!(encode(&decode(bytes.clone()).unwrap()), bytes);
}

#[test]
fn messages_of_finality() {
    let valid = corpus(any::finality(), |message| encode(&message).into());
    target(
        "messages of finality",
        &valid,
        |bytes| decode(bytes).ok(),
        judge_peer,
    );
}

#[test]
fn messages_of_consensus() {
    let valid = corpus(any::consensus(), |message| encode(&message).into());
    target(
        "messages of consensus",
        &valid,
        |bytes| decode(bytes).ok(),
        judge_peer,
    );
}

#[test]
fn messages_of_lanes() {
    let valid = corpus(any::lane(), |message| encode(&message).into());
    target(
        "messages of lanes",
        &valid,
        |bytes| decode(bytes).ok(),
        judge_peer,
    );
}

#[test]
fn requests_of_observers() {
    let valid = corpus(any::request(), |request| encode_request(&request).into());
    let judge = |request: Request| {
        assert_eq!(
            decode_request(encode_request(&request)).as_ref(),
            Ok(&request)
        );
    };
    target(
        "requests of observers",
        &valid,
        |bytes| decode_request(bytes).ok(),
        judge,
    );
}

fn canonical_followed(block: &FollowedBlock) {
    canonical_synced(&block.synced);
    canonical_all(&block.headers);
    block.result.iter().for_each(canonical);
}

#[test]
fn responses_to_observers() {
    let valid = corpus(any::response(), |response| {
        encode_response(&response).into()
    });
    let judge = |response: Response| {
        if let Response::Blocks(blocks) = &response {
            blocks.iter().for_each(canonical_followed);
        }
        let again = decode_response(encode_response(&response));
        assert_eq!(again.as_ref(), Ok(&response));
    };
    target(
        "responses to observers",
        &valid,
        |bytes| decode_response(bytes).ok(),
        judge,
    );
}

#[test]
fn gossiped_blocks() {
    let valid = corpus(any::followed(), |block| encode_block(&block).into());
    let judge = |block: FollowedBlock| {
        canonical_followed(&block);
        assert_eq!(decode_block(encode_block(&block)).as_ref(), Ok(&block));
    };
    target(
        "gossiped blocks",
        &valid,
        |bytes| decode_block(bytes).ok(),
        judge,
    );
}

/// A message of the public API as a client reads it, and the value it stands for. There and back gives
/// the same value.
fn conversion<M, T>(
    name: &str,
    values: impl Strategy<Value = T>,
    to: impl Fn(&T) -> M,
    from: impl Fn(M) -> Option<T>,
    judge: impl Fn(&T),
) where
    M: Message + Default,
    T: PartialEq + Debug,
{
    let valid = corpus(values, |value| to(&value).encode_to_vec());
    run(name, |u| {
        let input = hostile(u, &valid, damage_protobuf)?;
        let Some(value) = M::decode(&*input).ok().and_then(&from) else {
            return Ok(false);
        };
        judge(&value);
        assert_eq!(from(to(&value)).as_ref(), Some(&value));
        Ok(true)
    });
}

macro_rules! conversions {
    ($($test:ident: $type:ty, $values:expr, $message:ty, $judge:expr;)*) => {$(
        #[test]
        fn $test() {
            conversion(
                stringify!($test),
                $values,
                |value: &$type| <$message>::from(value),
                |message| <$type>::try_from(&message).ok(),
                $judge,
            );
        }
    )*};
}

conversions! {
    conversion_of_votes: Statement, any::vote().prop_map(|vote| vote.statement), v1::Statement, canonical;
    conversion_of_certificates: Certificate, any::certificate(), v1::Certificate, canonical;
    conversion_of_commit_proofs: CommitProof, any::commit_proof(), v1::CommitProof, canonical;
    conversion_of_blocks: Block, any::block(), v1::Block, canonical;
    conversion_of_tips: Tip, any::tip(), v1::Tip, canonical;
    conversion_of_views: ViewId, any::view_id(), v1::ViewId, canonical;
    conversion_of_headers: SignedHeader, any::signed_header(), v1::SignedHeader, canonical;
    conversion_of_poas: Poa, any::poa(), v1::Poa, canonical;
    conversion_of_results: OrderResult, any::result(), v1::OrderResult, canonical;
    conversion_of_attestations: (OperatorId, Signature), (any::tip(), any::signature()).prop_map(|(tip, signature)| (tip.lane, signature)), v1::Attestation, |_| {};
    conversion_of_leaves: RollupLeaf, any::leaf_proof().prop_map(|proof| proof.leaf), v1::RollupLeaf, canonical;
    conversion_of_leaf_proofs: LeafProof, any::leaf_proof(), v1::LeafProof, |proof| {
        canonical(&proof.path);
        let _ = proof.path.root(&proof.leaf.list_root);
    };
    conversion_of_rollup_proofs: RollupProof, any::rollup_proof(), v1::RollupProof, |_| {};
}

#[test]
fn conversion_of_transactions() {
    conversion(
        "conversion_of_transactions",
        any::transaction(),
        |value| v1::Transaction::from(value.clone()),
        |message| Transaction::try_from(message).ok(),
        |value| {
            let bytes = Bytes::from(value.to_bytes());
            assert_eq!(Transaction::read_from(&bytes).as_ref(), Ok(value));
        },
    );
}

/// Requests of the public API, through the checks that a server makes before it decodes.
#[cfg(feature = "services")]
mod requests {
    use super::*;
    use squad_proto::codec::{TRANSACTIONS_PER_MESSAGE, decode_request};

    /// A legal message may name this many empty transactions, and a list that grows holds up to three
    /// times its items for a moment.
    const BOUND: Bound = Bound {
        factor: Bound::PROTOBUF.factor,
        slack: Bound::PROTOBUF.slack
            + 3 * TRANSACTIONS_PER_MESSAGE * size_of::<v1::StreamTransaction>(),
    };

    fn request<M: Message + Default + 'static>(name: &str, valid: &[Vec<u8>]) {
        run(name, |u| {
            let input = Bytes::from(hostile(u, valid, damage_protobuf)?);
            let decoded = bounded(BOUND, input.len(), || decode_request::<M>(input.clone()));
            Ok(decoded.is_ok())
        });
    }

    #[test]
    fn submitted_batches() {
        let transactions = proptest::collection::vec(any::transaction(), 0..20);
        let valid = corpus(transactions, |transactions| {
            let transactions = transactions.into_iter().map(Into::into).collect();
            let request = v1::SubmitTransactionBatchRequest {
                transactions,
                ..Default::default()
            };
            request.encode_to_vec()
        });
        request::<v1::SubmitTransactionBatchRequest>("submitted batches", &valid);
    }

    #[test]
    fn submitted_streams() {
        let transactions = proptest::collection::vec(any::transaction(), 0..20);
        let valid = corpus(transactions, |transactions| {
            let numbered = transactions.into_iter().zip(0_u64..);
            let transactions = numbered.map(|(transaction, client_seq)| {
                let transaction = v1::Transaction::from(transaction);
                v1::StreamTransaction {
                    client_seq,
                    rollup_id: transaction.rollup_id,
                    payload: transaction.payload,
                    kind: transaction.kind,
                    expiry_height: transaction.expiry_height,
                }
            });
            let request = v1::SubmitTransactionStreamRequest {
                transactions: transactions.collect(),
                ..Default::default()
            };
            request.encode_to_vec()
        });
        request::<v1::SubmitTransactionStreamRequest>("submitted streams", &valid);
    }

    #[test]
    fn submitted_transactions() {
        let valid = corpus(any::transaction(), |transaction| {
            let request = v1::SubmitTransactionRequest {
                transaction: Some(transaction.into()),
                ..Default::default()
            };
            request.encode_to_vec()
        });
        request::<v1::SubmitTransactionRequest>("submitted transactions", &valid);
    }
}
