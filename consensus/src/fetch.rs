//! Blocks asked for by hash.

use squad_primitives::{Digest, Duration, OperatorId, Time, ViewId};
use std::collections::BTreeMap;

/// Most blocks asked for at a time; further ones are asked for when these have come.
const WANTED_MAX: usize = 64;

#[derive(Clone, Debug)]
struct Wanted {
    /// View of the certificate or proposal that names the block.
    at: ViewId,
    sources: Vec<OperatorId>,
    turn: usize,
    due: Time,
}

/// Open requests; each goes to one source at a time, in turn.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fetcher {
    wanted: BTreeMap<Digest, Wanted>,
}

impl Fetcher {
    /// Starts asking for a block at `due`. Only a certified block, or the ancestor of one, or the
    /// parent of a valid proposal may be wanted, so that no peer chooses what is fetched. If it is
    /// wanted already, the sources are asked besides the known ones: those may be silent.
    pub(crate) fn want(&mut self, hash: Digest, at: ViewId, sources: Vec<OperatorId>, due: Time) {
        if let Some(wanted) = self.wanted.get_mut(&hash) {
            wanted.at = wanted.at.max(at);
            for source in sources {
                // Members of one committee, so they stay few.
                if !wanted.sources.contains(&source) {
                    wanted.sources.push(source);
                }
            }
        } else if self.wanted.len() < WANTED_MAX && !sources.is_empty() {
            let wanted = Wanted {
                at,
                sources,
                turn: 0,
                due,
            };
            self.wanted.insert(hash, wanted);
        }
    }

    /// Whether the block was wanted; it no longer is.
    pub(crate) fn got(&mut self, hash: &Digest) -> bool {
        self.wanted.remove(hash).is_some()
    }

    /// Blocks asked for, by hash, and the views that name them.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = (Digest, ViewId)> {
        let wanted = self.wanted.iter();
        wanted.map(|(hash, wanted)| (*hash, wanted.at))
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Requests that are due now, and when the next one is.
    pub(crate) fn poll(
        &mut self,
        now: Time,
        interval: Duration,
    ) -> (Vec<(OperatorId, Digest)>, Option<Time>) {
        let mut requests = Vec::new();
        for (hash, wanted) in &mut self.wanted {
            if wanted.due > now {
                continue;
            }
            let source = wanted.sources.get(wanted.turn % wanted.sources.len());
            requests.extend(source.map(|source| (*source, *hash)));
            wanted.turn = wanted.turn.wrapping_add(1);
            wanted.due = now.after(interval);
        }
        let next = self.wanted.values().map(|wanted| wanted.due).min();
        (requests, next)
    }

    /// Forgets what is named only by views up to `at`.
    pub(crate) fn prune(&mut self, at: ViewId) {
        self.wanted.retain(|_, wanted| wanted.at > at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squad_primitives::{Epoch, View};

    const INTERVAL: Duration = Duration::from_millis(100);

    fn at(view: u64) -> ViewId {
        ViewId::new(Epoch(0), View(view))
    }

    /// Sources asked within the first `rounds` intervals.
    fn asked(fetcher: &mut Fetcher, rounds: u32) -> Vec<u32> {
        let times = (0..rounds).map(|round| Time::ZERO.after(INTERVAL * round));
        let requests = times.flat_map(|now| fetcher.poll(now, INTERVAL).0);
        requests.map(|(source, _)| source.0).collect()
    }

    /// A leader that named a block and stays silent must not be the only one who is ever asked.
    #[test]
    fn whoever_can_have_a_block_is_asked_for_it() {
        let mut fetcher = Fetcher::default();
        let hash = Digest([1; 32]);
        fetcher.want(hash, at(2), vec![OperatorId(1)], Time::ZERO);
        fetcher.want(hash, at(1), [0, 1, 2].map(OperatorId).to_vec(), Time::ZERO);
        assert_eq!(asked(&mut fetcher, 4), [1, 0, 2, 1]);
    }

    #[test]
    fn a_block_is_wanted_as_long_as_a_later_view_names_it() {
        let mut fetcher = Fetcher::default();
        let hash = Digest([1; 32]);
        fetcher.want(hash, at(2), vec![OperatorId(1)], Time::ZERO);
        fetcher.want(hash, at(4), vec![OperatorId(2)], Time::ZERO);
        fetcher.prune(at(3));
        assert_eq!(fetcher.wanted().collect::<Vec<_>>(), [(hash, at(4))]);
        fetcher.prune(at(4));
        assert!(fetcher.is_idle());
    }
}
