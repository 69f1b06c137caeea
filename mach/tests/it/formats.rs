//! Pinned bytes: whoever changes one of these changes the protocol and raises a version.

use crate::support::{NETWORK, Network, result, statement};
use squad_mach::result::MESSAGE_BYTES;
use squad_mach::{
    Attestation, BlsSecretKey, Certificate, Evidence, LedgerTree, RollupState, Root, ledger,
};
use squad_primitives::{Digest, Epoch, Height, RollupId};

/// The layout of the design, built by hand from its parts.
#[test]
fn the_message_is_tag_network_epoch_height_block_result() {
    let statement = statement(0x0102, 0x0304);
    let mut expected = b"squad/mach/attest/v1".to_vec();
    expected.resize(32, 0);
    expected.extend([0x11; 32]);
    expected.extend([0, 0, 0, 0, 0, 0, 1, 2]);
    expected.extend([0, 0, 0, 0, 0, 0, 3, 4]);
    expected.extend(statement.block.0);
    expected.extend(statement.result_root.0);
    assert_eq!(expected.len(), MESSAGE_BYTES);
    assert_eq!(MESSAGE_BYTES, 144);
    assert_eq!(statement.message().as_slice(), expected);
}

#[test]
fn digests_are_pinned() {
    let pinned = [
        ("result root", result(1, 2).root()),
        (
            "empty rollup leaf",
            RollupState::empty(RollupId(7)).digest(),
        ),
        (
            "ledger with a committee",
            LedgerTree::of_next_committee(Epoch(1), &Digest([9; 32])).root(),
        ),
        (
            "committee of four",
            Network::new(0, &[1, 2, 3, 4]).committee.root(),
        ),
    ];
    let text: Vec<_> = pinned
        .iter()
        .map(|(name, digest)| format!("{name}: {digest}"))
        .collect();
    assert_eq!(text, PINNED);
}

const PINNED: [&str; 4] = [
    "result root: 0x8d622f8c87d27f5c65904cae258be8c9e56c09a43180ce0f9ff020476f010c71",
    "empty rollup leaf: 0xdd161408e18e8a392315d4bec0671947e3487cfb047300a014c8ded5be23f3e3",
    "ledger with a committee: 0x0e6bc6892e77e30c68b2bbc1a9989134fba7bef211de44df75add400bb7778af",
    "committee of four: 0xd3eab8bdc606441cb3323696a4d46a35dbb8597e09e115679a0bce7aafc1a396",
];

/// Plain `blst` under the same ciphersuite derives the same key and makes the same signature.
#[test]
fn signatures_are_those_of_another_implementation() {
    use blst::min_pk::SecretKey;
    use squad_mach::bls::CIPHERSUITE;
    let theirs = SecretKey::key_gen(&[7; 32], &[]).unwrap();
    let ours = BlsSecretKey::from_entropy(&[7; 32]).unwrap();
    assert_eq!(*ours.to_bytes(), theirs.to_bytes());
    assert_eq!(ours.public_key().to_bytes(), theirs.sk_to_pk().compress());
    let statement = statement(1, 2);
    let signature = theirs.sign(&statement.message(), CIPHERSUITE.as_bytes(), &[]);
    let attestation = crate::support::sign(&ours, 0, statement);
    assert_eq!(attestation.signature.0, signature.compress());
    assert_eq!(
        hex::encode(&attestation.signature.0[..16]),
        "b64ab0f0347dff4caff75a7f0121adf2"
    );
}

#[test]
fn a_certificate_of_64_takes_219_bytes() {
    let network = Network::new(0, &[1; 64]);
    let members: Vec<u16> = (0..64).collect();
    let certificate = network.certify(statement(0, 9), &members);
    let bytes = certificate.to_bytes();
    assert_eq!(bytes.len(), 219);
    assert_eq!(Certificate::from_bytes(&bytes), Ok(certificate.clone()));
    assert_eq!(certificate.verify(&NETWORK, &network.committee), Ok(()));
}

#[test]
fn every_message_survives_its_encoding() {
    let network = Network::new(0, &[1; 4]);
    let one = network.attest(0, statement(0, 1));
    assert_eq!(Attestation::from_bytes(&one.to_bytes()), Ok(one));
    let certificate = network.certify(statement(0, 1), &[0, 1, 2]);
    for evidence in [
        Evidence::DoubleAttestation(Box::new([one, one])),
        Evidence::ConflictingCertificates(Box::new([certificate.clone(), certificate.clone()])),
        Evidence::Contradicted(Box::new((one, certificate))),
    ] {
        assert_eq!(Evidence::from_bytes(&evidence.to_bytes()), Ok(evidence));
    }
    let leaf = RollupState {
        rollup: RollupId(3),
        last_height: Height(9),
        number: 4,
        tx_count: 2,
        list_root: Digest([1; 32]),
        previous: Digest([2; 32]),
    };
    assert_eq!(RollupState::from_bytes(&leaf.to_bytes()), Ok(leaf));
}

#[test]
fn a_root_can_stand_only_at_its_own_place() {
    let result = result(0, 1);
    for root in Root::ALL {
        let proof = result.proof(root);
        for place in Root::ALL {
            let leads = proof.result_root(place) == Some(result.root());
            assert_eq!(leads, place == root);
        }
    }
}

#[test]
fn committee_keys_differ_by_epoch() {
    let tree = LedgerTree::of_next_committee(Epoch(5), &Digest([9; 32]));
    let key = ledger::committee_key(Epoch(5));
    let proof = tree.prove(&key).unwrap();
    assert_eq!(proof.root(&key), Some(tree.root()));
    assert_ne!(
        proof.root(&ledger::committee_key(Epoch(6))),
        Some(tree.root())
    );
    assert_eq!(tree.prove(b"other"), None);
}
