//! Why a transaction is not taken.

use squad_primitives::{Duration, Height, RollupId, TxId};

/// A limit of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueLimit {
    /// Bytes.
    Bytes(u64),
    /// Number of transactions.
    Transactions(u64),
}

impl std::fmt::Display for QueueLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(limit) => write!(f, "{limit} bytes"),
            Self::Transactions(limit) => write!(f, "{limit} transactions"),
        }
    }
}

/// Why a transaction is not taken. [`Refusal::reason`] is the stable code of the public API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The bytes are no transaction.
    #[error("transaction: {0}")]
    Undecodable(#[from] squad_primitives::codec::DecodeError),
    /// Payload above the limit.
    #[error("payload: {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// Length of the payload.
        bytes: usize,
        /// `payload_bytes_limit`.
        limit: usize,
    },
    /// Sealed transactions are not taken before the threshold beacon exists.
    #[error("kind: sealed transactions are not active on this network")]
    Sealed,
    /// No active rollup with this number.
    #[error("rollup: {0} is not registered")]
    UnknownRollup(RollupId),
    /// No later block may hold the transaction.
    #[error("expiry_height: {expiry} has passed, the last block is {head}")]
    Expired {
        /// Expiry of the transaction.
        expiry: Height,
        /// Last committed height.
        head: Height,
    },
    /// The expiry lies further ahead than ids are remembered.
    #[error("expiry_height: {expiry} is too far ahead, the limit is {limit}")]
    ExpiryTooFar {
        /// Expiry of the transaction.
        expiry: Height,
        /// Largest expiry that is taken now.
        limit: Height,
    },
    /// The transaction is queued or batched here already.
    #[error("transaction {0} is known already")]
    Duplicate(TxId),
    /// The pool is full.
    #[error("pool: full, the limit is {limit}")]
    QueueFull {
        /// The limit that was reached.
        limit: QueueLimit,
        /// When there should be room.
        retry_after: Duration,
    },
    /// The rollup has used up its share of the pool.
    #[error("rollup {rollup}: its share of the pool is used up, now {limit}")]
    RollupShare {
        /// The rollup.
        rollup: RollupId,
        /// Its share at the moment; it grows as others leave.
        limit: QueueLimit,
        /// When there should be room.
        retry_after: Duration,
    },
    /// The lane of this operator has run as far ahead of the last committed tip as it may.
    #[error("lane: the window ahead of the last committed batch is full")]
    LaneWindow,
    /// The node is catching up.
    #[error("the node is catching up")]
    Syncing,
    /// The network, or this node's part of it, commits nothing at the moment.
    #[error("no quorum: nothing is being committed")]
    NoQuorum,
    /// The node is stopping.
    #[error("the node is shutting down")]
    ShuttingDown,
}

/// Delay named where the pool can't estimate one: about the time in which a stalled lane recovers.
const RETRY_DEFAULT: Duration = Duration::from_millis(250);

impl Refusal {
    /// Stable code of the public API.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Undecodable(_) => "UNDECODABLE",
            Self::TooLarge { .. } => "TOO_LARGE",
            Self::Sealed => "ERA_NOT_ACTIVE",
            Self::UnknownRollup(_) => "UNKNOWN_ROLLUP",
            Self::Expired { .. } => "EXPIRED",
            Self::ExpiryTooFar { .. } => "EXPIRY_TOO_FAR",
            Self::Duplicate(_) => "DUPLICATE",
            Self::QueueFull { .. } => "QUEUE_FULL",
            Self::RollupShare { .. } => "ROLLUP_SHARE",
            Self::LaneWindow => "LANE_WINDOW",
            Self::Syncing => "SYNCING",
            Self::NoQuorum => "NO_QUORUM",
            Self::ShuttingDown => "SHUTTING_DOWN",
        }
    }

    /// How long to wait before another attempt at this operator, or `None` if waiting does not help.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::QueueFull { retry_after, .. } | Self::RollupShare { retry_after, .. } => {
                Some(*retry_after)
            }
            Self::LaneWindow => Some(RETRY_DEFAULT),
            Self::Syncing | Self::NoQuorum => Some(Duration::from_secs(2)),
            Self::ShuttingDown => Some(Duration::from_secs(5)),
            _ => None,
        }
    }
}
