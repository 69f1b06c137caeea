//! `/livez`, `/readyz`, `/healthz`: a status code and a JSON reason, see `api::health`.

use crate::api::context::Shared;
use crate::api::health::{self, Health};
use crate::node::clock;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::IntoResponse;
use serde_json::json;

type Answer = (StatusCode, [(HeaderName, &'static str); 1], String);

fn answer(ctx: &Shared, health: Health, status: StatusCode) -> Answer {
    let node = ctx.node.status.borrow();
    let body = json!({
        "reason": health.reason(),
        "ordered_height": ctx.head().0.to_string(),
        "committed_height": node.committed.0.max(ctx.head().0).to_string(),
        "target_height": node.target.0.max(ctx.head().0).to_string(),
        "syncing": node.syncing,
        "peers_connected": node.peers.iter().filter(|peer| peer.connected).count(),
        "peers": node.peers.len(),
    });
    let json = (header::CONTENT_TYPE, "application/json");
    (status, [json], body.to_string())
}

fn yes_or_no(yes: bool) -> StatusCode {
    if yes {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

/// Whether the process does anything.
pub(super) async fn livez(State(ctx): State<Shared>) -> impl IntoResponse {
    let health = health::of(&ctx.node, clock::wall_ms());
    answer(&ctx, health, yes_or_no(health.is_alive()))
}

/// Whether clients should be sent here.
pub(super) async fn readyz(State(ctx): State<Shared>) -> impl IntoResponse {
    let health = health::of(&ctx.node, clock::wall_ms());
    answer(&ctx, health, yes_or_no(health.is_ready()))
}

/// How well the node is.
pub(super) async fn healthz(State(ctx): State<Shared>) -> impl IntoResponse {
    let health = health::of(&ctx.node, clock::wall_ms());
    let status = StatusCode::from_u16(health.status());
    answer(
        &ctx,
        health,
        status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
    )
}
