//! Forged certificates and committees: each is refused with an error of its own.

use crate::support::{NETWORK, Network, admissions, secret, statement};
use squad_mach::{
    Admission, Certificate, CertificateError, CommitteeError, KeyError, MachCommittee,
    RawSignature, Signers,
};
use squad_primitives::codec::DecodeError;
use squad_primitives::{Digest, Epoch, Height, OperatorId, Stake};

type Forge = fn(&Network, Certificate) -> Certificate;

/// Stakes 3, 3, 2, 1 of 9: members 0 and 1 hold exactly two thirds.
const STAKES: [u64; 4] = [3, 3, 2, 1];

#[test]
fn forged_certificates_are_refused_with_distinct_errors() {
    let network = Network::new(7, &STAKES);
    let genuine = network.certify(statement(7, 100), &[0, 1, 3]);
    assert_eq!(genuine.verify(&NETWORK, &network.committee), Ok(()));
    let table: [(&str, Forge, CertificateError); 10] = [
        (
            "another network",
            |_, mut c| {
                c.statement.network = Digest([0x22; 32]);
                c
            },
            CertificateError::Network,
        ),
        (
            "another epoch's certificate",
            |network, _| network.certify(statement(8, 100), &[0, 1, 2, 3]),
            CertificateError::Epoch {
                found: Epoch(8),
                expected: Epoch(7),
            },
        ),
        (
            "bitmap of another size",
            |_, mut c| {
                c.signers = Signers::none(5);
                c
            },
            CertificateError::BitmapLength {
                found: 5,
                expected: 4,
            },
        ),
        (
            "stake at exactly two thirds",
            |network, c| network.certify(c.statement, &[0, 1]),
            CertificateError::NoQuorum {
                power: Stake(6),
                total: Stake(9),
            },
        ),
        (
            "one unit less than a quorum needs",
            |network, c| network.certify(c.statement, &[0, 2, 3]),
            CertificateError::NoQuorum {
                power: Stake(6),
                total: Stake(9),
            },
        ),
        (
            "a signer claimed who did not sign",
            |network, c| {
                let mut forged = network.certify(c.statement, &[0, 1]);
                forged.signers.insert(3);
                forged
            },
            CertificateError::Signature,
        ),
        (
            "a signer left out of the bitmap",
            |network, c| {
                let mut forged = network.certify(c.statement, &[0, 1, 2, 3]);
                forged.signers = c.signers;
                forged
            },
            CertificateError::Signature,
        ),
        (
            "swapped height",
            |_, mut c| {
                c.statement.height = Height(101);
                c
            },
            CertificateError::Signature,
        ),
        (
            "no point of the group",
            |_, mut c| {
                c.signature = RawSignature([0xff; 96]);
                c
            },
            CertificateError::Key(KeyError::Point("signature")),
        ),
        (
            "the identity as signature",
            |_, mut c| {
                c.signature = RawSignature([0; 96]);
                c.signature.0[0] = 0xc0;
                c
            },
            CertificateError::Key(KeyError::Identity("signature")),
        ),
    ];
    for (name, forge, error) in table {
        let forged = forge(&network, genuine.clone());
        assert_eq!(
            forged.verify(&NETWORK, &network.committee),
            Err(error),
            "{name}"
        );
    }
}

/// Epochs mixed the other way round: the epoch says 7, the signatures are those of 8.
#[test]
fn a_relabelled_epoch_does_not_verify() {
    let network = Network::new(7, &STAKES);
    let mut forged = network.certify(statement(8, 100), &[0, 1, 2, 3]);
    forged.statement.epoch = Epoch(7);
    assert_eq!(
        forged.verify(&NETWORK, &network.committee),
        Err(CertificateError::Signature)
    );
}

#[test]
fn one_wrong_signature_among_many_spoils_the_certificate() {
    let network = Network::new(0, &[1; 20]);
    let members: Vec<u16> = (0..20).collect();
    let statement = statement(0, 1);
    let mut sum = squad_mach::bls::Sum::default();
    for member in &members {
        let signed = if *member == 13 {
            crate::support::other_result(statement)
        } else {
            statement
        };
        let signature = network.attest(*member, signed).signature.decode().unwrap();
        sum.add(&network.committee.at(*member).unwrap().key, &signature);
    }
    let mut forged = network.certify(statement, &members);
    forged.signature = sum.signature();
    assert_eq!(
        forged.verify(&NETWORK, &network.committee),
        Err(CertificateError::Signature)
    );
}

#[test]
fn cut_and_padded_certificates_do_not_decode() {
    let network = Network::new(0, &STAKES);
    let bytes = network.certify(statement(0, 1), &[0, 1, 3]).to_bytes();
    for length in 0..bytes.len() {
        assert!(matches!(
            Certificate::from_bytes(&bytes[..length]),
            Err(DecodeError::Truncated { .. } | DecodeError::Illegal { .. })
        ));
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert_eq!(
        Certificate::from_bytes(&longer),
        Err(DecodeError::Trailing { extra: 1 })
    );
    let mut version = bytes.clone();
    version[0] = 2;
    assert_eq!(
        Certificate::from_bytes(&version),
        Err(DecodeError::Illegal {
            field: "certificate version"
        })
    );
    // Byte 115 is the bitmap; bit 4 stands for nobody in a committee of four.
    let mut unused = bytes;
    unused[115] |= 0x10;
    assert_eq!(
        Certificate::from_bytes(&unused),
        Err(DecodeError::Illegal { field: "signers" })
    );
}

type Spoil = fn(&mut Vec<Admission>);

#[test]
fn bad_committees_are_refused_with_distinct_errors() {
    let table: [(&str, Spoil, CommitteeError); 6] = [
        ("nobody", Vec::clear, CommitteeError::Size(0)),
        (
            "rogue key: somebody else's proof",
            |list| list[1].possession = list[0].possession,
            CommitteeError::Key {
                operator: OperatorId(1),
                error: KeyError::Possession,
            },
        ),
        (
            "a copied key with its proof under another identity",
            |list| {
                list[1].member.key = list[0].member.key;
                list[1].possession = list[0].possession;
            },
            CommitteeError::Key {
                operator: OperatorId(1),
                error: KeyError::Possession,
            },
        ),
        (
            "an operator twice",
            |list| list[1].member.operator = OperatorId(0),
            CommitteeError::Repeated(OperatorId(0)),
        ),
        (
            "no stake",
            |list| list[2].member.stake = Stake(0),
            CommitteeError::NoStake(OperatorId(2)),
        ),
        (
            "too much stake",
            |list| list[2].member.stake = Stake(u64::MAX),
            CommitteeError::StakeOverflow,
        ),
    ];
    for (name, spoil, error) in table {
        let keys: Vec<_> = (0..4).map(secret).collect();
        let mut list = admissions(&keys, &STAKES);
        spoil(&mut list);
        assert_eq!(MachCommittee::admit(Epoch(0), list), Err(error), "{name}");
    }
}

#[test]
fn a_vouched_list_must_have_the_root_and_its_order() {
    let network = Network::new(3, &STAKES);
    let root = network.committee.root();
    let members = network.committee.members().to_vec();
    let again = MachCommittee::with_root(Epoch(4), members.clone(), &root).unwrap();
    assert_eq!(again, network.committee.in_epoch(Epoch(4)));
    let mut richer = members.clone();
    richer[3].stake = Stake(100);
    assert_eq!(
        MachCommittee::with_root(Epoch(4), richer, &root),
        Err(CommitteeError::Root)
    );
    let mut swapped = members;
    swapped.swap(0, 1);
    assert_eq!(
        MachCommittee::with_root(Epoch(4), swapped, &root),
        Err(CommitteeError::Order(OperatorId(0)))
    );
}
