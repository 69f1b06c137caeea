//! Evidence convicts whoever contradicted itself, and nobody else.

use crate::support::{NETWORK, Network, other_result, statement};
use squad_mach::{Evidence, EvidenceError};
use squad_primitives::{Digest, Epoch, OperatorId};

fn network() -> Network {
    Network::new(0, &[1; 4])
}

#[test]
fn two_statements_for_one_height_convict_their_signer() {
    let network = network();
    let mine = network.attest(2, statement(0, 5));
    let verify = |other| {
        Evidence::DoubleAttestation(Box::new([mine, other])).verify(&NETWORK, &network.committee)
    };
    let second = network.attest(2, other_result(statement(0, 5)));
    assert_eq!(verify(second), Ok(vec![OperatorId(2)]));
    assert_eq!(verify(mine), Err(EvidenceError::Equal));
    assert_eq!(
        verify(network.attest(2, statement(0, 6))),
        Err(EvidenceError::Unrelated)
    );
    assert_eq!(
        verify(network.attest(1, other_result(statement(0, 5)))),
        Err(EvidenceError::Unrelated)
    );
    let mut framed = network.attest(1, other_result(statement(0, 5)));
    framed.member = 2;
    assert_eq!(verify(framed), Err(EvidenceError::Attestation));
}

#[test]
fn conflicting_certificates_convict_those_in_both() {
    let network = network();
    let a = network.certify(statement(0, 5), &[0, 1, 2]);
    let b = network.certify(other_result(statement(0, 5)), &[1, 2, 3]);
    let weak = network.certify(other_result(statement(0, 5)), &[2, 3]);
    let verify = |b| {
        Evidence::ConflictingCertificates(Box::new([a.clone(), b]))
            .verify(&NETWORK, &network.committee)
    };
    assert_eq!(verify(b), Ok(vec![OperatorId(1), OperatorId(2)]));
    assert!(matches!(verify(weak), Err(EvidenceError::Certificate(_))));
}

#[test]
fn an_attestation_against_the_certificate_convicts() {
    let network = network();
    let certificate = network.certify(statement(0, 5), &[0, 1, 2]);
    let liar = network.attest(3, other_result(statement(0, 5)));
    let evidence = Evidence::Contradicted(Box::new((liar, certificate)));
    assert_eq!(
        evidence.verify(&NETWORK, &network.committee),
        Ok(vec![OperatorId(3)])
    );
    assert_eq!(
        evidence.verify(&Digest([9; 32]), &network.committee),
        Err(EvidenceError::Elsewhere)
    );
    assert_eq!(
        evidence.verify(&NETWORK, &network.committee.in_epoch(Epoch(1))),
        Err(EvidenceError::Elsewhere)
    );
}
