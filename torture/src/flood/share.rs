//! A committee member that fills its lane at ten times its fair share.
//!
//! The network's capacity is made small by its own rules, as in [`overload`](crate::overload): a block
//! takes few bytes, and every packet between two operators is delayed, which bounds the blocks per
//! second. A fair share is the capacity over the number of operators.
//!
//! Batches are valid and rightly signed, in one chain from the first on: the operator's process never
//! ran, so its lane is empty. What it breaks is its own flow control. Otherwise it does what an owner
//! does: sends its batches in order, says twice a second how far its lane goes, and goes back for
//! whoever holds less.

use super::operator::{Broken, Ears, TICK, place};
use super::{BROKEN, FLOOD, NODES, Sent, operator};
use crate::network::Network;
use crate::weather::Link;
use bytes::Bytes;
use futures::future::BoxFuture;
use squad_client::v1;
use squad_network::data::{Class, Credit, Inbound, SendError};
use squad_primitives::batch::BatchBuilder;
use squad_primitives::genesis::{ConsensusParams, Genesis};
use squad_primitives::message::LaneMessage;
use squad_primitives::{
    Epoch, Height, IdentityKey, NetworkId, OperatorId, RollupId, Tip, Transaction, TxKind,
};
use squad_proto::peer::{self, PeerMessage};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};

/// Bytes of bodies that a block takes.
const BLOCK_BYTES: u64 = 128 << 10;
/// Delay of every packet between two honest operators, one way.
const DELAY: Duration = Duration::from_millis(50);
/// A view takes two of them, so this is a bound on what is ordered, in bytes per second.
const CAPACITY: u64 = BLOCK_BYTES * 1_000 / (2 * DELAY.as_millis() as u64);
/// Bytes per second of the flood.
const RATE: u64 = 10 * CAPACITY / NODES as u64;
/// Smallest batch limit and a small payload that a genesis may have.
const BATCH_BYTES_LIMIT: u64 = 64 << 10;
const PAYLOAD_BYTES_LIMIT: u64 = 8 << 10;
/// Bodies of this many bytes: several fit into a block beside those of others.
const BATCH_BYTES: usize = 16 << 10;
const PAYLOAD_BYTES: usize = 1 << 10;
/// Batches that are kept to be sent again: more than honest operators take ahead of the last ordered
/// one, twice a window of 1,024.
const KEPT: usize = 4_096;
/// How often it says how far its lane goes, and looks at the height and the epoch.
const STATUS_INTERVAL: Duration = Duration::from_millis(500);
/// Blocks for which a transaction is valid.
const EXPIRY_BLOCKS: u64 = 4_000;

pub(super) fn consensus() -> ConsensusParams {
    ConsensusParams {
        block_bytes_max: BLOCK_BYTES,
        batch_bytes_limit: BATCH_BYTES_LIMIT,
        payload_bytes_limit: PAYLOAD_BYTES_LIMIT,
        ..ConsensusParams::default()
    }
}

pub(super) fn settings() -> Vec<String> {
    vec![
        format!("mempool.batch_bytes={BATCH_BYTES}B"),
        // Above the longest round trip, or what is on its way is repeated.
        format!("consensus.rebroadcast={}ms", (DELAY * 4).as_millis()),
    ]
}

pub(super) fn link() -> Link {
    Link {
        delay: DELAY,
        ..Link::default()
    }
}

/// Hears how far others hold the lane.
#[derive(Debug, Default)]
struct Owner {
    ears: Ears,
    held: Mutex<BTreeMap<OperatorId, u64>>,
}

impl Owner {
    /// What was heard since the last call.
    fn take_held(&self) -> BTreeMap<OperatorId, u64> {
        std::mem::take(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Inbound for Owner {
    fn frame(&self, from: OperatorId, _: Class, frame: Bytes, _: Credit) {
        let Ok(PeerMessage::Lane(message)) = peer::decode(frame) else {
            return;
        };
        let tips = match message {
            LaneMessage::Status(tips) => tips,
            LaneMessage::Ack(ack) => vec![ack.tip],
            _ => return,
        };
        let own = |tip: &&Tip| tip.lane == OperatorId(BROKEN as u32);
        if let Some(tip) = tips.iter().find(own) {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.insert(from, tip.seq.0);
        }
    }

    fn fetch(&self, from: OperatorId, request: Bytes) -> BoxFuture<'static, Option<Bytes>> {
        self.ears.fetch(from, request)
    }

    fn connected(&self, peer: OperatorId) {
        self.ears.connected(peer);
    }

    fn disconnected(&self, peer: OperatorId) {
        self.ears.disconnected(peer);
    }
}

/// The lane, as far as it is kept.
struct Lane {
    key: IdentityKey,
    network: NetworkId,
    tip: Option<Tip>,
    /// The last batches as frames; the last one is the tip's.
    frames: VecDeque<Bytes>,
    transactions: u64,
}

impl Lane {
    fn last(&self) -> u64 {
        self.tip.map_or(0, |tip| tip.seq.0)
    }

    fn grow(&mut self, epoch: Epoch, expiry: Height) {
        let mut builder = BatchBuilder::default();
        while builder.body_bytes() < BATCH_BYTES {
            let mut payload = vec![0; PAYLOAD_BYTES];
            payload[..8].copy_from_slice(&self.transactions.to_le_bytes());
            self.transactions += 1;
            let transaction = Transaction {
                rollup: RollupId(FLOOD),
                expiry,
                kind: TxKind::Plain,
                payload: payload.into(),
            };
            builder.push(transaction.id(&self.network), &transaction);
        }
        let me = OperatorId(BROKEN as u32);
        let batch = builder.seal(&self.network, epoch, me, self.tip, &self.key);
        self.tip = Some(batch.tip());
        self.frames.push_back(peer::encode(&LaneMessage::Batch {
            signed: *batch.signed(),
            body: batch.body().clone(),
            poas: Vec::new(),
        }));
        if self.frames.len() > KEPT {
            self.frames.pop_front();
        }
    }

    /// A batch by its position, or the oldest that is kept.
    fn frame(&self, seq: u64) -> Option<(u64, &Bytes)> {
        let first = self.last() + 1 - self.frames.len() as u64;
        let seq = seq.max(first);
        let index = usize::try_from(seq - first).ok()?;
        Some((seq, self.frames.get(index)?))
    }
}

pub(super) async fn flood(
    network: &Network,
    genesis: &Genesis,
    length: Duration,
) -> anyhow::Result<Sent> {
    let owner = Arc::new(Owner::default());
    let broken = Broken::join(network, genesis, owner.clone(), &owner.ears).await?;
    let mut lane = Lane {
        key: operator::key(network, BROKEN)?,
        network: genesis.network_id(),
        tip: None,
        frames: VecDeque::new(),
        transactions: 0,
    };
    // Position that each of the others gets next.
    let mut next: BTreeMap<OperatorId, u64> = (0..BROKEN as u32)
        .map(|number| (OperatorId(number), 1))
        .collect();
    let start = Instant::now();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut at, mut height) = place(network).await?;
    let (mut status_at, mut sent) = (start, 0);
    let mut held = BTreeMap::new();
    while start.elapsed() < length {
        ticks.tick().await;
        if status_at.elapsed() >= STATUS_INTERVAL {
            status_at = Instant::now();
            (at, height) = place(network).await?;
            rewind(&mut next, &mut held, owner.take_held());
            let status = LaneMessage::Status(lane.tip.into_iter().collect());
            broken.plane.broadcast(Class::Acks, peer::encode(&status))?;
        }
        while lane.last() < batches_due(start.elapsed()) {
            lane.grow(at.epoch, Height(height.0 + EXPIRY_BLOCKS));
        }
        for (peer, next) in &mut next {
            sent += send(&broken, &lane, *peer, next)?;
        }
    }
    let ended = owner.ears.disconnected.load(Ordering::Relaxed);
    let ordered = ordered(network).await?;
    broken.plane.shutdown().await;
    Ok(Sent {
        count: sent,
        notes: vec![format!(
            "{} batches of {} KiB made, at {} of {} KiB/s, {ordered} of them ordered, {ended} links ended",
            lane.last(),
            BATCH_BYTES >> 10,
            RATE >> 10,
            CAPACITY >> 10,
        )],
        as_ruled: ended == 0 && ordered > 0,
    })
}

/// Batches that are made in this time.
fn batches_due(elapsed: Duration) -> u64 {
    let bytes = u128::from(RATE) * elapsed.as_millis() / 1_000;
    u64::try_from(bytes).unwrap_or(u64::MAX) / BATCH_BYTES as u64
}

/// Sends a peer as much of the lane as its queue takes. Returns the number of batches.
fn send(broken: &Broken, lane: &Lane, to: OperatorId, next: &mut u64) -> anyhow::Result<u64> {
    let mut sent = 0;
    while let Some((seq, frame)) = lane.frame(*next) {
        match broken.plane.send(to, Class::Batches, frame.clone()) {
            Ok(()) => sent += 1,
            Err(SendError::QueueFull | SendError::NotConnected) => break,
            Err(error) => return Err(error.into()),
        }
        *next = seq + 1;
    }
    Ok(sent)
}

/// Goes back for those who hold less than they were sent, and no more than last time.
fn rewind(
    next: &mut BTreeMap<OperatorId, u64>,
    before: &mut BTreeMap<OperatorId, u64>,
    now: BTreeMap<OperatorId, u64>,
) {
    for (peer, held) in now {
        if let Some(next) = next.get_mut(&peer)
            && before.insert(peer, held) == Some(held)
        {
            *next = (*next).min(held + 1);
        }
    }
}

/// Batches of the lane that are ordered.
async fn ordered(network: &Network) -> anyhow::Result<u64> {
    let request = v1::GetBlockRequest {
        block: Some(v1::get_block_request::Block::Latest(true)),
        view: v1::BlockView::Header.into(),
        ..Default::default()
    };
    let mut client = network.operators[0].endpoint.blocks();
    let header = client.get_block(request).await?.into_inner().header;
    let block = header.and_then(|header| header.block).unwrap_or_default();
    let tip = block.cut.iter().find(|tip| tip.lane == BROKEN as u32);
    Ok(tip.map_or(0, |tip| tip.seq))
}
