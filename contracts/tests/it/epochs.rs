//! Committees that follow each other by certificate.

use crate::chain::{Chain, Deploy, Word};
use crate::network::{
    CERTIFICATE_WORDS, NETWORK, Network, certificate, members, number, statement,
};
use squad_mach::{BlockResult, LedgerTree, MachMember, Root, ledger};
use squad_primitives::{Digest, Epoch, Height};

const STAKES: [u64; 4] = [3, 3, 2, 1];

struct Handover {
    certificate: Vec<Word>,
    index: u64,
    count: u64,
    siblings: Vec<Word>,
    result: [Word; 2],
    members: Vec<MachMember>,
}

impl Handover {
    /// From one committee to the next, with a ledger that holds more than this entry.
    fn new(from: &Network, to: &Network, signers: &[u16]) -> Self {
        let next = to.committee.epoch();
        let key = ledger::committee_key(next);
        let tree = LedgerTree::new([
            (b"account/1".to_vec(), vec![1]),
            (key.clone(), to.committee.root().0.to_vec()),
            (b"rollup/1".to_vec(), vec![2]),
        ])
        .expect("short entries");
        let result = BlockResult {
            network: NETWORK,
            epoch: from.committee.epoch(),
            height: Height(50),
            block: Digest([1; 32]),
            order_root: Digest([2; 32]),
            opened_root: Digest([3; 32]),
            ledger_root: tree.root(),
            rollups_root: Digest([4; 32]),
        };
        let entry = tree.prove(&key).expect("present");
        let up = result.proof(Root::Ledger).siblings;
        Self {
            certificate: certificate(&from.certify(result.statement(), signers)),
            index: entry.path.index.into(),
            count: entry.path.count.into(),
            siblings: entry.path.siblings.iter().map(|d| d.0).collect(),
            result: [up[0].0, up[1].0],
            members: to.committee.members().to_vec(),
        }
    }

    /// Two dynamic arguments behind the certificate; the path has a dynamic list in it.
    fn arguments(&self) -> Vec<Word> {
        let mut path = vec![number(self.index), number(self.count), number(5 * 32)];
        path.extend(self.result);
        path.push(number(self.siblings.len() as u64));
        path.extend(&self.siblings);
        let head = (CERTIFICATE_WORDS + 2) as u64 * 32;
        let mut arguments = self.certificate.clone();
        arguments.push(number(head));
        arguments.push(number(head + path.len() as u64 * 32));
        arguments.extend(path);
        arguments.extend(members(&self.members));
        arguments
    }
}

fn start(deploy: Deploy<'_>) -> (Network, Network, Chain) {
    let now = Network::new(0, 0, &STAKES);
    let next = Network::new(1, 2, &[1, 1, 1, 1, 5]);
    let mut chain = deploy(&NETWORK.0);
    now.install(&mut chain);
    next.register(&mut chain);
    (now, next, chain)
}

#[test]
fn a_certified_committee_takes_over_and_the_last_one_stays_valid_for_an_epoch() {
    takeover(&Chain::new);
}

pub(crate) fn takeover(deploy: Deploy<'_>) {
    let (now, next, mut chain) = start(deploy);
    let old = certificate(&now.certify(statement(0, 60), &[0, 1, 2]));
    let new = certificate(&next.certify(statement(1, 61), &[0, 1, 4]));
    assert_eq!(chain.call("verify", &new), Err("UnknownEpoch(1)".into()));
    let handover = Handover::new(&now, &next, &[0, 1, 2]);
    chain
        .call("advanceEpoch", &handover.arguments())
        .expect("accepted");
    assert_eq!(chain.read("currentEpoch", &[]), number(1));
    assert!(chain.call("verify", &new).is_ok());
    assert!(chain.call("verify", &old).is_ok());
    assert_eq!(
        chain.call("advanceEpoch", &handover.arguments()),
        Err("UnknownEpoch(0)".into()),
        "a repeated hand-over"
    );
    let third = Network::new(2, 2, &[1, 1, 1, 1, 5]);
    let handover = Handover::new(&next, &third, &[0, 1, 2, 3, 4]);
    chain
        .call("advanceEpoch", &handover.arguments())
        .expect("accepted");
    assert_eq!(chain.call("verify", &old), Err("UnknownEpoch(0)".into()));
    assert!(chain.call("verify", &new).is_ok());
}

#[test]
fn forged_handovers_are_refused() {
    forged_handovers(&Chain::new);
}

pub(crate) fn forged_handovers(deploy: Deploy<'_>) {
    let (now, next, mut chain) = start(deploy);
    let genuine = || Handover::new(&now, &next, &[0, 1, 2]);
    let mut richer = genuine();
    richer.members[0].stake.0 = 100;
    let mut fewer = genuine();
    fewer.members.pop();
    let mut cut = genuine();
    cut.siblings.pop();
    let mut moved = genuine();
    moved.index ^= 1;
    let mut elsewhere = genuine();
    elsewhere.result.swap(0, 1);
    let mut stranger = genuine();
    let usurpers = Network::new(1, 70, &[1; 4]);
    stranger.members = usurpers.committee.members().to_vec();
    let later = Network::new(2, 2, &[1, 1, 1, 1, 5]);
    let weak = Handover::new(&now, &next, &[0, 1]);
    let table = [
        ("other stakes", richer, "BadPath()"),
        ("a member left out", fewer, "BadPath()"),
        ("a truncated path", cut, "BadPath()"),
        ("another place", moved, "BadPath()"),
        ("another result path", elsewhere, "BadPath()"),
        ("keys without possession", stranger, "NoPossession(0)"),
        (
            "the committee of a later epoch",
            Handover::new(&now, &later, &[0, 1, 2]),
            "BadPath()",
        ),
        ("two thirds of stake", weak, "NoQuorum(6, 9)"),
    ];
    for (name, forged, error) in table {
        let refused = chain.call("advanceEpoch", &forged.arguments());
        assert_eq!(refused, Err(error.to_owned()), "{name}");
        assert_eq!(chain.read("currentEpoch", &[]), number(0), "{name}");
    }
    assert_eq!(next.committee.epoch(), Epoch(1));
    assert!(chain.call("advanceEpoch", &genuine().arguments()).is_ok());
}
