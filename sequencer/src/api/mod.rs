//! What clients see: gRPC services, health, metrics.
//!
//! ```text
//!   gRPC ─▶ connections ─▶ guard ─▶ services ─▶ ingress            (submissions)
//!            (limit)       network    │  └─────▶ reader, hub        (reads, streams)
//!                          id, rates  └───────▶ own lane, waiters   (one task each, for all clients)
//!   HTTP ─▶ connections ─▶ metrics, health, finality
//! ```
//!
//! Rules:
//!
//! - **Immutable and moving facts are apart.** `GetBlock`, streams of blocks and proofs answer from
//!   ordered blocks only; `GetStatus`, health and metrics give this node's view of the moment.
//! - **Everything has a limit**: connections, streams, message sizes, windows, pages, rates, waits.
//!   What is beyond is refused with a reason of `squad_proto::reason`, or held back by flow control.
//! - **Nothing is queued per stream.** Items are made when the transport asks for them (`feed`).
//! - **Streams are the same on every node**, but for signatures in block headers (`proofs`), so that a
//!   client may resume at another operator or an observer.
//! - **History yields.** What is no longer in memory is read for few clients at a time (`history`).
//! - Calls that may wait for the disk run on the blocking pool, never on the tasks that serve sockets.

mod blocks;
mod bodies;
mod connections;
mod context;
mod cursor;
mod entries;
mod errors;
mod feed;
mod finality;
mod grpc;
mod health;
mod history;
mod http;
mod limits;
mod metrics;
mod ordered;
mod own_lane;
mod places;
mod proofs;
mod status;
#[cfg(test)]
pub(crate) mod testing;

use crate::config::Config;
use crate::node::SharedRegistry;
use crate::node::handle::NodeHandle;
use connections::Connections;
use context::{Context, Shared};
use metrics::ApiMetrics;
use ordered::OrderedWaiters;
use places::Places;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

/// What open calls get to end by themselves when the node stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Why the APIs can't be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// An address is in use or not this machine's.
    #[error("{setting}: cannot listen on {address}")]
    Bind {
        /// The setting.
        setting: &'static str,
        /// Its value.
        address: SocketAddr,
        /// The system's answer.
        source: io::Error,
    },
    /// A file that a setting names can't be read.
    #[error("{setting}: cannot read {path}")]
    File {
        /// The setting.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Certificate without key, or key without certificate.
    #[error("grpc.tls_cert, grpc.tls_key: set both or none")]
    TlsHalf,
    /// Certificate and key are not usable together.
    #[error("grpc.tls_cert, grpc.tls_key: not usable")]
    Tls(#[source] tonic::transport::Error),
    /// The descriptors of the services are damaged.
    #[error("grpc.reflection: descriptors")]
    Reflection(#[source] tonic_reflection::server::Error),
    /// The gRPC server failed.
    #[error("gRPC server")]
    Serve(#[source] tonic::transport::Error),
    /// The HTTP server failed.
    #[error("HTTP server")]
    Http(#[source] io::Error),
}

/// Bound sockets with everything that serves them.
#[derive(Debug)]
pub(crate) struct Api {
    ctx: Shared,
    config: Config,
    registry: SharedRegistry,
    server: Server,
    grpc: TcpListener,
    http: TcpListener,
    grpc_address: SocketAddr,
    http_address: SocketAddr,
}

async fn bind(
    setting: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), ApiError> {
    let failed = |source| ApiError::Bind {
        setting,
        address,
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

impl Api {
    /// Binds the addresses.
    pub(crate) async fn bind(
        node: NodeHandle,
        config: &Config,
        registry: SharedRegistry,
    ) -> Result<Self, ApiError> {
        let server = grpc::server(&config.grpc)?;
        let (grpc, grpc_address) = bind("grpc.listen", config.grpc.listen).await?;
        let (http, http_address) = bind("http.listen", config.http.listen).await?;
        let scheme = match config.grpc.tls_cert {
            Some(_) => "https",
            None => "http",
        };
        let endpoint = if grpc_address.ip().is_unspecified() {
            String::new()
        } else {
            format!("{scheme}://{grpc_address}")
        };
        let metrics = {
            let mut registry = registry.lock().unwrap_or_else(PoisonError::into_inner);
            ApiMetrics::register(&mut registry)
        };
        let shutdown = CancellationToken::new();
        Ok(Self {
            ctx: Arc::new(Context::new(node, config, metrics, endpoint, shutdown)),
            config: config.clone(),
            registry,
            server,
            grpc,
            http,
            grpc_address,
            http_address,
        })
    }

    /// Where the gRPC services listen, for tests that let the system choose a port.
    #[cfg(test)]
    pub(crate) const fn grpc_address(&self) -> SocketAddr {
        self.grpc_address
    }

    /// Where metrics and health are.
    #[cfg(test)]
    pub(crate) const fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// Serves until `shutdown`; then ends streams, and gives open calls a little time. The servers run
    /// on tasks of their own: the caller need not poll for them to make progress.
    pub(crate) async fn run(self, shutdown: CancellationToken) -> Result<(), ApiError> {
        let limits = &self.config.limits;
        let grpc = Connections::new(
            self.grpc,
            self.config.grpc.connections_max,
            Places::new(
                self.config.grpc.connections_per_address,
                limits.trusted.clone(),
            ),
            limits.streams_per_connection,
        );
        let http = Connections::new(
            self.http,
            http::CONNECTIONS_MAX,
            Places::new(http::CONNECTIONS_PER_ADDRESS, limits.trusted.clone()),
            0,
        );
        let registry = self.config.metrics.enabled.then_some(self.registry);
        let stop = self.ctx.shutdown.clone();

        let mut followers = JoinSet::new();
        followers.spawn(OrderedWaiters::follow(Arc::clone(&self.ctx)));
        if let Some(own) = self.ctx.own.clone() {
            followers.spawn(async move { own.follow().await });
        }
        let mut servers = JoinSet::new();
        servers.spawn(grpc::serve(
            Arc::clone(&self.ctx),
            self.config.grpc.clone(),
            self.server,
            grpc,
            stop.clone(),
        ));
        servers.spawn(http::serve(self.ctx, registry, http, stop.clone()));
        tracing::info!(grpc = %self.grpc_address, http = %self.http_address, "serving");

        let failed = tokio::select! {
            ended = servers.join_next() => ended,
            () = shutdown.cancelled() => None,
        };
        stop.cancel();
        let rest = async { while servers.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_TIMEOUT, rest).await.is_err() {
            tracing::debug!("open calls were cut off");
        }
        match failed {
            // A panic has ended the process; a cancelled task means that the runtime stops.
            None | Some(Err(_)) => Ok(()),
            Some(Ok(result)) => result,
        }
    }
}

/// Binds and serves until `shutdown`.
///
/// # Errors
/// See [`ApiError`].
pub(crate) async fn serve(
    node: NodeHandle,
    config: &Config,
    registry: SharedRegistry,
    shutdown: CancellationToken,
) -> Result<(), ApiError> {
    Api::bind(node, config, registry).await?.run(shutdown).await
}
