//! HTTP: metrics, health, finality.

mod finality;
mod health;
mod metrics;
#[cfg(test)]
mod tests;

use super::ApiError;
use super::connections::{Caller, Connections};
use super::context::Shared;
use crate::node::SharedRegistry;
use axum::Router;
use axum::routing::get;
use tokio_util::sync::CancellationToken;

/// Most connections at once: scrapers and probes.
pub(super) const CONNECTIONS_MAX: usize = 128;
/// Connections of one address at once.
pub(super) const CONNECTIONS_PER_ADDRESS: usize = 16;

/// All paths.
fn router(ctx: Shared, registry: Option<SharedRegistry>) -> Router {
    let router = Router::new()
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/healthz", get(health::healthz))
        .route("/v1/certificates/{height}", get(finality::certificate))
        .route("/v1/blocks/{height}/final", get(finality::block))
        .route("/v1/rollups/{id}/final/{number}", get(finality::rollup))
        .route("/v1/tx/{id}/final", get(finality::transaction))
        .route("/v1/handover/{epoch}", get(finality::handover))
        .route("/v1/alerts", get(finality::alerts))
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
    let service = router(ctx, registry).into_make_service_with_connect_info::<Caller>();
    axum::serve(connections, service)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
        .map_err(ApiError::Http)
}
