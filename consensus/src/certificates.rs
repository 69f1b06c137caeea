//! Verified certificates of the current epoch, from the last committed view on. One per kind and view.

use squad_primitives::{Certificate, Statement, StatementKind, View};
use std::collections::BTreeMap;

/// QCs, TCs and CCs by view.
#[derive(Clone, Debug, Default)]
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

    /// Everything certified: QCs, TCs, CCs.
    pub(crate) fn statements(&self) -> impl Iterator<Item = Statement> {
        let maps = [&self.qcs, &self.tcs, &self.ccs].into_iter();
        maps.flat_map(BTreeMap::values)
            .map(|certificate| certificate.statement)
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

    /// Highest view with a certificate of any kind.
    pub(crate) fn highest(&self) -> View {
        let maps = [&self.qcs, &self.tcs, &self.ccs];
        let last = maps.into_iter().filter_map(BTreeMap::last_key_value);
        last.map(|(view, _)| *view).max().unwrap_or(View::ZERO)
    }

    pub(crate) fn len(&self) -> usize {
        self.qcs.len() + self.tcs.len() + self.ccs.len()
    }

    /// Forgets views below `view`.
    pub(crate) fn prune(&mut self, view: View) {
        self.qcs = self.qcs.split_off(&view);
        self.tcs = self.tcs.split_off(&view);
        self.ccs = self.ccs.split_off(&view);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squad_primitives::{Digest, Epoch, SignerSet, Statement, ViewId};

    fn certificate(kind: StatementKind, view: u64) -> Certificate {
        let at = ViewId::new(Epoch(0), View(view));
        let block = Digest([view as u8; 32]);
        Certificate {
            statement: match kind {
                StatementKind::Vote => Statement::vote(at, block),
                StatementKind::Timeout => Statement::timeout(at),
                StatementKind::CommitVote => Statement::commit_vote(at, block),
            },
            signers: SignerSet::default(),
            signatures: Vec::new(),
        }
    }

    fn held(qcs: &[u64], tcs: &[u64], ccs: &[u64]) -> Certificates {
        let mut certificates = Certificates::default();
        for (kind, views) in [
            (StatementKind::Vote, qcs),
            (StatementKind::Timeout, tcs),
            (StatementKind::CommitVote, ccs),
        ] {
            for view in views {
                certificates.insert(certificate(kind, *view));
            }
        }
        certificates
    }

    #[test]
    fn the_search_passes_timeouts_and_stops_at_blocks_and_gaps() {
        let all = held(&[3], &[4, 5, 6], &[]);
        assert_eq!(all.search(View(7), View(1)), Search::Found(View(3)));
        assert_eq!(all.search(View(4), View(1)), Search::Found(View(3)));
        assert_eq!(all.search(View(3), View(1)), Search::Gap(View(2)));
        let gap = held(&[3], &[4, 6], &[]);
        assert_eq!(gap.search(View(7), View(1)), Search::Gap(View(5)));
        let only_timeouts = held(&[], &[1, 2], &[]);
        assert_eq!(
            only_timeouts.search(View(3), View(0)),
            Search::Found(View(0))
        );
        let commit = held(&[], &[6], &[5]);
        assert_eq!(commit.search(View(7), View(1)), Search::Found(View(5)));
    }

    #[test]
    fn a_block_in_a_skipped_stretch_does_not_hide_a_missing_timeout() {
        let all = held(&[3, 5], &[4, 6], &[]);
        assert_eq!(all.missing_tc(View(3), View(7)), Some(View(5)));
        assert_eq!(all.missing_tc(View(5), View(7)), None);
    }

    #[test]
    fn a_page_goes_down_to_the_first_block_within_its_limit() {
        let all = held(&[2, 4], &[4, 5, 6, 9], &[]);
        let views = |after, before, limit| -> Vec<_> {
            let page = all.page(View(after), View(before), limit);
            page.iter()
                .map(|c| (c.statement.kind, c.statement.at.view.0))
                .collect()
        };
        let (vote, timeout) = (StatementKind::Vote, StatementKind::Timeout);
        assert_eq!(
            views(0, 9, 16),
            [(timeout, 6), (timeout, 5), (timeout, 4), (vote, 4)]
        );
        assert_eq!(views(0, 9, 2), [(timeout, 6), (timeout, 5)]);
        assert_eq!(views(5, 9, 16), [(timeout, 6)]);
        assert_eq!(views(0, 4, 16), [(vote, 2)]);
    }

    #[test]
    fn blocks_are_listed_from_the_highest_view_down_and_once_per_kind() {
        let all = held(&[2, 4, 6], &[], &[4, 7]);
        let views: Vec<_> = all.certified().map(|c| c.statement.at.view.0).collect();
        assert_eq!(views, [7, 6, 4, 4, 2]);
    }
}
