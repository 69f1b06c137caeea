//! TLS 1.3 with raw public keys (RFC 7250), both ways.
//!
//! A committee member is its Ed25519 key, so the handshake carries that key and nothing else: no
//! certificate to make, to parse or to let expire, and no chain that could lead elsewhere. Rules:
//!
//! - the dialling side accepts exactly one key, the one of the operator it dials;
//! - the accepting side accepts the keys of the committee, looked up before the signature is checked;
//! - only Ed25519 signatures, only TLS 1.3, no resumption, no early data;
//! - the ring provider is named everywhere. With a second provider compiled in, rustls' defaults
//!   panic.

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
    client::{
        AlwaysResolvesClientRawPublicKeys, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls13_signature_with_raw_key},
    pki_types::{
        CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
    },
    server::{
        AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
};
use squad_primitives::{IdentityKey, PublicKey, Signer};
use std::{fmt, sync::Arc};
use zeroize::Zeroizing;

/// Protocol name in the handshake; the number changes when old and new nodes can't talk.
const ALPN: &[u8] = b"squad/1";
/// Name sent in the handshake. Keys identify peers, so it says nothing.
pub(crate) const SERVER_NAME: &str = "squad";

/// DER in front of an Ed25519 public key (RFC 8410, section 4).
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
/// DER in front of an Ed25519 seed (RFC 8410, section 7).
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// Decides which keys may connect.
pub(crate) trait Admission: Send + Sync + fmt::Debug {
    /// Whether the holder of `key` may connect now. Called for strangers: must be cheap.
    fn is_admitted(&self, key: &PublicKey) -> bool;
}

/// The key inside a subject public key info, if that is what `der` is.
pub(crate) fn public_key(der: &[u8]) -> Option<PublicKey> {
    let key = der.strip_prefix(SPKI_PREFIX.as_slice())?;
    Some(PublicKey(key.try_into().ok()?))
}

/// Configuration for accepting connections.
pub(crate) fn server(
    identity: &IdentityKey,
    admission: Arc<dyn Admission>,
) -> Result<ServerConfig, Error> {
    let provider = provider();
    let verifier = CommitteeVerifier {
        admission,
        provider: provider.clone(),
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(
            certified_key(identity)?,
        )));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

/// Configuration for dialling the operator that holds `peer`.
pub(crate) fn client(identity: &IdentityKey, peer: PublicKey) -> Result<ClientConfig, Error> {
    let provider = provider();
    let verifier = PinnedVerifier {
        peer,
        provider: provider.clone(),
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(
            certified_key(identity)?,
        )));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(config)
}

/// ring, with AES-128-GCM first: the cheapest cipher per byte where the processor has AES.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    provider.cipher_suites = vec![
        ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
        ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    Arc::new(provider)
}

fn certified_key(identity: &IdentityKey) -> Result<Arc<CertifiedKey>, Error> {
    let mut der = Zeroizing::new(Vec::with_capacity(48));
    der.extend_from_slice(&PKCS8_PREFIX);
    der.extend_from_slice(identity.to_seed().as_slice());
    let key = ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(der.as_slice()))?;
    let mut spki = SPKI_PREFIX.to_vec();
    spki.extend_from_slice(&identity.public_key().0);
    Ok(Arc::new(CertifiedKey::new(
        vec![CertificateDer::from(spki)],
        key,
    )))
}

/// Accepts the keys that [`Admission`] lets in.
#[derive(Debug)]
struct CommitteeVerifier {
    admission: Arc<dyn Admission>,
    provider: Arc<CryptoProvider>,
}

/// Accepts one key.
#[derive(Debug)]
struct PinnedVerifier {
    peer: PublicKey,
    provider: Arc<CryptoProvider>,
}

fn sole_key(
    certificate: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
) -> Result<PublicKey, Error> {
    match public_key(certificate) {
        Some(key) if others.is_empty() => Ok(key),
        _ => Err(CertificateError::BadEncoding.into()),
    }
}

fn verify_signature(
    provider: &CryptoProvider,
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    verify_tls13_signature_with_raw_key(
        message,
        &SubjectPublicKeyInfoDer::from(certificate.as_ref()),
        signature,
        &provider.signature_verification_algorithms,
    )
}

/// TLS 1.2 is not compiled in; this answer exists because the trait asks for one.
const NO_TLS12: Error = Error::PeerIncompatible(rustls::PeerIncompatible::Tls12NotOffered);

impl ClientCertVerifier for CommitteeVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let key = sole_key(end_entity, intermediates)?;
        if self.admission.is_admitted(&key) {
            Ok(ClientCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(NO_TLS12)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_signature(&self.provider, message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ServerCertVerifier for PinnedVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if sole_key(end_entity, intermediates)? == self.peer {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(NO_TLS12)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_signature(&self.provider, message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Nobody;

    impl Admission for Nobody {
        fn is_admitted(&self, _key: &PublicKey) -> bool {
            false
        }
    }

    /// The guard against a second rustls provider in the build: both builders must work in a process
    /// that never installed a default one.
    #[test]
    fn configs_build_without_a_default_provider() {
        let identity = IdentityKey::from_seed([1; 32]);
        assert!(server(&identity, Arc::new(Nobody)).is_ok());
        assert!(client(&identity, identity.public_key()).is_ok());
    }

    #[test]
    fn the_key_offered_is_the_identity() {
        let identity = IdentityKey::from_seed([2; 32]);
        let offered = certified_key(&identity).unwrap();
        assert_eq!(
            public_key(&offered.cert[0]),
            Some(identity.public_key()),
            "own encoding"
        );
        let from_ring = offered.key.public_key().expect("ring knows the key");
        assert_eq!(public_key(&from_ring), Some(identity.public_key()));
    }

    #[test]
    fn other_key_types_and_chains_are_refused() {
        let identity = IdentityKey::from_seed([3; 32]);
        let der = certified_key(&identity).unwrap().cert[0].clone();
        assert!(sole_key(&der, &[]).is_ok());
        assert!(sole_key(&der, std::slice::from_ref(&der)).is_err());
        let mut longer = der.to_vec();
        longer.push(0);
        assert_eq!(public_key(&longer), None);
        let mut other = der.to_vec();
        other[8] = 0x71;
        assert_eq!(public_key(&other), None);
    }
}
