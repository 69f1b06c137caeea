//! Whole runs against an in-memory network, and what the audit finds when an operator misbehaves.

use crate::operator::Network;
use crate::world::{World, transaction};
use bytes::Bytes;
use squad_client::v1;
use squad_loadtest::audit::{AuditFile, AuditReport, Expected, audit, check_payloads};
use squad_loadtest::mix::Mix;
use squad_loadtest::run::{Plan, Session, lock, run};
use squad_loadtest::schedule::{Schedule, Shape};
use squad_loadtest::workload::Workload;
use std::sync::Arc;
use std::time::Duration;

const COUNT: usize = 200;

fn plan(network: &Network, workload: Workload, copies: usize) -> Plan {
    let shape = Shape::Poisson {
        rate: 1_000,
        duration: Duration::from_secs(1),
    };
    let mut schedule = Schedule::new(&shape, 3).unwrap();
    schedule.truncate(COUNT);
    Plan {
        endpoints: network.addresses.clone(),
        tls_ca: None,
        network: None,
        connections: 2,
        window: 1_024,
        schedule: Arc::new(schedule),
        workload: Arc::new(workload),
        copies,
        expiry_blocks: 4_000,
        drain: Duration::from_secs(20),
        pids: vec![std::process::id()],
        finality: false,
        progress: false,
    }
}

fn rollups() -> Mix<u64> {
    Mix::zipf(&[901, 7], 1.0).unwrap()
}

fn opaque() -> Workload {
    Workload::opaque(1, 2, rollups(), "64:1,512:1".parse().unwrap())
}

async fn expected(plan: &Plan, session: &Session) -> Expected {
    Expected::new(
        session.network,
        plan.schedule.clone(),
        plan.workload.clone(),
        lock(&session.tracker).sent_transactions(),
    )
}

/// Performs a run on a chain that has blocks already.
async fn perform(workload: Workload, copies: usize) -> (Network, Plan, Session) {
    let network = Network::start(World::with_blocks(3)).await;
    let plan = plan(&network, workload, copies);
    let session = run(&plan).await.unwrap();
    (network, plan, session)
}

async fn audited(plan: &Plan, session: &Session) -> AuditReport {
    let expected = expected(plan, session).await;
    let trusted = World::new().trusted();
    let (endpoints, first) = (&session.endpoints, session.first_height);
    audit(endpoints, first, &expected, Some(&trusted))
        .await
        .unwrap()
}

#[tokio::test]
async fn a_run_accounts_for_every_transaction() {
    let (_network, plan, session) = perform(opaque(), 1).await;
    let counts = lock(&session.tracker).counts().clone();
    assert_eq!((counts.sent, counts.dropped), (COUNT as u64, 0));
    assert_eq!(
        (counts.accepted, counts.ordered),
        (COUNT as u64, COUNT as u64)
    );
    assert_eq!(lock(&session.tracker).ordered.count(), COUNT as u64);
    let in_rows: u64 = session.rows.iter().map(|row| row.ordered).sum();
    assert_eq!(in_rows, COUNT as u64);
    let report = audited(&plan, &session).await;
    assert_eq!(report.findings, Vec::<String>::new());
    assert_eq!((report.ordered, report.operators), (COUNT as u64, 4));
}

#[tokio::test]
async fn copies_through_two_operators_are_ordered_once_with_equal_hashes() {
    let payloads: Vec<Bytes> = (0..COUNT)
        .map(|n| Bytes::from(format!("payload {n}")))
        .collect();
    let (network, plan, session) = perform(Workload::prepared(5, rollups(), payloads), 2).await;
    let submitted: usize = (0..4).map(|i| network.seen(i).submitted.len()).sum();
    assert_eq!(submitted, 2 * COUNT);
    let mut report = audited(&plan, &session).await;
    let expected = expected(&plan, &session).await;
    check_payloads(&session.endpoints, &plan.workload, &expected, &mut report)
        .await
        .unwrap();
    assert_eq!(report.findings, Vec::<String>::new());
    assert_eq!(report.payload_hashes, Some(COUNT as u64));
}

fn lose_an_id(item: &mut v1::SubscribeBlocksResponse) {
    if let Some(v1::subscribe_blocks_response::Item::Block(part)) = &mut item.item
        && part.height == 10
        && let Some(entries) = part.entries.first_mut()
    {
        entries.tx_ids = entries.tx_ids.slice(32..);
    }
}

#[tokio::test]
async fn an_operator_that_differs_is_found() {
    let (network, plan, session) = perform(opaque(), 1).await;
    network.faults(2).forge = Some(lose_an_id);
    let report = audited(&plan, &session).await;
    let found = report.findings.join("; ");
    assert!(found.contains("block 10 differs"), "{found}");
    assert!(found.contains("block 10 does not hold"), "{found}");
    assert!(
        found.contains(network.addresses[2].trim_start_matches("http://")),
        "{found}"
    );
}

#[tokio::test]
async fn strangers_and_losses_are_found_in_a_later_audit() {
    let (network, plan, session) = perform(opaque(), 1).await;
    let bytes = AuditFile {
        network: session.network,
        first_height: session.first_height,
        expected: expected(&plan, &session).await,
    }
    .to_bytes();
    let file = AuditFile::from_bytes(&bytes).unwrap();
    let clean = audit(&session.endpoints, file.first_height, &file.expected, None)
        .await
        .unwrap();
    assert!(clean.is_clean(), "{:?}", clean.findings);

    network.add_block(vec![transaction(7, 999, 1)]);
    let report = audit(&session.endpoints, file.first_height, &file.expected, None)
        .await
        .unwrap();
    let found = report.findings.join("; ");
    assert!(
        found.contains("1 ordered transactions were never sent"),
        "{found}"
    );

    // The same file against a chain that lost everything after height 5.
    let other = Network::start(World::with_blocks(5)).await;
    let endpoints: Vec<_> = other
        .addresses
        .iter()
        .map(|address| squad_client::Endpoint::new(address).unwrap())
        .collect();
    let report = audit(&endpoints, file.first_height, &file.expected, None)
        .await
        .unwrap();
    let found = report.findings.join("; ");
    assert!(
        found.contains("200 acknowledged transactions are neither"),
        "{found}"
    );
}
