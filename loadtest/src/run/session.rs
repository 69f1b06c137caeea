//! Everything that belongs to one run, from connecting to the last answer.

use super::connection::Connection;
use super::finality::{self, Finality};
use super::pacer::Pacer;
use super::progress::{Row, Rows, finish, show};
use super::tracker::Tracker;
use super::{Clock, follower, lock};
use crate::process::{Meter, Usage};
use crate::schedule::Schedule;
use crate::workload::Workload;
use squad_client::{Endpoint, EndpointError, Refusal, StreamConfig, StreamError, v1};
use squad_primitives::{Digest, Height, NetworkId};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

/// Time between the last preparation and the first transaction.
const START_DELAY: Duration = Duration::from_millis(200);

/// Time between two looks at whether draining is over.
const DRAIN_CHECK: Duration = Duration::from_millis(50);

/// What a run needs to know.
#[derive(Clone, Debug)]
pub struct Plan {
    /// gRPC addresses of the operators.
    pub endpoints: Vec<String>,
    /// PEM certificates to trust at `https` addresses.
    pub tls_ca: Option<Vec<u8>>,
    /// Network that they must belong to, if known beforehand.
    pub network: Option<NetworkId>,
    /// Connections to each operator.
    pub connections: usize,
    /// Most unanswered transactions per connection.
    pub window: usize,
    /// When to send.
    pub schedule: Arc<Schedule>,
    /// What to send.
    pub workload: Arc<Workload>,
    /// Operators that get a copy of each transaction.
    pub copies: usize,
    /// How many blocks after the last one seen a transaction expires.
    pub expiry_blocks: u64,
    /// Longest wait for what is still under way when the schedule ends.
    pub drain: Duration,
    /// Operator processes whose processor time and memory are measured.
    pub pids: Vec<u32>,
    /// Whether to measure the time until transactions are final, too.
    pub finality: bool,
    /// Whether to show progress.
    pub progress: bool,
}

impl Plan {
    /// A connection of its own to an operator.
    fn endpoint(&self, uri: &str) -> Result<Endpoint, EndpointError> {
        Endpoint::with_ca(uri, self.tls_ca.as_deref())
    }
}

/// Why a run could not take place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// An address that is none.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// No operator was named.
    #[error("endpoints: at least one is needed")]
    NoEndpoint,
    /// An operator does not answer at the start.
    #[error("{endpoint}: {refusal}")]
    Unreachable {
        /// Its address.
        endpoint: String,
        /// What came instead.
        refusal: Refusal,
    },
    /// Operators of different networks, or of another than the genesis names.
    #[error("{endpoint}: belongs to network {found}, expected {expected}")]
    Network {
        /// Its address.
        endpoint: String,
        /// Its network.
        found: Digest,
        /// The network of the genesis, or of the first endpoint.
        expected: Digest,
    },
    /// The blocks can't be followed any more.
    #[error("follow blocks: {0}")]
    Follow(#[from] StreamError),
    /// The pacing thread can't be started.
    #[error("pacing thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// What a run left behind.
#[derive(Debug)]
pub struct Session {
    /// Operators, ready for the audit.
    pub endpoints: Arc<[Endpoint]>,
    /// Network of the operators.
    pub network: NetworkId,
    /// First height that can hold a transaction of the run.
    pub first_height: Height,
    /// Fate of every transaction, and the histograms.
    pub tracker: Arc<Mutex<Tracker>>,
    /// One row per second.
    pub rows: Vec<Row>,
    /// From the start until the last transaction was sent, in microseconds.
    pub sending_us: u64,
    /// From the start until nothing was under way any more, in microseconds.
    pub total_us: u64,
    /// The generator's own use.
    pub own: Usage,
    /// Use of the operator processes.
    pub operators: Vec<(u32, Option<Usage>)>,
}

/// Performs a run on the current tokio runtime.
///
/// # Errors
/// See [`RunError`]. Failures of single connections during the run are no error but counted.
pub async fn run(plan: &Plan) -> Result<Session, RunError> {
    let endpoints: Arc<[Endpoint]> = plan
        .endpoints
        .iter()
        .map(|uri| plan.endpoint(uri))
        .collect::<Result<_, _>>()?;
    let (network, head) = check_network(&endpoints, plan.network).await?;
    let mut live = Live {
        first_height: Height(head).next(),
        head: Arc::new(AtomicU64::new(head)),
        tracker: Arc::new(Mutex::new(Tracker::new(plan.schedule.clone()))),
        clock: Clock::default(),
        connections: Vec::new(),
        readers: JoinSet::new(),
    };
    live.connect(plan).await?;
    lock(&live.tracker).finality = plan.finality.then(Finality::default);

    let meters = Meters {
        own: Meter::start(&[std::process::id()]),
        operators: Meter::start(&plan.pids),
    };
    live.clock.start_in(START_DELAY);
    let follower = live.follow(endpoints.clone());
    let _certificates = plan
        .finality
        .then(|| live.follow_certificates(endpoints.clone()));
    let sent = live.start_pacer(plan)?;
    let watched = live.watch(plan, &meters, sent, follower).await;
    let (rows, sending_us) = watched?;
    Ok(Session {
        endpoints,
        network,
        first_height: live.first_height,
        rows,
        sending_us,
        total_us: live.clock.now_us().into(),
        own: meters
            .own
            .read()
            .first()
            .and_then(|(_, u)| *u)
            .unwrap_or_default(),
        operators: meters.operators.read(),
        tracker: live.tracker,
    })
}

/// Asks all operators for their network and head. Returns the network and the highest head: a
/// transaction that is sent later can't be in a block at or below it.
async fn check_network(
    endpoints: &[Endpoint],
    trusted: Option<NetworkId>,
) -> Result<(NetworkId, u64), RunError> {
    let mut expected = trusted;
    let mut head = 0;
    for endpoint in endpoints {
        let name = || endpoint.uri().to_string();
        let mut service = endpoint.operators();
        let answer = service.get_status(v1::GetStatusRequest {}).await;
        let status = answer.map_err(|status| RunError::Unreachable {
            endpoint: name(),
            refusal: status.into(),
        })?;
        let status = status.into_inner();
        let found = Digest::try_from(&status.network_id[..]).unwrap_or_default();
        let expected = *expected.get_or_insert(found);
        if found != expected {
            let endpoint = name();
            return Err(RunError::Network {
                endpoint,
                found,
                expected,
            });
        }
        head = head.max(status.ordered_height).max(status.committed_height);
    }
    expected
        .map(|network| (network, head))
        .ok_or(RunError::NoEndpoint)
}

struct Meters {
    own: Meter,
    operators: Meter,
}

/// The moving parts of a run.
struct Live {
    first_height: Height,
    head: Arc<AtomicU64>,
    tracker: Arc<Mutex<Tracker>>,
    clock: Clock,
    connections: Vec<Arc<Connection>>,
    readers: JoinSet<()>,
}

impl Live {
    /// Opens all streams, operator after operator in turn, so that neighbours differ.
    async fn connect(&mut self, plan: &Plan) -> Result<(), RunError> {
        let config = StreamConfig {
            window: plan.window,
            want_receipt: false,
        };
        for _ in 0..plan.connections.max(1) {
            for uri in &plan.endpoints {
                let connection = Arc::new(Connection::default());
                let (tell, opened) = oneshot::channel();
                let endpoint = plan.endpoint(uri)?;
                let (tracker, clock) = (self.tracker.clone(), self.clock.clone());
                let reader = connection.clone();
                self.readers.spawn(async move {
                    reader.serve(endpoint, config, tracker, clock, tell).await;
                });
                if let Ok(Err(refusal)) = opened.await {
                    let endpoint = uri.clone();
                    return Err(RunError::Unreachable { endpoint, refusal });
                }
                self.connections.push(connection);
            }
        }
        Ok(())
    }

    fn follow(&self, endpoints: Arc<[Endpoint]>) -> AbortOnDrop<StreamError> {
        AbortOnDrop(tokio::spawn(follower::follow(
            endpoints,
            self.first_height,
            self.head.clone(),
            self.tracker.clone(),
            self.clock.clone(),
        )))
    }

    fn follow_certificates(&self, endpoints: Arc<[Endpoint]>) -> AbortOnDrop<()> {
        let (tracker, clock) = (self.tracker.clone(), self.clock.clone());
        AbortOnDrop(tokio::spawn(finality::follow(endpoints, tracker, clock)))
    }

    /// Starts the pacing thread; the receiver is told when everything was sent.
    fn start_pacer(&self, plan: &Plan) -> Result<oneshot::Receiver<()>, RunError> {
        let pacer = Pacer {
            schedule: plan.schedule.clone(),
            workload: plan.workload.clone(),
            connections: self.connections.clone(),
            copies: plan.copies,
            head: self.head.clone(),
            expiry_blocks: plan.expiry_blocks,
            tracker: self.tracker.clone(),
            clock: self.clock.clone(),
        };
        let (done, sent) = oneshot::channel();
        std::thread::Builder::new()
            .name("pacer".into())
            .spawn(move || {
                pacer.run();
                // Nobody listens if the run was given up meanwhile.
                done.send(()).ok();
            })?;
        Ok(sent)
    }

    /// Writes a row per second until nothing is under way any more, or draining took too long. Returns
    /// the rows and how long sending took.
    async fn watch(
        &mut self,
        plan: &Plan,
        meters: &Meters,
        mut sent: oneshot::Receiver<()>,
        mut follower: AbortOnDrop<StreamError>,
    ) -> Result<(Vec<Row>, u64), RunError> {
        let mut rows = Rows::default();
        let mut sending_us: Option<u32> = None;
        let first = Instant::now() + START_DELAY + Duration::from_secs(1);
        let mut seconds = tokio::time::interval_at(first, Duration::from_secs(1));
        let mut checks = tokio::time::interval(DRAIN_CHECK);
        loop {
            tokio::select! {
                _ = &mut sent, if sending_us.is_none() => {
                    sending_us = Some(self.clock.now_us());
                    self.connections.iter().for_each(|connection| connection.close());
                }
                Ok(error) = &mut follower.0 => return Err(error.into()),
                _ = seconds.tick() => self.close_second(plan, meters, &mut rows),
                _ = checks.tick() => {}
            }
            while self.readers.try_join_next().is_some() {}
            if let Some(end) = sending_us {
                let waited = Duration::from_micros((self.clock.now_us() - end).into());
                let tracker = lock(&self.tracker);
                let settled =
                    self.readers.is_empty() && tracker.waiting() + tracker.not_final() == 0;
                drop(tracker);
                if settled || waited > plan.drain {
                    self.close_second(plan, meters, &mut rows);
                    break;
                }
            }
        }
        if plan.progress {
            finish();
        }
        Ok((rows.into_rows(), sending_us.unwrap_or_default().into()))
    }

    fn close_second(&self, plan: &Plan, meters: &Meters, rows: &mut Rows) {
        let cpu = (cpu_us(&meters.own), cpu_us(&meters.operators));
        let second = (u64::from(self.clock.now_us()) + 500_000) / 1_000_000;
        let height = self.head.load(Ordering::Relaxed);
        let row = rows.close(second, &mut lock(&self.tracker), cpu, height);
        if plan.progress {
            show(row, plan.schedule.duration().as_secs());
        }
    }
}

fn cpu_us(meter: &Meter) -> u64 {
    let readings = meter.read();
    readings
        .iter()
        .filter_map(|(_, usage)| usage.map(|u| u.cpu_us))
        .sum()
}

/// A task that ends with its owner.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
