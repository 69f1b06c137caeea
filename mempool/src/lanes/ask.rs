//! Whom to ask for something that is missing: one operator after the other, in rounds.

use super::Lanes;
use super::lane::key;
use squad_primitives::{OperatorId, Time, Tip};

/// Whom to ask next, and when.
#[derive(Clone, Debug, Default)]
pub(super) struct Ask {
    /// Who was asked in this round, the latest one last. Their answers are taken until the next round
    /// begins, however many others were asked since.
    pub(super) asked: Vec<OperatorId>,
    pub(super) next_at: Time,
    /// All have been asked.
    pub(super) round_over: bool,
}

impl Ask {
    /// Whether an empty answer of this peer ends the wait for it. When all have been asked, the pause
    /// before the next round stands: without it the last peer would be asked as fast as it answers.
    pub(super) fn waits_for(&self, peer: OperatorId) -> bool {
        !self.round_over && self.asked.last() == Some(&peer)
    }
}

impl Lanes {
    /// The next operator to ask, if it is time to ask one. When all have been asked, the round starts
    /// again after a longer pause.
    pub(super) fn next_source(
        &self,
        now: Time,
        tip: &Tip,
        source: Option<OperatorId>,
        ask: &mut Ask,
    ) -> Option<OperatorId> {
        if now < ask.next_at {
            return None;
        }
        if std::mem::take(&mut ask.round_over) {
            ask.asked.clear();
        }
        let next = self
            .sources(tip, source)
            .find(|peer| self.is_connected(*peer) && !ask.asked.contains(peer));
        match next {
            Some(peer) => {
                ask.asked.push(peer);
                ask.next_at = now.after(self.config.fetch_hedge);
            }
            None => {
                ask.round_over = true;
                ask.next_at = now.after(self.config.fetch_hedge.max(self.config.rebroadcast));
            }
        }
        next
    }

    /// Operators that may have a batch, likeliest first; with repetitions.
    fn sources(
        &self,
        tip: &Tip,
        source: Option<OperatorId>,
    ) -> impl Iterator<Item = OperatorId> + '_ {
        let proof = self
            .lanes
            .get(&tip.lane)
            .and_then(|lane| lane.proofs.get(&key(tip)));
        let signers = proof.into_iter().flat_map(|proof| {
            let committee = self.committees.of(proof.poa.epoch);
            committee
                .into_iter()
                .flat_map(|committee| proof.poa.signers.operators(committee))
        });
        let members = self.committees.current().members();
        source
            .into_iter()
            .chain([tip.lane])
            .chain(signers)
            .chain(members.iter().map(|member| member.operator))
            .filter(|peer| self.config.me != Some(*peer))
    }
}
