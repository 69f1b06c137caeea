use super::*;
use squad_primitives::committee::Member;
use squad_primitives::{
    Committee, Ed25519Verifier, Epoch, IdentityKey, PublicKey, Signature, Signer, ViewId,
};
use std::sync::Arc;

fn key(index: u32) -> IdentityKey {
    IdentityKey::from_seed([u8::try_from(index).unwrap(); 32])
}

fn judge(members: u32) -> Judge {
    let members = (0..members).map(|index| Member {
        operator: OperatorId(index),
        key: key(index).public_key(),
        stake: Stake(1),
    });
    Judge {
        network: Digest([5; 32]),
        committee: Committee::new(Epoch(0), members.collect()).unwrap(),
        verifier: Arc::new(Ed25519Verifier),
    }
}

const AT: ViewId = ViewId::new(Epoch(0), View(9));
const A: Digest = Digest([1; 32]);
const B: Digest = Digest([2; 32]);

fn signed(judge: &Judge, signer: u32, statement: Statement) -> Vote {
    Vote::sign(&judge.network, statement, OperatorId(signer), &key(signer))
}

fn forged(judge: &Judge, signer: u32, statement: Statement) -> Vote {
    let mut vote = signed(judge, signer, statement);
    vote.signature = Signature([1; 64]);
    vote
}

#[test]
fn liars_are_found_and_the_rest_still_makes_a_certificate() {
    let judge = judge(10);
    let mut collector = Collector::default();
    let mut liars = Vec::new();
    let mut formed = None;
    for signer in 0..10 {
        let statement = Statement::vote(AT, A);
        let vote = if signer == 2 || signer == 5 {
            forged(&judge, signer, statement)
        } else {
            signed(&judge, signer, statement)
        };
        assert_eq!(collector.add(vote, false, &judge), Added::New);
        formed = collector.certify(StatementKind::Vote, AT.view, &judge, &mut liars);
        assert_eq!(formed.is_some(), signer >= 8, "quorum without the liars");
        if formed.is_some() {
            break;
        }
    }
    assert_eq!(liars, [OperatorId(2), OperatorId(5)]);
    let certificate = formed.unwrap();
    assert_eq!(judge.certificate(&certificate), Ok(()));
    assert!(!certificate.signers.contains(2) && !certificate.signers.contains(5));
}

#[test]
fn votes_for_different_blocks_are_not_added_up() {
    let judge = judge(4);
    let mut collector = Collector::default();
    for (signer, block) in [(0, A), (1, A), (2, B), (3, B)] {
        let vote = signed(&judge, signer, Statement::vote(AT, block));
        collector.add(vote, false, &judge);
    }
    let formed = collector.certify(StatementKind::Vote, AT.view, &judge, &mut Vec::new());
    assert_eq!(formed, None);
}

#[test]
fn contradictions_become_evidence_once() {
    let judge = judge(4);
    let pairs = [
        (Statement::vote(AT, A), Statement::vote(AT, B)),
        (Statement::commit_vote(AT, A), Statement::commit_vote(AT, B)),
        (Statement::commit_vote(AT, A), Statement::timeout(AT)),
        (Statement::timeout(AT), Statement::commit_vote(AT, A)),
    ];
    for (first, second) in pairs {
        let mut collector = Collector::default();
        let (first, second) = (signed(&judge, 1, first), signed(&judge, 1, second));
        assert_eq!(collector.add(first, false, &judge), Added::New);
        let Added::Contradiction(evidence) = collector.add(second.clone(), false, &judge) else {
            panic!("a contradiction is evidence");
        };
        assert!(evidence.verify(&judge.network, &judge.committee, &Ed25519Verifier));
        assert_eq!(collector.add(second, false, &judge), Added::Repeated);
    }
}

#[test]
fn a_vote_and_a_timeout_or_a_vote_and_a_commit_vote_are_no_contradiction() {
    let judge = judge(4);
    for other in [Statement::timeout(AT), Statement::commit_vote(AT, B)] {
        let mut collector = Collector::default();
        let vote = signed(&judge, 1, Statement::vote(AT, A));
        assert_eq!(collector.add(vote, false, &judge), Added::New);
        let other = signed(&judge, 1, other);
        assert_eq!(collector.add(other, false, &judge), Added::New);
    }
}

#[test]
fn forged_contradictions_accuse_nobody() {
    let judge = judge(4);
    let mut collector = Collector::default();
    let honest = signed(&judge, 1, Statement::vote(AT, A));
    assert_eq!(collector.add(honest, false, &judge), Added::New);
    let false_one = forged(&judge, 1, Statement::vote(AT, B));
    assert_eq!(collector.add(false_one, false, &judge), Added::BadSignature);

    // The other way round the forged one was stored first, and gives way.
    let mut collector = Collector::default();
    let false_one = forged(&judge, 1, Statement::vote(AT, B));
    assert_eq!(collector.add(false_one, false, &judge), Added::New);
    let honest = signed(&judge, 1, Statement::vote(AT, A));
    assert_eq!(collector.add(honest, false, &judge), Added::New);
    assert!(collector.contradicts(OperatorId(1), Statement::vote(AT, B)));
    assert!(!collector.contradicts(OperatorId(1), Statement::vote(AT, A)));
}

#[test]
fn a_key_that_is_no_point_verifies_nothing() {
    let mut judge = judge(1);
    let member = Member {
        operator: OperatorId(0),
        key: PublicKey([0xff; 32]),
        stake: Stake(1),
    };
    judge.committee = Committee::new(Epoch(0), vec![member]).unwrap();
    let mut collector = Collector::default();
    let vote = signed(&judge, 0, Statement::vote(AT, A));
    collector.add(vote, false, &judge);
    let mut liars = Vec::new();
    let formed = collector.certify(StatementKind::Vote, AT.view, &judge, &mut liars);
    assert_eq!((formed, liars), (None, vec![OperatorId(0)]));
}

#[test]
fn pruned_views_are_forgotten() {
    let judge = judge(4);
    let mut collector = Collector::default();
    for signer in 0..2 {
        let vote = signed(&judge, signer, Statement::timeout(AT));
        collector.add(vote, false, &judge);
    }
    assert_eq!(collector.timeout_stake(AT.view, &judge), Stake(2));
    collector.prune(AT.view);
    assert_eq!(collector.timeout_stake(AT.view, &judge), Stake(2));
    collector.prune(AT.view.next());
    assert_eq!(collector.timeout_stake(AT.view, &judge), Stake::ZERO);
}
