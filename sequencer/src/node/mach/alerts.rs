//! What people should look at, folded so that a fault that repeats ten times a second is one entry.

use bytes::Bytes;
use squad_primitives::{Height, OperatorId};
use std::collections::BTreeMap;

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AlertKind {
    /// Another operator attested another result than this node computed.
    Mismatch,
    /// A quorum certified another result than this node computed: this node is wrong.
    Outvoted,
    /// Two valid certificates contradict each other.
    ConflictingCertificates,
    /// Blocks are executed but not certified.
    QuorumLost,
    /// Certificates come again.
    QuorumRestored,
    /// An operator attested two results for one height.
    Equivocation,
    /// This node computed another result for a height than it signed before.
    Contradiction,
}

impl AlertKind {
    /// Label in metrics and logs.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Mismatch => "mismatch",
            Self::Outvoted => "outvoted",
            Self::ConflictingCertificates => "conflicting_certificates",
            Self::QuorumLost => "quorum_lost",
            Self::QuorumRestored => "quorum_restored",
            Self::Equivocation => "equivocation",
            Self::Contradiction => "contradiction",
        }
    }
}

/// All times that one thing happened, since the start of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AlertRecord {
    /// What.
    pub(crate) kind: AlertKind,
    /// Who did it; `None` if it is about this node or the network.
    pub(crate) operator: Option<OperatorId>,
    /// Height at which it happened first.
    pub(crate) first_height: Height,
    /// Height at which it happened last.
    pub(crate) last_height: Height,
    /// How often.
    pub(crate) count: u64,
    /// When it happened last, by this node's clock.
    pub(crate) last_ms: u64,
    /// Number of the change that made the entry what it is; rises over all entries.
    pub(crate) version: u64,
    /// Proof for anybody, of the first time, if there is one.
    pub(crate) evidence: Option<Bytes>,
}

/// One occurrence.
#[derive(Clone, Debug)]
pub(super) struct Occurrence {
    pub(super) kind: AlertKind,
    pub(super) operator: Option<OperatorId>,
    pub(super) height: Height,
    pub(super) evidence: Option<Bytes>,
}

/// At most one entry per kind and operator.
#[derive(Debug, Default)]
pub(super) struct Alerts {
    entries: BTreeMap<(AlertKind, Option<OperatorId>), AlertRecord>,
    version: u64,
}

impl Alerts {
    /// Takes an occurrence; `true` if it is the first of its entry.
    pub(super) fn add(&mut self, occurrence: Occurrence, now_ms: u64) -> bool {
        let Occurrence {
            kind,
            operator,
            height,
            evidence,
        } = occurrence;
        self.version += 1;
        let mut first = false;
        let entry = self.entries.entry((kind, operator)).or_insert_with(|| {
            first = true;
            AlertRecord {
                kind,
                operator,
                first_height: height,
                last_height: height,
                count: 0,
                last_ms: now_ms,
                version: 0,
                evidence: None,
            }
        });
        entry.last_height = entry.last_height.max(height);
        entry.count += 1;
        entry.last_ms = now_ms;
        entry.version = self.version;
        entry.evidence = entry.evidence.take().or(evidence);
        first
    }

    /// Number of the last change.
    pub(super) const fn version(&self) -> u64 {
        self.version
    }

    /// Entries that changed after `version`, in the order of their change.
    pub(super) fn since(&self, version: u64) -> Vec<AlertRecord> {
        let mut changed: Vec<_> = self
            .entries
            .values()
            .filter(|entry| entry.version > version)
            .cloned()
            .collect();
        changed.sort_by_key(|entry| entry.version);
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mismatch(operator: u32, height: u64) -> Occurrence {
        Occurrence {
            kind: AlertKind::Mismatch,
            operator: Some(OperatorId(operator)),
            height: Height(height),
            evidence: Some(Bytes::from(height.to_string())),
        }
    }

    #[test]
    fn what_repeats_is_one_entry_that_keeps_its_first_evidence() {
        let mut alerts = Alerts::default();
        assert!(alerts.add(mismatch(1, 10), 1));
        assert!(alerts.add(mismatch(2, 10), 2));
        assert!(!alerts.add(mismatch(1, 11), 3));
        let all = alerts.since(0);
        let folded: Vec<_> = all
            .iter()
            .map(|entry| (entry.operator, entry.count, entry.version))
            .collect();
        assert_eq!(
            folded,
            [(Some(OperatorId(2)), 1, 2), (Some(OperatorId(1)), 2, 3)]
        );
        assert_eq!(all[1].evidence.as_deref(), Some(b"10".as_slice()));
        assert_eq!(
            (all[1].first_height, all[1].last_height),
            (Height(10), Height(11))
        );
        assert_eq!(alerts.since(2), all[1..]);
        assert!(alerts.since(alerts.version()).is_empty());
    }
}
