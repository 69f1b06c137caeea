//! The receiving side: what the node implements.

use bytes::Bytes;
use futures::future::BoxFuture;
use libp2p::PeerId;

/// What to do with an announced block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Valid: forward it, and hand it to [`ControlInbound::block`].
    Accept,
    /// Useless here, such as too old or too far ahead: drop it, nobody is to blame.
    Ignore,
    /// Invalid: drop it and think less of who sent it.
    Reject,
}

impl Verdict {
    /// Label in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Ignore => "ignore",
            Self::Reject => "reject",
        }
    }
}

/// Receives what peers send. Each future runs as a task of its own; their number is bounded, and what
/// exceeds it is ignored or left unanswered.
pub trait ControlInbound: Send + Sync + 'static {
    /// Judges an announced block before it is forwarded. Bytes come from anybody.
    fn validate_block(&self, block: Bytes) -> BoxFuture<'static, Verdict>;

    /// A block that was accepted. Must return at once.
    fn block(&self, from: PeerId, block: Bytes);

    /// Answers a sync request: the reply, at most [`super::SYNC_REPLY_BYTES_LIMIT`] bytes, or `None`
    /// if this node doesn't have what was asked for. Bytes come from anybody.
    fn serve(&self, from: PeerId, request: Bytes) -> BoxFuture<'static, Option<Bytes>>;
}
