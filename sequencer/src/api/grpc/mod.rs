//! The gRPC server: services of `squad.v1` and `mach.v1`, health, reflection.

mod block;
mod block_stream;
mod deadline;
mod finality;
mod guard;
mod operator;
mod receipts;
mod rollup;
mod sequencer;
mod status_groups;
mod status_stream;
mod submit;
mod submit_batch;
mod submit_stream;
#[cfg(test)]
mod tests;

use super::ApiError;
use super::connections::{ClientInfo, Connections};
use super::context::Shared;
use super::errors::Failure;
use super::health;
use crate::config::GrpcSection;
use crate::node::clock;
use axum::middleware::from_fn_with_state;
use futures::stream::BoxStream;
use squad_proto::DESCRIPTOR_SET;
use squad_proto::mach::finality_service_server::FinalityServiceServer;
use squad_proto::v1::block_service_server::BlockServiceServer;
use squad_proto::v1::operator_service_server::OperatorServiceServer;
use squad_proto::v1::rollup_service_server::RollupServiceServer;
use squad_proto::v1::sequencer_service_server::SequencerServiceServer;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Status};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// Calls and streams of one connection at once.
const STREAMS_PER_CONNECTION: u32 = 256;
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest handshake: a connection that does not finish it must not keep its place.
const TLS_TIMEOUT: Duration = Duration::from_secs(5);
/// What a client may send before it is read, per stream and per connection. With 1,024 connections
/// that is at most 1 GiB, if all of them send and none is read.
const STREAM_WINDOW_BYTES: u32 = 512 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// Headers of a request.
const HEADER_BYTES_MAX: u32 = 16 << 10;
/// How often health is judged.
const HEALTH_INTERVAL: Duration = Duration::from_millis(500);

/// Items of a response stream.
type Items<T> = BoxStream<'static, Result<T, Status>>;

/// Who calls.
fn client<T>(request: &Request<T>) -> Result<ClientInfo, Failure> {
    guard::client_of(request.extensions())
        .cloned()
        .ok_or_else(|| Failure::internal("a call without a connection"))
}

fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, ApiError> {
    fs::read(path).map_err(|source| ApiError::File {
        setting,
        path: path.to_owned(),
        source,
    })
}

/// The server with its limits, and TLS if the configuration names a certificate.
pub(super) fn server(config: &GrpcSection) -> Result<Server, ApiError> {
    let server = Server::builder()
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_max_header_list_size(HEADER_BYTES_MAX);
    match (&config.tls_cert, &config.tls_key) {
        (None, None) => Ok(server),
        (Some(cert), Some(key)) => {
            let cert = read("grpc.tls_cert", cert)?;
            let key = read("grpc.tls_key", key)?;
            let identity = Identity::from_pem(cert, key);
            let tls = ServerTlsConfig::new()
                .identity(identity)
                .timeout(TLS_TIMEOUT);
            server.tls_config(tls).map_err(ApiError::Tls)
        }
        _ => Err(ApiError::TlsHalf),
    }
}

/// All services behind the guard.
fn routes(ctx: &Shared, config: &GrpcSection) -> Result<(Routes, HealthReporter), ApiError> {
    let limit = config.message_bytes_limit;
    let (reporter, health) = tonic_health::server::health_reporter();
    let mut routes = Routes::default()
        .add_service(
            SequencerServiceServer::new(sequencer::Service(Arc::clone(ctx)))
                .max_decoding_message_size(limit),
        )
        .add_service(
            BlockServiceServer::new(block::Service(Arc::clone(ctx)))
                .max_decoding_message_size(limit),
        )
        .add_service(
            RollupServiceServer::new(rollup::Service(Arc::clone(ctx)))
                .max_decoding_message_size(limit),
        )
        .add_service(
            OperatorServiceServer::new(operator::Service(Arc::clone(ctx)))
                .max_decoding_message_size(limit),
        )
        .add_service(
            FinalityServiceServer::new(finality::Service(Arc::clone(ctx)))
                .max_decoding_message_size(limit),
        )
        .add_service(health);
    if config.reflection {
        let builder = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        routes = routes
            .add_service(builder().build_v1().map_err(ApiError::Reflection)?)
            .add_service(builder().build_v1alpha().map_err(ApiError::Reflection)?);
    }
    let router = routes.into_axum_router();
    let router = router.layer(from_fn_with_state(Arc::clone(ctx), guard::guard));
    Ok((Routes::from(router).prepare(), reporter))
}

/// Serves until `shutdown`; then open calls end by themselves.
pub(super) async fn serve(
    ctx: Shared,
    config: GrpcSection,
    server: Server,
    connections: Connections,
    shutdown: CancellationToken,
) -> Result<(), ApiError> {
    let (routes, reporter) = routes(&ctx, &config)?;
    let mut server = server;
    let serving = server
        .add_routes(routes)
        .serve_with_incoming_shutdown(connections.into_stream(), shutdown.cancelled());
    tokio::select! {
        served = serving => served.map_err(ApiError::Serve),
        () = report_health(&ctx, &reporter) => Ok(()),
    }
}

/// Tells health watchers how the node is. Never ends.
async fn report_health(ctx: &Shared, reporter: &HealthReporter) {
    let names = [
        "",
        SequencerServiceServer::<sequencer::Service>::NAME,
        BlockServiceServer::<block::Service>::NAME,
        RollupServiceServer::<rollup::Service>::NAME,
        OperatorServiceServer::<operator::Service>::NAME,
        FinalityServiceServer::<finality::Service>::NAME,
    ];
    let mut ticks = tokio::time::interval(HEALTH_INTERVAL);
    let mut told = None;
    loop {
        ticks.tick().await;
        let health = health::of(&ctx.node, clock::wall_ms());
        let ready = health.is_ready() && !ctx.shutdown.is_cancelled();
        if told == Some(ready) {
            continue;
        }
        let status = if ready {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for name in names {
            reporter.set_service_status(name, status).await;
        }
        told = Some(ready);
    }
}
