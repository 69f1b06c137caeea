//! Pins the wire form of one message of each kind: field numbers and types never change.

use squad_primitives::certificate::CommitProof;
use squad_primitives::message::{ConsensusMessage, LaneMessage, SyncedBlock};
use squad_primitives::*;
use squad_proto::peer::{PeerMessage, encode};
use std::fmt::Write;

const PINNED: &str = include_str!("pinned.txt");

fn at(view: u64) -> ViewId {
    ViewId::new(Epoch(1), View(view))
}

fn tip() -> Tip {
    Tip {
        lane: OperatorId(2),
        seq: BatchSeq(3),
        digest: Digest([4; 32]),
    }
}

fn block() -> Block {
    Block {
        at: at(5),
        height: Height(6),
        parent: BlockRef {
            hash: Digest([7; 32]),
            at: at(8),
        },
        timestamp_ms: 9,
        cut: Cut::new(vec![tip()]),
    }
}

fn certificate() -> Certificate {
    Certificate {
        statement: Statement::commit_vote(at(10), Digest([11; 32])),
        signers: SignerSet::from_bytes(&[12]).unwrap(),
        signatures: vec![Signature([13; 64])],
    }
}

fn poa() -> Poa {
    Poa {
        epoch: Epoch(14),
        tip: tip(),
        signers: SignerSet::from_bytes(&[15]).unwrap(),
        signatures: vec![Signature([16; 64])],
    }
}

fn signed() -> SignedHeader {
    SignedHeader {
        header: BatchHeader {
            epoch: Epoch(17),
            lane: OperatorId(18),
            seq: BatchSeq(19),
            parent: Digest([20; 32]),
            body_root: Digest([21; 32]),
            body_bytes: 22,
            tx_count: 23,
        },
        signature: Signature([24; 64]),
    }
}

fn consensus() -> Vec<(&'static str, ConsensusMessage)> {
    use ConsensusMessage as M;
    let proposal = Proposal {
        at: at(25),
        block: block(),
        leader: OperatorId(26),
        signature: Signature([27; 64]),
        justify: Some(certificate()),
    };
    let vote = Vote {
        statement: Statement::timeout(at(28)),
        signer: OperatorId(29),
        signature: Signature([30; 64]),
    };
    let synced = SyncedBlock {
        block: block(),
        proof: CommitProof {
            certificate: certificate(),
            descendants: vec![block()],
        },
    };
    let (after, up_to) = (at(31), at(32));
    vec![
        ("proposal", M::Proposal(Box::new(proposal))),
        ("vote", M::Vote(vote)),
        ("certificate", M::Certificate(Box::new(certificate()))),
        (
            "certificates_request",
            M::CertificatesRequest { after, up_to },
        ),
        ("certificates", M::Certificates(vec![certificate()])),
        ("block_request", M::BlockRequest(Digest([33; 32]))),
        ("block", M::Block(Box::new(block()))),
        ("sync_request", M::SyncRequest(Height(34))),
        ("sync", M::Sync(vec![synced])),
    ]
}

fn lanes() -> Vec<(&'static str, LaneMessage)> {
    use LaneMessage as M;
    let batch = M::Batch {
        signed: signed(),
        body: vec![35; 3].into(),
        poas: vec![poa()],
    };
    let ack = Ack {
        epoch: Epoch(36),
        tip: tip(),
        signer: OperatorId(37),
        signature: Signature([38; 64]),
    };
    let headers = M::Headers {
        lane: OperatorId(39),
        headers: vec![signed()],
        poa: Some(Box::new(poa())),
    };
    let after = BatchSeq(40);
    vec![
        ("batch", batch),
        ("ack", M::Ack(ack)),
        ("poa", M::Poa(Box::new(poa()))),
        ("lane_status", M::Status(vec![tip()])),
        ("headers_request", M::HeadersRequest { after, tip: tip() }),
        ("headers", headers),
        ("batch_request", M::BatchRequest(Digest([41; 32]))),
    ]
}

#[test]
fn frames_are_the_pinned_ones() {
    let consensus = consensus().into_iter();
    let lanes = lanes().into_iter();
    let messages = consensus
        .map(|(name, message)| (name, PeerMessage::Consensus(message)))
        .chain(lanes.map(|(name, message)| (name, PeerMessage::Lane(message))));
    let mut lines = String::new();
    for (name, message) in messages {
        write!(lines, "{name} ").unwrap();
        for byte in encode(&message) {
            write!(lines, "{byte:02x}").unwrap();
        }
        lines.push('\n');
    }
    for (found, pinned) in lines.lines().zip(PINNED.lines()) {
        assert_eq!(found, pinned);
    }
    assert_eq!(
        lines.lines().count(),
        PINNED.lines().count(),
        "all lines as they are now:\n{lines}"
    );
}
