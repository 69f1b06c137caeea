//! Bytes from strangers never panic a decoder, whether they are noise or a damaged message. What a
//! decoder accepts, it can encode and read again.

use crate::any;
use bytes::Bytes;
use proptest::prelude::*;
use squad_proto::peer::observer::{
    decode_block, decode_request, decode_response, encode_block, encode_request, encode_response,
};
use squad_proto::peer::{decode, encode};

fn feed(bytes: Vec<u8>) {
    let bytes = Bytes::from(bytes);
    if let Ok(message) = decode(bytes.clone()) {
        assert_eq!(decode(encode(&message)), Ok(message));
    }
    if let Ok(request) = decode_request(bytes.clone()) {
        assert_eq!(decode_request(encode_request(&request)), Ok(request));
    }
    if let Ok(response) = decode_response(bytes.clone()) {
        assert_eq!(decode_response(encode_response(&response)), Ok(response));
    }
    if let Ok(block) = decode_block(bytes) {
        assert_eq!(decode_block(encode_block(&block)), Ok(block));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn noise(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        feed(bytes);
    }

    #[test]
    fn damaged_consensus_messages(
        message in any::consensus(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = encode(&message).to_vec();
        for (index, byte) in damage {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        feed(bytes);
    }

    #[test]
    fn damaged_lane_messages(
        message in any::lane(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = encode(&message).to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        feed(bytes);
    }

    #[test]
    fn cut_responses(response in any::response(), at in any::<prop::sample::Index>()) {
        let bytes = encode_response(&response);
        let cut = at.index(bytes.len());
        feed(bytes[..cut].to_vec());
    }
}
