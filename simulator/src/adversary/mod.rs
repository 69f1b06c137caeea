//! Operators that don't keep to the protocol: an honest node runs, and what it says is changed on its way
//! out. Each behaviour has a short file, so that a new rule of the protocol gets its violator with it.

mod bad_signatures;
mod censor;
mod double_vote;
mod equivocating_lane;
mod equivocating_leader;
mod far_views;
mod late;
mod stale_certificates;
mod withheld_batch;

use crate::node::Packet;
use crate::random::Random;
use squad_primitives::{Committee, NetworkId, OperatorId, Signer};
use std::sync::Arc;

/// How an operator misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Behaviour {
    /// Proposes one block to some and another one to the others.
    EquivocatingLeader,
    /// Goes on with two branches of its lane.
    EquivocatingLane,
    /// Gives its batches to as few as a proof needs, and to nobody who asks.
    WithheldBatch,
    /// Says nothing.
    Silent,
    /// Says everything late.
    Late,
    /// Shows old certificates, and proposes on old blocks.
    StaleCertificates,
    /// Votes for two blocks, and says timeout beside commit votes.
    DoubleVote,
    /// Breaks signatures.
    BadSignatures,
    /// Speaks of views and epochs far ahead.
    FarViews,
    /// Leaves one lane out of its blocks, or moves it back.
    Censor,
    /// Runs twice with one key; the two hear different peers.
    Twin,
}

impl Behaviour {
    /// All behaviours.
    pub const ALL: [Self; 11] = [
        Self::EquivocatingLeader,
        Self::EquivocatingLane,
        Self::WithheldBatch,
        Self::Silent,
        Self::Late,
        Self::StaleCertificates,
        Self::DoubleVote,
        Self::BadSignatures,
        Self::FarViews,
        Self::Censor,
        Self::Twin,
    ];

    /// Name on the command line and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EquivocatingLeader => "equivocating-leader",
            Self::EquivocatingLane => "equivocating-lane",
            Self::WithheldBatch => "withheld-batch",
            Self::Silent => "silent",
            Self::Late => "late",
            Self::StaleCertificates => "stale-certificates",
            Self::DoubleVote => "double-vote",
            Self::BadSignatures => "bad-signatures",
            Self::FarViews => "far-views",
            Self::Censor => "censor",
            Self::Twin => "twin",
        }
    }

    /// The behaviour of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|behaviour| behaviour.name() == name)
    }

    /// Somebody who behaves so; a twin is an honest node that runs twice.
    #[must_use]
    pub fn adversary(self) -> Option<Box<dyn Adversary>> {
        Some(match self {
            Self::EquivocatingLeader => Box::<equivocating_leader::EquivocatingLeader>::default(),
            Self::EquivocatingLane => Box::<equivocating_lane::EquivocatingLane>::default(),
            Self::WithheldBatch => Box::<withheld_batch::WithheldBatch>::default(),
            Self::Silent => Box::new(late::Silent),
            Self::Late => Box::new(late::Late),
            Self::StaleCertificates => Box::<stale_certificates::StaleCertificates>::default(),
            Self::DoubleVote => Box::<double_vote::DoubleVote>::default(),
            Self::BadSignatures => Box::new(bad_signatures::BadSignatures),
            Self::FarViews => Box::new(far_views::FarViews),
            Self::Censor => Box::<censor::Censor>::default(),
            Self::Twin => return None,
        })
    }
}

/// What an adversary works with.
#[derive(Debug)]
pub struct Attack<'a> {
    /// The operator.
    pub me: OperatorId,
    /// Its key.
    pub key: &'a Arc<dyn Signer>,
    /// The network.
    pub network: NetworkId,
    /// Committee of epoch 0.
    pub committee: &'a Committee,
    /// Its dice.
    pub random: &'a mut Random,
    /// What leaves: to whom, what, how much later.
    pub out: Vec<(OperatorId, Packet, u64)>,
    /// Attacks made.
    pub attacks: u64,
}

impl Attack<'_> {
    /// Sends something on unchanged.
    pub fn pass(&mut self, to: OperatorId, packet: Packet) {
        self.out.push((to, packet, 0));
    }

    /// Sends something that the honest node didn't say.
    pub fn strike(&mut self, to: OperatorId, packet: Packet) {
        self.attacks += 1;
        self.out.push((to, packet, 0));
    }

    /// Whether a peer belongs to the half that sees the other story.
    #[must_use]
    pub fn is_other_half(&self, to: OperatorId) -> bool {
        to.0.is_multiple_of(2)
    }
}

/// Somebody who doesn't keep to the protocol.
pub trait Adversary: std::fmt::Debug + Send {
    /// The honest node inside wants to say something to a peer.
    fn leaving(&mut self, to: OperatorId, packet: Packet, attack: &mut Attack<'_>);

    /// Something arrives at the honest node inside.
    fn arriving(&mut self, _from: OperatorId, _packet: &Packet) {}
}
