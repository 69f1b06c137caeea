//! Strangers and broken operators on the data plane, and garbage on both planes.
//!
//! Operator 0 is killed, and the tests speak with its key: to the others it has come back and lost its
//! mind. What they answer with is in `network/src/data`: the TLS of [`dial`] is that of its `tls`, frames
//! and hello those of `frame` and `hello`.

use super::wire::is_cut_off;
use super::{Memory, assert_serves};
use crate::load::ROLLUPS;
use crate::net::{Localnet, PATIENCE, wait_for};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint};
use rustls::client::AlwaysResolvesClientRawPublicKeys;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{
    CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use squad_primitives::genesis::Genesis;
use squad_primitives::{IdentityKey, Signer as _};
use squad_sequencer::keys::{Password, load_identity};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use tokio::time::timeout;

/// Whom the broken operator speaks to.
const VICTIM: usize = 3;

/// Tags of the streams of classes.
const CONSENSUS: u8 = 1;
const BATCHES: u8 = 3;

/// `CloseCode` numbers.
const WRONG_NETWORK: u32 = 1;
const VIOLATION: u32 = 3;
const BANNED: u32 = 6;

/// Takes any key of the other side: here it is the dialler who can't be trusted.
#[derive(Debug)]
struct Trusting(Arc<CryptoProvider>);

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
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature_with_raw_key(
            message,
            &SubjectPublicKeyInfoDer::from(certificate.as_ref()),
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// DER in front of an Ed25519 seed and an Ed25519 public key (RFC 8410, sections 7 and 4).
const SEED_PREFIX: &str = "302e020100300506032b657004220420";
const KEY_PREFIX: &str = "302a300506032b6570032100";

fn client_config(key: &IdentityKey) -> ClientConfig {
    let der = |prefix: &str, bytes: &[u8]| [&hex::decode(prefix).unwrap(), bytes].concat();
    let seed = der(SEED_PREFIX, key.to_seed().as_slice());
    let signer = ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(seed)).unwrap();
    let public = CertificateDer::from(der(KEY_PREFIX, &key.public_key().0));
    let certified = Arc::new(CertifiedKey::new(vec![public], signer));
    let provider = Arc::new(ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting(provider)))
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(certified)));
    tls.alpn_protocols = vec![b"squad/1".to_vec()];
    ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()))
}

/// Connects with a key; the hello has not been said.
async fn dial(
    key: &IdentityKey,
    address: SocketAddr,
) -> Result<(Endpoint, Connection), ConnectionError> {
    let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let connecting = endpoint
        .connect_with(client_config(key), address, "squad")
        .unwrap();
    let connection = connecting.await?;
    Ok((endpoint, connection))
}

/// Why the other side closed a connection.
async fn closed(connection: &Connection) -> Option<u32> {
    match timeout(PATIENCE, connection.closed())
        .await
        .expect("closes")
    {
        ConnectionError::ApplicationClosed(close) => {
            u32::try_from(close.error_code.into_inner()).ok()
        }
        other => panic!("closed by {other}"),
    }
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u32;
    [&length.to_le_bytes(), payload].concat()
}

/// The broken operator, and where it dials.
struct Broken {
    key: IdentityKey,
    network: [u8; 32],
    address: SocketAddr,
}

impl Broken {
    /// Connects and greets, as on another network if `network` says so.
    async fn greet(&self, network: &[u8; 32]) -> (Endpoint, Connection) {
        let (endpoint, connection) = dial(&self.key, self.address)
            .await
            .expect("its key is listed");
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        let hello = [&1_u16.to_le_bytes(), network.as_slice()].concat();
        send.write_all(&frame(&hello)).await.unwrap();
        send.finish().unwrap();
        // The answer, or the end of the connection.
        let _ = recv.read_to_end(4 << 10).await;
        (endpoint, connection)
    }

    async fn join(&self) -> (Endpoint, Connection) {
        let joined = self.greet(&self.network).await;
        assert_eq!(joined.1.close_reason(), None, "the hello is right");
        joined
    }
}

fn failures(net: &Localnet, reason: &str) -> u64 {
    let name = format!("squad_network_handshake_failures_total{{reason=\"{reason}\"}}");
    net.metric(VICTIM, &name)
}

fn closings(net: &Localnet, reason: &str) -> u64 {
    let name = format!("squad_network_closed_total{{reason=\"{reason}\"}}");
    net.metric(VICTIM, &name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn broken_peers_are_cut_off_and_the_others_go_on() {
    let net = Localnet::up(&[ROLLUPS]);
    assert_serves(&net, VICTIM, "before").await;
    let memory = Memory::of(&net, VICTIM);
    let genesis = Genesis::from_json(&std::fs::read(net.genesis()).unwrap()).unwrap();
    let control = genesis.operators[VICTIM].control.clone().unwrap();
    let broken = Broken {
        key: load_identity(
            &net.node(0).home.join("keys/identity.json"),
            &Password::new("localnet"),
        )
        .unwrap(),
        network: genesis.network_id().0,
        address: genesis.operators[VICTIM].address,
    };
    net.kill(&[0]);

    garbage(broken.address, &control);
    handshakes(&net, &broken).await;
    assert_serves(&net, VICTIM, "after strangers").await;
    frames(&net, &broken).await;
    assert_serves(&net, VICTIM, "after broken frames").await;
    memory.assert_flat(&net, VICTIM);
    net.assert_calm();
}

/// Bytes without any sense on both planes.
fn garbage(data: SocketAddr, control: &str) {
    let noise: Vec<u8> = (0..1_u32 << 16)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for length in [1, 20, 100, 1_200, 1_452, 8_952] {
        for start in 0..200 {
            socket.send_to(&noise[start..start + length], data).unwrap();
        }
    }
    let port = control.rsplit('/').next().unwrap();
    let control: SocketAddr = format!("127.0.0.1:{port}").parse().unwrap();
    for _ in 0..50 {
        assert!(is_cut_off(control, &noise));
    }
}

/// Who is not an operator, or not of this network.
async fn handshakes(net: &Localnet, broken: &Broken) {
    let stranger = IdentityKey::from_seed([9; 32]);
    // TLS 1.3 lets the client finish first, so the refusal may come just after the connection stands.
    let refused = match dial(&stranger, broken.address).await {
        Err(error) => error,
        Ok((_endpoint, connection)) => timeout(PATIENCE, connection.closed()).await.unwrap(),
    };
    assert!(
        matches!(refused, ConnectionError::ConnectionClosed(_)),
        "{refused}"
    );
    wait_for("the count of unknown keys", || {
        failures(net, "unknown_key") == 1
    });
    let (_endpoint, connection) = broken.greet(&[7; 32]).await;
    assert_eq!(closed(&connection).await, Some(WRONG_NETWORK));
    wait_for("the count of wrong networks", || {
        failures(net, "wrong_network") == 1
    });
}

/// An operator that breaks the protocol after its handshake.
async fn frames(net: &Localnet, broken: &Broken) {
    let above = (64_u32 << 10) + 1;
    let lies = [
        (BATCHES, u32::MAX),
        (CONSENSUS, u32::MAX),
        (CONSENSUS, above),
    ];
    for (class, length) in lies {
        let (_endpoint, connection) = broken.join().await;
        let mut stream = connection.open_uni().await.unwrap();
        let claim = [&[class], length.to_le_bytes().as_slice()].concat();
        stream.write_all(&claim).await.unwrap();
        assert_eq!(closed(&connection).await, Some(VIOLATION), "{length}");
    }
    wait_for("the count of frames", || {
        closings(net, "frame_too_large") == 3
    });

    // A frame of a legal length that is no message: three of them, and it is banned.
    let (_endpoint, connection) = broken.join().await;
    let mut stream = connection.open_uni().await.unwrap();
    stream.write_all(&[CONSENSUS]).await.unwrap();
    for _ in 0..3 {
        stream.write_all(&frame(&[0xff; 100])).await.unwrap();
    }
    assert_eq!(closed(&connection).await, Some(BANNED));
    let refused = match dial(&broken.key, broken.address).await {
        Err(error) => error,
        Ok((_endpoint, connection)) => timeout(PATIENCE, connection.closed()).await.unwrap(),
    };
    assert!(
        matches!(refused, ConnectionError::ConnectionClosed(_)),
        "{refused}"
    );
}
