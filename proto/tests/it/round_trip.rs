//! What is encoded decodes to the same value.

use crate::any;
use proptest::prelude::*;
use squad_proto::peer::observer::{
    decode_block, decode_request, decode_response, encode_block, encode_request, encode_response,
};
use squad_proto::peer::{PeerMessage, decode, encode};

proptest! {
    #[test]
    fn consensus_messages(message in any::consensus()) {
        let decoded = decode(encode(&message));
        prop_assert_eq!(decoded, Ok(PeerMessage::Consensus(message)));
    }

    #[test]
    fn lane_messages(message in any::lane()) {
        let decoded = decode(encode(&message));
        prop_assert_eq!(decoded, Ok(PeerMessage::Lane(message)));
    }

    #[test]
    fn finality_messages(message in any::finality()) {
        let decoded = decode(encode(&message));
        prop_assert_eq!(decoded, Ok(PeerMessage::Finality(message)));
    }

    #[test]
    fn observer_requests(request in any::request()) {
        prop_assert_eq!(decode_request(encode_request(&request)), Ok(request));
    }

    #[test]
    fn observer_responses(response in any::response()) {
        prop_assert_eq!(decode_response(encode_response(&response)), Ok(response));
    }

    #[test]
    fn gossiped_blocks(block in any::followed()) {
        prop_assert_eq!(decode_block(encode_block(&block)), Ok(block));
    }
}
