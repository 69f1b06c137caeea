//! The audit after a run: what every operator delivered.
//!
//! Each operator's blocks are read from the run's first height to a common last one, and must show:
//!
//! 1. the same block hash and the same packed ids at each height, on all operators;
//! 2. every acknowledged transaction exactly once, or, if it is missing, a status that says why
//!    (expired, rejected);
//! 3. nothing in the run's rollups that the run did not send, and nothing twice;
//! 4. if a genesis is given: commit certificates, an unbroken chain, and the ids under the order roots.
//!
//! A transaction whose answer was lost may be ordered or not; its id is computed from its content to
//! tell it from a stranger's.

mod expected;
mod payloads;
mod scan;

pub use expected::{AuditFile, AuditFileError, Expected};
pub use payloads::check_payloads;
pub use scan::{OperatorScan, scan};

use crate::run::tracker::Prefix;
use serde::{Deserialize, Serialize};
use squad_client::{Endpoint, Refusal, StreamError, TrustedNetwork, v1};
use squad_primitives::{Digest, Height};
use std::time::Duration;

/// What the audit found. A run without a clean audit has no figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditReport {
    /// First height that was read.
    pub first_height: u64,
    /// Last height that was read, on every operator.
    pub last_height: u64,
    /// Transactions that an operator accepted.
    pub acknowledged: u64,
    /// Acknowledged ones that are ordered, on every operator.
    pub ordered: u64,
    /// Sent without an answer, and ordered all the same.
    pub unanswered_ordered: u64,
    /// Acknowledged, not ordered, and reported as expired or rejected.
    pub excused: u64,
    /// Operators that were read.
    pub operators: u64,
    /// Whether commit certificates, chain and roots of all blocks were checked against a genesis.
    #[serde(default)]
    pub verified: bool,
    /// Prepared transactions whose keccak256 hash was found among the ordered payloads, once on every
    /// operator; absent for payloads that are made while sending.
    #[serde(default)]
    pub payload_hashes: Option<u64>,
    /// Everything that is wrong; empty means clean. At most [`FINDINGS_MAX`].
    pub findings: Vec<String>,
}

/// Most findings that are listed.
pub const FINDINGS_MAX: usize = 100;

impl AuditReport {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    fn finding(&mut self, text: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(text);
        }
    }
}

/// Why an audit could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// An operator does not answer.
    #[error("{endpoint}: {refusal}")]
    Unreachable {
        /// Its address.
        endpoint: String,
        /// What came instead.
        refusal: Refusal,
    },
    /// An operator's blocks can't be read.
    #[error("{endpoint}: {error}")]
    Blocks {
        /// Its address.
        endpoint: String,
        /// What happened.
        error: StreamError,
    },
}

/// How long an operator may lag before the audit gives up on it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Audits every operator against what was sent.
///
/// # Errors
/// See [`AuditError`]. Findings are no error but part of the report.
pub async fn audit(
    endpoints: &[Endpoint],
    first: Height,
    expected: &Expected,
    trusted: Option<&TrustedNetwork>,
) -> Result<AuditReport, AuditError> {
    let mut last = 0;
    for endpoint in endpoints {
        last = last.max(head(endpoint).await?);
    }
    let mut report = AuditReport {
        first_height: first.0,
        last_height: last,
        acknowledged: expected.acknowledged(),
        operators: endpoints.len() as u64,
        verified: trusted.is_some(),
        ..AuditReport::default()
    };
    if last < first.0 {
        if report.acknowledged > 0 {
            report.finding("no block was made, yet transactions were acknowledged".into());
        }
        return Ok(report);
    }
    let mut reference: Option<OperatorScan> = None;
    for endpoint in endpoints {
        let scanned = scan(endpoint, first, Height(last), expected, trusted, PATIENCE).await;
        let scanned = scanned.map_err(|error| AuditError::Blocks {
            endpoint: endpoint.uri().to_string(),
            error,
        })?;
        judge(&scanned, endpoint, expected, &mut report);
        match &reference {
            None => reference = Some(scanned),
            Some(reference) => compare(reference, &scanned, first, endpoint, &mut report),
        }
    }
    if let Some(reference) = reference {
        excuse(&reference, endpoints, expected, &mut report).await;
    }
    Ok(report)
}

async fn head(endpoint: &Endpoint) -> Result<u64, AuditError> {
    let mut service = endpoint.operators();
    match service.get_status(v1::GetStatusRequest {}).await {
        Ok(status) => Ok(status.into_inner().ordered_height),
        Err(status) => Err(AuditError::Unreachable {
            endpoint: endpoint.uri().to_string(),
            refusal: status.into(),
        }),
    }
}

/// Rules 2 and 3 for one operator.
fn judge(
    scanned: &OperatorScan,
    endpoint: &Endpoint,
    expected: &Expected,
    report: &mut AuditReport,
) {
    let name = endpoint.uri();
    if let Some((height, error)) = &scanned.untrue {
        report.finding(format!("{name}: block {height} does not hold: {error}"));
    }
    let repeated = scanned.counts.iter().filter(|count| **count > 1).count();
    if repeated > 0 {
        report.finding(format!(
            "{name}: {repeated} transactions were ordered more than once"
        ));
    }
    if scanned.strangers > 0 {
        let count = scanned.strangers;
        report.finding(format!(
            "{name}: {count} ordered transactions were never sent"
        ));
    }
    let (mut acknowledged, mut unanswered) = (0, 0);
    for (index, count) in scanned.counts.iter().enumerate() {
        if *count > 0 {
            match expected.is_acknowledged(index) {
                true => acknowledged += 1,
                false => unanswered += 1,
            }
        }
    }
    report.ordered = acknowledged;
    report.unanswered_ordered = unanswered;
}

/// Rule 1.
fn compare(
    reference: &OperatorScan,
    scanned: &OperatorScan,
    first: Height,
    endpoint: &Endpoint,
    report: &mut AuditReport,
) {
    let pairs = reference.blocks.iter().zip(&scanned.blocks);
    let different = pairs.enumerate().find(|(_, (a, b))| a != b);
    if let Some((index, _)) = different {
        let height = first.0 + index as u64;
        report.finding(format!("{}: block {height} differs", endpoint.uri()));
    }
    if reference.blocks.len() != scanned.blocks.len() {
        let (a, b) = (reference.blocks.len(), scanned.blocks.len());
        report.finding(format!("{}: {b} blocks instead of {a}", endpoint.uri()));
    }
}

/// Most missing transactions whose status is asked for.
const STATUS_QUERIES_MAX: usize = 10_000;

/// Asks why acknowledged transactions are missing. Operators forget nothing this fast, so one that
/// accepted it must know.
async fn excuse(
    scanned: &OperatorScan,
    endpoints: &[Endpoint],
    expected: &Expected,
    report: &mut AuditReport,
) {
    let missing: Vec<usize> = (0..scanned.counts.len())
        .filter(|index| scanned.counts[*index] == 0 && expected.is_acknowledged(*index))
        .collect();
    let mut lost: Vec<Prefix> = Vec::new();
    for (asked, index) in missing.into_iter().enumerate() {
        let id = expected.id(index).filter(|_| asked < STATUS_QUERIES_MAX);
        match id {
            Some(id) if has_reason(endpoints, id).await => report.excused += 1,
            _ => lost.push(expected.prefix(index)),
        }
    }
    if let Some(first) = lost.first() {
        let count = lost.len();
        report.finding(format!(
            "{count} acknowledged transactions are neither ordered nor reported as expired, \
             first 0x{first:016x}"
        ));
    }
}

async fn has_reason(endpoints: &[Endpoint], id: Digest) -> bool {
    for endpoint in endpoints {
        let request = v1::GetTransactionStatusRequest {
            tx_id: id.0.to_vec().into(),
            include_proof: false,
        };
        let answer = endpoint.sequencer().get_transaction_status(request).await;
        let status = answer.ok().and_then(|answer| answer.into_inner().status);
        let last = [v1::Status::Expired, v1::Status::Rejected];
        if status.is_some_and(|status| last.contains(&status.status())) {
            return true;
        }
    }
    false
}
