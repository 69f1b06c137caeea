//! Commits: a commit certificate makes its block and all uncommitted ancestors final (rule 7).

use crate::context::Context;
use crate::core::Core;
use crate::tree::Path;
use crate::{Output, SafetyRecord};
use squad_primitives::certificate::{CommitProof, DESCENDANTS_MAX};
use squad_primitives::{Block, Certificate, CommittedBlock, Digest, View, ViewId};
use std::sync::Arc;

impl Core {
    /// Commits the highest certified block whose ancestors are all here.
    pub(crate) fn try_commit(&mut self, cx: &mut Context<'_>) {
        let root = self.tree.root().reference.hash;
        let mut ready = None;
        for certificate in self.certificates.commits() {
            let hash = certificate.statement.block;
            if hash == root {
                break;
            }
            match self.tree.path(hash) {
                Path::Connected(path) => {
                    ready = Some(path);
                    break;
                }
                Path::Missing { .. } => {}
                Path::Conflict => {
                    self.halted = true;
                    cx.out.push(Output::Conflict(Box::new(certificate.clone())));
                    return;
                }
            }
        }
        if let Some(path) = ready {
            self.commit_path(&path, cx);
        }
    }

    /// Commits a chain whose last block has a CC. A block without a CC of its own is proven by that of
    /// the nearest descendant that has one.
    fn commit_path(&mut self, path: &[Digest], cx: &mut Context<'_>) {
        let mut proofs = Vec::with_capacity(path.len());
        let mut later: Vec<Block> = Vec::new();
        let mut nearest: Option<Certificate> = None;
        for hash in path.iter().rev() {
            let Some(block) = self.tree.get(hash).cloned() else {
                return;
            };
            let exact = self
                .certificates
                .commits()
                .find(|certificate| certificate.statement.block == *hash);
            if let Some(exact) = exact {
                nearest = Some(exact.clone());
                later.clear();
            }
            let Some(certificate) = nearest.clone() else {
                return;
            };
            // More uncommitted descendants than a proof may hold need a thousand certified blocks in
            // a row without one commit; then only the shell's own chain is proven by later blocks.
            let descendants = later.iter().rev().take(DESCENDANTS_MAX).cloned().collect();
            later.push(block.clone());
            let proof = CommitProof {
                certificate,
                descendants,
            };
            proofs.push((*hash, block, proof));
        }
        for (hash, block, proof) in proofs.into_iter().rev() {
            self.commit(hash, block, proof, cx);
        }
    }

    /// Makes the next block final.
    pub(crate) fn commit(
        &mut self,
        hash: Digest,
        block: Block,
        proof: CommitProof,
        cx: &mut Context<'_>,
    ) {
        let (at, height) = (block.at, block.height);
        let parent_cut = self.tree.commit(hash, &block);
        self.root_proof =
            (proof.certificate.statement.block == hash).then(|| proof.certificate.clone());
        self.pacemaker.last_commit = cx.now.time;
        cx.out.push(Output::Commit(CommittedBlock {
            hash,
            block,
            parent_cut,
            proof: Arc::new(proof),
        }));
        self.certificates.prune(at.view);
        self.fetcher.prune(at);
        self.sync.on_progress();
        self.own.commit_votes = self.own.commit_votes.split_off(&at.view.next());
        if height < self.config.epoch_end(at.epoch) {
            cx.out.push(Output::Forget(SafetyRecord::below(at)));
            return;
        }
        self.epoch_over = true;
        self.epoch_proof.clone_from(&self.root_proof);
        // Should all replicas stop before any has stored the block, nobody could sign in this epoch any
        // more to commit it again.
        if let Some(proof) = self.root_proof.clone() {
            self.persist(vec![SafetyRecord::Certificate(Box::new(proof))], cx);
        }
        self.own.commit_votes.clear();
        self.own.current.clear();
        let next = ViewId::new(at.epoch.next(), View::ZERO);
        cx.out.push(Output::Forget(SafetyRecord::below(next)));
        cx.out.push(Output::EpochEnd {
            epoch: at.epoch,
            last: height,
        });
    }
}
