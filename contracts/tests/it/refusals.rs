//! The same forgeries that the Rust verifier refuses, and keys without possession.

use crate::chain::{Chain, Deploy, STRANGER, Word};
use crate::network::{
    NETWORK, Network, certificate, members, number, registration, statement, words,
};
use squad_mach::Certificate;
use squad_primitives::{Digest, Epoch, Height};

/// Stakes 3, 3, 2, 1 of 9: members 0 and 1 hold exactly two thirds.
const STAKES: [u64; 4] = [3, 3, 2, 1];

/// First word of the signature.
const SIGNATURE: usize = 7;

type Forge = fn(&Network, Certificate) -> Certificate;
type Spoil = fn(&mut Vec<Word>);

fn installed(deploy: Deploy<'_>) -> (Network, Chain) {
    let network = Network::new(0, 0, &STAKES);
    let mut chain = deploy(&NETWORK.0);
    network.install(&mut chain);
    (network, chain)
}

#[test]
fn forged_certificates_are_refused_with_distinct_errors() {
    forged_certificates(&Chain::new);
}

pub(crate) fn forged_certificates(deploy: Deploy<'_>) {
    let (network, mut chain) = installed(deploy);
    let genuine = network.certify(statement(0, 100), &[0, 1, 3]);
    assert!(chain.call("verify", &certificate(&genuine)).is_ok());
    let table: [(&str, Forge, &str); 8] = [
        (
            "another network",
            |_, mut c| {
                c.statement.network = Digest([0x22; 32]);
                c
            },
            "WrongNetwork()",
        ),
        (
            "an epoch without committee",
            |network, _| network.certify(statement(1, 100), &[0, 1, 2, 3]),
            "UnknownEpoch(1)",
        ),
        (
            "a relabelled epoch",
            |network, _| {
                let mut forged = network.certify(statement(1, 100), &[0, 1, 2, 3]);
                forged.statement.epoch = Epoch(0);
                forged
            },
            "BadSignature()",
        ),
        (
            "stake at exactly two thirds",
            |network, c| network.certify(c.statement, &[0, 1]),
            "NoQuorum(6, 9)",
        ),
        (
            "a signer claimed who did not sign",
            |network, c| {
                let mut forged = network.certify(c.statement, &[0, 1]);
                forged.signers.insert(3);
                forged
            },
            "BadSignature()",
        ),
        (
            "a signer left out",
            |network, c| {
                let mut forged = network.certify(c.statement, &[0, 1, 2, 3]);
                forged.signers = c.signers;
                forged
            },
            "BadSignature()",
        ),
        (
            "swapped height",
            |_, mut c| {
                c.statement.height = Height(101);
                c
            },
            "BadSignature()",
        ),
        (
            "another committee",
            |_, c| Network::new(0, 50, &STAKES).certify(c.statement, &[0, 1, 2, 3]),
            "BadSignature()",
        ),
    ];
    for (name, forge, error) in table {
        let forged = forge(&network, genuine.clone());
        let refused = chain.call("verify", &certificate(&forged));
        assert_eq!(refused, Err(error.to_owned()), "{name}");
    }
}

#[test]
fn spoilt_words_are_refused() {
    spoilt_words(&Chain::new);
}

pub(crate) fn spoilt_words(deploy: Deploy<'_>) {
    let (network, mut chain) = installed(deploy);
    let genuine = certificate(&network.certify(statement(0, 100), &[0, 1, 3]));
    let table: [(&str, Spoil, &str); 6] = [
        (
            "another committee size",
            |words| words[5] = number(5),
            "WrongCommitteeSize(5)",
        ),
        (
            "a bit for nobody",
            |words| words[6] = number(0b1_1011),
            "UnknownSigner()",
        ),
        (
            "the identity as signature",
            |words| words[SIGNATURE..].fill([0; 32]),
            "IdentityPoint()",
        ),
        (
            "no point of the curve",
            |words| words[SIGNATURE + 1][31] ^= 1,
            "BadPoint()",
        ),
        (
            "a coordinate above the modulus",
            |words| words[SIGNATURE][16] = 0x1b,
            "BadPoint()",
        ),
        (
            "dirt above a coordinate",
            |words| words[SIGNATURE][0] = 1,
            "BadPoint()",
        ),
    ];
    for (name, spoil, error) in table {
        let mut forged = genuine.clone();
        spoil(&mut forged);
        let refused = chain.call("verify", &forged);
        assert_eq!(refused, Err(error.to_owned()), "{name}");
    }
}

#[test]
fn a_height_is_recorded_once_and_heights_rise() {
    heights(&Chain::new);
}

pub(crate) fn heights(deploy: Deploy<'_>) {
    let (network, mut chain) = installed(deploy);
    let at = |height| certificate(&network.certify(statement(0, height), &[0, 1, 3]));
    assert!(chain.call("submit", &at(100)).is_ok());
    assert_eq!(chain.read("resultRoots", &[number(100)]), [0x33; 32]);
    for height in [100, 99] {
        let refused = chain.call("submit", &at(height));
        assert_eq!(refused, Err(format!("Replay({height})")));
    }
    assert!(chain.call("submit", &at(101)).is_ok());
    assert_eq!(chain.read("latestHeight", &[]), number(101));
}

#[test]
fn keys_need_possession_for_their_identity() {
    possession(&Chain::new);
}

pub(crate) fn possession(deploy: Deploy<'_>) {
    let network = Network::new(0, 0, &STAKES);
    let mut chain = deploy(&NETWORK.0);
    let list = network.committee.members();
    let genuine = registration(&list[0], &network.possessions[0]);
    let mut other_identity = genuine.clone();
    other_identity[0] = list[1].identity.0;
    let mut identity_point = genuine.clone();
    identity_point[1..].fill([0; 32]);
    let mut no_proof = genuine.clone();
    no_proof[5..].fill([0; 32]);
    let mut outside = genuine.clone();
    outside.splice(1..5, outside_the_subgroup());
    let table = [
        (
            registration(&list[0], &network.possessions[1]),
            "BadSignature()",
        ),
        (other_identity, "BadSignature()"),
        (identity_point, "IdentityPoint()"),
        (no_proof, "IdentityPoint()"),
        (outside, "BadPoint()"),
    ];
    for (arguments, error) in table {
        assert_eq!(chain.call("register", &arguments), Err(error.to_owned()));
    }
    assert!(chain.call("register", &genuine).is_ok());
}

/// The coordinates of a point of the curve that is not in the group of keys.
fn outside_the_subgroup() -> Vec<Word> {
    let point = (1..=255_u8).find_map(|x| {
        let mut bytes = [0; 48];
        bytes[0] = 0x80;
        bytes[47] = x;
        let point: Option<blstrs::G1Affine> =
            blstrs::G1Affine::from_compressed_unchecked(&bytes).into();
        point.filter(|p| bool::from(p.is_on_curve()) && !bool::from(p.is_torsion_free()))
    });
    let coordinates = point.expect("most points are outside").to_uncompressed();
    let mut padded = Vec::new();
    for coordinate in coordinates.chunks(48) {
        padded.extend([0; 16]);
        padded.extend_from_slice(coordinate);
    }
    words(&padded)
}

#[test]
fn only_the_owner_names_the_first_committee_and_once() {
    owner(&Chain::new);
}

pub(crate) fn owner(deploy: Deploy<'_>) {
    let network = Network::new(0, 0, &STAKES);
    let mut chain = deploy(&NETWORK.0);
    let genuine = certificate(&network.certify(statement(0, 1), &[0, 1, 3]));
    assert_eq!(chain.call("verify", &genuine), Err("NotInstalled()".into()));
    let arguments = |list: &[_]| [vec![number(0), number(64)], members(list)].concat();
    let list = network.committee.members();
    assert_eq!(
        chain.call("installGenesis", &arguments(list)),
        Err("NoPossession(0)".into())
    );
    network.register(&mut chain);
    chain.caller = STRANGER;
    assert_eq!(
        chain.call("installGenesis", &arguments(list)),
        Err("NotOwner()".into())
    );
    chain.caller = crate::chain::OWNER;
    for bad in [
        vec![],
        vec![list[1].clone(), list[0].clone()],
        vec![list[0].clone(), list[0].clone()],
    ] {
        assert_eq!(
            chain.call("installGenesis", &arguments(&bad)),
            Err("BadCommittee()".into())
        );
    }
    assert!(chain.call("installGenesis", &arguments(list)).is_ok());
    assert_eq!(
        chain.call("installGenesis", &arguments(list)),
        Err("AlreadyInstalled()".into())
    );
}
