//! The receiving side: what the node implements.

use super::class::Class;
use bytes::Bytes;
use futures::future::BoxFuture;
use squad_primitives::OperatorId;
use tokio::sync::OwnedSemaphorePermit;

/// Receives what peers send. All methods but [`Inbound::fetch`] are called from the tasks that read
/// sockets: they must return at once and never block.
pub trait Inbound: Send + Sync + 'static {
    /// One frame arrived. Frames of one peer and class come in the order they were sent, as long as
    /// the connection lives. Keep `credit` until the frame has been dealt with: while a peer's credit
    /// in a class is used up, its stream isn't read, and flow control makes the sender wait.
    fn frame(&self, from: OperatorId, class: Class, frame: Bytes, credit: Credit);

    /// Answers a request: the reply, at most [`super::REPLY_BYTES_LIMIT`] bytes, or `None` if this
    /// node doesn't have what was asked for. Dropped when the peer gives up.
    fn fetch(&self, from: OperatorId, request: Bytes) -> BoxFuture<'static, Option<Bytes>>;

    /// A peer can be reached from now on. What was sent to it before is lost unless it arrived.
    fn connected(&self, peer: OperatorId);

    /// A peer can't be reached any more.
    fn disconnected(&self, peer: OperatorId);
}

/// Share of a peer's receive budget (256 frames and 8 MiB per class) that one frame occupies until
/// this is dropped.
#[derive(Debug)]
#[must_use = "dropping the credit says that the frame has been dealt with"]
pub struct Credit {
    pub(crate) _permit: OwnedSemaphorePermit,
}
