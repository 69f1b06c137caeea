//! Verified certificates of the current epoch, from the last committed view on. One per kind and view.

use squad_primitives::{Certificate, StatementKind, View};
use std::collections::BTreeMap;

/// QCs, TCs and CCs by view.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    qcs: BTreeMap<View, Certificate>,
    tcs: BTreeMap<View, Certificate>,
    ccs: BTreeMap<View, Certificate>,
}

/// Result of looking for the block that a proposal has to extend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Search {
    /// The highest view with a certified block such that all views after it have TCs.
    Found(View),
    /// This view has neither; TCs of all views above it are held.
    Gap(View),
}

impl Certificates {
    const fn map(&self, kind: StatementKind) -> &BTreeMap<View, Certificate> {
        match kind {
            StatementKind::Vote => &self.qcs,
            StatementKind::Timeout => &self.tcs,
            StatementKind::CommitVote => &self.ccs,
        }
    }

    pub(crate) fn get(&self, kind: StatementKind, view: View) -> Option<&Certificate> {
        self.map(kind).get(&view)
    }

    pub(crate) fn insert(&mut self, certificate: Certificate) {
        let view = certificate.statement.at.view;
        match certificate.statement.kind {
            StatementKind::Vote => self.qcs.entry(view).or_insert(certificate),
            StatementKind::Timeout => self.tcs.entry(view).or_insert(certificate),
            StatementKind::CommitVote => self.ccs.entry(view).or_insert(certificate),
        };
    }

    /// The certificate that proves the certified block of a view: its QC, or its CC, which can't exist
    /// without one.
    pub(crate) fn block_certificate(&self, view: View) -> Option<&Certificate> {
        self.qcs.get(&view).or_else(|| self.ccs.get(&view))
    }

    /// Certificates of blocks, highest views first.
    pub(crate) fn certified(&self) -> impl Iterator<Item = &Certificate> {
        let mut qcs = self.qcs.iter().rev().peekable();
        let mut ccs = self.ccs.iter().rev().peekable();
        std::iter::from_fn(move || {
            let cc_first = match (qcs.peek(), ccs.peek()) {
                (Some((qc, _)), Some((cc, _))) => cc > qc,
                (None, Some(_)) => true,
                _ => false,
            };
            let next = if cc_first { ccs.next() } else { qcs.next() };
            next.map(|(_, certificate)| certificate)
        })
    }

    /// Commit certificates, highest views first.
    pub(crate) fn commits(&self) -> impl Iterator<Item = &Certificate> {
        self.ccs.values().rev()
    }

    /// Goes down from `view` (exclusive) over TCs to the first certified block; `root` is the view of
    /// the last committed block, 0 at the start of an epoch.
    pub(crate) fn search(&self, view: View, root: View) -> Search {
        let mut at = view.prev();
        while at > root {
            if self.block_certificate(at).is_some() {
                return Search::Found(at);
            }
            if !self.tcs.contains_key(&at) {
                return Search::Gap(at);
            }
            at = at.prev();
        }
        Search::Found(root)
    }

    /// Highest view in `(after, before)` without a TC.
    pub(crate) fn missing_tc(&self, after: View, before: View) -> Option<View> {
        let mut at = before.prev();
        while at > after {
            if !self.tcs.contains_key(&at) {
                return Some(at);
            }
            at = at.prev();
        }
        None
    }

    /// What somebody lacks who knows certificates up to `after` (exclusive) and asks for those below
    /// `before`: highest first, down to the first certified block, at most `limit`.
    pub(crate) fn page(&self, after: View, before: View, limit: usize) -> Vec<Certificate> {
        let mut page = Vec::new();
        let mut at = before;
        while page.len() < limit {
            // Skips over stretches without certificates in one step.
            let below = |map: &BTreeMap<View, Certificate>| {
                map.range(..at).next_back().map(|(view, _)| *view)
            };
            let next = below(&self.qcs).max(below(&self.tcs)).max(below(&self.ccs));
            let Some(view) = next.filter(|view| *view > after) else {
                break;
            };
            page.extend(self.tcs.get(&view).cloned());
            let certified = self.block_certificate(view);
            page.extend(certified.cloned());
            if certified.is_some() {
                break;
            }
            at = view;
        }
        page.truncate(limit);
        page
    }

    /// Forgets views below `view`.
    pub(crate) fn prune(&mut self, view: View) {
        self.qcs = self.qcs.split_off(&view);
        self.tcs = self.tcs.split_off(&view);
        self.ccs = self.ccs.split_off(&view);
    }
}
