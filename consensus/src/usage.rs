//! How much the core holds, for metrics and for tests of the bounds.

use crate::core::{Core, VIEWS_AHEAD, VIEWS_BEHIND};

/// Number of things held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoreUsage {
    /// Proposals of the current view and later ones.
    pub candidates: usize,
    /// Views whose votes are kept.
    pub voted_views: usize,
    /// Votes, timeouts and commit votes in them.
    pub votes: usize,
    /// QCs, TCs and CCs.
    pub certificates: usize,
    /// Uncommitted blocks.
    pub blocks: usize,
    /// Messages of the next epoch.
    pub early: usize,
    /// Peers remembered.
    pub peers: usize,
}

impl Core {
    /// Most views for which proposals or votes are kept.
    pub const VIEWS_KEPT: u64 = VIEWS_AHEAD + VIEWS_BEHIND + 1;

    /// Views from the last committed block to the current one, or to the highest one with a certificate
    /// if that is later: a replica that lost committed blocks in a crash walks through them again.
    #[must_use]
    pub fn open_views(&self) -> u64 {
        let highest = self.at.view.max(self.certificates.highest());
        highest.0.saturating_sub(self.root_view().0)
    }

    /// How much is held.
    #[must_use]
    pub fn usage(&self) -> CoreUsage {
        CoreUsage {
            candidates: self.candidates.len(),
            voted_views: self.collector.views(),
            votes: self.collector.votes(),
            certificates: self.certificates.len(),
            blocks: self.tree.len(),
            early: self.early.len(),
            peers: self.peers.len(),
        }
    }
}
