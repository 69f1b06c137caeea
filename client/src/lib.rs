//! SDK for rollups.
#![forbid(unsafe_code)]

mod backoff;
mod blocks;
mod endpoint;
mod error;
mod stream;

pub use blocks::{BlockStream, Content, RawBlock, StreamError, Subscription};
pub use endpoint::{Endpoint, EndpointError};
pub use error::{RETRY_AFTER_MAX, Refusal};
pub use squad_proto::v1;
pub use stream::{
    Answers, MESSAGE_PAYLOAD_BYTES_MAX, MESSAGE_TRANSACTIONS_MAX, SendError, StreamConfig,
    SubmitSender,
};
