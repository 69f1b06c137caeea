//! Votes become certificates, certificates lead into views (rules 1, 4, 6, 7).

use crate::certificates::Search;
use crate::context::Context;
use crate::core::{Core, VIEWS_AHEAD, VIEWS_BEHIND};
use crate::votes::Added;
use crate::{Cast, PeerFault, SafetyRecord};
use squad_primitives::message::ConsensusMessage;
use squad_primitives::{
    Certificate, OperatorId, Statement, StatementKind, Time, View, ViewId, Vote,
};
use std::cmp::Ordering;

impl Core {
    pub(crate) fn on_vote(&mut self, from: OperatorId, vote: Vote, cx: &mut Context<'_>) {
        let at = vote.statement.at;
        if vote.signer != from {
            return self.fault(from, PeerFault::Stranger, cx);
        }
        match at.epoch.cmp(&self.at.epoch) {
            Ordering::Less => return self.see(from, at, cx.now.time),
            Ordering::Greater => {
                return self.on_later_epoch(from, at, ConsensusMessage::Vote(vote), cx);
            }
            Ordering::Equal => {}
        }
        if self.judge.committee.index(from).is_none() {
            return self.fault(from, PeerFault::Stranger, cx);
        }
        if vote.statement.kind == StatementKind::CommitVote {
            // Commit votes are repeated from later views, so they never say that a peer is behind.
            self.peers.see(from, at.next(), cx.now.time);
            // Somebody who sends a commit vote long after the commit has missed it.
            let settled = cx.now.time >= self.pacemaker.last_commit.after(self.config.rebroadcast);
            let root = if settled {
                self.root_view()
            } else {
                self.pacemaker.root_before
            };
            if at.view <= root {
                self.peers.lacks_commit(from);
            }
        } else {
            self.see(from, at, cx.now.time);
        }
        self.count(vote, false, cx);
    }

    /// Notes in which view a peer signed something; one that is behind may need certificates.
    pub(crate) fn see(&mut self, from: OperatorId, at: ViewId, now: Time) {
        self.peers.see(from, at, now);
        self.peers.see_again(from, at, now, self.config.rebroadcast);
        self.pacemaker.prodded |= at < self.at;
        if at.epoch < self.at.epoch {
            self.peers.left_behind(from);
        }
    }

    /// Adds a member's vote of this epoch, and certifies its statement if that is possible now.
    pub(crate) fn count(&mut self, vote: Vote, verified: bool, cx: &mut Context<'_>) {
        let (statement, signer) = (vote.statement, vote.signer);
        let (kind, at) = (statement.kind, statement.at);
        let ahead = self.at.view.0.saturating_add(VIEWS_AHEAD);
        let behind = self.at.view.0.saturating_sub(VIEWS_BEHIND);
        if at.epoch != self.at.epoch || at.view.0 > ahead || at.view.0 < behind || at.view.0 == 0 {
            return;
        }
        match self.collector.add(vote, verified, &self.judge) {
            Added::New => {}
            Added::Repeated => return,
            Added::Contradiction(evidence) => return self.accuse(*evidence, cx),
            Added::BadSignature => return self.fault(signer, PeerFault::BadSignature, cx),
        }
        // "Later ones are dropped unverified", and so is what a commit has made moot.
        if at.view <= self.root_view() || self.certificates.get(kind, at.view).is_some() {
            return;
        }
        let mut liars = Vec::new();
        let formed = self
            .collector
            .certify(kind, at.view, &self.judge, &mut liars);
        for liar in liars {
            self.fault(liar, PeerFault::BadSignature, cx);
        }
        if let Some(certificate) = formed {
            self.adopt(certificate, cx);
        }
    }

    /// A certificate from a peer, or from inside a proposal. Says whether the statement is certified.
    pub(crate) fn on_certificate(
        &mut self,
        from: OperatorId,
        certificate: Certificate,
        cx: &mut Context<'_>,
    ) -> bool {
        let Statement { kind, at, block } = certificate.statement;
        match at.epoch.cmp(&self.at.epoch) {
            Ordering::Less => {
                self.pacemaker.prodded = true;
                return false;
            }
            Ordering::Greater => {
                let message = ConsensusMessage::Certificate(Box::new(certificate));
                self.on_later_epoch(from, at, message, cx);
                return false;
            }
            Ordering::Equal => self.peers.see(from, at.next(), cx.now.time),
        }
        if let Some(held) = self.certificates.get(kind, at.view) {
            return held.statement.block == block;
        }
        if at.view < self.root_view() || at.view == View::ZERO {
            return false;
        }
        let root = self.tree.root().reference;
        if kind == StatementKind::CommitVote && at == root.at {
            return block == root.hash;
        }
        if self.judge.certificate(&certificate).is_err() {
            self.fault(from, PeerFault::BadCertificate, cx);
            return false;
        }
        self.adopt(certificate, cx);
        true
    }

    /// A verified certificate of this epoch whose like isn't held.
    pub(crate) fn adopt(&mut self, certificate: Certificate, cx: &mut Context<'_>) {
        let Statement { kind, at, block } = certificate.statement;
        self.certificates.insert(certificate.clone());
        self.examine_signers(&certificate, cx);
        if kind != StatementKind::Timeout {
            self.pacemaker.certified_at = cx.now.time;
        }
        let record = SafetyRecord::Certificate(Box::new(certificate));
        if at < self.at {
            // A CC of a view already left is stored with the block that it commits.
            if kind != StatementKind::CommitVote {
                self.persist(vec![record], cx);
            }
            return;
        }
        let commit_vote = kind == StatementKind::Vote && self.may_commit_vote(at);
        if commit_vote {
            self.state.commit_voted = Cast { at, block };
        }
        self.pacemaker.on_view_left(kind, self.skips_turn());
        self.counters.views_timed_out += u64::from(kind == StatementKind::Timeout);
        let jump = at != self.at;
        self.enter(at.next(), jump, cx);
        let id = self.persist(vec![record, self.state_record()], cx);
        if let (true, Some(id)) = (commit_vote, id)
            && let Some(vote) = self.sign(Statement::commit_vote(at, block))
        {
            self.publish(id, vote.clone(), ConsensusMessage::Vote(vote), cx);
        }
    }

    /// Rules 1 and 6: enters a view. `jump` says that views before it were left out.
    fn enter(&mut self, at: ViewId, jump: bool, cx: &mut Context<'_>) {
        assert!(at > self.at, "views only ever ascend");
        self.at = at;
        self.state.at = self.state.at.max(at);
        if jump {
            self.silence.reset();
        } else {
            self.silence.count_view(&self.judge.committee, self.me);
        }
        self.own.current.clear();
        self.candidates = self.candidates.split_off(&at.view);
        let oldest = at.view.0.saturating_sub(VIEWS_BEHIND);
        self.collector.prune(View(oldest));
        self.pacemaker.on_view_entered(cx.now.time);
    }

    /// Signers of a certificate are alive, and must not have said anything that contradicts it.
    fn examine_signers(&mut self, certificate: &Certificate, cx: &mut Context<'_>) {
        let operators: Vec<_> = certificate
            .signers
            .operators(&self.judge.committee)
            .collect();
        for (signer, signature) in operators.into_iter().zip(&certificate.signatures) {
            self.silence.heard(signer);
            if self.collector.contradicts(signer, certificate.statement) {
                let vote = Vote {
                    statement: certificate.statement,
                    signer,
                    signature: *signature,
                };
                self.count(vote, true, cx);
            }
        }
    }

    /// The certificate that led into the current view; none in the first view of an epoch.
    pub(crate) fn entry_certificate(&self) -> Option<&Certificate> {
        let before = self.at.view.prev();
        self.certificates
            .block_certificate(before)
            .or_else(|| self.certificates.get(StatementKind::Timeout, before))
    }

    /// The certified block that a proposal of the current view extends.
    pub(crate) fn search(&self) -> Search {
        self.certificates.search(self.at.view, self.root_view())
    }

    /// Whether the turn of the current view's leader is skipped.
    pub(crate) fn skips_turn(&self) -> bool {
        let leader = self.schedule.leader(self.at.view);
        let turn = self.schedule.turn(self.at.view);
        Some(leader) != self.me && self.silence.skips(&self.judge.committee, leader, turn)
    }
}
