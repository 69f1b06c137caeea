//! Ordered payloads against submitted ones, by their Ethereum hash.
//!
//! The audit by ids already covers payloads, since an id is a digest of one. This check shares nothing
//! with it: it reads the payloads themselves from every operator, and compares keccak256 hashes, which
//! is what a rollup would look at in the end.

use super::{AuditError, AuditReport, Expected, PATIENCE};
use crate::eth::keccak256;
use crate::workload::Workload;
use squad_client::{BlockStream, Content, Endpoint, StreamError, Subscription};
use squad_primitives::transaction::TX_OVERHEAD_BYTES;
use squad_primitives::{Height, RollupId};
use std::collections::BTreeMap;

/// Number of copies by rollup and hash.
type Hashes = BTreeMap<(u64, [u8; 32]), u32>;

/// Compares the payloads of the run's rollups with the prepared ones, on every operator. Does nothing
/// for workloads that prepare none.
///
/// # Errors
/// An operator's blocks can't be read.
pub async fn check_payloads(
    endpoints: &[Endpoint],
    workload: &Workload,
    expected: &Expected,
    report: &mut AuditReport,
) -> Result<(), AuditError> {
    if workload.limit().is_none() || report.last_height < report.first_height {
        return Ok(());
    }
    let sent = expected.payloads(workload);
    let (first, last) = (Height(report.first_height), Height(report.last_height));
    report.payload_hashes = Some(u64::MAX);
    for endpoint in endpoints {
        let ordered = read(endpoint, workload.rollups(), first, last).await;
        let ordered = ordered.map_err(|error| AuditError::Blocks {
            endpoint: endpoint.uri().to_string(),
            error,
        })?;
        judge(&sent, &ordered, endpoint, report);
    }
    Ok(())
}

/// `sent` says for each payload whether it was acknowledged.
fn judge(
    sent: &BTreeMap<(u64, [u8; 32]), bool>,
    ordered: &Hashes,
    endpoint: &Endpoint,
    report: &mut AuditReport,
) {
    let name = endpoint.uri();
    let strangers = ordered
        .keys()
        .filter(|key| !sent.contains_key(*key))
        .count();
    let repeated = ordered.values().filter(|count| **count > 1).count();
    let acknowledged = sent.iter().filter(|(_, acknowledged)| **acknowledged);
    let missing = acknowledged
        .filter(|(key, _)| !ordered.contains_key(*key))
        .count();
    let missing = (missing as u64).saturating_sub(report.excused);
    for (count, what) in [
        (
            strangers as u64,
            "payloads were ordered that were never sent",
        ),
        (repeated as u64, "payloads were ordered more than once"),
        (missing, "acknowledged payloads are missing"),
    ] {
        if count > 0 {
            report.finding(format!("{name}: {count} {what}"));
        }
    }
    let found = sent.keys().filter(|key| ordered.contains_key(*key)).count() as u64;
    report.payload_hashes = report.payload_hashes.map(|least| least.min(found));
}

async fn read(
    endpoint: &Endpoint,
    rollups: &[u64],
    first: Height,
    last: Height,
) -> Result<Hashes, StreamError> {
    let mut hashes = Hashes::new();
    for rollup in rollups {
        let subscription = Subscription {
            from: Some(first),
            rollup: Some(RollupId(*rollup)),
            content: Content::Transactions,
            patience: PATIENCE,
        };
        let mut stream = BlockStream::new([endpoint.clone()].into(), 0, subscription);
        loop {
            let block = stream.next().await?;
            for encoded in block
                .entries
                .iter()
                .flat_map(|entries| &entries.transactions)
            {
                let payload = encoded.get(TX_OVERHEAD_BYTES..).unwrap_or_default();
                *hashes.entry((*rollup, keccak256(payload))).or_default() += 1;
            }
            if block.height >= last {
                break;
            }
        }
    }
    Ok(hashes)
}
