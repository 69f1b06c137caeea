//! Fetching what was missed: certificates of a gap, blocks by hash, committed blocks by height.
//!
//! Nothing is fetched because a peer says so: only blocks that a certificate names, their ancestors,
//! and the parents of valid proposals; every answer is verified. A gap in the certificates is asked
//! from the signers of the TC above it, each of whom holds the certificate of the view before.

use crate::certificates::Search;
use crate::context::Context;
use crate::core::Core;
use crate::tree::Path;
use crate::{Output, PeerFault};
use squad_primitives::message::{
    BLOCKS_PER_PAGE, CERTIFICATES_PER_PAGE, ConsensusMessage, SyncedBlock,
};
use squad_primitives::{
    Block, Certificate, Digest, Duration, Height, OperatorId, StatementKind, Time, View, ViewId,
};

/// Up to this many missing ancestors are fetched one by one; more are synced by height, so that the
/// tree doesn't fill with blocks that are long committed elsewhere.
const DISTANCE_MAX: u64 = 8;
/// Requests by height without a result before missing ancestors are fetched one by one after all:
/// they may be certified, but not committed anywhere.
const FRUITLESS_MAX: usize = 4;

/// Sync of committed blocks by height.
#[derive(Debug, Default)]
pub(crate) struct HeightSync {
    sources: Vec<OperatorId>,
    turn: usize,
    due: Option<Time>,
    fruitless: usize,
    /// Kept up although nothing certified is known to be missing: a peer is in a later epoch.
    follows: bool,
}

impl HeightSync {
    fn need(&mut self, sources: Vec<OperatorId>, due: Time) {
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

    fn poll(&mut self, retry: Duration, cx: &mut Context<'_>) -> Option<OperatorId> {
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

/// The request for certificates that is open.
#[derive(Debug, Default)]
pub(crate) struct CertificateChase {
    about: Option<View>,
    due: Time,
    turn: usize,
}

/// Certificates that are needed now.
struct Lacking {
    after: View,
    up_to: View,
    sources: Vec<OperatorId>,
    patience: Duration,
}

impl Core {
    pub(crate) fn run_fetches(&mut self, cx: &mut Context<'_>) {
        self.chase_blocks(cx);
        self.chase_certificates(cx);
        let (requests, next) = self.fetcher.poll(cx.now.time, self.config.rebroadcast);
        for (source, hash) in requests {
            cx.send(source, ConsensusMessage::BlockRequest(hash));
        }
        if let Some(next) = next {
            cx.wake(next);
        }
        if self.epoch_over {
            return;
        }
        if let Some(source) = self.sync.poll(self.config.rebroadcast * 2, cx) {
            let from = self.tree.root().height.next();
            cx.send(source, ConsensusMessage::SyncRequest(from));
        }
    }

    /// Looks for what is missing below the highest CC and the highest certified block.
    fn chase_blocks(&mut self, cx: &mut Context<'_>) {
        let targets = [
            self.certificates.commits().next(),
            self.certificates.certified().next(),
        ];
        let mut lacking = Vec::new();
        for certificate in targets.into_iter().flatten() {
            if certificate.statement.at.view <= self.root_view() {
                continue;
            }
            let path = self.tree.path(certificate.statement.block);
            if let Path::Missing { hash, heights } = path {
                let committee = &self.judge.committee;
                let signers = certificate.signers.operators(committee);
                let others: Vec<_> = signers.filter(|signer| Some(*signer) != self.me).collect();
                lacking.push((hash, certificate.statement.at, heights, others));
            }
        }
        if lacking.is_empty() && !self.sync.follows {
            self.sync.stop();
        }
        for (hash, at, heights, sources) in lacking {
            let far = heights.is_some_and(|heights| heights > DISTANCE_MAX);
            if far {
                self.sync.need(sources.clone(), cx.now.time);
            }
            if !far || self.sync.fruitless > FRUITLESS_MAX {
                let due = cx.now.time.after(self.config.fetch_delay());
                self.fetcher.want(hash, at, sources, due);
            }
        }
    }

    fn chase_certificates(&mut self, cx: &mut Context<'_>) {
        let Some(lacking) = self.lacking_certificates() else {
            self.certificate_chase.about = None;
            return;
        };
        let chase = &mut self.certificate_chase;
        if chase.about != Some(lacking.up_to) {
            *chase = CertificateChase {
                about: Some(lacking.up_to),
                due: cx.now.time.after(lacking.patience),
                turn: chase.turn,
            };
        }
        if !cx.due(chase.due) || lacking.sources.is_empty() {
            return;
        }
        let source = lacking.sources.get(chase.turn % lacking.sources.len());
        chase.turn = chase.turn.wrapping_add(1);
        chase.due = cx.now.time.after(self.config.rebroadcast);
        cx.wake(chase.due);
        if let Some(source) = source {
            let epoch = self.at.epoch;
            let request = ConsensusMessage::CertificatesRequest {
                after: ViewId::new(epoch, lacking.after),
                up_to: ViewId::new(epoch, lacking.up_to),
            };
            cx.send(*source, request);
        }
    }

    fn lacking_certificates(&self) -> Option<Lacking> {
        self.voter()?;
        // The way down from the current view to the block that a proposal extends is broken.
        if let Search::Gap(missing) = self.search() {
            let above = self
                .certificates
                .get(StatementKind::Timeout, missing.next());
            let above = above.or(self.entry_certificate());
            return Some(Lacking {
                after: self.root_view(),
                up_to: missing.next(),
                sources: self.other_signers(above),
                patience: Duration::ZERO,
            });
        }
        let (view, candidate) = self.candidates.last_key_value()?;
        let patience = self.config.fetch_delay();
        let sources = vec![candidate.proposal.leader];
        // A later view has begun elsewhere.
        if *view > self.at.view {
            return Some(Lacking {
                after: self.at.view.prev(),
                up_to: *view,
                sources,
                patience,
            });
        }
        // The leader skipped views whose TCs are not here.
        let missing = self
            .certificates
            .missing_tc(candidate.justified_at, self.at.view)?;
        Some(Lacking {
            after: candidate.justified_at,
            up_to: missing.next(),
            sources,
            patience,
        })
    }

    fn other_signers(&self, certificate: Option<&Certificate>) -> Vec<OperatorId> {
        certificate
            .into_iter()
            .flat_map(|certificate| certificate.signers.operators(&self.judge.committee))
            .filter(|operator| Some(*operator) != self.me)
            .collect()
    }

    pub(crate) fn on_certificates_request(
        &mut self,
        from: OperatorId,
        after: ViewId,
        up_to: ViewId,
        cx: &mut Context<'_>,
    ) {
        if self.peers.may_answer(from) {
            self.pacemaker.prodded = true;
            let page = self.page(after, up_to);
            if !page.is_empty() {
                cx.send(from, ConsensusMessage::Certificates(page));
            }
        }
    }

    /// What a peer lacks that knows everything up to `after` and asks for what is below `up_to`.
    pub(crate) fn page(&self, after: ViewId, up_to: ViewId) -> Vec<Certificate> {
        if up_to.epoch < self.at.epoch {
            return self.epoch_proof.iter().cloned().collect();
        }
        let root = self.root_view();
        let after = if after.epoch == self.at.epoch {
            after.view
        } else {
            View::ZERO
        };
        let mut page = Vec::new();
        if after < root {
            page.extend(self.root_proof.clone());
        }
        let limit = CERTIFICATES_PER_PAGE - page.len();
        let certificates = self
            .certificates
            .page(after.max(root.prev()), up_to.view, limit);
        page.extend(certificates);
        page
    }

    pub(crate) fn on_block_request(
        &mut self,
        from: OperatorId,
        hash: Digest,
        cx: &mut Context<'_>,
    ) {
        if !self.peers.may_answer(from) {
            return;
        }
        self.pacemaker.prodded = true;
        match self.tree.get(&hash) {
            Some(block) => cx.send(from, ConsensusMessage::Block(Box::new(block.clone()))),
            None => cx.out.push(Output::ServeBlock { to: from, hash }),
        }
    }

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

    /// Blocks are what they hash to; unasked ones are ignored.
    pub(crate) fn on_block(&mut self, block: Block) {
        let hash = block.hash(&self.config.network);
        if self.fetcher.got(&hash) {
            self.tree.insert(hash, block);
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

    fn is_final(
        &self,
        block: &Block,
        proof: &squad_primitives::certificate::CommitProof,
        verified: Option<&Certificate>,
    ) -> bool {
        // Neighbours are often proven by one certificate; its signatures are checked once. Everything
        // else about the proof is checked each time.
        let accept_all = AcceptAll;
        let by: &dyn squad_primitives::Verifier = if verified == Some(&proof.certificate) {
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
#[derive(Debug)]
struct AcceptAll;

impl squad_primitives::Verifier for AcceptAll {
    fn verify(&self, _: squad_primitives::key::Claim<'_>) -> bool {
        true
    }
}
