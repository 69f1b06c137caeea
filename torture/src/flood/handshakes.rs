//! A thousand QUIC handshakes that stop half-way.
//!
//! A real client begins each of them, through a small relay that passes its first two packets and
//! nothing more: the first, and the one that answers a Retry. So the operator has seen that the address
//! receives, has answered, and waits. Each relay speaks from a loopback address of its own, in a /24 of
//! its own, or the limits per address would stop the flood at once. What was given up is begun again.

use super::{Sent, VICTIM};
use crate::network::Network;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Endpoint};
use rustls::client::AlwaysResolvesClientRawPublicKeys;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use squad_primitives::{IdentityKey, Signer as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

/// Handshakes at once.
const HANDSHAKES: u32 = 1_000;
/// Packets of a client that pass.
const PACKETS: u32 = 2;
/// How long one handshake is kept: as long as an operator waits for it.
const KEPT: Duration = Duration::from_secs(5);
/// Largest UDP payload.
const PACKET_BYTES_MAX: usize = 65_535;

pub(super) async fn flood(network: &Network, length: Duration) -> anyhow::Result<Sent> {
    let target = network.operators[VICTIM].state.data;
    let end = Instant::now() + length;
    let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
    let config = client_config()?;
    let (begun, answered) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut tasks = JoinSet::new();
    for number in 0..HANDSHAKES {
        let (endpoint, config) = (endpoint.clone(), config.clone());
        let (begun, answered) = (begun.clone(), answered.clone());
        let source = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 1)) + (number << 8));
        tasks.spawn(async move {
            // Not all in the same millisecond.
            sleep(KEPT / HANDSHAKES * number).await;
            while Instant::now() < end {
                let until = end.min(Instant::now() + KEPT);
                let Ok(front) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await else {
                    break;
                };
                let (Ok(back), Ok(address)) =
                    (UdpSocket::bind((source, 0)).await, front.local_addr())
                else {
                    break;
                };
                let Ok(connecting) = endpoint.connect_with(config.clone(), address, "squad") else {
                    break;
                };
                begun.fetch_add(1, Ordering::Relaxed);
                tokio::select! {
                    () = pass(&front, &back, target) => {}
                    connected = connecting => {
                        answered.fetch_add(u64::from(connected.is_ok()), Ordering::Relaxed);
                        sleep(until.saturating_duration_since(Instant::now())).await;
                    }
                    () = tokio::time::sleep_until(until) => {}
                }
            }
        });
    }
    // Each ends by itself.
    while timeout_at(end + KEPT, tasks.join_next()).await?.is_some() {}
    let (begun, answered) = (
        begun.load(Ordering::Relaxed),
        answered.load(Ordering::Relaxed),
    );
    Ok(Sent {
        count: begun,
        notes: vec![format!(
            "{HANDSHAKES} at once, {answered} got the operator's answer and left it waiting"
        )],
        // Some must have got so far, or nothing was left half-open.
        as_ruled: answered > 0 && begun >= u64::from(HANDSHAKES),
    })
}

/// Passes the client's first packets, and all answers.
async fn pass(front: &UdpSocket, back: &UdpSocket, target: SocketAddr) {
    let (mut out, mut answer) = (vec![0; PACKET_BYTES_MAX], vec![0; PACKET_BYTES_MAX]);
    let mut client = None;
    let mut passed = 0;
    loop {
        tokio::select! {
            Ok((length, from)) = front.recv_from(&mut out) => {
                client = Some(from);
                if passed < PACKETS {
                    passed += 1;
                    // A refused send is a lost packet.
                    let _ = back.send_to(&out[..length], target).await;
                }
            }
            Ok((length, _)) = back.recv_from(&mut answer) => {
                if let Some(client) = client {
                    let _ = front.send_to(&answer[..length], client).await;
                }
            }
            else => return,
        }
    }
}

fn client_config() -> anyhow::Result<ClientConfig> {
    let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting))
        .with_client_cert_resolver(Arc::new(
            AlwaysResolvesClientRawPublicKeys::new(stranger()?),
        ));
    tls.alpn_protocols = vec![b"squad/1".to_vec()];
    Ok(ClientConfig::new(Arc::new(QuicClientConfig::try_from(
        tls,
    )?)))
}

/// DER in front of an Ed25519 seed and an Ed25519 public key (RFC 8410, sections 7 and 4).
const SEED_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
const KEY_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// A key of nobody. Without one the operator would refuse the first packet.
fn stranger() -> anyhow::Result<Arc<CertifiedKey>> {
    let key = IdentityKey::from_seed([0x5a; 32]);
    let seed = [SEED_PREFIX.as_slice(), key.to_seed().as_slice()].concat();
    let signer = ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(seed))?;
    let public = [KEY_PREFIX.as_slice(), &key.public_key().0].concat();
    Ok(Arc::new(CertifiedKey::new(
        vec![CertificateDer::from(public)],
        signer,
    )))
}

/// Takes any key: no handshake gets as far as to prove one.
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
