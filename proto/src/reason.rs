//! The stable reasons that errors of `squad.v1` carry: in `google.rpc.ErrorInfo.reason` of a failed
//! call, in `squad.v1.Error.reason` of one refused item, in `TransactionStatus.reason`.
//!
//! A reason belongs to exactly one gRPC status code. Names are never reused or renamed.

use std::{fmt, str::FromStr};

/// `google.rpc.ErrorInfo.domain` of the errors of `squad.v1`.
pub const DOMAIN: &str = "squad.v1";

/// gRPC status codes that reasons belong to, with their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs)] // the names are those of gRPC
pub enum Code {
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Internal = 13,
    Unavailable = 14,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $code:ident, $retry:literal;)*) => {
        /// Why a call or an item was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])* $variant,)*
        }

        impl Reason {
            /// Every reason, in the order of the declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The gRPC status code.
            #[must_use]
            pub const fn code(self) -> Code {
                match self {
                    $(Self::$variant => Code::$code,)*
                }
            }

            /// Whether the same request may succeed later at the same operator, so that the error
            /// carries a retry delay.
            #[must_use]
            pub const fn is_retryable(self) -> bool {
                match self {
                    $(Self::$variant => $retry,)*
                }
            }
        }
    };
}

reasons! {
    /// A missing or malformed field; details name it.
    Undecodable = "UNDECODABLE", InvalidArgument, false;
    /// A payload, list or message above its limit. Metadata: limit, found.
    TooLarge = "TOO_LARGE", InvalidArgument, false;
    /// Expiry height beyond head + `expiry_max_blocks`. Metadata: limit.
    ExpiryTooFar = "EXPIRY_TOO_FAR", InvalidArgument, false;
    /// A cursor or page token that this network never gave out.
    BadCursor = "BAD_CURSOR", InvalidArgument, false;
    /// The expiry height is not above the head. Metadata: head_height.
    Expired = "EXPIRED", FailedPrecondition, false;
    /// A sealed transaction while the network has no sealing keys.
    EraNotActive = "ERA_NOT_ACTIVE", FailedPrecondition, false;
    /// The client's `squad-network-id` is another network's. Metadata: network_id.
    WrongNetwork = "WRONG_NETWORK", FailedPrecondition, false;
    /// A submission to a node that has no lane.
    NotACommitteeMember = "NOT_A_COMMITTEE_MEMBER", FailedPrecondition, false;
    /// A proof of a transaction that is not ordered. Metadata: status.
    NotOrdered = "NOT_ORDERED", FailedPrecondition, false;
    /// The network has no finality keys, or this node does not follow certificates.
    NoFinality = "NO_FINALITY", FailedPrecondition, false;
    /// No certificate covers what was asked for yet. Metadata: final_height.
    NotFinal = "NOT_FINAL", FailedPrecondition, false;
    /// The same id is known. Metadata: status. Submitting answers OK instead.
    Duplicate = "DUPLICATE", AlreadyExists, false;
    /// No kept block orders the transaction, and this node did not take it. Metadata: head_height,
    /// earliest_height.
    UnknownTx = "UNKNOWN_TX", NotFound, false;
    /// No rollup with this id or name.
    UnknownRollup = "UNKNOWN_ROLLUP", NotFound, false;
    /// No block with this hash.
    UnknownBlock = "UNKNOWN_BLOCK", NotFound, false;
    /// This node holds no such batch.
    UnknownBatch = "UNKNOWN_BATCH", NotFound, false;
    /// No such epoch, or it is not known yet.
    UnknownEpoch = "UNKNOWN_EPOCH", NotFound, false;
    /// Below what this node keeps. Metadata: earliest_height.
    Pruned = "PRUNED", OutOfRange, false;
    /// Above the head. Metadata: head_height.
    FutureHeight = "FUTURE_HEIGHT", OutOfRange, false;
    /// The queue for this operator's lane is full.
    QueueFull = "QUEUE_FULL", ResourceExhausted, true;
    /// The rollup has used up its share of the queue.
    RollupShare = "ROLLUP_SHARE", ResourceExhausted, true;
    /// More calls from this address or connection than allowed.
    RateLimit = "RATE_LIMIT", ResourceExhausted, true;
    /// This operator's lane runs too far ahead of what is ordered.
    LaneWindow = "LANE_WINDOW", ResourceExhausted, true;
    /// More streams on this connection or node than allowed.
    TooManyStreams = "TOO_MANY_STREAMS", ResourceExhausted, true;
    /// The node is catching up, or has just started.
    Syncing = "SYNCING", Unavailable, true;
    /// The node is not connected to more than two thirds of stake, or nothing is being committed.
    NoQuorum = "NO_QUORUM", Unavailable, true;
    /// The node is stopping.
    ShuttingDown = "SHUTTING_DOWN", Unavailable, true;
    /// The disk is full or failing.
    StoreReadOnly = "STORE_READ_ONLY", Unavailable, true;
    /// The reader of a stream fell behind its buffer. Metadata: cursor, in hex.
    SlowConsumer = "SLOW_CONSUMER", Aborted, false;
    /// The status waited for was not reached in time. Metadata: tx_id, status.
    WaitElapsed = "WAIT_ELAPSED", DeadlineExceeded, false;
    /// A bug in the node.
    Internal = "INTERNAL", Internal, false;
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is no reason of this version; a newer server may send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown reason")]
pub struct UnknownReason;

impl FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(name: &str) -> Result<Self, UnknownReason> {
        let mut all = Self::ALL.iter().copied();
        all.find(|reason| reason.as_str() == name)
            .ok_or(UnknownReason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_read_back() {
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(reason.as_str().parse(), Ok(*reason));
            let first = Reason::ALL
                .iter()
                .position(|r| r.as_str() == reason.as_str());
            assert_eq!(first, Some(index), "{reason} appears twice");
        }
    }

    /// Waiting helps exactly where the design says that an error carries `RetryInfo`.
    #[test]
    fn retry_delays_go_with_the_codes_that_promise_them() {
        for reason in Reason::ALL {
            let promised = matches!(reason.code(), Code::ResourceExhausted | Code::Unavailable);
            assert_eq!(reason.is_retryable(), promised, "{reason}");
        }
    }
}
