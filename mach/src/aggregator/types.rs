//! Settings, inputs and outputs of the aggregator.

use crate::{Attestation, Certificate, CertificateError, Evidence, Statement};
use squad_primitives::{Duration, Height, OperatorId};

/// Settings of [`super::Aggregator`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AggregatorConfig {
    /// Time after a quorum in which more signatures are collected. Default 50 ms.
    pub widen: Duration,
    /// Time without a certificate, although blocks are executed, after which [`Alert::QuorumLost`]
    /// comes. Default 5 s.
    pub stall_after: Duration,
}

impl Default for AggregatorConfig {
    fn default() -> Self {
        Self {
            widen: Duration::from_millis(50),
            stall_after: Duration::from_secs(5),
        }
    }
}

/// What happens to an aggregator.
#[derive(Clone, Debug)]
pub enum Input {
    /// This operator executed a block and computed this. Heights rise.
    Executed(Statement),
    /// An attestation that came over the link of the member with index `from`; the own ones too.
    Attestation {
        /// Index in the committee of the attestation's epoch of whoever is at the other end.
        from: u16,
        /// The message.
        attestation: Box<Attestation>,
    },
    /// A certificate from gossip or sync.
    Certificate(Box<Certificate>),
}

/// What the shell has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Store, serve and gossip a verified certificate. `wider` says that one with fewer signers
    /// for the same statement came before.
    Certificate {
        /// The certificate.
        certificate: Box<Certificate>,
        /// Whether it replaces one.
        wider: bool,
    },
    /// Store, and publish.
    Evidence(Box<Evidence>),
    /// Log, count, show.
    Alert(Alert),
    /// A member broke a rule; score it down.
    Fault {
        /// Who.
        operator: OperatorId,
        /// How.
        fault: Fault,
    },
    /// A certificate was refused; score its sender down.
    Refused(CertificateError),
}

/// How a member broke a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Its signature does not verify.
    Signature,
    /// It sent another member's attestation.
    NotItsOwn,
    /// It attested two results for one height; evidence comes with it.
    Equivocation,
}

/// What people should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Alert {
    /// A member really attested another result than ours for a block that we executed.
    Mismatch {
        /// Who.
        operator: OperatorId,
        /// Its signed claim.
        theirs: Box<Attestation>,
        /// Our result.
        ours: Box<Statement>,
    },
    /// A quorum certified another result than ours: we are wrong and must stop attesting.
    Outvoted {
        /// The certificate.
        certificate: Box<Certificate>,
        /// Our result.
        ours: Box<Statement>,
    },
    /// Two valid certificates for one height contradict each other.
    ConflictingCertificates(Height),
    /// Blocks are executed but not certified.
    QuorumLost {
        /// Highest executed height.
        executed: Height,
        /// Highest certified height.
        certified: Height,
        /// Members without an attestation of our result at the highest height that anybody attested.
        missing: Vec<OperatorId>,
    },
    /// A certificate came after [`Alert::QuorumLost`].
    QuorumRestored(Height),
}
