//! Blocks asked for by hash.

use squad_primitives::{Digest, Duration, OperatorId, Time, ViewId};
use std::collections::BTreeMap;

/// Most blocks asked for at a time; further ones are asked for when these have come.
const WANTED_MAX: usize = 64;

#[derive(Debug)]
struct Wanted {
    /// View of the certificate or proposal that names the block.
    at: ViewId,
    sources: Vec<OperatorId>,
    turn: usize,
    due: Time,
}

/// Open requests; each goes to one source at a time, in turn.
#[derive(Debug, Default)]
pub(crate) struct Fetcher {
    wanted: BTreeMap<Digest, Wanted>,
}

impl Fetcher {
    /// Starts asking for a block at `due`. Only a certified block, or the ancestor of one, or the
    /// parent of a valid proposal may be wanted, so that no peer chooses what is fetched.
    pub(crate) fn want(&mut self, hash: Digest, at: ViewId, sources: Vec<OperatorId>, due: Time) {
        if self.wanted.len() < WANTED_MAX && !sources.is_empty() {
            self.wanted.entry(hash).or_insert(Wanted {
                at,
                sources,
                turn: 0,
                due,
            });
        }
    }

    /// Whether the block was wanted; it no longer is.
    pub(crate) fn got(&mut self, hash: &Digest) -> bool {
        self.wanted.remove(hash).is_some()
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
