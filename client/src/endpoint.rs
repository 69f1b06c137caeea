//! One HTTP/2 connection to one operator.
//!
//! `https` addresses need the certificates that may vouch for the server: an operator's own certificate,
//! or its authority's. The system's list of authorities is not consulted, because operators are few and
//! known, and hundreds of strangers could speak for them. What an operator says is checked against the
//! genesis all the same; TLS protects submissions on the way, and who reads what.

use crate::error::with_causes;
use squad_proto::mach::finality_service_client::FinalityServiceClient;
use squad_proto::v1::{
    block_service_client::BlockServiceClient, operator_service_client::OperatorServiceClient,
    rollup_service_client::RollupServiceClient, sequencer_service_client::SequencerServiceClient,
};
use std::fmt;
use std::time::Duration;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Uri};

/// Largest message taken from a server: its own limit is 4 MiB, its largest items about 2 MiB.
const MESSAGE_BYTES_MAX: usize = 8 << 20;
/// How much a server may send ahead of the reader: twice the largest message.
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
/// The same for all streams of the connection together.
const CONNECTION_WINDOW_BYTES: u32 = 32 << 20;

/// First line of a certificate in PEM form.
const PEM_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

/// A connection that is made when first used, and again when it broke.
#[derive(Clone)]
pub struct Endpoint {
    uri: Uri,
    channel: Channel,
}

/// Why an address can't be an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// Text without scheme or host.
    #[error("endpoint: {0} is not a URI such as http://127.0.0.1:4110")]
    NotAUri(String),
    /// A scheme other than `http` and `https`.
    #[error("endpoint: {0}: the scheme must be http or https")]
    Scheme(String),
    /// An `https` address without certificates that could vouch for it.
    #[error("endpoint: {0}: https needs the certificates to trust (--tls-ca, Endpoint::with_ca)")]
    NoCa(String),
    /// The certificates can't be used.
    #[error("endpoint: {uri}: certificates to trust: {reason}")]
    Ca {
        /// The address.
        uri: String,
        /// What is wrong.
        reason: String,
    },
}

impl Endpoint {
    /// Names an operator's gRPC address, as `http://127.0.0.1:4110`. Must be called inside a tokio
    /// runtime; connects later.
    ///
    /// # Errors
    /// See [`EndpointError`]; `https` needs [`Endpoint::with_ca`].
    pub fn new(uri: &str) -> Result<Self, EndpointError> {
        Self::with_ca(uri, None)
    }

    /// The same with certificates (PEM, one or more) that may vouch for the server of an `https` address.
    /// The server's own must name the host, or address, of the URI. `http` addresses take no notice.
    ///
    /// # Errors
    /// See [`EndpointError`].
    pub fn with_ca(uri: &str, ca_pem: Option<&[u8]>) -> Result<Self, EndpointError> {
        let parsed: Uri = uri
            .parse()
            .map_err(|_| EndpointError::NotAUri(uri.into()))?;
        if parsed.host().is_none() {
            return Err(EndpointError::NotAUri(uri.into()));
        }
        let mut builder = Channel::builder(parsed.clone());
        builder = match (parsed.scheme_str(), ca_pem) {
            (None, _) => return Err(EndpointError::NotAUri(uri.into())),
            (Some("http"), _) => builder,
            (Some("https"), None) => return Err(EndpointError::NoCa(uri.into())),
            (Some("https"), Some(pem)) => {
                // Otherwise nothing would be trusted, without a word.
                if !String::from_utf8_lossy(pem).contains(PEM_CERTIFICATE) {
                    return Err(EndpointError::Ca {
                        uri: uri.into(),
                        reason: "no PEM certificate".into(),
                    });
                }
                let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
                builder.tls_config(tls).map_err(|error| EndpointError::Ca {
                    uri: uri.into(),
                    reason: with_causes(&error),
                })?
            }
            (Some(_), _) => return Err(EndpointError::Scheme(uri.into())),
        };
        let channel = builder
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

    /// Stub of `FinalityService`.
    #[must_use]
    pub fn finality(&self) -> FinalityServiceClient<Channel> {
        FinalityServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
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
