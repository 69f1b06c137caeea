//! The light client against honest and forging servers. Everything goes through bytes, as from files.

use crate::support::{NETWORK, Network, admissions, other_result, result, secret};
use squad_mach::light::Anchor;
use squad_mach::{
    CertificateError, CommitteeError, Evidence, Handover, KeyError, LedgerTree, LightClient,
    LightError, MachCommittee, RollupProof, RollupState, RollupTree, Root, TransactionProof,
    ledger,
};
use squad_primitives::order::RollupLeaf;
use squad_primitives::{Digest, Epoch, Height, OperatorId, RollupId, TxId, merkle};

const STAKES: [u64; 4] = [3, 3, 2, 1];
const DAY_MS: u64 = 86_400_000;

fn anchor(epoch: u64, taken_ms: u64) -> Anchor {
    let keys: Vec<_> = (0..4).map(secret).collect();
    Anchor {
        network: NETWORK,
        epoch: Epoch(epoch),
        taken_ms,
        members: admissions(&keys, &STAKES),
    }
}

fn client(epoch: u64) -> LightClient {
    let anchor = Anchor::from_bytes(&anchor(epoch, 0).to_bytes()).unwrap();
    LightClient::start(anchor, 0, Some(DAY_MS)).unwrap()
}

/// A hand-over signed by `signers` of `from` to `to`.
fn handover(from: &Network, to: &MachCommittee, height: u64, signers: &[u16]) -> Handover {
    let tree = LedgerTree::of_next_committee(to.epoch(), &to.root());
    let mut result = result(from.committee.epoch().0, height);
    result.ledger_root = tree.root();
    Handover {
        certificate: from.certify(result.statement(), signers),
        ledger: result.proof(Root::Ledger),
        entry: tree.prove(&ledger::committee_key(to.epoch())).unwrap(),
        members: to.members().to_vec(),
    }
}

#[test]
fn a_chain_over_a_hundred_epochs_with_changing_sets() {
    let mut client = client(0);
    let mut current = Network::new(0, &STAKES);
    for epoch in 1..=100_u64 {
        let size = 4 + (epoch as usize * 7) % 5;
        let stakes: Vec<u64> = (0..size as u64).map(|i| 1 + (i + epoch) % 3).collect();
        let next = Network::new(epoch, &stakes);
        let all: Vec<u16> = (0..current.committee.size()).collect();
        let bytes = handover(&current, &next.committee, epoch * 10, &all).to_bytes();
        client
            .follow(Handover::from_bytes(&bytes).unwrap())
            .unwrap();
        assert_eq!(*client.committee(), next.committee);
        current = next;
    }
    assert_eq!(client.highest(), Height(1_000));
}

#[test]
fn forged_handovers_are_refused_with_distinct_errors() {
    let now = Network::new(4, &STAKES);
    let next = Network::new(5, &[1; 5]);
    let usurpers = Network::new(5, &[9; 3]).committee;
    let genuine = handover(&now, &next.committee, 40, &[0, 1, 2]);
    type Forge<'a> = Box<dyn Fn(&mut Handover) + 'a>;
    let table: Vec<(&str, Forge<'_>, LightError)> = vec![
        (
            "other members",
            Box::new(|h| h.members = usurpers.members().to_vec()),
            LightError::Committee(CommitteeError::Root),
        ),
        (
            "other members with a matching entry",
            Box::new(|h| {
                let forged = handover(&now, &usurpers, 40, &[0, 1, 2]);
                h.members = forged.members;
                h.entry = forged.entry;
            }),
            LightError::LedgerPath,
        ),
        (
            "other members with a matching ledger root",
            Box::new(|h| {
                let forged = handover(&now, &usurpers, 40, &[0, 1, 2]);
                *h = Handover {
                    certificate: h.certificate.clone(),
                    ..forged
                };
            }),
            LightError::ResultPath,
        ),
        (
            "two thirds of stake",
            Box::new(|h| *h = handover(&now, &usurpers, 40, &[0, 1])),
            LightError::Certificate(CertificateError::NoQuorum {
                power: squad_primitives::Stake(6),
                total: squad_primitives::Stake(9),
            }),
        ),
        (
            "the committee of a later epoch",
            Box::new(|h| {
                let later = usurpers.in_epoch(Epoch(6));
                *h = handover(&now, &later, 40, &[0, 1, 2]);
            }),
            LightError::LedgerPath,
        ),
        (
            "from another epoch",
            Box::new(|h| {
                *h = handover(&Network::new(3, &STAKES), &usurpers, 40, &[0, 1, 2]);
            }),
            LightError::HandoverEpoch {
                found: Epoch(3),
                expected: Epoch(4),
            },
        ),
        (
            "a value that is no root",
            Box::new(|h| {
                let key = ledger::committee_key(Epoch(5));
                let tree = LedgerTree::new([(key.clone(), vec![1, 2, 3])]).unwrap();
                let mut result = result(4, 40);
                result.ledger_root = tree.root();
                h.certificate = now.certify(result.statement(), &[0, 1, 2]);
                h.ledger = result.proof(Root::Ledger);
                h.entry = tree.prove(&key).unwrap();
            }),
            LightError::LedgerValue,
        ),
    ];
    for (name, forge, error) in table {
        let mut forged = genuine.clone();
        forge(&mut forged);
        let mut client = client(4);
        assert_eq!(client.follow(forged), Err(error), "{name}");
        assert_eq!(client.committee().epoch(), Epoch(4), "{name}");
    }
    assert_eq!(client(4).follow(genuine), Ok(()));
}

#[test]
fn anchors_need_possession_and_age_out() {
    let mut rogue = anchor(0, 0);
    rogue.members[2].possession = rogue.members[1].possession;
    assert_eq!(
        LightClient::start(rogue, 0, Some(DAY_MS)).unwrap_err(),
        LightError::Committee(CommitteeError::Key {
            operator: OperatorId(2),
            error: KeyError::Possession
        })
    );
    assert_eq!(
        LightClient::start(anchor(0, 5), 6 + DAY_MS, Some(DAY_MS)).unwrap_err(),
        LightError::AnchorTooOld {
            age_ms: DAY_MS + 1,
            limit_ms: DAY_MS
        }
    );
    assert!(LightClient::start(anchor(0, 5), 5 + DAY_MS, Some(DAY_MS)).is_ok());
    assert!(LightClient::start(anchor(0, 5), u64::MAX, None).is_ok());
}

#[test]
fn epochs_need_their_handover_and_the_last_one_stays_known() {
    let (now, next) = (Network::new(4, &STAKES), Network::new(5, &STAKES));
    let mut client = client(4);
    let later = next.certify(result(5, 50).statement(), &[0, 1, 2]);
    assert_eq!(
        client.verify_certificate(&later),
        Err(LightError::UnknownEpoch {
            found: Epoch(5),
            known: Epoch(4)
        })
    );
    client
        .follow(handover(&now, &next.committee, 40, &[0, 1, 2]))
        .unwrap();
    assert_eq!(client.verify_certificate(&later), Ok(()));
    let earlier = now.certify(result(4, 39).statement(), &[0, 1, 2]);
    assert_eq!(client.verify_certificate(&earlier), Ok(()));
    assert_eq!(client.highest(), Height(50));
}

#[test]
fn a_contradiction_becomes_evidence() {
    let network = Network::new(0, &STAKES);
    let mut client = client(0);
    let statement = result(0, 5).statement();
    let first = network.certify(statement, &[0, 1, 2]);
    let wider = network.certify(statement, &[0, 1, 2, 3]);
    let second = network.certify(other_result(statement), &[0, 1, 3]);
    client.verify_certificate(&first).unwrap();
    assert_eq!(client.verify_certificate(&wider), Ok(()));
    let Err(LightError::Conflict { evidence, .. }) = client.verify_certificate(&second) else {
        panic!("both were believed");
    };
    assert!(matches!(*evidence, Evidence::ConflictingCertificates(_)));
    assert_eq!(
        evidence.verify(&NETWORK, &network.committee),
        Ok(vec![OperatorId(0), OperatorId(1)])
    );
}

/// Three blocks of rollup 7, of which only height 12 has a certificate, and a proof of a transaction in
/// the first of them.
fn transaction_proof(network: &Network) -> TransactionProof {
    let states = [3, 7, 8].map(|id| RollupState::empty(RollupId(id)));
    let mut tree = RollupTree::new(states.to_vec()).unwrap();
    let ids: Vec<TxId> = (0..5).map(|i| Digest([i; 32])).collect();
    let mut older = Vec::new();
    for (height, number) in [(10, 1), (11, 2), (12, 3)] {
        let part = RollupLeaf::new(RollupId(7), number, &ids[..7 - number as usize - 1]);
        tree.apply(Height(height), &[part]).unwrap();
        older.insert(0, tree.prove(RollupId(7)).unwrap().0);
    }
    older.remove(0);
    let mut result = result(0, 12);
    result.rollups_root = tree.root();
    let (leaf, path) = tree.prove(RollupId(7)).unwrap();
    TransactionProof {
        rollup: RollupProof {
            certificate: network.certify(result.statement(), &[0, 1, 2]),
            rollups: result.proof(Root::Rollups),
            leaf,
            path,
            older,
        },
        id: ids[2],
        path: merkle::Path::new(&ids, 2).unwrap(),
    }
}

#[test]
fn a_transaction_below_the_certified_block_is_proved_from_bytes() {
    let network = Network::new(0, &STAKES);
    let bytes = transaction_proof(&network).to_bytes();
    assert!(bytes.len() < 1_200, "{} bytes", bytes.len());
    let proof = TransactionProof::from_bytes(&bytes).unwrap();
    let block = client(0).verify_transaction(&proof, RollupId(7)).unwrap();
    assert_eq!((block.last_height, block.number), (Height(10), 1));
    let rollup = RollupProof::from_bytes(&proof.rollup.to_bytes()).unwrap();
    assert_eq!(client(0).verify_rollup(&rollup, RollupId(7)), Ok(block));
    assert_eq!(*rollup.proved(), block);
    for length in 0..bytes.len() {
        assert!(
            matches!(
                TransactionProof::from_bytes(&bytes[..length]),
                Err(LightError::Decode(_))
            ),
            "cut at {length}"
        );
    }
}

type Spoil = fn(&mut TransactionProof);

#[test]
fn forged_proofs_are_refused_with_distinct_errors() {
    let network = Network::new(0, &STAKES);
    let table: [(&str, Spoil, LightError); 9] = [
        (
            "a sibling of the result path",
            |p| p.rollup.rollups.siblings[0] = Digest([1; 32]),
            LightError::ResultPath,
        ),
        (
            "a leaf with another list",
            |p| p.rollup.leaf.list_root = Digest([1; 32]),
            LightError::RollupPath,
        ),
        (
            "a shortened rollup path",
            |p| {
                p.rollup.path.siblings.pop();
            },
            LightError::RollupPath,
        ),
        (
            "another rollup's index",
            |p| p.rollup.path.index = 0,
            LightError::RollupPath,
        ),
        (
            "an older leaf with another height",
            |p| p.rollup.older[1].last_height = Height(9),
            LightError::OlderLeaf(1),
        ),
        (
            "an older leaf left out",
            |p| {
                p.rollup.older.remove(0);
            },
            LightError::OlderLeaf(0),
        ),
        (
            "a transaction that is not there",
            |p| p.id = Digest([0x77; 32]),
            LightError::TransactionPath(1),
        ),
        (
            "a list of another length",
            |p| p.path.count = 4,
            LightError::TransactionPath(1),
        ),
        (
            "swapped height of the certificate",
            |p| p.rollup.certificate.statement.height = Height(13),
            LightError::Certificate(CertificateError::Signature),
        ),
    ];
    for (name, spoil, error) in table {
        let mut proof = transaction_proof(&network);
        spoil(&mut proof);
        let refused = client(0).verify_transaction(&proof, RollupId(7));
        assert_eq!(refused, Err(error), "{name}");
    }
    assert_eq!(
        client(0).verify_transaction(&transaction_proof(&network), RollupId(8)),
        Err(LightError::Rollup {
            found: RollupId(7),
            expected: RollupId(8)
        })
    );
}
