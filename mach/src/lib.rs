//! MACH: one BLS signature of the operators over the result of a block, for light clients and L1.
//!
//! ```text
//! executed block ─▶ BlockResult ─▶ Statement (144 bytes) ─▶ Attestation of each operator
//!                                                               │  > 2/3 of stake
//!                      light client, L1 contract  ◀── Certificate (219 bytes at n = 64)
//! ```
//!
//! - [`result`]: what operators agree on, its SHA-256 tree, and the signed message.
//! - [`bls`], [`committee`]: keys with proof of possession; who may sign with which stake.
//! - [`attester`], [`guard`]: which heights to attest, and the record that must be durable first.
//! - [`aggregator`]: attestations in, certificates, evidence and alerts out.
//! - [`certificate`], [`evidence`]: formats and their verification.
//! - [`rollups`], [`ledger`]: the trees under the result.
//! - [`genesis`]: the first committee.
//! - [`light`]: follows committees and checks certificates, blocks and transactions, from bytes alone.
//!
//! Rules that hold for the whole crate:
//!
//! - **Pure.** No clock, disk, socket, thread or operating-system randomness. Time is an argument,
//!   effects are returned as data.
//! - **One encoding per value**, fixed-width and big-endian, because an L1 contract reads it. Decoders
//!   never panic, allocate no more than the input holds and refuse trailing bytes.
//! - **SHA-256** in every tree that L1 opens: the EVM has a precompile for it and none for BLAKE3.
//! - **A signature needs a permit.** [`BlsSecretKey::attest`] takes a [`Permit`], which only
//!   [`SignGuard`] makes, after the record of the signature is durable.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

pub mod aggregator;
pub mod attestation;
pub mod attester;
pub mod bls;
pub mod certificate;
pub mod committee;
pub mod domain;
pub mod evidence;
pub mod genesis;
pub mod guard;
pub mod ledger;
pub mod light;
pub mod result;
pub mod rollups;
pub mod signers;
pub mod tree;

mod wire;

pub use aggregator::{Aggregator, AggregatorConfig, Alert};
pub use attestation::Attestation;
pub use attester::{Attester, AttesterConfig};
pub use bls::{BlsPublicKey, BlsSecretKey, BlsSignature, KeyError, Possession, RawSignature};
pub use certificate::{Certificate, CertificateError};
pub use committee::{Admission, CommitteeError, MachCommittee, MachMember};
pub use evidence::{Evidence, EvidenceError};
pub use guard::{GuardError, Permit, Refusal, SignGuard};
pub use ledger::{LedgerProof, LedgerTree};
pub use light::{Handover, LightClient, LightError, RollupProof, TransactionProof};
pub use result::{BlockResult, ResultProof, Root, Statement};
pub use rollups::{RollupState, RollupTree};
pub use signers::Signers;
