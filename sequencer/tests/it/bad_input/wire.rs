//! Bytes that no client library sends: broken framing, broken protobuf, lengths that are lies.

use super::{Memory, Refusal, assert_serves, transaction};
use crate::load::ROLLUPS;
use crate::net::Localnet;
use axum::http;
use prost::Message as _;
use squad_client::v1;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use tonic::body::Body;
use tonic::client::GrpcService as _;
use tonic::transport::Channel;
use tonic::{Code, Status};

const GET_STATUS: &str = "OperatorService/GetStatus";
const SUBMIT: &str = "SequencerService/SubmitTransaction";
const SUBMIT_BATCH: &str = "SequencerService/SubmitTransactionBatch";

/// Default of `grpc.message_bytes_limit`.
const MESSAGE_BYTES_LIMIT: usize = 4 << 20;
/// How often the dear ones are sent.
const REPETITIONS: usize = 50;

/// One unary call with these bytes as its body; how it ended.
async fn call(net: &Localnet, method: &str, body: Vec<u8>) -> Status {
    let address = net.address(0);
    let channel = Channel::from_shared(address.clone()).expect("an address");
    let mut channel = channel.connect().await.expect("the node listens");
    let request = http::Request::post(format!("{address}/squad.v1.{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(axum::body::Body::from(body)))
        .expect("a request");
    std::future::poll_fn(|cx| channel.poll_ready(cx))
        .await
        .expect("connected");
    let response = channel.call(request).await.expect("an answer");
    // What fails at once has its status here; what succeeds has it after the message.
    Status::from_header_map(response.headers()).unwrap_or_else(|| Status::ok(""))
}

/// A message in gRPC's frame: a flag, and the length.
fn framed(length: u32, message: &[u8]) -> Vec<u8> {
    [&[0], length.to_be_bytes().as_slice(), message].concat()
}

fn whole(message: &[u8]) -> Vec<u8> {
    framed(message.len() as u32, message)
}

/// A request of this length that asks for nothing: all of it is one field that nobody knows.
fn padded(length: usize) -> Vec<u8> {
    // Key of field 15 with a length; five bytes hold any length of four bytes.
    let content = length - 6;
    let mut message = vec![0x7a];
    for shift in [0, 7, 14, 21] {
        message.push((content >> shift) as u8 | 0x80);
    }
    message.push((content >> 28) as u8);
    message.resize(length, 0);
    message
}

const UNDECODABLE: Refusal = Refusal {
    code: Code::InvalidArgument,
    reason: "UNDECODABLE",
    field: None,
    facts: &[],
};

const MESSAGE_TOO_LARGE: Refusal = Refusal {
    code: Code::InvalidArgument,
    reason: "TOO_LARGE",
    field: Some("message"),
    facts: &[("limit", "4194304")],
};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn bytes_that_are_no_requests_are_refused_without_being_kept() {
    let net = Localnet::up(&["--nodes=1", ROLLUPS]);
    assert_serves(&net, 0, "before").await;
    let memory = Memory::of(&net, 0);
    malformed(&net).await;
    too_large(&net).await;
    sockets(&net);
    assert_serves(&net, 0, "afterwards").await;
    memory.assert_flat(&net, 0);
    net.assert_calm();
}

async fn malformed(net: &Localnet) {
    let nested = [0x0a, 0x02, 0x0a, 0x7f];
    for message in [
        &[0x0a, 0xff][..],
        &[0x08, 0x01],
        &[0xff; 64],
        &nested,
        &[0x0b],
    ] {
        let status = call(net, SUBMIT, whole(message)).await;
        UNDECODABLE.assert(&status);
    }
    // The frame is not what it says.
    let compressed = [&[1, 0, 0, 0, 2][..], &[0, 0]].concat();
    let unknown_flag = [&[77, 0, 0, 0, 2][..], &[0, 0]].concat();
    for body in [
        framed(100, &[0; 10]),
        vec![0, 0],
        Vec::new(),
        compressed,
        unknown_flag,
    ] {
        let status = call(net, SUBMIT, body.clone()).await;
        assert_ne!(status.code(), Code::Ok, "{body:?}");
    }
}

async fn too_large(net: &Localnet) {
    // Nothing follows the claim: it is refused by itself.
    let status = call(net, SUBMIT, framed(u32::MAX, &[])).await;
    MESSAGE_TOO_LARGE.assert(&status);
    let status = call(net, GET_STATUS, whole(&padded(MESSAGE_BYTES_LIMIT))).await;
    assert_eq!(status.code(), Code::Ok, "the limit is legal: {status:?}");
    for _ in 0..REPETITIONS {
        let status = call(net, GET_STATUS, whole(&padded(MESSAGE_BYTES_LIMIT + 1))).await;
        MESSAGE_TOO_LARGE.assert(&status);
    }
    // Two bytes each on the wire, two hundred in memory if they were decoded.
    let crowd = Refusal {
        code: Code::InvalidArgument,
        reason: "TOO_LARGE",
        field: Some("transactions"),
        facts: &[("limit", "1000")],
    };
    let empty = [0x0a, 0].repeat(MESSAGE_BYTES_LIMIT / 2);
    for _ in 0..REPETITIONS {
        crowd.assert(&call(net, SUBMIT_BATCH, whole(&empty)).await);
    }
    stream(net).await;
}

/// The same limit inside a stream, which ends with the reason.
async fn stream(net: &Localnet) {
    let transaction = transaction(vec![1; 131_072]);
    let item = v1::StreamTransaction {
        client_seq: 1,
        rollup_id: transaction.rollup_id,
        payload: transaction.payload,
        kind: transaction.kind,
        expiry_height: 0,
    };
    let message = v1::SubmitTransactionStreamRequest {
        transactions: vec![item; 33],
        want_receipt: false,
    };
    assert!(message.encoded_len() > MESSAGE_BYTES_LIMIT);
    let mut sequencer = net.endpoint(0).sequencer();
    let answer = sequencer.submit_transaction_stream(futures::stream::iter([message]));
    let ended = match answer.await {
        Ok(answers) => answers.into_inner().message().await,
        Err(status) => Err(status),
    };
    MESSAGE_TOO_LARGE.assert(&ended.expect_err("above the limit"));
}

/// What is not even HTTP is cut off.
fn sockets(net: &Localnet) {
    let noise: Vec<u8> = (0..1_u32 << 16)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    for address in [net.node(0).grpc, net.node(0).http] {
        for _ in 0..REPETITIONS {
            assert!(is_cut_off(address, &noise), "{address}");
        }
    }
}

/// Whether a server closes a connection that brings these bytes.
pub(super) fn is_cut_off(address: SocketAddr, bytes: &[u8]) -> bool {
    let mut socket = TcpStream::connect(address).expect("the node listens");
    let patience = Some(crate::net::PATIENCE);
    socket.set_read_timeout(patience).expect("a socket");
    socket.set_write_timeout(patience).expect("a socket");
    // It may be closed before all is sent.
    let sent = socket.write_all(bytes);
    let mut answer = Vec::new();
    match (sent, socket.read_to_end(&mut answer)) {
        (_, Ok(_)) => true,
        (_, Err(error)) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}
