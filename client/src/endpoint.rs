//! One HTTP/2 connection to one operator.

use squad_proto::v1::{
    block_service_client::BlockServiceClient, operator_service_client::OperatorServiceClient,
    rollup_service_client::RollupServiceClient, sequencer_service_client::SequencerServiceClient,
};
use std::fmt;
use std::time::Duration;
use tonic::transport::{Channel, Uri};

/// Largest message taken from a server: its own limit is 4 MiB, its largest items about 2 MiB.
const MESSAGE_BYTES_MAX: usize = 8 << 20;
/// How much a server may send ahead of the reader: twice the largest message.
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
/// The same for all streams of the connection together.
const CONNECTION_WINDOW_BYTES: u32 = 32 << 20;

/// A connection that is made when first used, and again when it broke.
#[derive(Clone)]
pub struct Endpoint {
    uri: Uri,
    channel: Channel,
}

/// An address that can't be an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("endpoint: {0} is not a URI such as http://127.0.0.1:4110")]
pub struct EndpointError(pub String);

impl Endpoint {
    /// Names an operator's gRPC address. Must be called inside a tokio runtime; connects later.
    ///
    /// # Errors
    /// Text that is not a URI with scheme and host.
    pub fn new(uri: &str) -> Result<Self, EndpointError> {
        let parsed: Uri = uri.parse().map_err(|_| EndpointError(uri.into()))?;
        if parsed.scheme().is_none() || parsed.host().is_none() {
            return Err(EndpointError(uri.into()));
        }
        let channel = Channel::builder(parsed.clone())
            .connect_timeout(Duration::from_secs(5))
            .tcp_nodelay(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10))
            .keep_alive_while_idle(true)
            .connect_lazy();
        Ok(Self {
            uri: parsed,
            channel,
        })
    }

    /// The address.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Stub of `SequencerService`.
    #[must_use]
    pub fn sequencer(&self) -> SequencerServiceClient<Channel> {
        SequencerServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Stub of `BlockService`.
    #[must_use]
    pub fn blocks(&self) -> BlockServiceClient<Channel> {
        BlockServiceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Stub of `RollupService`.
    #[must_use]
    pub fn rollups(&self) -> RollupServiceClient<Channel> {
        RollupServiceClient::new(self.channel.clone())
    }

    /// Stub of `OperatorService`.
    #[must_use]
    pub fn operators(&self) -> OperatorServiceClient<Channel> {
        OperatorServiceClient::new(self.channel.clone())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.uri)
    }
}
