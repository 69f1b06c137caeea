//! Each limit of the peer protocol is refused with an error that names field and limit, before memory is
//! spent on it.

use bytes::Bytes;
use prost::Message as _;
use squad_primitives::message::{ConsensusMessage, LaneMessage};
use squad_primitives::{
    BatchSeq, Digest, OperatorId, Signature, Statement, Tip, View, ViewId, Vote,
};
use squad_primitives::{Block, BlockRef, Cut, Epoch, Height};
use squad_proto::convert::{ConvertError, Problem};
use squad_proto::peer::v1::{self, frame::Message};
use squad_proto::peer::{DecodeError, decode, encode};
use squad_proto::{LimitError, v1 as client};

fn frame(message: Message) -> Bytes {
    let frame = v1::Frame {
        message: Some(message),
    };
    frame.encode_to_vec().into()
}

/// A message by its key and the raw content of the frame's field.
fn raw(tag: u64, content: &[u8]) -> Bytes {
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(tag << 3 | 2, &mut bytes);
    prost::encoding::encode_varint(content.len() as u64, &mut bytes);
    bytes.extend_from_slice(content);
    bytes.into()
}

fn tip(lane: u32) -> Tip {
    Tip {
        lane: OperatorId(lane),
        seq: BatchSeq(1),
        digest: Digest([1; 32]),
    }
}

fn block() -> Block {
    Block {
        at: ViewId::new(Epoch(1), View(2)),
        height: Height(3),
        parent: BlockRef::genesis(Digest([4; 32])),
        timestamp_ms: 5,
        cut: Cut::new(vec![tip(1), tip(2)]),
    }
}

fn vote() -> Vote {
    Vote {
        statement: Statement::vote(ViewId::new(Epoch(1), View(2)), Digest([3; 32])),
        signer: OperatorId(4),
        signature: Signature([5; 64]),
    }
}

fn refused(field: &'static str, problem: Problem) -> Option<DecodeError> {
    Some(ConvertError { field, problem }.into())
}

#[test]
fn lists_above_their_limit() {
    let tips = vec![client::Tip::from(&tip(1)); 257];
    let limit = |field, limit| Some(LimitError::TooMany { field, limit }.into());
    let status = frame(Message::LaneStatus(v1::LaneStatus { tips: tips.clone() }));
    assert_eq!(decode(status).err(), limit("tips", 256));

    let mut wide = client::Block::from(&block());
    wide.cut = tips;
    assert_eq!(decode(frame(Message::Block(wide))).err(), limit("cut", 256));

    let certificate = client::Certificate {
        statement: Some((&vote().statement).into()),
        ..Default::default()
    };
    let certificates = vec![certificate; 17];
    let certificates = frame(Message::Certificates(v1::Certificates { certificates }));
    assert_eq!(decode(certificates).err(), limit("certificates", 16));
}

/// 64 Ki tips of two bytes each would become three megabytes of memory, were they decoded first.
#[test]
fn items_that_cost_more_memory_than_bytes() {
    let empty_tips = [0x0a, 0x00].repeat(10);
    let refused = LimitError::TooShort {
        field: "tips",
        found: 0,
        minimum: 34,
    };
    assert_eq!(decode(raw(19, &empty_tips)).err(), Some(refused.into()));
}

/// prost would merge the two and so join their lists beyond a limit.
#[test]
fn a_singular_message_that_occurs_twice() {
    let once = frame(Message::Block((&block()).into()));
    let twice: Bytes = [&once[..], &once[..]].concat().into();
    let refused = LimitError::TooMany {
        field: "block",
        limit: 1,
    };
    assert_eq!(decode(twice).err(), Some(refused.into()));
}

#[test]
fn a_length_beyond_the_input() {
    let mut bytes = vec![16 << 3 | 2];
    bytes[0] = 0x82;
    bytes.extend([0x01, 0xff, 0xff, 0xff, 0xff, 0x0f]);
    let refused = LimitError::Malformed { message: "Frame" };
    assert_eq!(decode(bytes.into()).err(), Some(refused.into()));
}

#[test]
fn wrong_lengths_of_digests_and_signatures() {
    let request = frame(Message::BatchRequest(v1::BatchRequest {
        digest: Bytes::from_static(&[1; 31]),
    }));
    let length = |found, expected| Problem::Length { found, expected };
    assert_eq!(decode(request).err(), refused("digest", length(31, 32)));

    let mut short = v1::Vote::from(&vote());
    short.signature.truncate(63);
    let short = frame(Message::Vote(short));
    assert_eq!(decode(short).err(), refused("signature", length(63, 64)));
}

#[test]
fn unknown_kinds() {
    for kind in [0, 4] {
        let mut message = v1::Vote::from(&vote());
        message.statement.as_mut().unwrap().kind = kind;
        let found = decode(frame(Message::Vote(message))).err();
        assert_eq!(found, refused("kind", Problem::UnknownValue(kind)));
    }
    assert_eq!(decode(Bytes::new()).err(), Some(DecodeError::Unknown));
    assert_eq!(decode(raw(99, b"later")).err(), Some(DecodeError::Unknown));
}

#[test]
fn statements_that_name_a_block_although_they_are_timeouts_or_none_although_they_vote() {
    for (statement, block) in [
        (Statement::timeout(ViewId::default()), [1; 32]),
        (vote().statement, [0; 32]),
    ] {
        let statement = Statement {
            block: Digest(block),
            ..statement
        };
        let message = ConsensusMessage::Vote(Vote {
            statement,
            ..vote()
        });
        let found = decode(encode(&message)).err();
        assert_eq!(found, refused("block", Problem::NotCanonical));
    }
}

#[test]
fn cuts_out_of_order() {
    let tips = |list: &[Tip]| list.iter().map(client::Tip::from).collect::<Vec<_>>();
    let zero = Tip {
        seq: BatchSeq::ZERO,
        ..tip(1)
    };
    for cut in [
        tips(&[tip(2), tip(1)]),
        tips(&[tip(1), tip(1)]),
        tips(&[zero]),
    ] {
        let mut message = client::Block::from(&block());
        message.cut = cut;
        let found = decode(frame(Message::Block(message))).err();
        assert_eq!(found, refused("cut", Problem::NotCanonical));
    }
}

#[test]
fn signer_sets_in_another_form() {
    let certificate = |signers: &'static [u8], signatures: &'static [u8]| {
        frame(Message::Certificate(client::Certificate {
            statement: Some((&vote().statement).into()),
            signers: Bytes::from_static(signers),
            signatures: Bytes::from_static(signatures),
        }))
    };
    for signers in [&[1, 0][..], &[1; 17]] {
        let found = decode(certificate(signers, &[])).err();
        assert_eq!(found, refused("signers", Problem::NotCanonical));
    }
    let ragged = Problem::Ragged {
        found: 65,
        unit: 64,
    };
    let found = decode(certificate(&[1], &[0; 65])).err();
    assert_eq!(found, refused("signatures", ragged));
    let too_many = Problem::TooMany {
        found: 129,
        limit: 128,
    };
    let found = decode(certificate(&[1], &[0; 129 * 64])).err();
    assert_eq!(found, refused("signatures", too_many));
}

/// Neighbouring versions talk to each other: a field that a later one adds is skipped.
#[test]
fn unknown_fields_are_skipped() {
    let message = LaneMessage::BatchRequest(Digest([1; 32]));
    let mut bytes = encode(&message).to_vec();
    bytes.extend_from_slice(&raw(99, b"later"));
    assert!(decode(bytes.into()).is_ok());
}

#[test]
fn finality_messages_above_their_limit() {
    let refuse = |bytes: usize| {
        let encoded = Bytes::from(vec![7; bytes]);
        decode(frame(Message::FinalityCertificate(
            v1::FinalityCertificate { encoded },
        )))
        .err()
    };
    assert_eq!(refuse(256), None);
    let problem = Problem::TooMany {
        found: 257,
        limit: 256,
    };
    assert_eq!(refuse(257), refused("encoded", problem));
}
