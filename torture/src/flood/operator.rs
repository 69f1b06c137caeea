//! A committee member that floods: the data plane of this program with the key and the address of an
//! operator whose process is stopped. The others dial it, as they would after a restart.

use super::{BROKEN, Sent};
use crate::network::Network;
use bytes::Bytes;
use futures::future::BoxFuture;
use prometheus_client::registry::Registry;
use squad_network::data::{
    Class, Credit, DataPlane, DataPlaneConfig, Inbound, Metrics, Peer, SendError,
};
use squad_primitives::genesis::Genesis;
use squad_primitives::message::{ConsensusMessage, LaneMessage};
use squad_primitives::{
    Ack, BatchSeq, Certificate, Digest, Epoch, Height, IdentityKey, OperatorId, Signature,
    SignerSet, Statement, Tip, View, ViewId, Vote,
};
use squad_proto::peer;
use squad_sequencer::keys::{Password, load_identity};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};

/// Password of a local network's keys.
const PASSWORD: &str = "localnet";
/// Distance between two bursts.
pub(super) const TICK: Duration = Duration::from_millis(10);
/// How long the others may take to dial.
const DIAL_TIMEOUT: Duration = Duration::from_secs(20);
/// Messages that are repeated.
const REPEATED: u64 = 1_000;
/// Views ahead that honest operators keep votes for.
const VIEWS_AHEAD: u64 = 64;

/// Counts connections and hears nothing else.
#[derive(Debug, Default)]
pub(super) struct Ears {
    connected: AtomicU64,
    pub(super) disconnected: AtomicU64,
}

impl Inbound for Ears {
    fn frame(&self, _: OperatorId, _: Class, _: Bytes, _: Credit) {}

    fn fetch(&self, _: OperatorId, _: Bytes) -> BoxFuture<'static, Option<Bytes>> {
        Box::pin(async { None })
    }

    fn connected(&self, _: OperatorId) {
        self.connected.fetch_add(1, Ordering::Relaxed);
    }

    fn disconnected(&self, _: OperatorId) {
        self.disconnected.fetch_add(1, Ordering::Relaxed);
    }
}

/// The flooding operator's data plane, with a link to everybody else.
pub(super) struct Broken {
    pub(super) plane: DataPlane,
    peers: u64,
}

impl Broken {
    /// Starts, and waits until `ears`, which `inbound` tells of connections, has heard of all others.
    pub(super) async fn join(
        network: &Network,
        genesis: &Genesis,
        inbound: Arc<dyn Inbound>,
        ears: &Ears,
    ) -> anyhow::Result<Self> {
        let state = &network.operators[BROKEN].state;
        let peers: Vec<_> = genesis
            .operators
            .iter()
            .enumerate()
            .filter(|(number, _)| *number != BROKEN)
            .map(|(number, operator)| Peer {
                operator: OperatorId(number as u32),
                key: operator.identity,
                address: operator.address.to_string(),
            })
            .collect();
        let count = peers.len() as u64;
        let mut config = DataPlaneConfig::new(
            state.data,
            genesis.network_id(),
            key(network, BROKEN)?,
            OperatorId(BROKEN as u32),
            peers,
            Metrics::register(&mut Registry::default()),
        );
        // All operators dial at once and from one address.
        config.handshakes.per_address = 100;
        config.handshakes.per_network = 400;
        let plane = DataPlane::start(config, inbound)?;
        let start = Instant::now();
        while ears.connected.load(Ordering::Relaxed) < count {
            anyhow::ensure!(start.elapsed() < DIAL_TIMEOUT, "the others do not dial");
            tokio::time::sleep(TICK).await;
        }
        Ok(Self {
            plane,
            peers: count,
        })
    }

    /// Sends `rate` messages per second to everybody for a while, and leaves. Returns how many messages
    /// went out, and when the last link was closed.
    async fn flood(
        self,
        ears: &Ears,
        rate: u64,
        length: Duration,
        mut message: impl FnMut(u64) -> (Class, Bytes),
    ) -> anyhow::Result<(u64, Option<Duration>)> {
        let start = Instant::now();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (mut number, mut sent, mut closed) = (0, 0, None);
        let per_tick = (rate * TICK.as_millis() as u64 / 1_000).max(1);
        while start.elapsed() < length {
            ticks.tick().await;
            for _ in 0..per_tick {
                let (class, frame) = message(number);
                number += 1;
                match self.plane.broadcast(class, frame) {
                    Ok(taken) => sent += taken as u64,
                    Err(SendError::NotConnected) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if closed.is_none() && ears.disconnected.load(Ordering::Relaxed) >= self.peers {
                closed = Some(start.elapsed());
            }
        }
        self.plane.shutdown().await;
        Ok((sent, closed))
    }
}

/// Identity key of an operator.
pub(super) fn key(network: &Network, node: usize) -> anyhow::Result<IdentityKey> {
    let path = network.operators[node]
        .state
        .home
        .join("keys/identity.json");
    Ok(load_identity(&path, &Password::new(PASSWORD))?)
}

/// Where consensus is now, and the height that is committed.
pub(super) async fn place(network: &Network) -> anyhow::Result<(ViewId, Height)> {
    let status = network.operators[0].status().await;
    let status = status.ok_or_else(|| anyhow::anyhow!("no status"))?;
    let view = status.view.unwrap_or_default();
    let at = ViewId::new(Epoch(view.epoch), View(view.view));
    Ok((at, Height(status.committed_height)))
}

fn consensus(vote: Vote) -> (Class, Bytes) {
    let message = ConsensusMessage::Vote(vote);
    (Class::Consensus, peer::encode(&message))
}

fn vote(statement: Statement) -> (Class, Bytes) {
    consensus(Vote {
        statement,
        signer: OperatorId(BROKEN as u32),
        signature: Signature([1; 64]),
    })
}

fn ack(epoch: Epoch, lane: u32, seq: u64) -> (Class, Bytes) {
    let ack = Ack {
        epoch,
        tip: Tip {
            lane: OperatorId(lane),
            seq: BatchSeq(seq),
            digest: Digest([9; 32]),
        },
        signer: OperatorId(BROKEN as u32),
        signature: Signature([1; 64]),
    };
    (Class::Acks, peer::encode(&LaneMessage::Ack(ack)))
}

fn certificate(at: ViewId) -> anyhow::Result<(Class, Bytes)> {
    let signers = SignerSet::from_bytes(&[0b0111])?;
    let certificate = Certificate {
        statement: Statement::vote(at, Digest([1; 32])),
        signers,
        signatures: vec![Signature([1; 64]); 3],
    };
    let message = ConsensusMessage::Certificate(Box::new(certificate));
    Ok((Class::Consensus, peer::encode(&message)))
}

/// Wrong signatures of all kinds, each message another one.
pub(super) async fn forge(
    network: &Network,
    genesis: &Genesis,
    rate: u64,
    length: Duration,
) -> anyhow::Result<Sent> {
    let ears = Arc::new(Ears::default());
    let broken = Broken::join(network, genesis, ears.clone(), &ears).await?;
    let (at, _) = place(network).await?;
    let ahead = |number: u64| ViewId::new(at.epoch, View(at.view.0 + number % VIEWS_AHEAD));
    // A certificate of a view that is already over is not looked at.
    let certificate = certificate(ViewId::new(at.epoch, View(at.view.0 + VIEWS_AHEAD / 2)))?;
    let forged = |number: u64| {
        let mut digest = Digest([7; 32]);
        digest.0[..8].copy_from_slice(&number.to_le_bytes());
        match number % 4 {
            0 => vote(Statement::vote(ahead(number), digest)),
            1 => vote(Statement::timeout(ahead(number))),
            2 => ack(at.epoch, (number % 3) as u32, number),
            _ => certificate.clone(),
        }
    };
    let (count, closed) = broken.flood(&ears, rate, length, forged).await?;
    let note = match closed {
        Some(after) => format!("all links closed after {:.0} ms", after.as_secs_f64() * 1e3),
        None => "not all links were closed".to_owned(),
    };
    Ok(Sent {
        count,
        notes: vec![note],
        as_ruled: closed.is_some(),
    })
}

/// A thousand timeouts with good signatures, one for each of the next views, again and again: nothing in
/// them is an offence.
pub(super) async fn repeat(
    network: &Network,
    genesis: &Genesis,
    rate: u64,
    length: Duration,
) -> anyhow::Result<Sent> {
    let ears = Arc::new(Ears::default());
    let broken = Broken::join(network, genesis, ears.clone(), &ears).await?;
    let (at, _) = place(network).await?;
    let key = key(network, BROKEN)?;
    let timeout = |number: u64| {
        let statement = Statement::timeout(ViewId::new(at.epoch, View(at.view.0 + number)));
        let me = OperatorId(BROKEN as u32);
        consensus(Vote::sign(&genesis.network_id(), statement, me, &key))
    };
    let messages: Vec<_> = (0..REPEATED).map(timeout).collect();
    let again = |number: u64| messages[(number % REPEATED) as usize].clone();
    let (count, closed) = broken.flood(&ears, rate, length, again).await?;
    let note = match closed {
        Some(after) => format!("links closed after {:.1} s", after.as_secs_f64()),
        None => "links stayed open".to_owned(),
    };
    Ok(Sent {
        count,
        notes: vec![note],
        as_ruled: closed.is_none(),
    })
}
