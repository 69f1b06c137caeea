//! A batch body is a slice of the frame that it came in.

use bytes::Bytes;
use squad_primitives::message::LaneMessage;
use squad_primitives::{BatchHeader, BatchSeq, Digest, Epoch, OperatorId, Signature, SignedHeader};
use squad_proto::peer::observer::{Response, decode_response, encode_response};
use squad_proto::peer::{PeerMessage, decode, encode};

fn signed() -> SignedHeader {
    SignedHeader {
        header: BatchHeader {
            epoch: Epoch(1),
            lane: OperatorId(2),
            seq: BatchSeq(3),
            parent: Digest([4; 32]),
            body_root: Digest([5; 32]),
            body_bytes: 100_000,
            tx_count: 6,
        },
        signature: Signature([7; 64]),
    }
}

fn assert_inside(part: &Bytes, whole: &Bytes) {
    let (part, whole) = (part.as_ptr_range(), whole.as_ptr_range());
    assert!(whole.start <= part.start && part.end <= whole.end);
}

#[test]
fn in_a_frame_between_operators() {
    let frame = encode(&LaneMessage::Batch {
        signed: signed(),
        body: vec![9; 100_000].into(),
        poas: Vec::new(),
    });
    let Ok(PeerMessage::Lane(LaneMessage::Batch { body, .. })) = decode(frame.clone()) else {
        panic!("no batch");
    };
    assert_inside(&body, &frame);
}

#[test]
fn in_an_answer_to_an_observer() {
    let bytes = encode_response(&Response::Batch {
        signed: signed(),
        body: vec![9; 100_000].into(),
    });
    let Ok(Response::Batch { body, .. }) = decode_response(bytes.clone()) else {
        panic!("no batch");
    };
    assert_inside(&body, &bytes);
}
