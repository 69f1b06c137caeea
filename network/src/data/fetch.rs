//! Requests and replies: one bidirectional stream each.
//!
//! Request: one frame, at most 64 KiB, then the end of the stream. Reply: one frame, at most 4 MiB, or
//! nothing if the peer doesn't have it. Whoever asks may give up at any time; the other side then
//! stops working on it.

use super::{
    frame::{FrameDecoder, FrameTooLarge, header},
    link::LinkError,
    node::Node,
    peer::PeerState,
};
use bytes::Bytes;
use quinn::{Connection, ConnectionError, RecvStream, SendStream, VarInt};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// Largest request, in bytes.
pub const REQUEST_BYTES_LIMIT: usize = 64 << 10;
/// Largest reply, in bytes.
pub const REPLY_BYTES_LIMIT: usize = 4 << 20;

/// Replies go before batches: somebody waits for them.
const PRIORITY: i32 = 1;
/// A request arrives whole within this time.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// An answer is found and taken by the peer within this time.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);
/// Reset code of a stream that took too long.
const TOO_SLOW: u32 = 1;

/// Why a fetch brought nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The operator is not in the committee.
    #[error("peer: not a committee member")]
    UnknownPeer,
    /// No connection to the peer.
    #[error("peer: not connected")]
    NotConnected,
    /// The request is larger than [`REQUEST_BYTES_LIMIT`].
    #[error("request: {0} bytes exceed the limit of {REQUEST_BYTES_LIMIT}")]
    RequestTooLarge(usize),
    /// The peer doesn't have what was asked for.
    #[error("peer: does not have it")]
    NotFound,
    /// No complete reply before the deadline.
    #[error("deadline passed")]
    Deadline,
    /// The reply breaks the limits.
    #[error(transparent)]
    ReplyTooLarge(#[from] FrameTooLarge),
    /// The peer broke off.
    #[error("peer: broke off")]
    Aborted,
    /// The connection ended.
    #[error("connection lost")]
    Connection(#[from] ConnectionError),
}

impl FetchError {
    /// Label in metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::UnknownPeer => "unknown_peer",
            Self::NotConnected => "not_connected",
            Self::RequestTooLarge(_) => "request_too_large",
            Self::NotFound => "not_found",
            Self::Deadline => "deadline",
            Self::ReplyTooLarge(_) => "reply_too_large",
            Self::Aborted => "aborted",
            Self::Connection(_) => "connection",
        }
    }
}

impl From<LinkError> for FetchError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Connection(error) => Self::Connection(error),
            LinkError::Frame(error) => Self::ReplyTooLarge(error),
            LinkError::Stream(_) => Self::Aborted,
        }
    }
}

/// Asks `peer` and waits for the reply, `deadline` at most, waiting for a free place included.
pub(crate) async fn ask(
    peer: &PeerState,
    request: Bytes,
    deadline: Duration,
) -> Result<Bytes, FetchError> {
    if request.len() > REQUEST_BYTES_LIMIT {
        return Err(FetchError::RequestTooLarge(request.len()));
    }
    let asked = async {
        // The semaphore is never closed.
        let _place = peer.fetches.acquire().await;
        let connection = peer.connection().ok_or(FetchError::NotConnected)?;
        exchange(&connection, request).await
    };
    timeout(deadline, asked)
        .await
        .unwrap_or(Err(FetchError::Deadline))
}

async fn exchange(connection: &Connection, request: Bytes) -> Result<Bytes, FetchError> {
    let (mut send, mut recv) = connection.open_bi().await?;
    write_frame(&mut send, request).await?;
    read_frame(&mut recv, REPLY_BYTES_LIMIT)
        .await?
        .ok_or(FetchError::NotFound)
}

/// Answers one request of a peer.
pub(crate) async fn serve(
    node: Arc<Node>,
    peer: Arc<PeerState>,
    mut send: SendStream,
    mut recv: RecvStream,
) {
    let request = timeout(REQUEST_TIMEOUT, read_frame(&mut recv, REQUEST_BYTES_LIMIT)).await;
    let Ok(Ok(Some(request))) = request else {
        let _ = recv.stop(VarInt::from_u32(TOO_SLOW));
        let _ = send.reset(VarInt::from_u32(TOO_SLOW));
        return;
    };
    // The semaphore is never closed.
    let _place = peer.served.acquire().await;
    let stopped = send.stopped();
    let answer = async {
        let reply = tokio::select! {
            reply = node.inbound.fetch(peer.operator, request) => reply,
            _gave_up = stopped => return Ok(()),
        };
        match reply {
            Some(reply) if reply.len() <= REPLY_BYTES_LIMIT => write_frame(&mut send, reply).await,
            Some(reply) => {
                tracing::error!(bytes = reply.len(), "reply above its limit is not sent");
                Ok(())
            }
            None => Ok(()),
        }
    };
    if timeout(REPLY_TIMEOUT, answer).await.is_err() {
        let _ = send.reset(VarInt::from_u32(TOO_SLOW));
    }
}

/// Writes the only frame of a stream, and its end.
pub(crate) async fn write_frame(send: &mut SendStream, payload: Bytes) -> Result<(), LinkError> {
    let _ = send.set_priority(PRIORITY);
    let mut chunks = [Bytes::copy_from_slice(&header(&payload)), payload];
    send.write_all_chunks(&mut chunks).await?;
    // Fails only if the stream was closed before, which the write would have reported.
    let _ = send.finish();
    Ok(())
}

/// Reads the only frame of a stream; `None` if it ends empty.
pub(crate) async fn read_frame(
    recv: &mut RecvStream,
    limit: usize,
) -> Result<Option<Bytes>, LinkError> {
    let mut decoder = FrameDecoder::new(limit);
    while let Some(chunk) = recv.read_chunk(usize::MAX, true).await? {
        let mut bytes = chunk.bytes;
        if let Some(frame) = decoder.next(&mut bytes)? {
            return Ok(Some(frame));
        }
    }
    if decoder.is_at_boundary() {
        Ok(None)
    } else {
        Err(LinkError::Stream("ended inside a frame"))
    }
}
