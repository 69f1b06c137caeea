//! A local network of real processes, and what tests do to it.
//!
//! One network runs at a time, whichever test asks for it: several would starve each other on the two
//! processors that these tests are made for.

use crate::command::{Home, Ran, run, squad};
use rustix::process::Signal;
use squad_client::{Endpoint, TrustedNetwork, v1};
use squad_sequencer::localnet::{NodeState, ProcessId, State};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use v1::submit_result::Result as Answer;

/// Longest wait for anything; nothing is waited for in full.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

static ALONE: Mutex<()> = Mutex::new(());

/// A network that is stopped even if the test fails half-way.
pub(crate) struct Localnet {
    pub(crate) home: Home,
    pub(crate) directory: PathBuf,
    _alone: MutexGuard<'static, ()>,
}

impl Localnet {
    /// Starts a network and waits until all operators take part.
    pub(crate) fn up(options: &[&str]) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let home = Home::new();
        let net = Self {
            directory: home.file("net"),
            home,
            _alone: alone,
        };
        let arguments: Vec<_> = ["up", "--detach"].iter().chain(options).copied().collect();
        net.localnet(&arguments).ok();
        net
    }

    /// Runs `squad localnet` on it.
    pub(crate) fn localnet(&self, arguments: &[&str]) -> Ran {
        run(&mut self.command(arguments))
    }

    /// Starts `squad localnet` on it and does not wait for its end.
    pub(crate) fn begin(&self, arguments: &[&str]) -> Child {
        self.command(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary runs")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = squad();
        command
            .arg("localnet")
            .args(arguments)
            .arg("--dir")
            .arg(&self.directory);
        command
    }

    /// Its description as it is now.
    pub(crate) fn state(&self) -> State {
        State::read(&self.directory).expect("a description")
    }

    /// An operator's part of the description.
    pub(crate) fn node(&self, node: usize) -> NodeState {
        self.state().nodes.swap_remove(node)
    }

    /// Where clients reach an operator.
    pub(crate) fn address(&self, node: usize) -> String {
        self.node(node).endpoint()
    }

    /// The same as a flag of the command line.
    pub(crate) fn flag(&self, node: usize) -> String {
        format!("--endpoint={}", self.address(node))
    }

    /// A connection to an operator.
    pub(crate) fn endpoint(&self, node: usize) -> Endpoint {
        Endpoint::new(&self.address(node)).expect("an address")
    }

    pub(crate) fn genesis(&self) -> PathBuf {
        self.node(0).home.join("config/genesis.json")
    }

    /// What clients trust.
    pub(crate) fn trusted(&self) -> TrustedNetwork {
        let genesis = std::fs::read(self.genesis()).expect("a genesis");
        TrustedNetwork::from_genesis_json(&genesis).expect("a valid genesis")
    }

    /// The running process of an operator.
    pub(crate) fn process(&self, node: usize) -> ProcessId {
        self.node(node).running().expect("the operator runs")
    }

    /// Kills operators as a crash would, all at the same moment, and waits until they are gone.
    pub(crate) fn kill(&self, nodes: &[usize]) {
        let processes: Vec<_> = nodes.iter().map(|node| self.process(*node)).collect();
        for process in &processes {
            process.signal(Signal::KILL).expect("our own process");
        }
        wait_for("the end of killed processes", || {
            !processes.iter().any(ProcessId::is_running)
        });
    }

    /// Starts an operator again and waits until it takes part.
    pub(crate) fn restart(&self, node: usize) {
        self.localnet(&["restart", &node.to_string()]).ok();
    }

    /// View and leader, as an operator sees them.
    pub(crate) async fn leader(&self, node: usize) -> v1::GetLeaderResponse {
        let mut service = self.endpoint(node).operators();
        let answer = service
            .get_leader(v1::GetLeaderRequest { view: None })
            .await;
        answer.expect("operators know the leader").into_inner()
    }

    /// Gives one operator `count` transactions that nobody else gets; their ids, once it has accepted
    /// them all.
    pub(crate) async fn entrust(&self, node: usize, rollup: u64, count: usize) -> Vec<Vec<u8>> {
        let transactions = (0..count).map(|index| v1::Transaction {
            rollup_id: rollup,
            payload: format!("entrusted to {node}: {index}").into(),
            kind: v1::TransactionKind::Plain.into(),
            expiry_height: 0,
        });
        let request = v1::SubmitTransactionBatchRequest {
            transactions: transactions.collect(),
            want_receipt: false,
        };
        let mut service = self.endpoint(node).sequencer();
        let answer = service.submit_transaction_batch(request).await;
        let results = answer.expect("an answer").into_inner().results;
        let ids: Vec<_> = results
            .into_iter()
            .map(|result| match result.result {
                Some(Answer::Accepted(accepted)) => {
                    let placement = accepted.placement.expect("in its own lane");
                    assert_eq!(placement.lane as usize, node);
                    accepted.tx_id.to_vec()
                }
                other => panic!("not accepted: {other:?}"),
            })
            .collect();
        assert_eq!(ids.len(), count);
        ids
    }

    /// Waits until an operator says that all these transactions are ordered.
    pub(crate) async fn all_ordered(&self, node: usize, ids: &[Vec<u8>]) {
        let request = v1::SubscribeTransactionStatusRequest {
            filter: Some(v1::subscribe_transaction_status_request::Filter::TxIds(
                ids.concat().into(),
            )),
            min_status: v1::Status::Ordered.into(),
            from_cursor: Default::default(),
        };
        let mut service = self.endpoint(node).sequencer();
        let stream = service.subscribe_transaction_status(request).await;
        let mut stream = stream.expect("a stream").into_inner();
        let mut ordered = 0;
        // The stream ends by itself once all have reached their last status.
        let read = async {
            while let Some(item) = stream.message().await.expect("an item") {
                use v1::subscribe_transaction_status_response::Item;
                if let Some(Item::Statuses(group)) = item.item {
                    assert_eq!(group.status(), v1::Status::Ordered, "{group:?}");
                    ordered += group.tx_ids.len() / 32;
                }
            }
        };
        tokio::time::timeout(PATIENCE, read).await.expect("in time");
        assert_eq!(ordered, ids.len());
    }

    /// One figure of an operator; 0 if it has none of this name.
    pub(crate) fn metric(&self, node: usize, name: &str) -> u64 {
        let mut stream = TcpStream::connect(self.node(node).http).expect("metrics are served");
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .expect("writable");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
            .map_or(0, |value| value.trim().parse().expect("a whole number"))
    }

    /// That no operator has logged an error, nor proven a contradiction of another.
    pub(crate) fn assert_calm(&self) {
        for (index, node) in self.state().nodes.iter().enumerate() {
            let log = std::fs::read_to_string(node.log()).expect("a log");
            let errors: Vec<_> = log
                .lines()
                .filter(|line| line.contains("ERROR") || line.contains("panicked"))
                .collect();
            assert!(errors.is_empty(), "operator {index}: {errors:#?}");
            if node.running().is_some() {
                let evidence = self.metric(index, "squad_consensus_evidence_total");
                assert_eq!(evidence, 0, "operator {index} saw a contradiction");
            }
        }
    }
}

impl Drop for Localnet {
    fn drop(&mut self) {
        self.localnet(&["down"]);
    }
}

/// Waits until something outside this process has happened.
pub(crate) fn wait_for(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !happened() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
