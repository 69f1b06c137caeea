//! One connection, from the hello to its end.
//!
//! ```text
//!  queue: consensus ─▶ writer ─▶ uni stream, priority 3 ─▶ reader ─▶ Inbound::frame
//!  queue: acks      ─▶ writer ─▶ uni stream, priority 2 ─▶ reader ─▶ Inbound::frame
//!  fetch()          ─▶ bidirectional stream,  priority 1 ─▶ server ─▶ Inbound::fetch
//!  queue: batches   ─▶ writer ─▶ uni stream, priority 0 ─▶ reader ─▶ Inbound::frame
//! ```
//!
//! A class stream begins with the class's tag and then carries frames for as long as the connection
//! lives. Each side opens one per class; a second one, or a stream that ends, is a violation.

use super::{
    class::Class,
    fetch,
    frame::{FrameDecoder, FrameTooLarge, header},
    hello::CloseCode,
    inbound::Credit,
    node::Node,
    peer::{Link, PeerState},
};
use bytes::{BufMut, Bytes, BytesMut};
use quinn::{Connection, ConnectionError, ReadError, ReadExactError, RecvStream, WriteError};
use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// Bytes that a peer may have in our hands per class.
const CREDIT_BYTES: usize = 8 << 20;
/// Each frame costs at least this much of them, which makes 256 frames the other limit.
const CREDIT_BYTES_MIN: usize = CREDIT_BYTES / 256;
/// Small frames that wait together are written together, up to this size.
const WRITE_BYTES: usize = 256 << 10;
/// Larger frames are handed to QUIC as they are, smaller ones are copied next to each other.
const COPY_BYTES_MAX: usize = 4 << 10;

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error(transparent)]
    Frame(#[from] FrameTooLarge),
    #[error("stream: {0}")]
    Stream(&'static str),
}

impl LinkError {
    /// Label in metrics and logs.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Frame(_) => "frame_too_large",
            Self::Stream(_) => "violation",
            Self::Connection(ConnectionError::ApplicationClosed(close)) => {
                CloseCode::from_code(close.error_code).map_or("closed", CloseCode::name)
            }
            Self::Connection(ConnectionError::TimedOut) => "timeout",
            Self::Connection(ConnectionError::Reset) => "reset",
            Self::Connection(ConnectionError::LocallyClosed) => "local",
            // During the handshake these are TLS alerts nearly always.
            Self::Connection(
                ConnectionError::TransportError(_) | ConnectionError::ConnectionClosed(_),
            ) => "tls",
            Self::Connection(ConnectionError::VersionMismatch | ConnectionError::CidsExhausted) => {
                "quic"
            }
        }
    }
}

impl From<ReadError> for LinkError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::ConnectionLost(error) => Self::Connection(error),
            _ => Self::Stream("reset by the peer"),
        }
    }
}

impl From<ReadExactError> for LinkError {
    fn from(error: ReadExactError) -> Self {
        match error {
            ReadExactError::ReadError(error) => error.into(),
            ReadExactError::FinishedEarly(_) => Self::Stream("ended without a tag"),
        }
    }
}

impl From<WriteError> for LinkError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::ConnectionLost(error) => Self::Connection(error),
            _ => Self::Stream("stopped by the peer"),
        }
    }
}

/// Runs a connection whose hello is done until it ends. A connection of the same peer that is still
/// in use is closed first: the peer would not have made a new one if the old one worked for it.
pub(crate) async fn run(node: &Arc<Node>, peer: &Arc<PeerState>, connection: Connection) {
    let arrival = peer.arrive();
    let _turn = peer.turn.lock().await;
    let end = CancellationToken::new();
    let link = Link {
        connection: connection.clone(),
        end: end.clone(),
    };
    if !peer.attach(link, arrival) {
        close(&connection, CloseCode::Superseded);
        return;
    }
    node.metrics.peers.inc();
    tracing::info!(peer = %peer.operator, address = %connection.remote_address(), "peer connected");
    node.inbound.connected(peer.operator);
    let error = exchange(node, peer, &connection, &end).await;
    match error {
        LinkError::Connection(_) => {}
        LinkError::Frame(_) | LinkError::Stream(_) => close(&connection, CloseCode::Violation),
    }
    peer.detach();
    node.metrics.peers.dec();
    node.metrics.closed.count(error.reason());
    tracing::info!(peer = %peer.operator, %error, "peer disconnected");
    node.inbound.disconnected(peer.operator);
}

pub(crate) fn close(connection: &Connection, code: CloseCode) {
    connection.close(code.code(), code.name().as_bytes());
}

/// Moves frames both ways. When this returns, none of the link's tasks runs any more.
async fn exchange(
    node: &Arc<Node>,
    peer: &Arc<PeerState>,
    connection: &Connection,
    end: &CancellationToken,
) -> LinkError {
    let mut tasks = JoinSet::new();
    let mut servers = JoinSet::new();
    for class in Class::ALL {
        tasks.spawn(write(node.clone(), peer.clone(), connection.clone(), class));
    }
    let seen = Arc::new(AtomicU8::new(0));
    let error = loop {
        tokio::select! {
            () = end.cancelled() => break ConnectionError::LocallyClosed.into(),
            () = node.stop.cancelled() => break ConnectionError::LocallyClosed.into(),
            stream = connection.accept_uni() => match stream {
                Ok(stream) => {
                    tasks.spawn(read(node.clone(), peer.clone(), stream, seen.clone()));
                }
                Err(error) => break error.into(),
            },
            stream = connection.accept_bi() => match stream {
                Ok((send, recv)) => {
                    servers.spawn(fetch::serve(node.clone(), peer.clone(), send, recv));
                }
                Err(error) => break error.into(),
            },
            Some(ended) = tasks.join_next() => match ended {
                Ok(Err(error)) => break error,
                Ok(Ok(never)) => match never {},
                // A panic aborts the process through the hook; there is nothing to add here.
                Err(_) => break LinkError::Stream("task failed"),
            },
            Some(_served) = servers.join_next() => {}
        }
    };
    tasks.shutdown().await;
    servers.shutdown().await;
    error
}

/// Writes the frames of one class.
async fn write(
    node: Arc<Node>,
    peer: Arc<PeerState>,
    connection: Connection,
    class: Class,
) -> Result<std::convert::Infallible, LinkError> {
    let mut stream = connection.open_uni().await?;
    // Fails only on a closed stream; the write below reports that.
    let _ = stream.set_priority(class.priority());
    stream.write_all(&[class.tag()]).await?;
    let mut frames = Vec::new();
    let mut chunks = Vec::new();
    loop {
        peer.pop(class, WRITE_BYTES, &mut frames).await;
        let sent: usize = frames.iter().map(Bytes::len).sum();
        encode(&mut frames, &mut chunks);
        stream.write_all_chunks(&mut chunks).await?;
        chunks.clear();
        node.metrics.sent.of(class).inc_by(sent as u64);
    }
}

/// Turns frames into the chunks to write: small ones side by side, large ones as they are.
fn encode(frames: &mut Vec<Bytes>, chunks: &mut Vec<Bytes>) {
    let mut buffer = BytesMut::new();
    for frame in frames.drain(..) {
        buffer.put_slice(&header(&frame));
        if frame.len() <= COPY_BYTES_MAX {
            buffer.put(frame);
        } else {
            chunks.push(buffer.split().freeze());
            chunks.push(frame);
        }
    }
    if !buffer.is_empty() {
        chunks.push(buffer.freeze());
    }
}

/// Reads the frames of one class.
async fn read(
    node: Arc<Node>,
    peer: Arc<PeerState>,
    mut stream: RecvStream,
    seen: Arc<AtomicU8>,
) -> Result<std::convert::Infallible, LinkError> {
    let mut tag = [0];
    stream.read_exact(&mut tag).await?;
    let [tag] = tag;
    let class = Class::from_tag(tag).ok_or(LinkError::Stream("unknown class"))?;
    let bit = 1 << tag;
    if seen.fetch_or(bit, Ordering::Relaxed) & bit != 0 {
        return Err(LinkError::Stream("second stream of a class"));
    }
    let budget = Arc::new(Semaphore::new(CREDIT_BYTES));
    let mut decoder = FrameDecoder::new(class.frame_bytes_limit());
    loop {
        let Some(chunk) = stream.read_chunk(usize::MAX, true).await? else {
            return Err(LinkError::Stream("ended"));
        };
        let mut bytes = chunk.bytes;
        while let Some(frame) = decoder.next(&mut bytes)? {
            node.metrics.received.of(class).inc_by(frame.len() as u64);
            let cost = frame.len().clamp(CREDIT_BYTES_MIN, CREDIT_BYTES) as u32;
            // The semaphore is never closed.
            let Ok(permit) = budget.clone().acquire_many_owned(cost).await else {
                return Err(LinkError::Stream("task failed"));
            };
            let credit = Credit { _permit: permit };
            node.inbound.frame(peer.operator, class, frame, credit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_frames_are_joined_and_large_ones_are_not_copied() {
        let large = Bytes::from(vec![9; COPY_BYTES_MAX + 1]);
        let small = Bytes::from_static(b"vote");
        let mut frames = vec![small.clone(), large.clone(), small.clone(), small];
        let mut chunks = Vec::new();
        encode(&mut frames, &mut chunks);
        assert!(frames.is_empty());
        assert_eq!(chunks.len(), 3);
        assert_eq!(chunks[0].len(), 4 + 4 + 4);
        assert_eq!(chunks[1].as_ptr(), large.as_ptr());
        assert_eq!(chunks[2].len(), 2 * (4 + 4));
    }
}
