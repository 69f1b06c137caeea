//! HTTP: metrics and health.

mod health;
mod metrics;
#[cfg(test)]
mod tests;

use super::ApiError;
use super::connections::Connections;
use super::context::Shared;
use crate::node::SharedRegistry;
use axum::Router;
use axum::routing::get;
use tokio_util::sync::CancellationToken;

/// Most connections at once: scrapers and probes.
pub(super) const CONNECTIONS_MAX: usize = 128;

/// All paths.
fn router(ctx: Shared, registry: Option<SharedRegistry>) -> Router {
    let router = Router::new()
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/healthz", get(health::healthz))
        .with_state(ctx);
    match registry {
        None => router,
        Some(registry) => router.merge(
            Router::new()
                .route("/metrics", get(metrics::metrics))
                .with_state(registry),
        ),
    }
}

/// Serves until `shutdown`. Without a registry `/metrics` does not exist.
pub(super) async fn serve(
    ctx: Shared,
    registry: Option<SharedRegistry>,
    connections: Connections,
    shutdown: CancellationToken,
) -> Result<(), ApiError> {
    axum::serve(connections, router(ctx, registry))
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
        .map_err(ApiError::Http)
}
