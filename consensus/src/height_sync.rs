//! Committed blocks by height, for a replica that is far behind or knows no certificates.

use crate::context::Context;
use crate::core::Core;
use crate::{Output, PeerFault};
use squad_primitives::certificate::CommitProof;
use squad_primitives::key::Claim;
use squad_primitives::message::{BLOCKS_PER_PAGE, SyncedBlock};
use squad_primitives::{
    Block, Certificate, Duration, Height, OperatorId, StatementKind, Time, Verifier,
};

/// Sync of committed blocks by height.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeightSync {
    sources: Vec<OperatorId>,
    turn: usize,
    due: Option<Time>,
    pub(crate) fruitless: usize,
    /// Kept up although nothing certified is known to be missing: a peer is in a later epoch.
    pub(crate) follows: bool,
}

impl HeightSync {
    pub(crate) fn need(&mut self, sources: Vec<OperatorId>, due: Time) {
        if !sources.is_empty() {
            self.sources = sources;
            self.due.get_or_insert(due);
        }
    }

    /// A peer shows that it is an epoch ahead.
    pub(crate) fn follow(&mut self, from: OperatorId, due: Time) {
        self.follows = true;
        if self.due.is_none() {
            self.need(vec![from], due);
        }
    }

    pub(crate) fn stop(&mut self) {
        *self = Self::default();
    }

    pub(crate) const fn is_active(&self) -> bool {
        self.due.is_some()
    }

    pub(crate) const fn on_progress(&mut self) {
        self.fruitless = 0;
    }

    pub(crate) fn poll(&mut self, retry: Duration, cx: &mut Context<'_>) -> Option<OperatorId> {
        if !cx.due(self.due?) {
            return None;
        }
        let source = self.sources.get(self.turn % self.sources.len()).copied();
        self.turn = self.turn.wrapping_add(1);
        self.fruitless = self.fruitless.saturating_add(1);
        let next = cx.now.time.after(retry);
        self.due = Some(next);
        cx.wake(next);
        source
    }
}

impl Core {
    pub(crate) fn on_sync_request(
        &mut self,
        from: OperatorId,
        height: Height,
        cx: &mut Context<'_>,
    ) {
        if self.peers.may_answer(from) {
            self.pacemaker.prodded = true;
            cx.out.push(Output::ServeBlocks {
                to: from,
                from: height,
            });
        }
    }

    /// Committed blocks in height order; those that are known are skipped.
    pub(crate) fn on_synced(
        &mut self,
        from: Option<OperatorId>,
        blocks: Vec<SyncedBlock>,
        cx: &mut Context<'_>,
    ) {
        if let Some(from) = from.filter(|_| blocks.len() > BLOCKS_PER_PAGE) {
            return self.fault(from, PeerFault::Oversized, cx);
        }
        let before = self.tree.root().height;
        let mut last: Option<Certificate> = None;
        for SyncedBlock { block, proof } in blocks {
            let height = self.tree.root().height;
            if block.height <= height {
                continue;
            }
            // The next epoch's committee is not known yet; or the answer was to an earlier life.
            if self.epoch_over || block.height > height.next() {
                break;
            }
            let hash = block.hash(&self.config.network);
            let extends =
                block.parent == self.tree.root().reference && block.at.epoch == self.at.epoch;
            if !extends || !self.is_final(&block, &proof, last.as_ref()) {
                if let Some(from) = from {
                    self.fault(from, PeerFault::BadSync, cx);
                }
                break;
            }
            last = Some(proof.certificate.clone());
            self.commit(hash, block, proof, cx);
        }
        if self.tree.root().height > before {
            // Ask for the next page at once.
            if let Some(due) = &mut self.sync.due {
                *due = cx.now.time;
            }
        } else if from.is_some() {
            self.sync.follows = false;
        }
        if let Some(certificate) = last.filter(|_| !self.epoch_over) {
            self.silence.reset();
            let at = certificate.statement.at.view;
            if self
                .certificates
                .get(StatementKind::CommitVote, at)
                .is_none()
            {
                self.adopt(certificate, cx);
            }
        }
    }

    fn is_final(&self, block: &Block, proof: &CommitProof, verified: Option<&Certificate>) -> bool {
        // Neighbours are often proven by one certificate; its signatures are checked once. Everything
        // else about the proof is checked each time.
        let accept_all = AcceptAll;
        let by: &dyn Verifier = if verified == Some(&proof.certificate) {
            &accept_all
        } else {
            &*self.judge.verifier
        };
        proof
            .verify(&self.config.network, block, &self.judge.committee, by)
            .is_ok()
    }
}

/// Stands in for the verifier where the same signatures were verified a moment ago.
#[derive(Clone, Debug)]
struct AcceptAll;

impl Verifier for AcceptAll {
    fn verify(&self, _: Claim<'_>) -> bool {
        true
    }
}
