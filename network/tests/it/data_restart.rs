//! Peers that go away and come back. Each runs in a runtime of its own: when that is gone, so are the
//! node's tasks and its socket, as at the end of a process.

use crate::harness::{TestNode, operator, silent};
use bytes::Bytes;
use squad_network::data::{Class, SendError};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

struct Process {
    runtime: Runtime,
    node: TestNode,
}

impl Process {
    fn start(number: u8, listen: &str) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listen = listen.parse().unwrap();
        let node = runtime.block_on(async { TestNode::start_at(number, silent, listen) });
        Self { runtime, node }
    }

    fn knows(&self, other: &Self) {
        let _inside = self.runtime.enter();
        self.node.plane.set_peers(vec![other.node.peer()]);
    }

    fn connected(&mut self, peer: u8) {
        self.runtime.block_on(self.node.connected(peer));
    }

    fn disconnected(&mut self, peer: u8) {
        self.runtime.block_on(self.node.disconnected(peer));
    }

    fn stop(self) -> String {
        self.runtime.block_on(self.node.plane.shutdown());
        self.kill()
    }

    /// Returns the address, which is free from now on.
    fn kill(self) -> String {
        let address = self.node.plane.local_addr().to_string();
        drop(self.node);
        self.runtime.shutdown_timeout(Duration::from_secs(10));
        address
    }
}

fn pair() -> (Process, Process) {
    let (mut a, mut b) = (
        Process::start(0, "127.0.0.1:0"),
        Process::start(1, "127.0.0.1:0"),
    );
    a.knows(&b);
    b.knows(&a);
    a.connected(1);
    b.connected(0);
    (a, b)
}

#[test]
fn a_peer_that_stops_and_starts_is_connected_again() {
    let (mut a, b) = pair();
    let address = b.stop();
    a.disconnected(1);
    assert_eq!(
        a.node.plane.send(operator(1), Class::Acks, Bytes::new()),
        Err(SendError::NotConnected)
    );
    let mut b = Process::start(1, &address);
    b.knows(&a);
    a.connected(1);
    b.connected(0);

    // The same for the side that dials; this time it comes back at another address.
    a.stop();
    b.disconnected(0);
    let mut a = Process::start(0, "127.0.0.1:0");
    a.knows(&b);
    a.connected(1);
    b.connected(0);
    a.stop();
    b.stop();
}

/// A killed process says no goodbye. Its successor doesn't know the old connection and answers with a
/// stateless reset, which the peer believes because the key is derived from the identity.
#[test]
fn a_peer_that_is_killed_and_restarted_is_noticed_by_its_reset() {
    let (mut a, b) = pair();
    let address = b.kill();
    let mut b = Process::start(1, &address);
    b.knows(&a);
    a.disconnected(1);
    a.connected(1);
    b.connected(0);
    assert_eq!(
        a.node
            .metric(r#"squad_network_closed_total{reason="reset"}"#),
        1
    );
    a.stop();
    b.stop();
}

/// The killed side is the one that dials: its new connection takes the place of the dead one.
#[test]
fn a_new_connection_supersedes_the_one_of_a_killed_peer() {
    let (a, mut b) = pair();
    a.kill();
    let mut a = Process::start(0, "127.0.0.1:0");
    a.knows(&b);
    a.connected(1);
    b.disconnected(0);
    b.connected(0);
    a.stop();
    b.stop();
}
