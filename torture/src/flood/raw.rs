//! The data plane's wire, spoken by hand, for what `squad-network` never does. Frames, hello and tags of
//! classes are those of `network/src/data`.

use anyhow::Context as _;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, SendStream, TransportConfig, VarInt};
use rustls::client::AlwaysResolvesClientRawPublicKeys;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use squad_primitives::{IdentityKey, NetworkId, Signer as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Version of the peer protocol that a hello names.
const VERSION: u16 = 1;
/// Largest answer to a hello.
const HELLO_BYTES_MAX: usize = 4 << 10;

/// What the other side may send before it is read: next to nothing.
const WINDOW_BYTES: u32 = 16 << 10;
/// Well below the time after which a silent link counts as gone.
const KEEP_ALIVE: Duration = Duration::from_secs(1);

/// Tag of the stream of a class.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(super) enum Tag {
    Consensus = 1,
    Acks = 2,
}

/// A link of an operator that dials; closed when dropped.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) connection: Connection,
    _endpoint: Endpoint,
}

impl Wire {
    /// Connects with an operator's key and greets.
    pub(super) async fn join(
        key: &IdentityKey,
        network: &NetworkId,
        address: SocketAddr,
    ) -> anyhow::Result<Self> {
        let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
        let connecting = endpoint.connect_with(client_config(key)?, address, "squad")?;
        let connection = connecting.await.context("handshake")?;
        let (mut send, mut recv) = connection.open_bi().await?;
        let hello = [&VERSION.to_le_bytes(), network.as_bytes().as_slice()].concat();
        send.write_all(&frame(&hello)).await?;
        send.finish()?;
        recv.read_to_end(HELLO_BYTES_MAX).await.context("hello")?;
        Ok(Self {
            connection,
            _endpoint: endpoint,
        })
    }

    /// Opens the stream of a class.
    pub(super) async fn open(&self, class: Tag) -> anyhow::Result<SendStream> {
        let mut stream = self.connection.open_uni().await?;
        stream.write_all(&[class as u8]).await?;
        Ok(stream)
    }
}

/// A payload behind its length.
pub(super) fn frame(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    [&length.to_le_bytes(), payload].concat()
}

/// TLS of a client that has this key and takes any key of the other side.
pub(super) fn client_config(key: &IdentityKey) -> anyhow::Result<ClientConfig> {
    let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting))
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(certified(
            key,
        )?)));
    tls.alpn_protocols = vec![b"squad/1".to_vec()];
    let mut transport = TransportConfig::default();
    transport
        .receive_window(VarInt::from_u32(WINDOW_BYTES))
        .stream_receive_window(VarInt::from_u32(WINDOW_BYTES))
        .keep_alive_interval(Some(KEEP_ALIVE));
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// DER in front of an Ed25519 seed and an Ed25519 public key (RFC 8410, sections 7 and 4).
const SEED_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
const KEY_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

fn certified(key: &IdentityKey) -> anyhow::Result<Arc<CertifiedKey>> {
    let seed = [SEED_PREFIX.as_slice(), key.to_seed().as_slice()].concat();
    let signer = ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(seed))?;
    let public = [KEY_PREFIX.as_slice(), &key.public_key().0].concat();
    Ok(Arc::new(CertifiedKey::new(
        vec![CertificateDer::from(public)],
        signer,
    )))
}

/// Takes any key: the other side is an operator of the same test.
#[derive(Debug)]
struct Trusting;

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".into()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
