//! What a certificate costs on L1. Changes of more than two percent must be meant: the table also
//! stands in `docs/l1-verifier.md`.

use crate::chain::{Chain, Deploy};
use crate::network::{NETWORK, Network, certificate, statement};

struct Case {
    members: u16,
    absent: u16,
    gas: u64,
}

const fn case(members: u16, absent: u16, gas: u64) -> Case {
    Case {
        members,
        absent,
        gas,
    }
}

/// Gas of `verify` in a transaction of its own.
const VERIFY: [Case; 8] = [
    case(4, 0, 205_777),
    case(4, 1, 206_884),
    case(16, 0, 208_246),
    case(16, 1, 209_281),
    case(16, 5, 213_649),
    case(64, 0, 218_110),
    case(64, 1, 219_193),
    case(64, 21, 240_841),
];

/// A proof of possession.
const REGISTER: u64 = 221_379;
/// A committee by the owner, by size.
const INSTALL: [(u16, u64); 3] = [(4, 242_563), (16, 607_568), (64, 2_073_254)];
/// `verify` with two storage slots and an event, for 16 members without absent ones.
const SUBMIT_16: u64 = 235_581;

fn assert_near(name: &str, found: u64, expected: u64, wrong: &mut Vec<String>) {
    if found.abs_diff(expected) * 50 > expected {
        wrong.push(format!("{name}: {found}, expected {expected}"));
    }
}

#[test]
fn certificates_of_all_sizes_are_accepted_at_known_cost() {
    known_cost(&Chain::new);
}

pub(crate) fn known_cost(deploy: Deploy<'_>) {
    let mut wrong = Vec::new();
    for (members, install) in INSTALL {
        let network = Network::new(0, 0, &vec![1; members.into()]);
        let mut chain = deploy(&NETWORK.0);
        let (registered, installed) = network.install(&mut chain);
        assert_near("register", registered, REGISTER, &mut wrong);
        assert_near(
            &format!("install {members}"),
            installed,
            install,
            &mut wrong,
        );
        for case in VERIFY.iter().filter(|case| case.members == members) {
            // Absent members spread over the committee.
            let absent: Vec<u16> = (0..case.absent).map(|i| i * 3 % members).collect();
            let signers: Vec<u16> = (0..members).filter(|m| !absent.contains(m)).collect();
            let signed = network.certify(statement(0, 7), &signers);
            let arguments = certificate(&signed);
            let gas = chain.call("verify", &arguments).expect("accepted");
            let name = format!("verify {members} without {}", case.absent);
            assert_near(&name, gas, case.gas, &mut wrong);
            if members == 16 && case.absent == 0 {
                let gas = chain.call("submit", &arguments).expect("accepted");
                assert_near("submit 16", gas, SUBMIT_16, &mut wrong);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The largest committee that the formats allow.
#[test]
fn a_committee_of_128_fits() {
    let network = Network::new(0, 0, &[1; 128]);
    let mut chain = Chain::new(&NETWORK.0);
    network.install(&mut chain);
    let signers: Vec<u16> = (0..86).collect();
    let signed = network.certify(statement(0, 7), &signers);
    chain
        .call("verify", &certificate(&signed))
        .expect("accepted");
}
