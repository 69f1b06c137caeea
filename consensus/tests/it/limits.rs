//! What one member may cost the others: signatures checked and memory kept, counted while it floods
//! one replica. The numbers are those of the head of `votes`, and of `VIEWS_AHEAD`, `VIEWS_BEHIND`.

use crate::net::{TestKey, TestLanes, TestVerifier, WALL_START_MS, committee, public_key};
use squad_consensus::{Config, Core, Input, Output, PeerFault, Recovered};
use squad_fuzz::held_bytes;
use squad_primitives::key::Claim;
use squad_primitives::message::{CERTIFICATES_PER_PAGE, ConsensusMessage};
use squad_primitives::{
    Block, BlockRef, Certificate, Cut, Digest, Epoch, Height, Now, OperatorId, Proposal, Signature,
    SignerSet, Statement, Time, Verifier, View, ViewId, Vote,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const NETWORK: Digest = Digest([9; 32]);
const LIAR: OperatorId = OperatorId(3);
const MEMBERS: u64 = 4;
const VIEWS_AHEAD: u64 = 64;
const FLOOD: u64 = 10_000;

#[derive(Debug, Default)]
struct Counting(AtomicUsize);

impl Verifier for Counting {
    fn verify(&self, claim: Claim<'_>) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed);
        TestVerifier.verify(claim)
    }
}

struct Replica {
    core: Core,
    lanes: TestLanes,
    verifier: Arc<Counting>,
    faults: Vec<PeerFault>,
}

impl Replica {
    fn start() -> Self {
        let members: Vec<_> = (0..MEMBERS as usize).map(|index| (index, 1)).collect();
        let verifier = Arc::new(Counting::default());
        let core = Core::new(
            Config::new(NETWORK, 1_000),
            Some((OperatorId(0), Arc::new(TestKey(public_key(0))))),
            verifier.clone(),
            committee(Epoch(0), &members),
            Recovered::genesis(),
        );
        let mut replica = Self {
            core,
            lanes: TestLanes::default(),
            verifier,
            faults: Vec::new(),
        };
        replica.step(Input::Start);
        replica
    }

    /// Time stands still, so that only what is received costs anything.
    fn step(&mut self, input: Input) {
        let now = Now {
            time: Time(1_000_000),
            wall_ms: WALL_START_MS,
        };
        let mut out = Vec::new();
        self.core.step(now, input, &mut self.lanes, &mut out);
        for output in out {
            if let Output::PeerFault { from, fault } = output {
                assert_eq!(from, LIAR);
                self.faults.push(fault);
            }
        }
    }

    fn hear(&mut self, message: ConsensusMessage) {
        self.step(Input::Message {
            from: LIAR,
            message,
        });
    }

    fn checked(&self) -> usize {
        self.verifier.0.load(Ordering::Relaxed)
    }
}

fn key() -> TestKey {
    TestKey(public_key(3))
}

fn at(view: u64) -> ViewId {
    ViewId::new(Epoch(0), View(view))
}

fn forged_vote(statement: Statement) -> ConsensusMessage {
    ConsensusMessage::Vote(Vote {
        statement,
        signer: LIAR,
        signature: Signature([1; 64]),
    })
}

fn forged_certificate(view: u64) -> Certificate {
    Certificate {
        statement: Statement::vote(at(view), Digest([1; 32])),
        signers: SignerSet::from_bytes(&[0b1110]).unwrap(),
        signatures: vec![Signature([1; 64]); 3],
    }
}

/// Votes are kept unverified until a quorum may stand behind a statement, one per kind and view, and
/// only near the current view. A vote that contradicts another is worth a check, and a fault if wrong.
#[test]
fn forged_votes_cost_no_checks_and_little_memory() {
    let mut replica = Replica::start();
    let held = held_bytes(|| {
        for number in 0..FLOOD {
            let view = at(number % (2 * VIEWS_AHEAD));
            replica.hear(forged_vote(Statement::timeout(view)));
            replica.hear(forged_vote(Statement::vote(view, Digest([7; 32]))));
        }
    });
    assert_eq!((replica.checked(), replica.faults.len()), (0, 0));
    // Views ahead and the current one; each is a tree whose first node has room for eleven senders.
    let views = VIEWS_AHEAD as i64 + 1;
    assert!(held <= views * 6 * 1_024, "{held} bytes kept");
}

#[test]
fn contradicting_forgeries_are_a_fault_each() {
    let mut replica = Replica::start();
    for number in 0..1_000 {
        let block = Digest([number as u8 | 1; 32]);
        replica.hear(forged_vote(Statement::vote(at(1), block)));
    }
    // The link is closed at the third; here it never is.
    assert!(replica.checked() <= 1_000, "{}", replica.checked());
    let faults = replica.faults.iter();
    assert!(
        faults
            .filter(|fault| **fault == PeerFault::BadSignature)
            .count()
            >= 900
    );
}

/// A forged certificate costs at most its signatures, once, and is a fault.
#[test]
fn forged_certificates_are_a_fault_each() {
    let mut replica = Replica::start();
    for view in 1..=1_000 {
        let certificate = Box::new(forged_certificate(view));
        replica.hear(ConsensusMessage::Certificate(certificate));
    }
    assert_eq!(replica.faults, vec![PeerFault::BadCertificate; 1_000]);
    assert!(replica.checked() <= 3_000, "{}", replica.checked());
}

/// The same for a page, whose first forged certificate ends it: the sender is known for what it is.
#[test]
fn a_page_of_forged_certificates_costs_one() {
    let mut replica = Replica::start();
    let page: Vec<_> = (1..=CERTIFICATES_PER_PAGE as u64)
        .map(forged_certificate)
        .collect();
    replica.hear(ConsensusMessage::Certificates(page));
    assert_eq!(replica.faults, [PeerFault::BadCertificate]);
    assert!(replica.checked() <= 3, "{}", replica.checked());
}

/// Views and epochs as far as numbers go: nothing is kept for them but the highest view seen.
#[test]
fn far_future_views_are_not_kept() {
    let mut replica = Replica::start();
    let held = held_bytes(|| {
        for number in 0..FLOOD {
            let view = u64::MAX - number;
            for at in [
                at(view),
                at(number + 2 + VIEWS_AHEAD),
                ViewId::new(Epoch(view), View(1)),
            ] {
                replica.hear(forged_vote(Statement::timeout(at)));
                replica.hear(forged_vote(Statement::commit_vote(at, Digest([1; 32]))));
            }
            let certificate = Certificate {
                statement: Statement::timeout(ViewId::new(Epoch(view), View(view))),
                ..forged_certificate(1)
            };
            replica.hear(ConsensusMessage::Certificate(Box::new(certificate)));
        }
    });
    assert_eq!((replica.checked(), replica.core.status().at), (0, at(1)));
    assert!(held <= 16 << 10, "{held} bytes kept");
}

/// A leader may propose many blocks for a view of its own: the first is kept, the second is evidence,
/// and each further one costs one check and no memory.
#[test]
fn many_proposals_for_one_view_are_kept_once() {
    let mut replica = Replica::start();
    let leads = (1..=8).find(|view| {
        let mut probe = Replica::start();
        probe.hear(proposal(*view, 0));
        probe.faults.is_empty()
    });
    let leads = leads.expect("everybody leads one of the first views");
    replica.hear(proposal(leads, 0));
    replica.hear(proposal(leads, 1));
    let before = replica.checked();
    let held = held_bytes(|| {
        for number in 2..1_000 {
            replica.hear(proposal(leads, number));
        }
    });
    assert!(replica.checked() - before <= 1_000, "{}", replica.checked());
    assert!(held <= 4 << 10, "{held} bytes kept");
    assert_eq!(replica.core.status().evidence, 1);
}

fn proposal(view: u64, number: u64) -> ConsensusMessage {
    let block = Block {
        at: at(view),
        height: Height(1),
        parent: BlockRef::genesis(NETWORK),
        timestamp_ms: WALL_START_MS + number,
        cut: Cut::default(),
    };
    let proposal = Proposal::sign(&NETWORK, at(view), block, LIAR, None, &key());
    ConsensusMessage::Proposal(Box::new(proposal))
}

/// A thousand honest messages, again and again: they are recognised before any signature is checked.
#[test]
fn duplicates_cost_no_checks() {
    let mut replica = Replica::start();
    let mut messages = Vec::new();
    for view in 1..=VIEWS_AHEAD {
        for statement in [
            Statement::vote(at(view), Digest([7; 32])),
            Statement::timeout(at(view)),
        ] {
            let vote = Vote::sign(&NETWORK, statement, LIAR, &key());
            messages.push(ConsensusMessage::Vote(vote));
        }
        // A certificate of the three others, seen through the liar.
        let statement = Statement::timeout(at(view));
        let votes: Vec<_> = (1..4)
            .map(|signer| {
                let key = TestKey(public_key(signer));
                Vote::sign(&NETWORK, statement, OperatorId(signer as u32), &key)
            })
            .collect();
        let members: Vec<_> = (0..MEMBERS as usize).map(|index| (index, 1)).collect();
        let all = committee(Epoch(0), &members);
        let certificate = Certificate::from_votes(&all, statement, &votes).unwrap();
        messages.push(ConsensusMessage::Certificate(Box::new(certificate)));
    }
    let hear_all = |replica: &mut Replica| {
        for message in &messages {
            replica.hear(message.clone());
        }
    };
    hear_all(&mut replica);
    let first = replica.checked();
    assert!(first > 0);
    let held = held_bytes(|| (0..60).for_each(|_| hear_all(&mut replica)));
    assert_eq!(replica.checked(), first);
    assert!(held <= 1 << 10, "{held} bytes kept");
    assert_eq!(replica.faults, []);
}
