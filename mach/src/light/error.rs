//! One error per rule, so that a refusal says which one was broken.

use crate::committee::CommitteeError;
use crate::{CertificateError, Evidence};
use squad_primitives::codec::DecodeError;
use squad_primitives::{Epoch, Height, RollupId};

/// Why the light client refuses something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LightError {
    /// Bytes that are not the expected proof, for example a truncated one.
    #[error("proof: {0}")]
    Decode(#[from] DecodeError),
    /// A committee is refused; a key without possession is one of the cases.
    #[error(transparent)]
    Committee(#[from] CommitteeError),
    /// A certificate is refused.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The anchor is older than the unbonding period.
    #[error("anchor: {age_ms} ms old, at most {limit_ms} ms")]
    AnchorTooOld {
        /// Its age.
        age_ms: u64,
        /// The unbonding period.
        limit_ms: u64,
    },
    /// The committee of the certificate's epoch is not known; a hand-over is missing.
    #[error("epoch {found}: committees are known up to epoch {known}")]
    UnknownEpoch {
        /// Epoch of the certificate.
        found: Epoch,
        /// Last epoch with a known committee.
        known: Epoch,
    },
    /// A hand-over from another epoch than the last known one.
    #[error("hand-over: from epoch {found}, expected from epoch {expected}")]
    HandoverEpoch {
        /// Epoch of its certificate.
        found: Epoch,
        /// Last epoch with a known committee.
        expected: Epoch,
    },
    /// A path does not lead to the certified result.
    #[error("result path: does not lead to the certified result root")]
    ResultPath,
    /// A path does not lead to the ledger root for the next committee's key.
    #[error("ledger path: does not lead to the ledger root")]
    LedgerPath,
    /// The ledger's value is no committee root.
    #[error("ledger value: no committee root")]
    LedgerValue,
    /// The leaf does not lead to the rollups root.
    #[error("rollup path: does not lead to the rollups root")]
    RollupPath,
    /// An older leaf is not the one that the leaf above it names.
    #[error("rollup leaf {0} below the certified one: not what the leaf above it names")]
    OlderLeaf(usize),
    /// The proof is about another rollup.
    #[error("rollup: proof for {found}, expected {expected}")]
    Rollup {
        /// The proof's.
        found: RollupId,
        /// The wanted one.
        expected: RollupId,
    },
    /// The transaction's path does not lead to the list root of the rollup block.
    #[error("transaction path: does not lead to the list root of rollup block {0}")]
    TransactionPath(u64),
    /// Another certificate for the same height holds too; the evidence convicts those who signed both.
    #[error("height {height}: two valid certificates contradict each other")]
    Conflict {
        /// The height.
        height: Height,
        /// For any operator.
        evidence: Box<Evidence>,
    },
}
