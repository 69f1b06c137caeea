//! An observer that comes late. It has the genesis, which names no control address, and one bootnode. It
//! takes nothing on trust, and ends up serving what the operators serve.
//!
//! Rollup streams are equal byte for byte, cursors and sequence numbers included, but for two lists of
//! signatures in each block's header:
//!
//! - `commit`: a certificate needs more than two thirds of stake, and which of the four signatures came
//!   first is a matter of each node's links. Nodes could only serve equal ones if they agreed on them,
//!   which takes another round of agreement for what is proven either way.
//! - `attestations`: an operator signs its own results; an observer has no key.
//!
//! So everything else is compared, and both nodes' proofs are verified against the genesis.

use crate::command::{run, squad};
use crate::load::{LOADED, Load, ROLLUPS};
use crate::net::{Localnet, PATIENCE, wait_for};
use prost::Message as _;
use squad_client::verify::chain::Chain;
use squad_client::{Endpoint, v1};
use squad_primitives::RollupId;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};
use v1::subscribe_blocks_response::Item;

const RATE: u64 = 2_000;

/// A running observer.
struct Observer {
    process: Child,
    grpc: SocketAddr,
}

impl Observer {
    /// Starts one with the genesis and the address of one operator.
    fn start(net: &Localnet) -> Self {
        let home = net.home.file("observer");
        let mut init = squad();
        init.args(["init", "--home"])
            .arg(&home)
            .arg("--genesis")
            .arg(net.genesis());
        run(&mut init).ok();
        let bootnode = net.node(3).control;
        let bootnode = format!("/ip4/{}/tcp/{}", bootnode.ip(), bootnode.port());
        let (grpc, http) = (free_address(), free_address());
        let log = std::fs::File::create(log_of(net)).expect("a log");
        let mut start = squad();
        start
            .args(["start", "--role=observer", "--bootnode", &bootnode])
            .args(["--control-listen", "/ip4/127.0.0.1/tcp/0"])
            .args(["--grpc-listen", &grpc.to_string()])
            .args(["--http-listen", &http.to_string()])
            .arg("--home")
            .arg(&home)
            .stderr(log);
        Self {
            process: start.spawn().expect("the binary runs"),
            grpc,
        }
    }

    fn address(&self) -> String {
        format!("http://{}", self.grpc)
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn log_of(net: &Localnet) -> PathBuf {
    net.home.file("observer.log")
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

/// A rollup's stream of blocks with payloads, from the first block to `last`, as it was served.
async fn stream_of(endpoint: &Endpoint, last: u64) -> Vec<v1::SubscribeBlocksResponse> {
    let request = v1::SubscribeBlocksRequest {
        from: Some(v1::subscribe_blocks_request::From::FromHeight(1)),
        rollup_id: Some(LOADED),
        include_payload: true,
        headers_only: false,
    };
    let answer = endpoint.blocks().subscribe_blocks(request).await;
    let mut stream = answer.expect("a stream").into_inner();
    let mut items = Vec::new();
    let read = async {
        while let Some(item) = stream.message().await.expect("an item") {
            let end =
                matches!(&item.item, Some(Item::Block(part)) if part.height == last && part.last);
            items.push(item);
            if end {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("in time");
    items
}

/// The bytes of an item without the signatures that may differ. The greeting only names the head.
fn comparable(item: &v1::SubscribeBlocksResponse) -> Vec<u8> {
    let mut item = item.clone();
    match &mut item.item {
        Some(Item::Hello(hello)) => hello.head_height = 0,
        Some(Item::Block(part)) => {
            if let Some(header) = &mut part.header {
                header.commit = None;
                header.attestations.clear();
            }
        }
        other => panic!("not part of a replay: {other:?}"),
    }
    item.encode_to_vec()
}

/// Checks certificates, chain, and lists of a stream, as a rollup does.
fn verify(net: &Localnet, items: &[v1::SubscribeBlocksResponse]) -> u64 {
    let trusted = net.trusted();
    let mut chain = Chain::from_genesis(trusted.id());
    let mut entries = Vec::new();
    let mut header = None;
    let mut transactions = 0;
    for item in items {
        let Some(Item::Block(part)) = &item.item else {
            continue;
        };
        entries.extend_from_slice(&part.entries);
        if let Some(first) = &part.header {
            let verified = trusted.verify_header(first).expect("a final block");
            chain.extend(&verified).expect("the next block");
            header = Some(verified);
        }
        if part.last {
            let header = header.take().expect("each block has a header");
            let block = trusted.verify_rollup(&header, RollupId(LOADED), &entries);
            let block = block.expect("all and only the rollup's transactions");
            transactions += block.map_or(0, |block| block.ids.len() as u64);
            entries.clear();
        }
    }
    transactions
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_observer_that_comes_late_catches_up_under_load_and_serves_what_operators_serve() {
    let net = Localnet::up(&[ROLLUPS, "--bootnodes-only"]);
    let before = Load::start(&net, 1, RATE, Duration::from_secs(4)).audit();
    before.assert_clean();

    let during = Load::start(&net, 2, RATE, Duration::from_secs(5));
    let missed = before.audit.last_height;
    let started = Instant::now();
    let observer = Observer::start(&net);
    let flag = format!("--endpoint={}", observer.address());
    wait_for("the observer's API", || {
        net.home.squad(&["status", &flag]).code == Some(0)
    });
    let ready = ["status", &flag, "--wait=ready", "--format=json"];
    let status = net.home.squad(&ready).json();
    let height = status["ordered_height"].as_u64().expect("a number");
    assert!(
        height >= missed,
        "in step at height {height}, {missed} blocks were there before it came"
    );
    println!(
        "observer: {missed} blocks behind, in step after {} ms at height {height}",
        started.elapsed().as_millis()
    );

    let during = during.audit();
    during.assert_clean();
    let last = during.audit.last_height;
    let own = Endpoint::new(&observer.address()).expect("an address");
    let operator = net.endpoint(0);
    wait_for("the last block at the observer", || {
        let status = ["status", &flag, "--format=json"];
        net.home.squad(&status).json()["ordered_height"].as_u64() >= Some(last)
    });
    let (served, expected) = (
        stream_of(&own, last).await,
        stream_of(&operator, last).await,
    );
    assert_eq!(served.len(), expected.len());
    let mut bytes = 0;
    for (index, (served, expected)) in served.iter().zip(&expected).enumerate() {
        let comparable = (comparable(served), comparable(expected));
        assert!(
            comparable.0 == comparable.1,
            "item {index}: {served:?}\ndiffers from {expected:?}"
        );
        bytes += comparable.0.len();
    }
    let total = before.audit.ordered + during.audit.ordered;
    assert_eq!(verify(&net, &served), total);
    assert_eq!(verify(&net, &expected), total);
    println!(
        "observer: {} items, {bytes} bytes, {total} transactions equal to an operator's",
        served.len()
    );
    let log = std::fs::read_to_string(log_of(&net)).expect("a log");
    assert!(!log.contains("ERROR"), "{log}");
    net.assert_calm();
}
