//! The control plane of a node: announcing ordered blocks, and answering those who follow the chain.
//!
//! Every node that has blocks serves them, operator or not: whoever asks checks everything. Operators
//! announce blocks by gossip; they take turns by height, so a block travels once. What an announcement
//! misses, because a turn was lost or headers were too many, is asked for.

use super::handle::NodeHandle;
use super::record::OrderedBlock;
use super::{NodeError, SharedRegistry};
use crate::config::Config;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use squad_network::control::{
    ControlInbound, ControlMetrics, ControlPlane, ControlPlaneConfig, Multiaddr, PeerId, Role,
    SYNC_REPLY_BYTES_LIMIT, Verdict,
};
use squad_primitives::Height;
use squad_primitives::message::{BLOCKS_PER_PAGE, SyncedBlock};
use squad_proto::peer::observer::{self, FOLLOWED_HEADERS_MAX, FollowedBlock, Request, Response};
use std::sync::{Arc, PoisonError};
use tokio::sync::mpsc;

/// Announced blocks that may wait for an observer; more are dropped, and asked for later.
pub(crate) const ANNOUNCED_MAX: usize = 64;

/// Blocks further ahead of the own head than this are of no use yet.
const ANNOUNCED_AHEAD_MAX: u64 = 1_024;

/// Bytes of blocks in one answer; the rest is asked for again.
const ANSWER_BYTES_MAX: usize = SYNC_REPLY_BYTES_LIMIT / 2;

/// Receives what arrives on the control plane.
struct Door {
    handle: NodeHandle,
    /// Where announced blocks go; operators need none.
    announced: Option<mpsc::Sender<FollowedBlock>>,
}

impl ControlInbound for Door {
    fn validate_block(&self, block: Bytes) -> BoxFuture<'static, Verdict> {
        let handle = self.handle.clone();
        tokio::task::spawn_blocking(move || judge(&handle, block))
            .map(|verdict| verdict.unwrap_or(Verdict::Ignore))
            .boxed()
    }

    fn block(&self, _from: PeerId, block: Bytes) {
        if let Some(announced) = &self.announced
            && let Ok(block) = observer::decode_block(block)
        {
            // When the observer is busy it asks for what it missed.
            let _ = announced.try_send(block);
        }
    }

    fn serve(&self, _from: PeerId, request: Bytes) -> BoxFuture<'static, Option<Bytes>> {
        let handle = self.handle.clone();
        tokio::task::spawn_blocking(move || answer(&handle, request))
            .map(|answer| answer.ok().flatten())
            .boxed()
    }
}

/// A block is forwarded if its certificate proves it final: only operators can make such bytes.
fn judge(handle: &NodeHandle, bytes: Bytes) -> Verdict {
    let Ok(followed) = observer::decode_block(bytes) else {
        return Verdict::Reject;
    };
    let SyncedBlock { block, proof } = &followed.synced;
    let head = handle.hub.head();
    if block.height.0 + ANNOUNCED_AHEAD_MAX < head.0 {
        return Verdict::Ignore;
    }
    let committee = handle.committee(proof.certificate.statement.at.epoch);
    let by = squad_primitives::Ed25519Verifier;
    match proof.verify(&handle.network, block, &committee, &by) {
        Ok(()) => Verdict::Accept,
        Err(_) => Verdict::Reject,
    }
}

fn answer(handle: &NodeHandle, request: Bytes) -> Option<Bytes> {
    let request = observer::decode_request(request).ok()?;
    let reader = &handle.reader;
    let response = match request {
        Request::Blocks { from } => blocks(handle, from),
        Request::Headers { after, tip } => match reader.headers_back(&tip, after) {
            Ok(headers) if headers.is_empty() => None,
            Ok(headers) => Some(Response::Headers {
                lane: tip.lane,
                headers,
                poa: None,
            }),
            Err(error) => super::fatal(&error),
        },
        Request::Batch(digest) => match reader.batch(&digest) {
            Ok(batch) => batch.map(|batch| Response::Batch {
                signed: *batch.signed(),
                body: batch.body().clone(),
            }),
            Err(error) => super::fatal(&error),
        },
    };
    let response = response.unwrap_or(Response::Missing {
        earliest: reader.earliest(),
        head: handle.hub.head(),
    });
    Some(observer::encode_response(&response))
}

fn blocks(handle: &NodeHandle, from: Height) -> Option<Response> {
    let mut page = Vec::new();
    let mut bytes = 0;
    for height in (from.0..).take(BLOCKS_PER_PAGE) {
        let block = match handle.block(Height(height)) {
            Ok(Some(block)) => block,
            Ok(None) => break,
            Err(error) => super::fatal(&error),
        };
        let followed = followed(&block, handle);
        bytes += observer::encode_block(&followed).len();
        if bytes > ANSWER_BYTES_MAX && !page.is_empty() {
            break;
        }
        page.push(followed);
    }
    (!page.is_empty()).then_some(Response::Blocks(page))
}

/// A block as observers take it. Headers are given for whole lanes only.
fn followed(block: &OrderedBlock, handle: &NodeHandle) -> FollowedBlock {
    let mut headers = block.headers.clone();
    if headers.len() > FOLLOWED_HEADERS_MAX {
        let cut = headers[FOLLOWED_HEADERS_MAX].header.lane;
        headers.truncate(FOLLOWED_HEADERS_MAX);
        headers.retain(|signed| signed.header.lane != cut);
    }
    FollowedBlock {
        synced: SyncedBlock {
            block: block.committed.block.clone(),
            proof: (*block.committed.proof).clone(),
        },
        headers,
        result: Some(block.result),
        attestations: handle.me.zip(block.attestation).into_iter().collect(),
    }
}

/// Starts the control plane. Operators announce the blocks of their turns.
pub(crate) async fn start(
    config: &Config,
    role: Role,
    handle: &NodeHandle,
    announced: Option<mpsc::Sender<FollowedBlock>>,
    registry: &SharedRegistry,
) -> Result<ControlPlane, NodeError> {
    let metrics = {
        let mut registry = registry.lock().unwrap_or_else(PoisonError::into_inner);
        ControlMetrics::register(&mut registry)
    };
    let mut settings = ControlPlaneConfig::new(handle.network, role, metrics);
    settings.listen = address(config.network.control_listen.as_deref())?;
    settings.announce = address(config.network.announce.as_deref())?
        .into_iter()
        .collect();
    for bootnode in &config.network.bootnodes {
        settings.bootnodes.extend(address(Some(bootnode.as_str()))?);
    }
    for (_, operator) in handle.genesis.numbered_operators() {
        settings
            .bootnodes
            .extend(address(operator.control.as_deref())?);
    }
    settings.operators = handle
        .genesis
        .numbered_operators()
        .map(|(number, operator)| (number, operator.identity))
        .collect();
    settings.peers_max = u32::try_from(config.network.peers_max).unwrap_or(u32::MAX);
    let door = Arc::new(Door {
        handle: handle.clone(),
        announced,
    });
    let plane = ControlPlane::start(settings, door).await?;
    if handle.me.is_some() {
        tokio::spawn(announce(plane.clone(), handle.clone()));
    }
    Ok(plane)
}

fn address(text: Option<&str>) -> Result<Option<Multiaddr>, NodeError> {
    text.map(|text| {
        text.parse()
            .map_err(|_| NodeError::Address(text.to_owned()))
    })
    .transpose()
}

/// Announces the blocks of this operator's turns until the hub is gone.
async fn announce(plane: ControlPlane, handle: NodeHandle) {
    let committee = handle.committee(squad_primitives::Epoch::ZERO);
    let Some(turn) = handle.me.and_then(|me| committee.index(me)) else {
        return;
    };
    let mut head = handle.hub.subscribe();
    let mut next = handle.hub.head().next();
    while head.changed().await.is_ok() {
        let last = *head.borrow_and_update();
        while next <= last {
            let mine = next.0 % committee.len() as u64 == turn as u64;
            // Blocks that left memory are old news.
            if let Some(block) = handle.hub.recent(next).filter(|_| mine) {
                let bytes = observer::encode_block(&followed(&block, &handle));
                // What is not announced is asked for.
                if let Err(error) = plane.publish_block(bytes) {
                    tracing::debug!(height = %next, %error, "block not announced");
                }
            }
            next = next.next();
        }
    }
}

/// One request to one peer; `None` if it has no answer.
pub(crate) async fn request(
    plane: &ControlPlane,
    peer: PeerId,
    request: &Request,
) -> Option<Response> {
    let reply = plane
        .request(peer, observer::encode_request(request))
        .await
        .ok()?;
    observer::decode_response(reply).ok()
}
