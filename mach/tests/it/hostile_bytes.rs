//! Decoders on arbitrary and on almost valid bytes: no panic, and one encoding per value.

use crate::support::{Network, statement};
use proptest::prelude::*;
use squad_mach::light::Anchor;
use squad_mach::{
    Attestation, Certificate, Evidence, Handover, RollupProof, RollupState, SignGuard,
    TransactionProof,
};

/// Whatever decodes must encode to the same bytes.
fn check(bytes: &[u8]) {
    let encodings = [
        Attestation::from_bytes(bytes).ok().map(|v| v.to_bytes()),
        Certificate::from_bytes(bytes).ok().map(|v| v.to_bytes()),
        Evidence::from_bytes(bytes).ok().map(|v| v.to_bytes()),
        RollupState::from_bytes(bytes).ok().map(|v| v.to_bytes()),
        Anchor::from_bytes(bytes).ok().map(|v| v.to_bytes()),
        Handover::from_bytes(bytes).ok().map(|v| v.to_bytes()),
        RollupProof::from_bytes(bytes).ok().map(|v| v.to_bytes()),
        TransactionProof::from_bytes(bytes)
            .ok()
            .map(|v| v.to_bytes()),
    ];
    for encoding in encodings.into_iter().flatten() {
        assert_eq!(encoding, bytes);
    }
}

fn almost_valid() -> Vec<Vec<u8>> {
    let network = Network::new(0, &[1; 4]);
    let one = network.attest(0, statement(0, 1));
    let certificate = network.certify(statement(0, 1), &[0, 1, 2]);
    vec![
        one.to_bytes(),
        certificate.to_bytes(),
        Evidence::DoubleAttestation(Box::new([one, one])).to_bytes(),
        Evidence::Contradicted(Box::new((one, certificate))).to_bytes(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes(mut bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        check(&bytes);
        if let Some(first) = bytes.first_mut() {
            *first = 1;
        }
        check(&bytes);
    }
}

#[test]
fn one_byte_changed_anywhere() {
    let key = crate::support::secret(0);
    for valid in almost_valid() {
        for index in 0..valid.len() {
            for change in [0x01, 0x80, 0xff] {
                let mut bytes = valid.clone();
                bytes[index] ^= change;
                check(&bytes);
                assert!(SignGuard::restore(key.public_key(), Some(&bytes)).is_err());
            }
        }
    }
}
