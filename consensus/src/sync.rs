//! Fetching what was missed: here blocks by hash, in `certificate_sync` the certificates of a gap, in
//! `height_sync` committed blocks by height.
//!
//! Nothing is fetched because a peer says so: only blocks that a certificate names, their ancestors,
//! and the parents of valid proposals; every answer is verified.

use crate::Output;
use crate::context::Context;
use crate::core::Core;
use crate::tree::Path;
use squad_primitives::message::ConsensusMessage;
use squad_primitives::{Block, Digest, OperatorId};

/// Up to this many missing ancestors are fetched one by one; more are synced by height, so that the
/// tree doesn't fill with blocks that are long committed elsewhere.
const DISTANCE_MAX: u64 = 8;
/// Requests by height without a result before missing ancestors are fetched one by one after all:
/// they may be certified, but not committed anywhere.
const FRUITLESS_MAX: usize = 4;

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
        // Whoever was away for long would otherwise know all blocks long before it has their batches.
        if cx.lanes.is_behind() && self.sync.is_active() {
            return cx.wake(cx.now.time.after(self.config.rebroadcast));
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

    /// Blocks are what they hash to; unasked ones are ignored.
    pub(crate) fn on_block(&mut self, block: Block) {
        let hash = block.hash(&self.config.network);
        if self.fetcher.got(&hash) {
            self.tree.insert(hash, block);
        }
    }
}
