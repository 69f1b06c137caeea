//! Certificates that honest nodes send carry valid signatures of more than two thirds of stake; a view
//! has at most one certified block, and never both a CC and a TC. Proofs of availability that they send name
//! more than a third.

use super::{Ground, Invariant};
use crate::node::Packet;
use crate::observe::Seen;
use squad_primitives::message::{ConsensusMessage, LaneMessage};
use squad_primitives::{Certificate, Digest, Poa, Statement, StatementKind, ViewId};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
struct View {
    block: Option<Digest>,
    timed_out: bool,
    committed: bool,
}

#[derive(Debug, Default)]
pub(super) struct Certificates {
    known: BTreeSet<(Statement, Vec<u8>)>,
    views: BTreeMap<ViewId, View>,
}

impl Certificates {
    fn judge(&mut self, ground: &Ground<'_>, certificate: &Certificate) -> Result<(), String> {
        let statement = certificate.statement;
        let at = statement.at;
        if !self
            .known
            .insert((statement, certificate.signers.as_bytes().to_vec()))
        {
            return Ok(());
        }
        let committee = ground.facts.committee.in_epoch(at.epoch);
        certificate
            .verify(&ground.facts.network, &committee, &*ground.facts.verifier)
            .map_err(|error| format!("{statement:?}: {error}"))?;
        // Not by the committee's own arithmetic.
        let signed: u64 = certificate
            .signers
            .operators(&committee)
            .map(|operator| committee.stake(operator).0)
            .sum();
        if signed * 3 <= committee.total().0 * 2 {
            return Err(format!(
                "{statement:?}: {signed} of {} is no quorum",
                committee.total()
            ));
        }
        let view = self.views.entry(at).or_default();
        match statement.kind {
            StatementKind::Timeout => view.timed_out = true,
            kind => {
                view.committed |= kind == StatementKind::CommitVote;
                let block = *view.block.get_or_insert(statement.block);
                if block != statement.block {
                    return Err(format!(
                        "{at:?}: {block} and {} are certified",
                        statement.block
                    ));
                }
            }
        }
        if view.timed_out && view.committed {
            return Err(format!("{at:?}: committed and timed out"));
        }
        Ok(())
    }
}

/// A proof of availability names more than a third of stake; not by the committee's own arithmetic.
fn judge_proof(ground: &Ground<'_>, poa: &Poa) -> Result<(), String> {
    let committee = &ground.facts.committee;
    let signers = poa.signers.operators(committee);
    let signed: u64 = signers.map(|operator| committee.stake(operator).0).sum();
    if signed * 3 > committee.total().0 {
        return Ok(());
    }
    let tip = poa.tip;
    Err(format!(
        "proof of batch {} of lane {} by {signed} of {}",
        tip.seq,
        tip.lane,
        committee.total()
    ))
}

impl Invariant for Certificates {
    fn name(&self) -> &'static str {
        "certificates"
    }

    fn see(&mut self, ground: &Ground<'_>, _: usize, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::Committed(block) => self.judge(ground, &block.proof.certificate),
            Seen::Sent(_, Packet::Lane(message)) => match &**message {
                LaneMessage::Poa(poa) => judge_proof(ground, poa),
                _ => Ok(()),
            },
            Seen::Sent(_, Packet::Consensus(message)) => match &**message {
                ConsensusMessage::Proposal(proposal) => proposal
                    .justify
                    .iter()
                    .try_for_each(|certificate| self.judge(ground, certificate)),
                ConsensusMessage::Certificate(certificate) => self.judge(ground, certificate),
                ConsensusMessage::Certificates(page) => page
                    .iter()
                    .try_for_each(|certificate| self.judge(ground, certificate)),
                ConsensusMessage::Sync(blocks) => blocks
                    .iter()
                    .try_for_each(|block| self.judge(ground, &block.proof.certificate)),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}
