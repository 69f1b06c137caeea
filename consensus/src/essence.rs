//! What the core's answers depend on, as a value that can be compared and hashed.
//!
//! A model checker explores the states of a whole network, and has to know when it has seen one
//! before. Two cores of one operator with equal [`Essence`]s answer equal inputs with equal
//! signatures, commits and records, under the conditions below; what else they send, and when, may
//! differ. Left out, and why:
//!
//! - **Times.** All that is asked of a stored time is whether an interval has passed since. A checker
//!   that lets either no time pass between two steps, or more than the longest interval, finds no timer
//!   that has run out and not fired: a step that enters a view starts its timer, and one that finds it run
//!   out signs the timeout. This needs lanes that always have work, and no least interval of blocks.
//! - **Who was seen where, requests under way, silence.** They decide who is helped and asked, which
//!   adds no signature. Only silence decides a signature, and only after `2n` views.
//! - **Signers and signatures** of certificates: nothing depends on which quorum said it.
//! - **Votes for what is already certified**: they are only looked at to find contradictions.
//! - **Counters**, and what never changes in one epoch: parameters, keys, committee, leaders.

use crate::SafetyState;
use crate::core::Core;
use squad_primitives::message::ConsensusMessage;
use squad_primitives::{Certificate, Digest, Height, OperatorId, Statement, View, ViewId};

/// See the module documentation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Essence {
    /// Current view.
    pub at: ViewId,
    /// Promises, as they are in memory; the durable ones may be older.
    pub state: SafetyState,
    /// Hash and height of the last committed block.
    pub root: (Digest, Height),
    /// Certificates of the last committed block and of the previous epoch's end.
    pub proofs: [Option<Statement>; 2],
    /// Certified statements of this epoch.
    pub certificates: Vec<Statement>,
    /// Recovered certificates of epochs that are not reached again yet.
    pub later: Vec<Statement>,
    /// Votes that count for statements that are not certified.
    pub votes: Vec<(Statement, OperatorId)>,
    /// Proposals: view, block, view of the justification, refused, to be judged again.
    pub candidates: Vec<(View, Digest, View, bool, bool)>,
    /// Uncommitted blocks.
    pub blocks: Vec<Digest>,
    /// Own statements that are repeated, and then those that wait for their records.
    pub own: [Vec<Statement>; 2],
    /// Blocks that are asked for, and the views that name them.
    pub wanted: Vec<(Digest, ViewId)>,
    /// Messages of the next epoch, by sender and in order.
    pub early: Vec<(OperatorId, Option<Statement>)>,
    /// Member of the committee, epoch over, halted.
    pub flags: [bool; 3],
}

impl Core {
    /// What the core's answers depend on.
    #[must_use]
    pub fn essence(&self) -> Essence {
        let root = self.tree.root();
        let statement = |certificate: &Certificate| certificate.statement;
        let uncertified = |(said, _): &(Statement, OperatorId)| {
            said.at.view > self.root_view()
                && self.certificates.get(said.kind, said.at.view).is_none()
        };
        let candidates = self.candidates.iter().map(|(view, candidate)| {
            let (refused, recheck) = (candidate.refused, candidate.recheck);
            (
                *view,
                candidate.hash,
                candidate.justified_at,
                refused,
                recheck,
            )
        });
        let early = self.early.messages().map(|(from, message)| {
            let said = match message {
                ConsensusMessage::Proposal(proposal) => {
                    Some(proposal.vote(&self.config.network).statement)
                }
                ConsensusMessage::Vote(vote) => Some(vote.statement),
                ConsensusMessage::Certificate(certificate) => Some(certificate.statement),
                _ => None,
            };
            (from, said)
        });
        Essence {
            at: self.at,
            state: self.state.clone(),
            root: (root.reference.hash, root.height),
            proofs: [&self.root_proof, &self.epoch_proof].map(|it| it.as_ref().map(statement)),
            certificates: self.certificates.statements().collect(),
            later: self.later.iter().map(statement).collect(),
            votes: self.collector.statements().filter(uncertified).collect(),
            candidates: candidates.collect(),
            blocks: self.tree.hashes().collect(),
            own: self.own.statements(&self.config.network),
            wanted: self.fetcher.wanted().collect(),
            early: early.collect(),
            flags: [self.me.is_some(), self.epoch_over, self.halted],
        }
    }
}
