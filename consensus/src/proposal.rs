//! Proposals as they arrive: what can be checked without knowing the chain.

use crate::PeerFault;
use crate::context::Context;
use crate::core::{Core, VIEWS_AHEAD};
use crate::voter::Candidate;
use squad_primitives::message::ConsensusMessage;
use squad_primitives::{
    BlockRef, Digest, Epoch, Height, OperatorId, Proposal, StatementKind, View, ViewId,
};
use std::cmp::Ordering;

impl Core {
    pub(crate) fn on_proposal(
        &mut self,
        from: OperatorId,
        proposal: Proposal,
        cx: &mut Context<'_>,
    ) {
        let at = proposal.at;
        if proposal.leader != from {
            return self.fault(from, PeerFault::Stranger, cx);
        }
        match at.epoch.cmp(&self.at.epoch) {
            Ordering::Less => return self.see(from, at, cx.now.time),
            Ordering::Greater => return self.on_later_proposal(from, proposal, cx),
            Ordering::Equal => self.see(from, at, cx.now.time),
        }
        let hash = proposal.block.hash(&self.config.network);
        if at.view == View::ZERO || self.schedule.leader(at.view) != from {
            return self.fault(from, PeerFault::NotLeader, cx);
        }
        if at < self.at {
            // Too late to vote for, but perhaps just the block that is being asked for.
            if self.fetcher.got(&hash) {
                self.tree.insert(hash, proposal.block);
            }
            return;
        }
        let known = self.candidates.get(&at.view);
        if known.is_some_and(|candidate| candidate.hash == hash) {
            return;
        }
        let second = known.is_some();
        let vote = proposal.vote(&self.config.network);
        if !self.judge.vote(&vote) {
            return self.fault(from, PeerFault::BadSignature, cx);
        }
        if second {
            // Its signature contradicts the first one; the collector makes evidence of the two.
            return self.count(vote, true, cx);
        }
        if !self.is_well_formed(&proposal, hash) {
            return self.fault(from, PeerFault::IllegalProposal, cx);
        }
        if !self.is_justified(from, &proposal, cx) {
            return;
        }
        // The certificate may have led beyond the view of the proposal, or far ahead to it.
        let ahead = self.at.view.0.saturating_add(VIEWS_AHEAD);
        if at.view.0 > ahead {
            return;
        }
        self.tree.insert(hash, proposal.block.clone());
        self.fetcher.got(&hash);
        if at >= self.at {
            self.pacemaker.last_proposal = Some(cx.now.time);
            let candidate = Candidate::new(proposal, hash, cx.now.time);
            self.candidates.insert(at.view, candidate);
        }
        self.count(vote, true, cx);
    }

    /// A proposal of a later epoch. What it is justified by may be the end of this epoch.
    fn on_later_proposal(&mut self, from: OperatorId, proposal: Proposal, cx: &mut Context<'_>) {
        let at = proposal.at;
        let justify = proposal.justify.clone();
        let message = ConsensusMessage::Proposal(Box::new(proposal));
        self.on_later_epoch(from, at, message, cx);
        if let Some(justify) = justify.filter(|justify| justify.statement.at.epoch == self.at.epoch)
        {
            self.on_certificate(from, justify, cx);
        }
    }

    /// Height, views and certificate fit together as far as the proposal itself tells.
    fn is_well_formed(&self, proposal: &Proposal, hash: Digest) -> bool {
        let block = &proposal.block;
        let epoch = proposal.at.epoch;
        let end = self.config.epoch_end(epoch);
        if block.at.epoch != epoch || block.at > proposal.at || block.height > end {
            return false;
        }
        if block.at < proposal.at {
            let certified = proposal.justify.as_ref().map(|justify| justify.statement);
            return block.height == end
                && certified.is_some_and(|statement| {
                    statement.kind != StatementKind::Timeout
                        && statement.block == hash
                        && statement.at.epoch == epoch
                        && block.at <= statement.at
                        && statement.at < proposal.at
                });
        }
        let genesis = BlockRef::genesis(self.config.network);
        let Some(justify) = &proposal.justify else {
            return block.parent == genesis && epoch == Epoch::ZERO && block.height == Height(1);
        };
        let statement = justify.statement;
        if block.parent.hash != statement.block || block.parent.at >= block.at {
            return false;
        }
        let first = self.first_height(epoch);
        if block.parent.at.epoch == epoch {
            return block.height > first
                && block.parent != genesis
                && statement.kind != StatementKind::Timeout
                && statement.at == block.parent.at;
        }
        block.parent.at.epoch.next() == epoch
            && block.height == first
            && statement.kind == StatementKind::CommitVote
            && statement.at.epoch == block.parent.at.epoch
            && statement.at >= block.parent.at
    }

    /// Height of the first block of an epoch.
    pub(crate) fn first_height(&self, epoch: Epoch) -> Height {
        if epoch == Epoch::ZERO {
            Height(1)
        } else {
            self.config.epoch_end(epoch.prev()).next()
        }
    }

    /// The certificate inside is valid; it is adopted if it is news.
    fn is_justified(
        &mut self,
        from: OperatorId,
        proposal: &Proposal,
        cx: &mut Context<'_>,
    ) -> bool {
        match &proposal.justify {
            None => true,
            // The end of the previous epoch is known by its own commit; which signatures the leader
            // shows for it makes no difference.
            Some(justify) if justify.statement.at.epoch < self.at.epoch => {
                self.root_view() > View::ZERO || proposal.block.parent == self.tree.root().reference
            }
            Some(justify) => {
                let root = self.tree.root().reference;
                let final_already =
                    justify.statement.block == root.hash && justify.statement.at == root.at;
                final_already || self.on_certificate(from, justify.clone(), cx)
            }
        }
    }

    /// A message of a later epoch: keep it if it is the next one, and find out what was missed.
    pub(crate) fn on_later_epoch(
        &mut self,
        from: OperatorId,
        at: ViewId,
        message: ConsensusMessage,
        cx: &mut Context<'_>,
    ) {
        self.peers.see(from, at, cx.now.time);
        if at.epoch == self.at.epoch.next() {
            self.early.push(from, message);
        }
        if !self.epoch_over {
            // Usually the commit that ends this epoch is on its way.
            let due = cx.now.time.after(self.config.fetch_delay());
            self.sync.follow(from, due);
        }
    }
}
