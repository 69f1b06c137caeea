//! One lane: its headers from the last processed batch up, on all branches that were seen.

use super::collect::{Fetch, Reason, Target};
use super::config::FORKS_PER_SEQ_MAX;
use super::trunk::Trunk;
use super::{LanesConfig, PersistId};
use squad_primitives::{BatchSeq, Digest, OperatorId, Poa, SignedHeader, Time, Tip};
use std::collections::BTreeMap;

/// Position and digest: orders a lane's batches, forks beside each other.
pub(super) type Key = (BatchSeq, Digest);

pub(super) const fn key(tip: &Tip) -> Key {
    (tip.seq, tip.digest)
}

/// Where a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Missing,
    Writing(PersistId),
    Held,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) signed: SignedHeader,
    pub(super) body: Body,
}

/// A proof of availability for a batch whose header is known.
#[derive(Clone, Debug)]
pub(super) struct Proof {
    pub(super) poa: Poa,
    pub(super) verified: bool,
    /// Since when it is held.
    pub(super) since: Time,
    /// When it was broadcast because no cut took it in.
    pub(super) broadcast_at: Option<Time>,
}

/// A proof for a batch whose header is not known, one per sender.
#[derive(Clone, Debug)]
pub(super) struct Orphan {
    pub(super) poa: Poa,
    pub(super) since: Time,
}

/// Why a chain of headers can't be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// This header is not known.
    Missing(Tip),
    /// It ends on another branch.
    Branch,
}

/// What became of a header.
#[derive(Debug)]
pub(super) enum Inserted {
    New,
    Known,
    /// Kept nothing: out of range, malformed, or too many branches.
    Refused,
}

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) owner: OperatorId,
    /// Headers up to here are forgotten; position 0 at the start.
    pub(super) base: Tip,
    /// Last committed tip.
    pub(super) committed: Tip,
    pub(super) entries: BTreeMap<Key, Entry>,
    /// The part of the entries that has no forks.
    pub(super) trunk: Trunk,
    /// Highest batch that this operator acknowledged or is about to (its record is written).
    pub(super) acked: Tip,
    /// After a restart: the record is there, but not all bodies up to it. They are collected again, and
    /// acknowledged when they are there.
    pub(super) record_ahead: bool,
    /// Position of the record that was there after a restart. Records replace each other: what was
    /// acknowledged below it, perhaps on a branch that commits passed over since, is forgotten.
    pub(super) recovered: BatchSeq,
    /// Highest batch whose record and bodies are durable; this, and nothing that was only committed, may
    /// be acknowledged again.
    pub(super) acked_durable: Tip,
    pub(super) proofs: BTreeMap<Key, Proof>,
    pub(super) orphans: BTreeMap<OperatorId, Orphan>,
    pub(super) targets: Vec<Target>,
    /// Wanted no further than [`Lane::reach`], although it is committed beyond.
    pub(super) held_back: bool,
    pub(super) fetches: BTreeMap<Key, Fetch>,
    /// Bytes of bodies above the committed tip that are held or being written.
    pub(super) bytes: u64,
    pub(super) evidence_given: bool,
    /// Earliest time of the next broadcast of a proof that no cut takes in.
    pub(super) coverage_next: Time,
}

const fn start(lane: OperatorId) -> Tip {
    Tip {
        lane,
        seq: BatchSeq::ZERO,
        digest: Digest::ZERO,
    }
}

impl Lane {
    pub(super) fn new(owner: OperatorId, base: Option<Tip>) -> Self {
        let base = base.unwrap_or(start(owner));
        Self {
            owner,
            base,
            committed: base,
            entries: BTreeMap::new(),
            trunk: Trunk::new(&base),
            acked: start(owner),
            record_ahead: false,
            recovered: BatchSeq::ZERO,
            acked_durable: start(owner),
            proofs: BTreeMap::new(),
            orphans: BTreeMap::new(),
            targets: Vec::new(),
            held_back: false,
            fetches: BTreeMap::new(),
            bytes: 0,
            evidence_given: false,
            coverage_next: Time::ZERO,
        }
    }

    pub(super) fn entry(&self, tip: &Tip) -> Option<&Entry> {
        self.entries.get(&key(tip))
    }

    /// Headers at one position.
    pub(super) fn at(&self, seq: BatchSeq) -> impl Iterator<Item = (&Key, &Entry)> {
        self.entries
            .range((seq, Digest::ZERO)..=(seq, Digest([0xff; 32])))
    }

    pub(super) fn tip_of(&self, key: &Key) -> Tip {
        Tip {
            lane: self.owner,
            seq: key.0,
            digest: key.1,
        }
    }

    /// Batches in `(below, tip]`, descending, if `tip` descends from `below`.
    pub(super) fn chain(&self, tip: &Tip, below: &Tip) -> Result<Vec<Tip>, Broken> {
        if tip.seq >= below.seq && self.trunk.contains(tip) && self.trunk.contains(below) {
            let keys = self.trunk.between(below.seq, tip.seq).rev();
            return Ok(keys.map(|key| self.tip_of(&key)).collect());
        }
        let mut chain = Vec::new();
        let mut at = *tip;
        while at.seq > below.seq {
            let entry = self.entry(&at).ok_or(Broken::Missing(at))?;
            chain.push(at);
            at = Tip {
                lane: self.owner,
                seq: at.seq.prev(),
                digest: entry.signed.header.parent,
            };
        }
        if at == *below {
            Ok(chain)
        } else {
            Err(Broken::Branch)
        }
    }

    /// Whether `tip` is `below` or descends from it along known headers.
    pub(super) fn descends(&self, tip: &Tip, below: &Tip) -> bool {
        if tip.seq >= below.seq && self.trunk.contains(tip) && self.trunk.contains(below) {
            return true;
        }
        self.chain(tip, below).is_ok()
    }

    pub(super) fn body_bytes(&self, chain: &[Tip]) -> u64 {
        chain
            .iter()
            .filter_map(|tip| self.entry(tip))
            .map(|entry| u64::from(entry.signed.header.body_bytes))
            .sum()
    }

    pub(super) fn all_held(&self, chain: &[Tip]) -> bool {
        chain
            .iter()
            .all(|tip| self.entry(tip).is_some_and(|e| e.body == Body::Held))
    }

    /// Whether a header at this position may be kept.
    pub(super) fn in_range(&self, seq: BatchSeq, config: &LanesConfig) -> bool {
        seq > self.base.seq && seq.0 <= self.committed.seq.0.saturating_add(config.horizon())
    }

    /// As far as the next blocks to be processed reach, and at least one of them. A window, so that the
    /// headers between are few enough for one walk of whoever is asked for them.
    pub(super) fn reach(&self, config: &LanesConfig) -> BatchSeq {
        let near = BatchSeq(self.base.seq.0.saturating_add(config.window_batches));
        let mut committed = self.targets.iter();
        let wanted = committed.find(|target| target.reason == Reason::Committed);
        wanted.map_or(near, |target| near.max(target.tip.seq))
    }

    /// Keeps a header whose signature is verified. `required` lifts the bound on branches.
    pub(super) fn insert(
        &mut self,
        signed: SignedHeader,
        digest: Digest,
        required: bool,
        config: &LanesConfig,
    ) -> Inserted {
        let header = &signed.header;
        if self.entries.contains_key(&(header.seq, digest)) {
            return Inserted::Known;
        }
        let first = header.seq.prev() == BatchSeq::ZERO;
        let entries_max = config.horizon().saturating_mul(FORKS_PER_SEQ_MAX as u64);
        let crowded = !required && self.at(header.seq).count() >= FORKS_PER_SEQ_MAX;
        // What the next blocks need finds room however much was learnt of later ones.
        let full = self.entries.len() as u64 >= entries_max && header.seq > self.reach(config);
        if !self.in_range(header.seq, config) || first != header.parent.is_zero() || crowded || full
        {
            return Inserted::Refused;
        }
        let body = Body::Missing;
        let seq = header.seq;
        self.entries.insert((seq, digest), Entry { signed, body });
        self.trunk.on_insert(seq, &self.entries);
        Inserted::New
    }

    /// A body is being written.
    pub(super) fn set_writing(&mut self, key: Key, id: PersistId) {
        self.fetches.remove(&key);
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.body = Body::Writing(id);
            if key.0 > self.committed.seq {
                self.bytes += u64::from(entry.signed.header.body_bytes);
            }
        }
    }

    /// Another header at the same position, if there is one.
    pub(super) fn rival(&self, key: &Key) -> Option<&SignedHeader> {
        self.at(key.0)
            .find(|(other, _)| *other != key)
            .map(|(_, entry)| &entry.signed)
    }

    /// Highest batch up to which an acknowledgement may go: along bodies that are there, from what was
    /// acknowledged, or from the committed tip if that is higher. `None` if that is nothing new, or if
    /// the acknowledged branch is not the committed one: then no position up to it may be acknowledged
    /// again.
    pub(super) fn next_ack(&self) -> Option<Tip> {
        let from = self.ack_parent()?;
        // An acknowledgement speaks for every batch above the committed tip.
        let behind = self.record_ahead && self.acked.seq > self.committed.seq;
        if behind && !self.has_bodies() {
            return None;
        }
        let mut at = from;
        while let Some(child) = self.child_with_body(&at) {
            at = child;
        }
        (at != from || behind).then_some(at)
    }

    /// Whether all bodies between the committed tip and the record are here.
    fn has_bodies(&self) -> bool {
        let here = |tip: &Tip| self.entry(tip).is_some_and(|e| e.body != Body::Missing);
        self.chain(&self.acked, &self.committed)
            .is_ok_and(|chain| chain.iter().all(here))
    }

    /// Tip that the next acknowledged batch has to follow, if the acknowledged branch is the committed
    /// one.
    fn ack_parent(&self) -> Option<Tip> {
        if self.acked.seq > self.committed.seq {
            self.descends(&self.acked, &self.committed)
                .then_some(self.acked)
        } else {
            Some(self.committed)
        }
    }

    /// Whether a batch would be acknowledged next if its body were here.
    pub(super) fn is_next(&self, tip: &Tip) -> bool {
        let parent = self.entry(tip).map(|entry| entry.signed.header.parent);
        self.ack_parent()
            .is_some_and(|at| at.seq.next() == tip.seq && Some(at.digest) == parent)
    }

    /// Batches that would be acknowledged next but whose bodies were not kept: another branch had their
    /// position when they came.
    pub(super) fn next_without_body(&self) -> Vec<Tip> {
        let Some(at) = self.ack_parent() else {
            return Vec::new();
        };
        self.at(at.seq.next())
            .filter(|(_, entry)| entry.signed.header.parent == at.digest)
            .map(|(key, _)| self.tip_of(key))
            .collect()
    }

    fn child_with_body(&self, parent: &Tip) -> Option<Tip> {
        self.at(parent.seq.next())
            .find(|(_, entry)| {
                entry.body != Body::Missing && entry.signed.header.parent == parent.digest
            })
            .map(|(key, _)| self.tip_of(key))
    }

    /// The highest batch up to which this operator can say that it holds the lane.
    pub(super) fn held_tip(&self) -> Tip {
        if self.acked_durable.seq > self.committed.seq {
            self.acked_durable
        } else {
            self.committed
        }
    }

    /// The committed tip advances.
    pub(super) fn commit(&mut self, tip: Tip) {
        self.committed = tip;
        self.proofs = self.proofs.split_off(&(tip.seq.next(), Digest::ZERO));
        self.orphans.retain(|_, o| o.poa.tip.seq > tip.seq);
        self.bytes = self
            .entries
            .range((tip.seq.next(), Digest::ZERO)..)
            .filter(|(_, entry)| entry.body != Body::Missing)
            .map(|(_, entry)| u64::from(entry.signed.header.body_bytes))
            .sum();
    }

    /// Everything up to `tip` is processed: forgets it, with all rivals.
    pub(super) fn forget(&mut self, tip: Tip) {
        self.base = tip;
        let above = (tip.seq.next(), Digest::ZERO);
        self.entries = self.entries.split_off(&above);
        self.trunk.on_forget(&tip, &self.entries);
        self.fetches = self.fetches.split_off(&above);
        self.targets.retain(|target| target.tip.seq > tip.seq);
    }
}
