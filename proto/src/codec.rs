//! How a server reads requests and writes responses.
//!
//! Like tonic's own codec, with three differences. The number of transactions in a message is checked
//! before anything is decoded: a message of 4 MiB could otherwise name two million empty ones and make
//! the server reserve a hundred megabytes. A request that can't be read is the caller's mistake,
//! `INVALID_ARGUMENT` with a reason, not an internal error. And a large response gets its room at once
//! instead of growing, and being copied, many times.

use crate::reason::{DOMAIN, Reason};
use crate::shape::{LEAF, LimitError, Shape, many, one};
use crate::v1;
use bytes::{Buf, Bytes};
use prost::Message;
use std::any::TypeId;
use std::collections::HashMap;
use std::marker::PhantomData;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// Most transactions in one message of `SubmitTransactionBatch` and `SubmitTransactionStream`.
pub const TRANSACTIONS_PER_MESSAGE: usize = 1_000;

static SUBMIT_ONE: Shape = Shape {
    name: "SubmitTransactionRequest",
    fields: &[one(1, "transaction", &LEAF)],
};
static SUBMIT_MANY: Shape = Shape {
    name: "SubmitTransactionBatchRequest",
    fields: &[many(1, "transactions", &LEAF, TRANSACTIONS_PER_MESSAGE, 0)],
};
static SUBMIT_STREAM: Shape = Shape {
    name: "SubmitTransactionStreamRequest",
    fields: &[many(1, "transactions", &LEAF, TRANSACTIONS_PER_MESSAGE, 0)],
};

/// Shape of a request. The others hold no messages in lists, so their memory is bounded by their bytes.
fn shape_of<U: 'static>() -> &'static Shape {
    let request = TypeId::of::<U>();
    if request == TypeId::of::<v1::SubmitTransactionRequest>() {
        &SUBMIT_ONE
    } else if request == TypeId::of::<v1::SubmitTransactionBatchRequest>() {
        &SUBMIT_MANY
    } else if request == TypeId::of::<v1::SubmitTransactionStreamRequest>() {
        &SUBMIT_STREAM
    } else {
        &LEAF
    }
}

/// Decodes a request that fills `bytes`; its byte fields share their memory.
///
/// # Errors
/// `INVALID_ARGUMENT` with reason `TOO_LARGE` for too many transactions, `UNDECODABLE` for the rest.
pub fn decode_request<U: Message + Default + 'static>(bytes: Bytes) -> Result<U, Status> {
    shape_of::<U>().check(&bytes).map_err(broken_limit)?;
    U::decode(bytes).map_err(|error| {
        let details = details(Reason::Undecodable, HashMap::new());
        Status::with_error_details(Code::InvalidArgument, error.to_string(), details)
    })
}

fn broken_limit(error: LimitError) -> Status {
    let message = error.to_string();
    let (mut details, field) = match error {
        LimitError::TooMany { field, limit } if limit > 1 => {
            let metadata = HashMap::from([("limit".into(), limit.to_string())]);
            (details(Reason::TooLarge, metadata), Some(field))
        }
        LimitError::TooMany { field, .. } | LimitError::TooShort { field, .. } => {
            (details(Reason::Undecodable, HashMap::new()), Some(field))
        }
        LimitError::Malformed { .. } => (details(Reason::Undecodable, HashMap::new()), None),
    };
    if let Some(field) = field {
        details.add_bad_request_violation(field, message.as_str());
    }
    Status::with_error_details(Code::InvalidArgument, message, details)
}

fn details(reason: Reason, metadata: HashMap<String, String>) -> ErrorDetails {
    ErrorDetails::with_error_info(reason.as_str(), DOMAIN, metadata)
}

/// Codec of the generated servers.
#[derive(Clone, Copy, Debug)]
pub struct ServerCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for ServerCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for ServerCodec<T, U>
where
    T: Message + 'static,
    U: Message + Default + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ResponseEncoder<T>;
    type Decoder = RequestDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ResponseEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        RequestDecoder(PhantomData)
    }
}

/// Writes responses.
#[derive(Clone, Copy, Debug)]
pub struct ResponseEncoder<T>(PhantomData<T>);

impl<T: Message> Encoder for ResponseEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(item.encoded_len());
        item.encode(buffer)
            .map_err(|error| Status::internal(error.to_string()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

/// Reads requests.
#[derive(Clone, Copy, Debug)]
pub struct RequestDecoder<U>(PhantomData<U>);

impl<U: Message + Default + 'static> Decoder for RequestDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // Splits the buffer off the connection's without copying.
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        decode_request(bytes).map(Some)
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream_of(count: usize) -> Bytes {
        let request = v1::SubmitTransactionStreamRequest {
            transactions: vec![v1::StreamTransaction::default(); count],
            want_receipt: false,
        };
        request.encode_to_vec().into()
    }

    #[test]
    fn the_number_of_transactions_is_limited_before_decoding() {
        type Request = v1::SubmitTransactionStreamRequest;
        let legal: Request = decode_request(stream_of(1_000)).unwrap();
        assert_eq!(legal.transactions.len(), 1_000);

        let status = decode_request::<Request>(stream_of(1_001)).unwrap_err();
        let info = status.get_details_error_info().unwrap();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(info.reason, "TOO_LARGE");
        assert_eq!(info.domain, "squad.v1");
        assert_eq!(info.metadata["limit"], "1000");
        let violations = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!(violations[0].field, "transactions");
    }

    #[test]
    fn undecodable_requests_are_the_callers_mistake() {
        let malformed = Bytes::from_static(&[0x0a, 0xff]);
        let wrong_type = Bytes::from_static(&[0x08, 0x01]);
        for bytes in [malformed, wrong_type] {
            let status = decode_request::<v1::SubmitTransactionRequest>(bytes).unwrap_err();
            let info = status.get_details_error_info().unwrap();
            assert_eq!(status.code(), Code::InvalidArgument);
            assert_eq!(info.reason, "UNDECODABLE");
        }
    }
}
