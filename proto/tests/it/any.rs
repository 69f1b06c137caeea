//! Strategies for every type that has a protobuf form. Values are well-formed, not verified.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use squad_primitives::certificate::CommitProof;
use squad_primitives::merkle::Path;
use squad_primitives::message::{
    ConsensusMessage, FINALITY_BYTES_MAX, FinalityMessage, LaneMessage, SyncedBlock,
};
use squad_primitives::order::{LeafProof, OrderResult, RollupLeaf, RollupProof};
use squad_primitives::*;
use squad_proto::peer::observer::{FollowedBlock, Request, Response};

pub(crate) fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest)
}

pub(crate) fn signature() -> impl Strategy<Value = Signature> {
    any::<[u8; 32]>().prop_map(|half| {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&half);
        bytes[32..].copy_from_slice(&half);
        Signature(bytes)
    })
}

pub(crate) fn view_id() -> impl Strategy<Value = ViewId> {
    (any::<u64>(), any::<u64>()).prop_map(|(epoch, view)| ViewId::new(Epoch(epoch), View(view)))
}

fn operator() -> impl Strategy<Value = OperatorId> {
    any::<u32>().prop_map(OperatorId)
}

pub(crate) fn tip() -> impl Strategy<Value = Tip> {
    (operator(), 1..=u64::MAX, digest()).prop_map(|(lane, seq, digest)| Tip {
        lane,
        seq: BatchSeq(seq),
        digest,
    })
}

fn block_ref() -> impl Strategy<Value = BlockRef> {
    (digest(), view_id()).prop_map(|(hash, at)| BlockRef { hash, at })
}

pub(crate) fn block() -> impl Strategy<Value = Block> {
    let cut = vec(tip(), 0..6).prop_map(Cut::new);
    (view_id(), any::<u64>(), block_ref(), any::<u64>(), cut).prop_map(
        |(at, height, parent, timestamp_ms, cut)| Block {
            at,
            height: Height(height),
            parent,
            timestamp_ms,
            cut,
        },
    )
}

fn statement() -> impl Strategy<Value = Statement> {
    let named = digest().prop_filter("zero means none", |hash| !hash.is_zero());
    (view_id(), named, 0..3_u8).prop_map(|(at, hash, kind)| match kind {
        0 => Statement::vote(at, hash),
        1 => Statement::timeout(at),
        _ => Statement::commit_vote(at, hash),
    })
}

pub(crate) fn vote() -> impl Strategy<Value = Vote> {
    (statement(), operator(), signature()).prop_map(|(statement, signer, signature)| Vote {
        statement,
        signer,
        signature,
    })
}

fn signers() -> impl Strategy<Value = SignerSet> {
    vec(any::<u8>(), 0..=16).prop_map(|mut bits| {
        while bits.last() == Some(&0) {
            bits.pop();
        }
        SignerSet::from_bytes(&bits).unwrap()
    })
}

pub(crate) fn certificate() -> impl Strategy<Value = Certificate> {
    (statement(), signers(), vec(signature(), 0..5)).prop_map(|(statement, signers, signatures)| {
        Certificate {
            statement,
            signers,
            signatures,
        }
    })
}

pub(crate) fn commit_proof() -> impl Strategy<Value = CommitProof> {
    (certificate(), vec(block(), 0..3)).prop_map(|(certificate, descendants)| CommitProof {
        certificate,
        descendants,
    })
}

fn proposal() -> impl Strategy<Value = Proposal> {
    let justify = option::of(certificate());
    (view_id(), block(), operator(), signature(), justify).prop_map(
        |(at, block, leader, signature, justify)| Proposal {
            at,
            block,
            leader,
            signature,
            justify,
        },
    )
}

fn synced() -> impl Strategy<Value = SyncedBlock> {
    (block(), commit_proof()).prop_map(|(block, proof)| SyncedBlock { block, proof })
}

pub(crate) fn signed_header() -> impl Strategy<Value = SignedHeader> {
    let numbers = (any::<u64>(), operator(), any::<u64>());
    let sizes = (any::<u32>(), any::<u32>());
    (numbers, digest(), digest(), sizes, signature()).prop_map(
        |((epoch, lane, seq), parent, body_root, (body_bytes, tx_count), signature)| SignedHeader {
            header: BatchHeader {
                epoch: Epoch(epoch),
                lane,
                seq: BatchSeq(seq),
                parent,
                body_root,
                body_bytes,
                tx_count,
            },
            signature,
        },
    )
}

pub(crate) fn poa() -> impl Strategy<Value = Poa> {
    (any::<u64>(), tip(), signers(), vec(signature(), 0..5)).prop_map(
        |(epoch, tip, signers, signatures)| Poa {
            epoch: Epoch(epoch),
            tip,
            signers,
            signatures,
        },
    )
}

fn ack() -> impl Strategy<Value = Ack> {
    (any::<u64>(), tip(), operator(), signature()).prop_map(|(epoch, tip, signer, signature)| Ack {
        epoch: Epoch(epoch),
        tip,
        signer,
        signature,
    })
}

fn body() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

pub(crate) fn consensus() -> impl Strategy<Value = ConsensusMessage> {
    use ConsensusMessage as M;
    prop_oneof![
        proposal().prop_map(|proposal| M::Proposal(Box::new(proposal))),
        vote().prop_map(M::Vote),
        certificate().prop_map(|certificate| M::Certificate(Box::new(certificate))),
        (view_id(), view_id()).prop_map(|(after, up_to)| M::CertificatesRequest { after, up_to }),
        vec(certificate(), 0..4).prop_map(M::Certificates),
        digest().prop_map(M::BlockRequest),
        block().prop_map(|block| M::Block(Box::new(block))),
        any::<u64>().prop_map(|height| M::SyncRequest(Height(height))),
        vec(synced(), 0..3).prop_map(M::Sync),
    ]
}

pub(crate) fn lane() -> impl Strategy<Value = LaneMessage> {
    use LaneMessage as M;
    let headers = (operator(), vec(signed_header(), 0..4), option::of(poa()));
    prop_oneof![
        (signed_header(), body(), vec(poa(), 0..=4)).prop_map(|(signed, body, poas)| M::Batch {
            signed,
            body,
            poas
        }),
        ack().prop_map(M::Ack),
        poa().prop_map(|poa| M::Poa(Box::new(poa))),
        vec(tip(), 0..6).prop_map(M::Status),
        (any::<u64>(), tip()).prop_map(|(after, tip)| M::HeadersRequest {
            after: BatchSeq(after),
            tip
        }),
        headers.prop_map(|(lane, headers, poa)| M::Headers {
            lane,
            headers,
            poa: poa.map(Box::new)
        }),
        digest().prop_map(M::BatchRequest),
    ]
}

pub(crate) fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        any::<u64>().prop_map(|from| Request::Blocks { from: Height(from) }),
        (any::<u64>(), tip()).prop_map(|(after, tip)| Request::Headers {
            after: BatchSeq(after),
            tip
        }),
        digest().prop_map(Request::Batch),
    ]
}

pub(crate) fn followed() -> impl Strategy<Value = FollowedBlock> {
    let attestations = vec((operator(), signature()), 0..4);
    let headers = vec(signed_header(), 0..4);
    (synced(), headers, option::of(result()), attestations).prop_map(
        |(synced, headers, result, attestations)| FollowedBlock {
            synced,
            headers,
            result,
            attestations,
        },
    )
}

pub(crate) fn response() -> impl Strategy<Value = Response> {
    let headers = (operator(), vec(signed_header(), 0..4), option::of(poa()));
    prop_oneof![
        vec(followed(), 0..3).prop_map(Response::Blocks),
        headers.prop_map(|(lane, headers, poa)| Response::Headers {
            lane,
            headers,
            poa: poa.map(Box::new)
        }),
        (signed_header(), body()).prop_map(|(signed, body)| Response::Batch { signed, body }),
        (any::<u64>(), any::<u64>()).prop_map(|(earliest, head)| Response::Missing {
            earliest: Height(earliest),
            head: Height(head)
        }),
    ]
}

pub(crate) fn result() -> impl Strategy<Value = OrderResult> {
    let numbers = (any::<u64>(), any::<u64>(), any::<u32>(), any::<u32>());
    (numbers, digest(), digest()).prop_map(
        |((epoch, height, rollup_count, tx_count), block, order_root)| OrderResult {
            epoch: Epoch(epoch),
            height: Height(height),
            block,
            order_root,
            rollup_count,
            tx_count,
        },
    )
}

pub(crate) fn leaf_proof() -> impl Strategy<Value = LeafProof> {
    let leaf = (any::<u64>(), any::<u64>(), any::<u32>(), digest());
    let path = (any::<u32>(), any::<u32>(), vec(digest(), 0..=32));
    (leaf, path).prop_map(
        |((rollup, number, tx_count, list_root), (index, count, siblings))| LeafProof {
            leaf: RollupLeaf {
                rollup: RollupId(rollup),
                number,
                tx_count,
                list_root,
            },
            path: Path {
                index,
                count,
                siblings,
            },
        },
    )
}

pub(crate) fn rollup_proof() -> impl Strategy<Value = RollupProof> {
    let absence = (option::of(leaf_proof()), option::of(leaf_proof()));
    prop_oneof![
        leaf_proof().prop_map(RollupProof::Present),
        absence.prop_map(|(before, after)| RollupProof::Absent { before, after }),
    ]
}

pub(crate) fn transaction() -> impl Strategy<Value = Transaction> {
    (any::<u64>(), any::<u64>(), any::<bool>(), body()).prop_map(
        |(rollup, expiry, sealed, payload)| Transaction {
            rollup: RollupId(rollup),
            expiry: Height(expiry),
            kind: if sealed {
                TxKind::Sealed
            } else {
                TxKind::Plain
            },
            payload,
        },
    )
}

pub(crate) fn finality() -> impl Strategy<Value = FinalityMessage> {
    (any::<bool>(), vec(any::<u8>(), 0..=FINALITY_BYTES_MAX)).prop_map(|(attestation, bytes)| {
        if attestation {
            FinalityMessage::Attestation(bytes.into())
        } else {
            FinalityMessage::Certificate(bytes.into())
        }
    })
}
