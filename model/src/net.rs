//! The network: the set of all that honest operators ever signed and sent.
//!
//! Everything in the set may arrive anywhere, at any time, in any order, any number of times, or never.
//! So loss, delay, doubles, overtaking and partitions need no events of their own. What Byzantine
//! operators sign is not in the set, because they may sign anything at any time: a certificate can be
//! had as soon as honest signatures and theirs make a quorum, and their proposals exist as soon as
//! something certifies a parent. Certificates travel by themselves from then on; that covers every
//! certificate that the core would send (to the next leader, to laggards, in answers), stale ones included.

use crate::book::{Book, Item};
use crate::lanes;
use crate::scope::Setup;
use squad_primitives::evidence::contradict;
use squad_primitives::{
    Block, BlockRef, Certificate, Epoch, Height, OperatorId, Proposal, Stake, Statement,
    StatementKind, View, ViewId, Vote,
};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Two blocks are certified in one view.
pub(crate) const TWO_CERTIFIED: u8 = 1;
/// A view has a commit certificate and a timeout certificate.
pub(crate) const COMMITTED_AND_SKIPPED: u8 = 2;
/// A certified block of a later view doesn't descend from one with a commit certificate.
pub(crate) const ABANDONED: u8 = 4;
/// An honest operator signed two statements that contradict each other.
pub(crate) const CONTRADICTED: u8 = 8;
/// A view has a timeout certificate.
pub(crate) const SKIPPED: u8 = 16;
/// Honest operators voted for two blocks of one view.
pub(crate) const SPLIT: u8 = 32;
/// A block of a Byzantine leader has a commit certificate.
pub(crate) const FOREIGN: u8 = 64;

/// A statement for which a certificate can be had. Signers are bits by operator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Certified {
    /// Number of the statement.
    pub(crate) statement: u16,
    /// All who have said it, or may say it.
    pub(crate) all: u8,
    /// The first of them that make a quorum. Certificates are always those of *these* signers: the one
    /// that a leader attached in another history may name operators who signed something else in this.
    pub(crate) quorum: u8,
}

/// A set of signed items, and what follows from it.
#[derive(Debug)]
pub(crate) struct Net {
    /// In order.
    pub(crate) items: Box<[Item]>,
    /// Statements for which a certificate can be had.
    pub(crate) certificates: Box<[Certified]>,
    /// Proposals of honest leaders, and all that Byzantine leaders can make, each with the signers of
    /// its justification.
    pub(crate) proposals: Box<[(u16, u8)]>,
    /// Bits of [`TWO_CERTIFIED`] and its like.
    pub(crate) facts: u8,
    /// Hash of the items.
    pub(crate) fingerprint: u64,
}

/// Hash of items by what they say, so that it doesn't depend on their numbers.
pub(crate) fn fingerprint(book: &Book, items: &[Item]) -> u64 {
    let sum = items.iter().fold(0_u64, |sum, item| {
        let mut hasher = DefaultHasher::new();
        matches!(item, Item::Proposal(_)).hash(&mut hasher);
        book.said(*item).hash(&mut hasher);
        sum.wrapping_add(hasher.finish())
    });
    let mut hasher = DefaultHasher::new();
    (sum, items.len()).hash(&mut hasher);
    hasher.finish()
}

impl Net {
    pub(crate) fn new(setup: &Setup, book: &mut Book, items: Box<[Item]>) -> Self {
        let mut signers: BTreeMap<Statement, u8> = BTreeMap::new();
        let mut votes = Vec::new();
        for item in &items {
            let (statement, signer) = book.said(*item);
            *signers.entry(statement).or_default() |= 1 << signer.0;
            votes.push((statement, signer));
        }
        let mut facts = promises(&votes);
        let split = |a: &Statement, b: &Statement| {
            a.kind == StatementKind::Vote && b.kind == a.kind && a.at == b.at && a.block != b.block
        };
        if signers.keys().any(|a| signers.keys().any(|b| split(a, b))) {
            facts |= SPLIT;
        }
        let mut certified: BTreeMap<Statement, u8> = BTreeMap::new();
        for (statement, honest) in signers {
            let all = honest | setup.liars(statement.at.epoch);
            let committee = setup.committee(statement.at.epoch);
            let stake = operators(all).map(|operator| committee.stake(operator).0);
            if committee.is_quorum(Stake(stake.sum())) {
                certified.insert(statement, all);
            }
        }
        facts |= exclusions(setup, book, &certified);
        let mut numbers: BTreeSet<u16> = items
            .iter()
            .filter_map(|item| match item {
                Item::Proposal(number) => Some(*number),
                Item::Said(..) => None,
            })
            .collect();
        for proposal in lies(setup, book, &certified) {
            numbers.insert(book.proposal(&proposal));
        }
        let proposals = numbers.into_iter().map(|number| {
            let justify = book.proposals.get(number).justify.as_ref();
            let signers = justify.map(|justify| {
                let all = certified.get(&justify.statement);
                let all = all.expect("what a leader holds, others can have");
                quorum(setup, justify.statement.at.epoch, *all)
            });
            (number, signers.unwrap_or_default())
        });
        let proposals = proposals.collect();
        let certificates = certified.iter().map(|(statement, all)| Certified {
            statement: book.statement(*statement),
            all: *all,
            quorum: quorum(setup, statement.at.epoch, *all),
        });
        Self {
            certificates: certificates.collect(),
            proposals,
            facts,
            fingerprint: fingerprint(book, &items),
            items,
        }
    }
}

/// Operators of a mask, in order.
pub(crate) fn operators(mask: u8) -> impl Iterator<Item = OperatorId> {
    (0..8)
        .filter(move |bit| mask & 1 << bit != 0)
        .map(OperatorId)
}

/// The first operators of a mask that make a quorum.
fn quorum(setup: &Setup, epoch: Epoch, mask: u8) -> u8 {
    let committee = setup.committee(epoch);
    let (mut stake, mut signers) = (0, 0);
    for operator in operators(mask) {
        if !committee.is_quorum(Stake(stake)) {
            stake += committee.stake(operator).0;
            signers |= 1 << operator.0;
        }
    }
    signers
}

/// The certificate that operators of a mask make.
pub(crate) fn certificate(setup: &Setup, statement: Statement, mask: u8) -> Certificate {
    let committee = setup.committee(statement.at.epoch);
    let votes: Vec<Vote> = operators(mask)
        .map(|operator| vote(setup, statement, operator))
        .collect();
    Certificate::from_votes(&committee, statement, &votes).expect("they are a quorum")
}

/// The signature of an operator that is known to have said this, or that says anything.
pub(crate) fn vote(setup: &Setup, statement: Statement, operator: OperatorId) -> Vote {
    let signer = &*setup.keys.signers[operator.0 as usize];
    Vote::sign(&setup.config.network, statement, operator, signer)
}

fn promises(votes: &[(Statement, OperatorId)]) -> u8 {
    let vote = |(statement, signer): (Statement, OperatorId)| Vote {
        statement,
        signer,
        signature: squad_primitives::Signature([0; 64]),
    };
    let broken = votes
        .iter()
        .any(|a| votes.iter().any(|b| contradict(&vote(*a), &vote(*b))));
    if broken { CONTRADICTED } else { 0 }
}

/// What must not be certified beside each other.
fn exclusions(setup: &Setup, book: &Book, certified: &BTreeMap<Statement, u8>) -> u8 {
    let mut facts = 0;
    for a in certified.keys() {
        match a.kind {
            StatementKind::Vote => {}
            StatementKind::Timeout => facts |= SKIPPED,
            StatementKind::CommitVote => {
                let leader = book.block(&a.block).map(|block| setup.leader(block.at));
                if leader.is_some_and(|leader| setup.lies(leader)) {
                    facts |= FOREIGN;
                }
            }
        }
        for b in certified.keys() {
            let blocks = [a, b].map(|it| it.kind != StatementKind::Timeout);
            if a.at == b.at && blocks == [true, true] && a.block != b.block {
                facts |= TWO_CERTIFIED;
            }
            if a.kind != StatementKind::CommitVote {
                continue;
            }
            if a.at == b.at && b.kind == StatementKind::Timeout {
                facts |= COMMITTED_AND_SKIPPED;
            }
            if b.at > a.at && blocks[1] && !book.descends(b.block, a.block) {
                facts |= ABANDONED;
            }
        }
    }
    facts
}

/// All proposals that Byzantine leaders can make: on every certified parent of an earlier view, one that
/// moves the leader's lane and one that doesn't. An epoch's last block is proposed again instead.
fn lies(setup: &Setup, book: &Book, certified: &BTreeMap<Statement, u8>) -> Vec<Proposal> {
    let mut found = Vec::new();
    for epoch in (0..).map(Epoch).take_while(|epoch| setup.has_epoch(*epoch)) {
        for view in (1..=setup.last_view(epoch).0).map(View) {
            let at = ViewId::new(epoch, view);
            let leader = setup.leader(at);
            if !setup.lies(leader) {
                continue;
            }
            if epoch == Epoch::ZERO {
                let genesis = (BlockRef::genesis(setup.config.network), None);
                found.extend(children(setup, at, leader, genesis, None));
            }
            for (statement, mask) in certified {
                let Some(parent) = book.block(&statement.block) else {
                    continue;
                };
                let justify = Some(certificate(setup, *statement, *mask));
                let ends_epoch = parent.height == setup.config.epoch_end(statement.at.epoch);
                let (before, of_before) = (statement.at < at, statement.at.epoch.next() == epoch);
                let committed = statement.kind == StatementKind::CommitVote;
                if statement.at.epoch == epoch && before && ends_epoch {
                    found.push(sign(setup, at, parent.clone(), leader, justify));
                } else if statement.at.epoch == epoch && before && !committed
                    || of_before && ends_epoch && committed
                {
                    let reference = BlockRef {
                        hash: statement.block,
                        at: parent.at,
                    };
                    let extended = (reference, Some(parent));
                    found.extend(children(setup, at, leader, extended, justify));
                }
            }
        }
    }
    found
}

fn children(
    setup: &Setup,
    at: ViewId,
    leader: OperatorId,
    (parent, block): (BlockRef, Option<&Block>),
    justify: Option<Certificate>,
) -> [Proposal; 2] {
    let cut = block.map(|block| block.cut.clone()).unwrap_or_default();
    let height = block.map_or(Height::ZERO, |block| block.height).next();
    let timestamp_ms = block.map_or(1, |block| block.timestamp_ms + 1);
    [lanes::moved(&cut, leader), cut].map(|cut| {
        let block = Block {
            at,
            height,
            parent,
            timestamp_ms,
            cut,
        };
        sign(setup, at, block, leader, justify.clone())
    })
}

fn sign(
    setup: &Setup,
    at: ViewId,
    block: Block,
    leader: OperatorId,
    justify: Option<Certificate>,
) -> Proposal {
    let key = &*setup.keys.signers[leader.0 as usize];
    Proposal::sign(&setup.config.network, at, block, leader, justify, key)
}
