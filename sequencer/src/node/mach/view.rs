//! What the rest of the node sees of finality.

use super::alerts::{AlertRecord, Alerts, Occurrence};
use crate::node::clock;
use squad_mach::{Certificate, MachCommittee};
use squad_primitives::{Epoch, Height};
use std::sync::{PoisonError, RwLock};
use tokio::sync::watch;

/// Shared view; written by the `mach` thread alone.
#[derive(Debug)]
pub(crate) struct Finality {
    committee: MachCommittee,
    /// Everything at or below is final.
    height: watch::Sender<Height>,
    /// Height of the last stored certificate.
    certified: watch::Sender<Height>,
    /// Version of the alerts.
    alerted: watch::Sender<u64>,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Certificate>,
    alerts: Alerts,
    /// Height at which a quorum certified another result than this node's.
    diverged: Option<Height>,
}

impl Finality {
    /// Starts with the last stored certificate. `committee` serves in every epoch: stake comes from the
    /// genesis.
    pub(crate) fn new(committee: MachCommittee, last: Option<Certificate>) -> Self {
        let height = last.as_ref().map_or(Height::ZERO, |c| c.statement.height);
        Self {
            committee,
            height: watch::Sender::new(height),
            certified: watch::Sender::new(height),
            alerted: watch::Sender::new(0),
            state: RwLock::new(State {
                last,
                ..State::default()
            }),
        }
    }

    /// Committee of an epoch.
    pub(crate) fn committee(&self, epoch: Epoch) -> MachCommittee {
        self.committee.in_epoch(epoch)
    }

    /// Height up to which this node's blocks are final; zero if none is.
    pub(crate) fn height(&self) -> Height {
        *self.height.borrow()
    }

    /// Follows the final height.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Height> {
        self.height.subscribe()
    }

    /// Follows the height of the last certificate, which counts on where this node diverged.
    pub(crate) fn subscribe_certified(&self) -> watch::Receiver<Height> {
        self.certified.subscribe()
    }

    /// The last certificate.
    pub(crate) fn last(&self) -> Option<Certificate> {
        self.read().last.clone()
    }

    /// Height at which a quorum certified another result than this node's. What this node says about its
    /// blocks from there on is wrong.
    pub(crate) fn diverged(&self) -> Option<Height> {
        self.read().diverged
    }

    /// Alerts that changed after a version.
    pub(crate) fn alerts_since(&self, version: u64) -> Vec<AlertRecord> {
        self.read().alerts.since(version)
    }

    /// Follows the version of the alerts.
    pub(crate) fn subscribe_alerts(&self) -> watch::Receiver<u64> {
        self.alerted.subscribe()
    }

    /// A certificate is stored.
    pub(crate) fn publish(&self, certificate: Certificate) {
        let height = certificate.statement.height;
        let diverged = {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            let higher = |last: &Certificate| last.statement.height <= height;
            if state.last.as_ref().is_none_or(higher) {
                state.last = Some(certificate);
            }
            state.diverged.is_some()
        };
        raise(&self.certified, height);
        if !diverged {
            raise(&self.height, height);
        }
    }

    /// A quorum certified another result for this height. Certificates of it and later ones say nothing
    /// about this node's blocks.
    pub(super) fn diverge(&self, height: Height) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.diverged.get_or_insert(height);
        drop(state);
        let below = Height(height.0.saturating_sub(1));
        self.height
            .send_modify(|current| *current = below.min(*current));
    }

    /// Something happened; `true` if it is the first time.
    pub(super) fn alert(&self, occurrence: Occurrence) -> bool {
        let (first, version) = {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            let first = state.alerts.add(occurrence, clock::wall_ms());
            (first, state.alerts.version())
        };
        self.alerted.send_replace(version);
        first
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn raise(watched: &watch::Sender<Height>, height: Height) {
    watched.send_if_modified(|current| {
        let rises = *current < height;
        *current = height.max(*current);
        rises
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing;
    use squad_mach::{BlockResult, RawSignature, Signers};
    use squad_primitives::Digest;

    fn certificate(height: u64) -> Certificate {
        let result = BlockResult {
            network: Digest([1; 32]),
            epoch: Epoch(0),
            height: Height(height),
            block: Digest([2; 32]),
            order_root: Digest([3; 32]),
            opened_root: Digest([3; 32]),
            ledger_root: Digest([4; 32]),
            rollups_root: Digest([5; 32]),
        };
        Certificate {
            statement: result.statement(),
            signers: Signers::none(4),
            signature: RawSignature([0; 96]),
        }
    }

    #[test]
    fn certificates_above_a_divergence_make_nothing_final_here() {
        let genesis = testing::finality_genesis();
        let committee = squad_mach::genesis::committee(&genesis).unwrap().unwrap();
        let view = Finality::new(committee, Some(certificate(5)));
        assert_eq!(view.height(), Height(5));
        view.publish(certificate(9));
        view.publish(certificate(7));
        assert_eq!(view.height(), Height(9));
        assert_eq!(view.last().unwrap().statement.height, Height(9));
        view.diverge(Height(8));
        assert_eq!(view.height(), Height(7));
        view.publish(certificate(12));
        assert_eq!(
            (view.height(), view.diverged()),
            (Height(7), Some(Height(8)))
        );
        assert_eq!(*view.subscribe_certified().borrow(), Height(12));
    }
}
