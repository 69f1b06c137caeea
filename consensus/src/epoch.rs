//! Where a replica begins: after a restart, and in a new epoch.

use crate::certificates::Certificates;
use crate::context::Context;
use crate::core::Core;
use crate::leader::Schedule;
use crate::votes::Collector;
use crate::{Output, PersistId, Recovered};
use squad_primitives::message::ConsensusMessage;
use squad_primitives::{Certificate, Committee, Statement, View, ViewId, Vote};

impl Core {
    /// Takes over what survived a crash. Everything in it was verified before it was stored.
    pub(crate) fn restore(&mut self, recovered: Recovered) {
        let epoch = self.judge.committee.epoch();
        let height = self.tree.root().height.next();
        assert!(
            height >= self.first_height(epoch) && height <= self.config.epoch_end(epoch),
            "the committee is that of the epoch to be continued"
        );
        self.state = recovered.state;
        for block in recovered.blocks {
            self.tree.insert(block.hash(&self.config.network), block);
        }
        if let Some(committed) = recovered.committed {
            let certificate = committed.proof.certificate.clone();
            if certificate.statement.block == committed.hash {
                self.root_proof = Some(certificate.clone());
            }
            if committed.block.at.epoch < epoch {
                self.epoch_proof.clone_from(&self.root_proof);
            } else {
                self.certificates.insert(certificate);
            }
            for block in &committed.proof.descendants {
                self.tree
                    .insert(block.hash(&self.config.network), block.clone());
            }
        }
        let root = self.root_view();
        for certificate in recovered.certificates {
            let at = certificate.statement.at;
            if at.epoch == epoch && at.view >= root {
                self.certificates.insert(certificate);
            } else if at.epoch > epoch {
                self.later.push(certificate);
            }
        }
        let first = ViewId::new(epoch, View(1)).max(ViewId::new(epoch, root.next()));
        self.resume_at(first);
    }

    /// Continues in the recorded view of this epoch, or in its first one.
    fn resume_at(&mut self, first: ViewId) {
        self.at = first;
        if self.state.at.epoch == first.epoch && self.state.at > first {
            self.at = self.state.at;
        } else if self.state.at < first {
            self.state.at = first;
        }
    }

    /// Begins to take part.
    pub(crate) fn start(&mut self, cx: &mut Context<'_>) {
        if self.started {
            return;
        }
        self.started = true;
        self.pacemaker.on_view_entered(cx.now.time);
        self.pacemaker.last_commit = cx.now.time;
        self.pacemaker.certified_at = cx.now.time;
        self.repeat_promises(cx);
    }

    /// Sends and counts again what was signed in the current view before a restart; it is durable
    /// already.
    fn repeat_promises(&mut self, cx: &mut Context<'_>) {
        if self.voter().is_none() {
            return;
        }
        let (at, state) = (self.at, self.state.clone());
        if state.voted.at == at {
            self.repeat_durable(Statement::vote(at, state.voted.block), cx);
        }
        if state.timed_out == at {
            self.repeat_durable(Statement::timeout(at), cx);
        }
        let committed = self.tree.root().reference.at;
        let commit_voted = state.commit_voted;
        if commit_voted.at.epoch == at.epoch && commit_voted.at > committed {
            let statement = Statement::commit_vote(commit_voted.at, commit_voted.block);
            if let Some(vote) = self.repeat_durable(statement, cx) {
                self.own
                    .keep_commit_vote(PersistId::default(), cx.now.time, vote);
            }
        }
        if state.proposed == at
            && let Some(Output::Broadcast { message, after }) = self.restored_proposal()
        {
            self.own
                .current
                .push((PersistId::default(), message.clone()));
            cx.out.push(Output::Broadcast { message, after });
        }
    }

    fn repeat_durable(&mut self, statement: Statement, cx: &mut Context<'_>) -> Option<Vote> {
        let vote = self.sign(statement)?;
        let message = ConsensusMessage::Vote(vote.clone());
        if statement.at == self.at {
            self.own
                .current
                .push((PersistId::default(), message.clone()));
        }
        cx.out.push(Output::Broadcast {
            message,
            after: None,
        });
        self.count(vote.clone(), true, cx);
        Some(vote)
    }

    /// The committee of the next epoch: its root is the last block of this one.
    pub(crate) fn on_epoch_ready(&mut self, committee: Committee, cx: &mut Context<'_>) {
        if !self.epoch_over || committee.epoch() != self.at.epoch.next() {
            return;
        }
        self.epoch_over = false;
        self.schedule = Schedule::new(&committee);
        self.silence.retain(&committee);
        self.judge.committee = committee;
        self.certificates = Certificates::default();
        let epoch = self.judge.committee.epoch();
        let (reached, later) = std::mem::take(&mut self.later)
            .into_iter()
            .partition(|certificate| certificate.statement.at.epoch == epoch);
        self.later = later;
        let reached: Vec<Certificate> = reached;
        for certificate in reached {
            self.certificates.insert(certificate);
        }
        self.collector = Collector::default();
        self.candidates.clear();
        self.sync.stop();
        self.resume_at(ViewId::new(epoch, View(1)));
        self.me = self.membership();
        self.pacemaker.on_view_entered(cx.now.time);
        self.pacemaker.tick = None;
        self.pacemaker.tick_root = View::ZERO;
        self.pacemaker.root_before = View::ZERO;
        let record = self.state_record();
        self.persist(vec![record], cx);
        self.repeat_promises(cx);
        for (from, message) in self.early.take() {
            self.handle_message(from, message, cx);
        }
    }
}
