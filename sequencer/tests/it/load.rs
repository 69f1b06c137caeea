//! The load generator and its audit: the code of `squad-loadtest`, on a thread of its own beside the
//! test.

use crate::net::Localnet;
use squad_client::TrustedNetwork;
use squad_loadtest::audit::{AuditReport, Expected, audit};
use squad_loadtest::mix::Mix;
use squad_loadtest::run::tracker::Counts;
use squad_loadtest::run::{Plan, lock, run};
use squad_loadtest::schedule::{Schedule, Shape};
use squad_loadtest::workload::Workload;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Rollup that the load goes to. The audit demands that nothing else does.
pub(crate) const LOADED: u64 = 7;
/// Rollup that is left to the tests' own transactions.
pub(crate) const QUIET: u64 = 8;
/// Both, as `squad localnet up` takes them.
pub(crate) const ROLLUPS: &str = "--rollups=kv:7,opaque:8";

/// Bytes per payload.
const SIZE: &str = "512";

/// Load through all operators.
pub(crate) struct Load {
    audit: Sender<()>,
    thread: JoinHandle<Outcome>,
}

/// What became of it.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) counts: Counts,
    pub(crate) audit: AuditReport,
}

impl Load {
    /// Sends `rate` transactions per second, whatever the operators do meanwhile. Runs on one network
    /// need different numbers, or their transactions would be the same.
    pub(crate) fn start(net: &Localnet, number: u64, rate: u64, duration: Duration) -> Self {
        let state = net.state();
        let trusted = net.trusted();
        let schedule = Schedule::new(&Shape::Constant { rate, duration }, 0).expect("a schedule");
        let rollups = Mix::zipf(&[LOADED], 0.0).expect("a mix");
        let workload = Workload::opaque(number, number, rollups, SIZE.parse().expect("a size"));
        let plan = Plan {
            endpoints: state.nodes.iter().map(|node| node.endpoint()).collect(),
            network: Some(state.network_id),
            connections: 1,
            window: 8_192,
            schedule: Arc::new(schedule),
            workload: Arc::new(workload),
            copies: 1,
            expiry_blocks: 4_000,
            drain: Duration::from_secs(30),
            pids: Vec::new(),
            finality: false,
            progress: false,
            tls_ca: None,
        };
        let (audit, asked) = channel();
        let thread = std::thread::spawn(move || perform(&plan, &trusted, &asked));
        Self { audit, thread }
    }

    /// Waits for the end of the schedule, reads all operators' chains, and compares: every acknowledged
    /// transaction ordered exactly once everywhere, nothing else, equal blocks, valid certificates and
    /// roots. All operators must be running.
    pub(crate) fn audit(self) -> Outcome {
        self.audit.send(()).expect("the load runs");
        self.thread.join().expect("the load ends well")
    }
}

impl Outcome {
    /// Asserts that nothing is wrong and nothing acknowledged is missing.
    pub(crate) fn assert_clean(&self) {
        let audit = &self.audit;
        assert!(audit.findings.is_empty(), "{audit:#?}");
        assert!(audit.verified);
        assert!(audit.acknowledged > 0, "{audit:?}");
        // Nothing expired: the schedule is far shorter than the transactions live.
        assert_eq!(audit.ordered, audit.acknowledged, "{audit:?}");
        assert_eq!(self.counts.ordered, audit.acknowledged, "{self:?}");
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (counts, audit) = (&self.counts, &self.audit);
        write!(
            f,
            "{} sent, {} without a connection, {} acknowledged, {} of them ordered once on {} operators in {} \
             blocks; {} more ordered without an answer",
            counts.sent,
            counts.dropped,
            audit.acknowledged,
            audit.ordered,
            audit.operators,
            audit.last_height - audit.first_height + 1,
            audit.unanswered_ordered,
        )
    }
}

fn perform(plan: &Plan, trusted: &TrustedNetwork, asked: &Receiver<()>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let session = run(plan).await.expect("a run");
        // Closed if the test has failed meanwhile.
        asked.recv().expect("the test asks for the audit");
        let (counts, expected) = {
            let tracker = lock(&session.tracker);
            let expected = Expected::new(
                session.network,
                plan.schedule.clone(),
                plan.workload.clone(),
                tracker.sent_transactions(),
            );
            (tracker.counts().clone(), expected)
        };
        let first = session.first_height;
        let audit = audit(&session.endpoints, first, &expected, Some(trusted)).await;
        Outcome {
            counts,
            audit: audit.expect("all operators answer"),
        }
    })
}
