//! Proposing (rule 2), and proposing an epoch's last block again.

use crate::certificates::Search;
use crate::context::Context;
use crate::core::Core;
use crate::pacemaker::Work;
use crate::tree::{Path, Root};
use crate::voter::Candidate;
use crate::{Cast, Output, SafetyRecord};
use squad_primitives::message::ConsensusMessage;
use squad_primitives::{Block, Certificate, Digest, Duration, Proposal};

impl Core {
    /// Leader: proposes as soon as there is work, the parent is known and the interval has passed.
    pub(crate) fn try_propose(&mut self, cx: &mut Context<'_>) {
        if self.me != Some(self.schedule.leader(self.at.view))
            || !self.may_vote()
            || self.state.proposed >= self.at
        {
            return;
        }
        let Some((hash, justify)) = self.parent() else {
            return;
        };
        let Path::Connected(_) = self.tree.path(hash) else {
            return;
        };
        if self.work(cx) == Work::None {
            return;
        }
        if !self.is_interval_over(&hash, cx) {
            return;
        }
        let last_of_epoch = self.config.epoch_end(self.at.epoch);
        let again = self.tree.get(&hash);
        let block = match again.filter(|block| block.height == last_of_epoch) {
            Some(block) => block.clone(),
            None => match self.tree.summary(&hash) {
                Some(parent) => self.child(&parent, cx),
                None => return,
            },
        };
        self.cast_proposal(block, justify, cx);
    }

    /// Whether `block_interval_min` has passed since the last proposal was received, or since it was
    /// made if the clocks tell that this is earlier.
    fn is_interval_over(&self, parent: &Digest, cx: &mut Context<'_>) -> bool {
        let Some(received) = self.pacemaker.last_proposal else {
            return true;
        };
        let interval = self.config.block_interval_min;
        let interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
        let made_ms = self.tree.timestamp_ms(parent).unwrap_or_default();
        let wait_ms = made_ms
            .saturating_add(interval_ms)
            .saturating_sub(cx.now.wall_ms);
        let by_clock = cx.now.time.after(Duration::from_millis(wait_ms));
        cx.due(by_clock.min(received.after(interval)))
    }

    /// The block to extend, and the certificate that allows it.
    fn parent(&self) -> Option<(Digest, Option<Certificate>)> {
        let Search::Found(view) = self.search() else {
            return None;
        };
        let root = self.tree.root();
        if view > self.root_view() {
            let certificate = self.certificates.block_certificate(view)?;
            return Some((certificate.statement.block, Some(certificate.clone())));
        }
        if root.reference.hash == self.config.network {
            return Some((root.reference.hash, None));
        }
        let qc = self
            .certificates
            .block_certificate(view)
            .filter(|certificate| certificate.statement.block == root.reference.hash);
        let justify = qc.or(self.root_proof.as_ref())?;
        Some((root.reference.hash, Some(justify.clone())))
    }

    fn child(&self, parent: &Root, cx: &mut Context<'_>) -> Block {
        Block {
            at: self.at,
            height: parent.height.next(),
            parent: parent.reference,
            timestamp_ms: cx.now.wall_ms.max(parent.timestamp_ms.saturating_add(1)),
            cut: cx.lanes.propose(cx.now, &parent.cut, self.at.epoch),
        }
    }

    fn cast_proposal(&mut self, block: Block, justify: Option<Certificate>, cx: &mut Context<'_>) {
        let Some((me, signer)) = self.identity.clone() else {
            return;
        };
        let network = self.config.network;
        let proposal = Proposal::sign(&network, self.at, block, me, justify, &*signer);
        let vote = proposal.vote(&network);
        let hash = vote.statement.block;
        self.state.proposed = self.at;
        self.state.voted = Cast {
            at: self.at,
            block: hash,
        };
        let records = vec![
            self.state_record(),
            SafetyRecord::Block {
                hash,
                block: Box::new(proposal.block.clone()),
            },
        ];
        let Some(id) = self.persist(records, cx) else {
            return;
        };
        self.tree.insert(hash, proposal.block.clone());
        self.pacemaker.last_proposal = Some(cx.now.time);
        let candidate = Candidate::new(proposal.clone(), hash, cx.now.time);
        self.candidates.insert(self.at.view, candidate);
        let message = ConsensusMessage::Proposal(Box::new(proposal));
        self.publish(id, vote, message, cx);
    }
}

impl Core {
    /// The own proposal of the current view as it was before a restart.
    pub(crate) fn restored_proposal(&self) -> Option<Output> {
        let (me, signer) = self.identity.clone()?;
        let block = self.tree.get(&self.state.voted.block)?.clone();
        let (hash, justify) = self.parent()?;
        // Only if the certificates still lead to the same parent; otherwise the vote alone is sent.
        let same = hash == block.parent.hash || hash == self.state.voted.block;
        let network = self.config.network;
        same.then(|| {
            let proposal = Proposal::sign(&network, self.at, block, me, justify, &*signer);
            Output::Broadcast {
                message: ConsensusMessage::Proposal(Box::new(proposal)),
                after: None,
            }
        })
    }
}
