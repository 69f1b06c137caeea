//! Careless clients of one operator: connections that do nothing, streams that are dropped at once, and
//! streams that nobody reads.

use super::{Sent, VICTIM};
use crate::network::Network;
use squad_client::{Endpoint, Refusal, v1};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// Idle connections: more than the 1,024 that a node takes by default, with those of others.
const IDLE: usize = 1_100;
/// Streams that nobody reads, on connections of their own: more than the 64 that one may have.
const UNREAD_CONNECTIONS: usize = 4;
const UNREAD_STREAMS: usize = 80;
/// Longest wait for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) async fn flood(network: &Network, length: Duration) -> anyhow::Result<Sent> {
    let state = &network.operators[VICTIM].state;
    let start = Instant::now();
    let mut refused: BTreeMap<String, u64> = BTreeMap::new();
    let mut undelayed = 0_u64;
    let mut note = |refusal: Refusal| {
        // Without a reason it is no answer to a call, but the end of a connection that resets too fast.
        let answered = !refusal.reason.is_empty();
        undelayed += u64::from(answered && refusal.retry_after.is_none());
        *refused.entry(refusal.label()).or_default() += 1;
    };

    let mut unread = Vec::new();
    for _ in 0..UNREAD_CONNECTIONS {
        let endpoint = Endpoint::new(&state.endpoint())?;
        for _ in 0..UNREAD_STREAMS {
            match timeout(ANSWER_TIMEOUT, subscribe(&endpoint)).await? {
                Ok(stream) => unread.push(stream),
                Err(refusal) => note(refusal),
            }
        }
    }
    let kept = unread.len();

    let endpoint = Endpoint::new(&state.endpoint())?;
    let mut resets = 0_u64;
    // Opened once these exist, so that what is measured is not only a full house.
    timeout(ANSWER_TIMEOUT, subscribe(&endpoint))
        .await?
        .map_err(|r| anyhow::anyhow!("{r}"))?;
    let mut idle = Vec::with_capacity(IDLE);
    for _ in 0..IDLE {
        // Connections above the limit are closed by the node; the connecting itself is the kernel's.
        idle.push(TcpStream::connect(state.grpc).await?);
    }
    while start.elapsed() < length {
        match timeout(ANSWER_TIMEOUT, subscribe(&endpoint)).await? {
            // Dropped with what was sent meanwhile: the stream is reset.
            Ok(stream) => drop(stream),
            Err(refusal) => note(refusal),
        }
        resets += 1;
    }
    let asked = UNREAD_CONNECTIONS * UNREAD_STREAMS;
    Ok(Sent {
        count: resets,
        notes: vec![format!(
            "{IDLE} idle connections, {kept} of {asked} unread streams taken, {resets} streams reset, \
             refused {refused:?}, {undelayed} of the reasons without a delay"
        )],
        as_ruled: kept < asked && undelayed == 0,
    })
}

async fn subscribe(
    endpoint: &Endpoint,
) -> Result<tonic::Streaming<v1::SubscribeBlocksResponse>, Refusal> {
    let request = v1::SubscribeBlocksRequest {
        from: Some(v1::subscribe_blocks_request::From::FromHeight(1)),
        include_payload: true,
        ..Default::default()
    };
    let answer = endpoint.blocks().subscribe_blocks(request).await;
    answer
        .map(tonic::Response::into_inner)
        .map_err(Refusal::from)
}
