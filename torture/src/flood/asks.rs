//! A committee member that asks for everything, as fast as it is heard, and reads no answer.
//!
//! It dials all others, as the operator with the smallest number does, and speaks the wire by hand: the
//! library would read. On each link, at the same time:
//!
//! - **fetches** of a large batch: in the first half of the flood answers stay unread behind a window of
//!   16 KiB, in the second half each request is given up at once and the next one made, so that work is
//!   begun for nothing;
//! - **requests of consensus**: all blocks from the first on, a block by hash, a gap of certificates;
//! - **requests of lanes**: all headers of a lane from its first batch on, and batches of the receiver's
//!   lane from the first on.
//!
//! None of it is an offence, so the rule is that the links stay and each request costs little.

use super::raw::{Tag, Wire, frame};
use super::{FLOOD, Kind, Sent, operator};
use crate::network::Network;
use quinn::{RecvStream, SendStream, VarInt};
use squad_client::{Endpoint, v1};
use squad_primitives::genesis::Genesis;
use squad_primitives::message::{ConsensusMessage, LaneMessage};
use squad_primitives::{BatchSeq, Digest, Epoch, Height, OperatorId, Tip, View, ViewId};
use squad_proto::peer;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

/// The operator that asks: it dials everybody else.
pub(super) const BROKEN: usize = 0;
/// Transactions that make a batch large, and their payloads, just below the limit.
const LARGE: u8 = 8;
const LARGE_BYTES: usize = 120 << 10;
/// Messages of a class that are written at once.
const BURST: usize = 64;
/// What is asked for: things that exist.
#[derive(Debug)]
struct Wanted {
    /// The largest batch.
    batch: Digest,
    block: Digest,
    view: ViewId,
}

#[derive(Debug, Default)]
struct Counts {
    unread: AtomicU64,
    given_up: AtomicU64,
    consensus: AtomicU64,
    lanes: AtomicU64,
    /// Links that ended.
    ended: AtomicU64,
}

/// What one operator is asked, as frames; of each class with their number.
struct Requests {
    fetch: Vec<u8>,
    consensus: (Vec<u8>, u64),
    lanes: (Vec<u8>, u64),
}

impl Requests {
    /// `first` and `last` are batches of the operator's lane.
    fn new(wanted: &Wanted, (first, last): (Tip, Tip)) -> Self {
        let consensus = [
            ConsensusMessage::SyncRequest(Height(1)),
            ConsensusMessage::BlockRequest(wanted.block),
            ConsensusMessage::CertificatesRequest {
                after: ViewId::new(wanted.view.epoch, View(0)),
                up_to: wanted.view,
            },
        ];
        let lanes = [
            LaneMessage::HeadersRequest {
                after: BatchSeq(0),
                tip: last,
            },
            LaneMessage::Status(vec![first]),
        ];
        let fetch = LaneMessage::BatchRequest(wanted.batch);
        Self {
            fetch: frame(&peer::encode(&fetch)),
            consensus: (
                consensus
                    .each_ref()
                    .map(|m| frame(&peer::encode(m)))
                    .concat(),
                consensus.len() as u64,
            ),
            lanes: (
                lanes.each_ref().map(|m| frame(&peer::encode(m))).concat(),
                lanes.len() as u64,
            ),
        }
    }
}

pub(super) async fn flood(
    network: &Network,
    genesis: &Genesis,
    length: Duration,
) -> anyhow::Result<Sent> {
    let start = Instant::now();
    let (half, end) = (start + length / 2, start + length);
    let key = operator::key(network, BROKEN)?;
    let wanted = wanted(network).await?;
    let counts = Arc::new(Counts::default());
    let mut tasks = JoinSet::new();
    for victim in Kind::Asks.honest() {
        let address = network.operators[victim].state.data;
        let wire = Wire::join(&key, &genesis.network_id(), address).await?;
        let lane = lane(&network.operators[victim].endpoint, victim).await?;
        let requests = Requests::new(&wanted, lane);
        let counts = counts.clone();
        tasks.spawn(async move {
            let asked = async {
                let Requests {
                    fetch: batch,
                    consensus: (blocks, each),
                    lanes: (headers, both),
                } = &requests;
                tokio::try_join!(
                    fetch(&wire, batch, half, end, &counts),
                    repeat(&wire, Tag::Consensus, blocks, *each, end, &counts.consensus),
                    repeat(&wire, Tag::Acks, headers, *both, end, &counts.lanes),
                )
            };
            let ended = asked.await.is_err() || wire.connection.close_reason().is_some();
            counts.ended.fetch_add(u64::from(ended), Ordering::Relaxed);
        });
    }
    while tasks.join_next().await.is_some() {}
    sleep_until(end).await;
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let all = [
        &counts.unread,
        &counts.given_up,
        &counts.consensus,
        &counts.lanes,
    ]
    .map(count);
    let [unread, given_up, consensus, lanes] = all;
    let ended = count(&counts.ended);
    Ok(Sent {
        count: all.into_iter().sum(),
        notes: vec![format!(
            "{unread} fetches unread, {given_up} given up, {consensus} requests of consensus, {lanes} of \
             lanes, {ended} links ended"
        )],
        // How far the second half gets before its end depends on the machine.
        as_ruled: ended == 0 && [unread, consensus, lanes].iter().all(|count| *count > 0),
    })
}

/// Asks for a batch without reading: answers wait until `half`, afterwards each request is given up. No
/// more streams may be open than the other side allows; then this waits for one to end.
async fn fetch(
    wire: &Wire,
    request: &[u8],
    half: Instant,
    end: Instant,
    counts: &Counts,
) -> anyhow::Result<()> {
    let mut unread = Vec::new();
    while let Ok(opened) = timeout_at(half, wire.connection.open_bi()).await {
        unread.push(ask(opened?, request).await?);
        counts.unread.fetch_add(1, Ordering::Relaxed);
    }
    drop(unread);
    while let Ok(opened) = timeout_at(end, wire.connection.open_bi()).await {
        ask(opened?, request).await?.stop(VarInt::from_u32(0))?;
        counts.given_up.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

async fn ask(
    (mut send, recv): (SendStream, RecvStream),
    request: &[u8],
) -> anyhow::Result<RecvStream> {
    send.write_all(request).await?;
    send.finish()?;
    Ok(recv)
}

/// Writes the same messages to the stream of a class, as fast as they are taken.
async fn repeat(
    wire: &Wire,
    class: Tag,
    messages: &[u8],
    number: u64,
    end: Instant,
    counter: &AtomicU64,
) -> anyhow::Result<()> {
    let mut stream = wire.open(class).await?;
    let burst = messages.repeat(BURST);
    while let Ok(written) = timeout_at(end, stream.write_all(&burst)).await {
        written?;
        counter.fetch_add(number * BURST as u64, Ordering::Relaxed);
    }
    Ok(())
}

/// Makes a large batch and looks up what else is asked for.
async fn wanted(network: &Network) -> anyhow::Result<Wanted> {
    let honest: Vec<_> = Kind::Asks.honest().collect();
    let operator = &network.operators[honest[0]];
    let mut calls = JoinSet::new();
    for number in 0..LARGE {
        let mut client = operator.endpoint.sequencer();
        calls.spawn(async move {
            let request = v1::SubmitTransactionRequest {
                transaction: Some(v1::Transaction {
                    rollup_id: FLOOD,
                    payload: vec![number; LARGE_BYTES].into(),
                    kind: v1::TransactionKind::Plain.into(),
                    expiry_height: 0,
                }),
                wait_for: v1::Status::Ordered.into(),
                wait_ms: 10_000,
            };
            client.submit_transaction(request).await
        });
    }
    let mut largest = (0, Digest::ZERO);
    while let Some(call) = calls.join_next().await {
        let placed = call??
            .into_inner()
            .status
            .and_then(|status| status.placement);
        let placed =
            placed.ok_or_else(|| anyhow::anyhow!("an ordered transaction has no place"))?;
        let batch = batch(&operator.endpoint, placed.lane, placed.batch_seq).await?;
        largest = largest.max(batch);
    }
    let status = operator.status().await;
    let status = status.ok_or_else(|| anyhow::anyhow!("no status"))?;
    let view = status.view.unwrap_or_default();
    Ok(Wanted {
        batch: largest.1,
        block: digest(&status.ordered_block)?,
        view: ViewId::new(Epoch(view.epoch), View(view.view)),
    })
}

/// First and last ordered batch of an operator's lane.
async fn lane(endpoint: &Endpoint, number: usize) -> anyhow::Result<(Tip, Tip)> {
    let mut operators = endpoint.operators();
    let status = operators.get_status(v1::GetStatusRequest {}).await?;
    let lane = status.into_inner().lane.unwrap_or_default();
    let lane_number = u32::try_from(number)?;
    let mut tips = Vec::new();
    for seq in [1, lane.ordered_seq] {
        let (_, digest) = batch(endpoint, lane_number, seq).await?;
        tips.push(Tip {
            lane: OperatorId(lane_number),
            seq: BatchSeq(seq),
            digest,
        });
    }
    Ok((tips[0], tips[1]))
}

/// Size of the body and digest of a batch.
async fn batch(endpoint: &Endpoint, lane: u32, seq: u64) -> anyhow::Result<(u32, Digest)> {
    let at = v1::LanePosition { lane, seq };
    let request = v1::GetBatchRequest {
        batch: Some(v1::get_batch_request::Batch::Position(at)),
    };
    let answer = endpoint.blocks().get_batch(request).await?.into_inner();
    let header = answer.header.and_then(|signed| signed.header);
    let bytes = header.map_or(0, |header| header.body_bytes);
    Ok((bytes, digest(&answer.digest)?))
}

fn digest(bytes: &[u8]) -> anyhow::Result<Digest> {
    Ok(Digest(bytes.try_into()?))
}
