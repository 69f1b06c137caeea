//! The part of a lane that has no forks, right above its base.
//!
//! Nearly every question about a lane is whether one batch descends from another. Walking headers
//! answers it in the length of the way, which is thousands of batches at an operator that catches up or
//! is overloaded, and the question comes with every message. So each lane keeps its *trunk*: the digests
//! of consecutive positions from the base up, where each position has exactly one header and each header
//! names the one below. Two batches on the trunk descend from each other by position alone.

use super::lane::{Body, Entry, Key};
use squad_primitives::{BatchSeq, Digest, Tip};
use std::collections::{BTreeMap, VecDeque};

#[derive(Debug, Default)]
pub(super) struct Trunk {
    base: BatchSeq,
    base_digest: Digest,
    /// Digests of the positions `base + 1`, `base + 2`, ….
    digests: VecDeque<Digest>,
    /// How many of them, from the lowest on, have a body that is here or being written.
    bodies: usize,
}

impl Trunk {
    pub(super) fn new(base: &Tip) -> Self {
        Self {
            base: base.seq,
            base_digest: base.digest,
            ..Self::default()
        }
    }

    fn top(&self) -> BatchSeq {
        BatchSeq(self.base.0.saturating_add(self.digests.len() as u64))
    }

    fn index(&self, seq: BatchSeq) -> Option<usize> {
        usize::try_from(seq.0.checked_sub(self.base.0)?.checked_sub(1)?).ok()
    }

    /// Whether a batch lies on the trunk, or is its base.
    pub(super) fn contains(&self, tip: &Tip) -> bool {
        match self.index(tip.seq) {
            None => tip.seq == self.base && tip.digest == self.base_digest,
            Some(index) => self.digests.get(index) == Some(&tip.digest),
        }
    }

    /// Positions and digests of the trunk in `(below, to]`, ascending.
    pub(super) fn between(
        &self,
        below: BatchSeq,
        to: BatchSeq,
    ) -> impl DoubleEndedIterator<Item = Key> {
        let end = self.index(to.next()).unwrap_or(0).min(self.digests.len());
        let start = self.index(below.next()).unwrap_or(0).min(end);
        let first = self.base.0.saturating_add(1);
        (start..end)
            .zip(self.digests.range(start..end))
            .map(move |(index, digest)| (BatchSeq(first.saturating_add(index as u64)), *digest))
    }

    /// Position up to which all bodies of the trunk are here or being written.
    pub(super) fn bodies_to(&mut self, entries: &BTreeMap<Key, Entry>) -> BatchSeq {
        let held = |key: &Key| entries.get(key).is_some_and(|e| e.body != Body::Missing);
        while let Some(digest) = self.digests.get(self.bodies) {
            let seq = BatchSeq(self.base.0.saturating_add(self.bodies as u64 + 1));
            if !held(&(seq, *digest)) {
                break;
            }
            self.bodies += 1;
        }
        BatchSeq(self.base.0.saturating_add(self.bodies as u64))
    }

    /// A header was added: the trunk ends below a fork, and grows over what follows it.
    pub(super) fn on_insert(&mut self, seq: BatchSeq, entries: &BTreeMap<Key, Entry>) {
        if seq <= self.top() {
            let keep = self.index(seq).unwrap_or(0);
            self.digests.truncate(keep);
            self.bodies = self.bodies.min(keep);
        }
        self.grow(entries);
    }

    fn grow(&mut self, entries: &BTreeMap<Key, Entry>) {
        loop {
            let seq = self.top().next();
            let mut here = entries.range((seq, Digest::ZERO)..=(seq, Digest([0xff; 32])));
            let parent = self.digests.back().unwrap_or(&self.base_digest);
            match (here.next(), here.next()) {
                (Some((key, entry)), None) if entry.signed.header.parent == *parent => {
                    self.digests.push_back(key.1);
                }
                _ => return,
            }
        }
    }

    /// The base moves up to `tip`.
    pub(super) fn on_forget(&mut self, tip: &Tip, entries: &BTreeMap<Key, Entry>) {
        if self.contains(tip) {
            let gone = self.index(tip.seq).map_or(0, |index| index + 1);
            self.digests.drain(..gone.min(self.digests.len()));
            self.bodies = self.bodies.saturating_sub(gone);
            self.base = tip.seq;
            self.base_digest = tip.digest;
        } else {
            *self = Self::new(tip);
        }
        self.grow(entries);
    }
}

#[cfg(test)]
mod tests {
    use super::super::LanesConfig;
    use super::super::lane::Lane;
    use super::*;
    use squad_primitives::{BatchHeader, Epoch, OperatorId, Signature, SignedHeader};

    fn signed(seq: u64, parent: Digest, branch: u8) -> (SignedHeader, Tip) {
        let header = BatchHeader {
            epoch: Epoch(0),
            lane: OperatorId(1),
            seq: BatchSeq(seq),
            parent,
            body_root: Digest([branch; 32]),
            body_bytes: 10,
            tx_count: 1,
        };
        let tip = header.tip(&Digest::ZERO);
        let signature = Signature([0; 64]);
        (SignedHeader { header, signature }, tip)
    }

    /// Follows parents one by one, as the lane did before it had a trunk.
    fn walk(lane: &Lane, tip: &Tip, below: &Tip) -> Option<Vec<Tip>> {
        let (mut at, mut chain) = (*tip, Vec::new());
        while at.seq > below.seq {
            let parent = lane.entry(&at)?.signed.header.parent;
            chain.push(at);
            at = Tip {
                seq: at.seq.prev(),
                digest: parent,
                ..at
            };
        }
        (at == *below).then_some(chain)
    }

    /// Headers of two branches that part at position 8, given in an order that leaves gaps and closes
    /// them, with the base moving up in between.
    #[test]
    fn descent_is_the_same_as_by_walking_whatever_the_order_of_headers() {
        let config = LanesConfig::new(Digest::ZERO, None);
        let mut headers = Vec::new();
        let (mut main, mut fork) = (Digest::ZERO, Digest::ZERO);
        for seq in 1..=20 {
            let (header, tip) = signed(seq, main, 0);
            main = tip.digest;
            headers.push((header, tip));
            if seq == 8 {
                fork = header.header.parent;
            }
            if (8..=12).contains(&seq) {
                let (header, tip) = signed(seq, fork, 1);
                fork = tip.digest;
                headers.push((header, tip));
            }
        }
        for stride in [1, 3, 7, 11] {
            let mut lane = Lane::new(OperatorId(1), None);
            let mut seen = vec![lane.base];
            for turn in 0..headers.len() {
                let (header, tip) = headers[turn * stride % headers.len()];
                lane.insert(header, tip.digest, true, &config);
                seen.push(tip);
                if turn == headers.len() / 2 && walk(&lane, &headers[3].1, &lane.base).is_some() {
                    lane.forget(headers[3].1);
                }
                for tip in &seen {
                    for below in seen.iter().filter(|below| below.seq <= tip.seq) {
                        let known = lane.base.seq <= below.seq;
                        let expected = walk(&lane, tip, below).filter(|_| known);
                        let found = lane.chain(tip, below).ok().filter(|_| known);
                        assert_eq!(found, expected, "{tip:?} over {below:?}, stride {stride}");
                    }
                }
            }
        }
    }

    #[test]
    fn bodies_are_counted_from_the_base_without_a_gap() {
        let config = LanesConfig::new(Digest::ZERO, None);
        let mut lane = Lane::new(OperatorId(1), None);
        let mut parent = Digest::ZERO;
        let mut tips = Vec::new();
        for seq in 1..=5 {
            let (header, tip) = signed(seq, parent, 0);
            lane.insert(header, tip.digest, true, &config);
            parent = tip.digest;
            tips.push(tip);
        }
        for held in [0, 1, 3] {
            let key = (tips[held].seq, tips[held].digest);
            lane.entries.get_mut(&key).unwrap().body = Body::Held;
        }
        assert_eq!(lane.trunk.bodies_to(&lane.entries), BatchSeq(2));
        lane.forget(tips[0]);
        assert_eq!(lane.trunk.bodies_to(&lane.entries), BatchSeq(2));
        let key = (tips[2].seq, tips[2].digest);
        lane.entries.get_mut(&key).unwrap().body = Body::Held;
        assert_eq!(lane.trunk.bodies_to(&lane.entries), BatchSeq(4));
    }
}
