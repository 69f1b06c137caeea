//! What happens to every call before and after its method: network id, rate limits, time limit, figures.
//!
//! A refusal here costs a table look-up: the request's message is not even read.

use crate::api::connections::ClientInfo;
use crate::api::context::Shared;
use crate::api::errors::{Failure, with_reason};
use crate::api::limits::Class;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use squad_primitives::NetworkId;
use squad_proto::reason::Reason;
use std::time::{Duration, Instant};
use tonic::transport::server::TlsConnectInfo;
use tonic::{Code, Status};

/// Names the network in requests and responses.
pub(super) const NETWORK_HEADER: HeaderName = HeaderName::from_static("squad-network-id");

/// Longest unary call, with the time to read its message.
const UNARY_TIMEOUT: Duration = Duration::from_secs(10);
/// The same for submissions, which wait up to ten seconds by themselves.
const SUBMIT_TIMEOUT: Duration = Duration::from_secs(20);

/// What a call costs before its method runs, and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The method takes tokens itself, by the number and size of transactions.
    Submit,
    Read,
    Proof,
    /// Costs a read to open; limited by number after that.
    Stream,
    /// Submission without end.
    SubmitStream,
    /// Health and reflection, and what does not exist.
    Other,
}

/// Name for figures, and kind.
fn method(path: &str) -> (&'static str, Kind) {
    macro_rules! methods {
        ($($service:literal: $($method:literal $kind:ident),+;)+) => {
            match path {
                $($(concat!("/", $service, "/", $method) => ($method, Kind::$kind),)+)+
                _ => ("other", Kind::Other),
            }
        };
    }
    methods! {
        "squad.v1.SequencerService":
            "SubmitTransaction" Submit, "SubmitTransactionBatch" Submit,
            "SubmitTransactionStream" SubmitStream, "GetTransactionStatus" Read,
            "SubscribeTransactionStatus" Stream, "SubscribeReceipts" Stream;
        "squad.v1.BlockService":
            "GetBlock" Read, "SubscribeBlocks" Stream, "GetInclusionProof" Proof, "GetBatch" Read;
        "squad.v1.RollupService": "ListRollups" Read, "GetRollup" Read;
        "squad.v1.OperatorService":
            "GetStatus" Read, "ListOperators" Read, "GetEpoch" Read, "GetLeader" Read;
        "mach.v1.FinalityService":
            "GetCertificate" Read, "SubscribeCertificates" Stream, "IsFinal" Proof,
            "GetHandover" Proof, "SubscribeAlerts" Stream;
    }
}

/// Who calls, as the connection told.
pub(super) fn client_of(extensions: &Extensions) -> Option<&ClientInfo> {
    let tls = || extensions.get::<TlsConnectInfo<ClientInfo>>();
    extensions
        .get::<ClientInfo>()
        .or_else(|| tls().map(TlsConnectInfo::get_ref))
}

fn check_network(headers: &HeaderMap, network: &NetworkId) -> Result<(), Failure> {
    let Some(named) = headers.get(NETWORK_HEADER) else {
        return Ok(());
    };
    let named: Option<NetworkId> = named.to_str().ok().and_then(|text| text.parse().ok());
    if named == Some(*network) {
        return Ok(());
    }
    let message = format!("squad-network-id: this node serves network {network}");
    Err(Failure::new(Reason::WrongNetwork, message).with("network_id", network))
}

fn check(ctx: &Shared, kind: Kind, request: &Request) -> Result<(), Failure> {
    check_network(request.headers(), &ctx.node.network)?;
    let class = match kind {
        Kind::Read | Kind::Stream | Kind::Other => Class::Read,
        Kind::Proof => Class::Proof,
        Kind::Submit | Kind::SubmitStream => return Ok(()),
    };
    let client = client_of(request.extensions())
        .ok_or_else(|| Failure::internal("a call without a connection"))?;
    ctx.take(client, class, 1)
}

/// The middleware.
pub(super) async fn guard(State(ctx): State<Shared>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let (name, kind) = method(request.uri().path());
    let answer = match check(&ctx, kind, &request) {
        Err(failure) => Err(failure.into()),
        Ok(()) => run(kind, next.run(request)).await,
    };
    let mut response = answer.unwrap_or_else(|status: Status| status.into_http::<Body>());
    let mut code = Code::Ok;
    // Only responses that failed at once have their status among the headers.
    if let Some(status) = Status::from_header_map(response.headers()) {
        code = status.code();
        if code == Code::OutOfRange {
            response = with_reason(status, ctx.message_bytes_limit).into_http();
        }
    }
    if let Ok(network) = HeaderValue::from_str(&ctx.node.network.to_string()) {
        response.headers_mut().insert(NETWORK_HEADER, network);
    }
    ctx.metrics.called(name, code, started.elapsed());
    response
}

async fn run(kind: Kind, call: impl Future<Output = Response>) -> Result<Response, Status> {
    let limit = match kind {
        Kind::Read | Kind::Proof => UNARY_TIMEOUT,
        Kind::Submit => SUBMIT_TIMEOUT,
        Kind::Stream | Kind::SubmitStream | Kind::Other => return Ok(call.await),
    };
    tokio::time::timeout(limit, call)
        .await
        .map_err(|_| Status::deadline_exceeded("the call took longer than this server allows"))
}
