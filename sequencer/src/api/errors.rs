//! Errors of the APIs: one type for everything that is not "yes", and how it looks in gRPC.
//!
//! A [`Failure`] carries a reason of `squad_proto::reason`, which fixes the status code, one sentence
//! that names field and limit, facts for programs, and a delay where waiting helps. It becomes a gRPC
//! status with `ErrorInfo`, `RetryInfo` and `BadRequest` details, or a `squad.v1.Error` for one item
//! among several: both say the same.

use squad_mempool::Refusal;
use squad_primitives::{BatchSeq, Height};
use squad_proto::convert::{ConvertError, Problem};
use squad_proto::reason::{DOMAIN, Reason};
use squad_proto::v1;
use std::collections::HashMap;
use std::fmt::Display;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// Shortest delay that is named.
const RETRY_MIN: Duration = Duration::from_millis(10);
/// Longest delay that is named.
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Delay named where nothing better is known.
const RETRY_DEFAULT: Duration = Duration::from_millis(500);

/// Why a call or an item fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    reason: Reason,
    message: String,
    field: Option<&'static str>,
    metadata: Vec<(&'static str, String)>,
    retry_after: Option<Duration>,
}

impl Failure {
    /// A failure with its sentence.
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            field: None,
            metadata: Vec::new(),
            retry_after: reason.is_retryable().then_some(RETRY_DEFAULT),
        }
    }

    /// A field that is missing or malformed.
    pub(crate) fn field(field: &'static str, problem: impl Display) -> Self {
        Self {
            field: Some(field),
            ..Self::new(Reason::Undecodable, format!("{field}: {problem}"))
        }
    }

    /// A field above its limit.
    pub(crate) fn too_large(field: &'static str, found: impl Display, limit: impl Display) -> Self {
        let message = format!("{field}: {found}, the limit is {limit}");
        Self {
            field: Some(field),
            ..Self::new(Reason::TooLarge, message)
        }
        .with("found", found)
        .with("limit", limit)
    }

    /// Adds a fact for programs.
    pub(crate) fn with(mut self, name: &'static str, value: impl Display) -> Self {
        self.metadata.push((name, value.to_string()));
        self
    }

    /// Names a delay.
    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// The reason.
    pub(crate) const fn reason(&self) -> Reason {
        self.reason
    }

    /// A cursor or page token that was not given out for this request.
    pub(crate) fn bad_cursor(field: &'static str) -> Self {
        let message = format!("{field}: not given out by this network for this request");
        Self {
            field: Some(field),
            ..Self::new(Reason::BadCursor, message)
        }
    }

    /// A height below what is kept.
    pub(crate) fn pruned(height: Height, earliest: Height) -> Self {
        let message = format!("height {height} is pruned, the earliest kept is {earliest}");
        Self::new(Reason::Pruned, message).with("earliest_height", earliest)
    }

    /// A height above the head.
    pub(crate) fn future(height: Height, head: Height) -> Self {
        let message = format!("height {height} is above the head, which is {head}");
        Self::new(Reason::FutureHeight, message).with("head_height", head)
    }

    /// A reader that needs what was pruned while it lagged behind.
    pub(crate) fn slow_consumer(cursor: &[u8]) -> Self {
        let message = "what comes next was pruned before this stream was read so far";
        Self::new(Reason::SlowConsumer, message)
            .with("cursor", format_args!("0x{}", hex::encode(cursor)))
    }

    /// A batch that this node does not hold.
    pub(crate) fn unknown_batch(batch: impl Display) -> Self {
        Self::new(
            Reason::UnknownBatch,
            format!("batch {batch} is not held here"),
        )
    }

    /// The node is stopping.
    pub(crate) fn shutting_down() -> Self {
        Self::new(Reason::ShuttingDown, "the node is shutting down").after(RETRY_MAX)
    }

    /// An invariant of the node does not hold. The message goes to the log only.
    pub(crate) fn internal(what: &'static str) -> Self {
        tracing::error!(what, "api: broken invariant");
        Self::new(
            Reason::Internal,
            "internal error; the operator's log has more",
        )
    }

    /// The delay as it is told to the client: clamped, and spread by a fifth so that those who were
    /// refused together don't come back together.
    fn told_delay(&self) -> Option<Duration> {
        let delay = self.retry_after?.clamp(RETRY_MIN, RETRY_MAX);
        // 80 % to 120 %.
        let percent = 80 + u32::try_from(scatter() % 41).unwrap_or(20);
        Some((delay * percent / 100).clamp(RETRY_MIN, RETRY_MAX))
    }
}

/// Numbers that differ between calls and processes. Nothing depends on their quality.
fn scatter() -> u64 {
    static STATE: LazyLock<AtomicU64> =
        LazyLock::new(|| AtomicU64::new(RandomState::new().build_hasher().finish()));
    // SplitMix64.
    let mut z = STATE.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let metadata: HashMap<_, _> = failure
            .metadata
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        let mut details = ErrorDetails::with_error_info(failure.reason.as_str(), DOMAIN, metadata);
        if let Some(delay) = failure.told_delay() {
            details.set_retry_info(Some(delay));
        }
        if let Some(field) = failure.field {
            details.add_bad_request_violation(field, failure.message.as_str());
        }
        let code = Code::from_i32(failure.reason.code() as i32);
        Self::with_error_details(code, failure.message, details)
    }
}

impl From<Failure> for v1::Error {
    fn from(failure: Failure) -> Self {
        let delay = failure.told_delay().unwrap_or_default();
        Self {
            code: failure.reason.code() as u32,
            reason: failure.reason.as_str().to_owned(),
            retry_after_ms: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            metadata: failure
                .metadata
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            message: failure.message,
        }
    }
}

impl From<ConvertError> for Failure {
    fn from(error: ConvertError) -> Self {
        match error.problem {
            Problem::TooMany { found, limit } => Self::too_large(error.field, found, limit),
            problem => Self::field(error.field, problem),
        }
    }
}

impl From<&Refusal> for Failure {
    fn from(refusal: &Refusal) -> Self {
        let reason = refusal.reason().parse().unwrap_or(Reason::Internal);
        let mut failure = Self::new(reason, refusal.to_string());
        failure.retry_after = refusal.retry_after();
        match refusal {
            Refusal::Undecodable(_) => Self {
                field: Some("transaction"),
                ..failure
            },
            Refusal::TooLarge { bytes, limit } => Self {
                field: Some("payload"),
                ..failure.with("found", bytes).with("limit", limit)
            },
            Refusal::Sealed => Self {
                field: Some("kind"),
                ..failure
            },
            Refusal::UnknownRollup(rollup) => failure.with("rollup_id", rollup),
            Refusal::Expired { head, .. } => failure.with("head_height", head),
            Refusal::ExpiryTooFar { limit, .. } => Self {
                field: Some("expiry_height"),
                ..failure.with("limit", limit)
            },
            Refusal::Duplicate(id) => failure.with("tx_id", id),
            Refusal::QueueFull { limit, .. } => failure.with("limit", limit),
            Refusal::RollupShare { rollup, limit, .. } => {
                failure.with("rollup_id", rollup).with("limit", limit)
            }
            _ => failure,
        }
    }
}

/// Storage that can't be read lies or fails; nothing that this node says can be trusted any more.
impl From<squad_storage::StorageError> for Failure {
    fn from(error: squad_storage::StorageError) -> Self {
        crate::node::fatal(&error)
    }
}

/// Gives tonic's own refusal of large messages, which has no details, the form of all others. Other
/// `OUT_OF_RANGE` errors of these services carry details.
pub(crate) fn with_reason(status: Status, message_bytes_limit: usize) -> Status {
    if status.code() == Code::OutOfRange && status.details().is_empty() {
        let message = format!("message: {}", status.message());
        let failure = Failure {
            field: Some("message"),
            ..Failure::new(Reason::TooLarge, message)
        };
        return failure.with("limit", message_bytes_limit).into();
    }
    status
}

/// A lane position for messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LaneSeq(pub(crate) squad_primitives::OperatorId, pub(crate) BatchSeq);

impl Display for LaneSeq {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of lane {}", self.1, self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squad_primitives::{Digest, RollupId};

    #[test]
    fn a_status_carries_reason_facts_field_and_delay() {
        let failure = Failure::too_large("wait_ms", 10_001, 10_000);
        let status = Status::from(failure.clone());
        assert_eq!(status.code(), Code::InvalidArgument);
        let info = status.get_details_error_info().unwrap();
        assert_eq!((&*info.reason, &*info.domain), ("TOO_LARGE", "squad.v1"));
        assert_eq!(info.metadata["limit"], "10000");
        assert_eq!(info.metadata["found"], "10001");
        let violations = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!(violations[0].field, "wait_ms");
        assert!(status.get_details_retry_info().is_none());

        let error = v1::Error::from(failure);
        assert_eq!((error.code, &*error.reason), (3, "TOO_LARGE"));
        assert_eq!(error.metadata["limit"], "10000");
        assert_eq!(error.retry_after_ms, 0);
    }

    #[test]
    fn delays_are_clamped_and_spread() {
        for (asked, low, high) in [(0, 10, 12), (1_000, 800, 1_200), (60_000, 4_000, 5_000)] {
            let failure =
                Failure::new(Reason::QueueFull, "full").after(Duration::from_millis(asked));
            let mut seen = std::collections::BTreeSet::new();
            for _ in 0..200 {
                let told = failure.told_delay().unwrap().as_millis();
                assert!((low..=high).contains(&told), "{asked}: {told}");
                seen.insert(told);
            }
            assert!(seen.len() > 1, "{asked}: always {seen:?}");
        }
    }

    #[test]
    fn every_refusal_has_a_reason_of_the_public_list() {
        let refusals = [
            Refusal::TooLarge { bytes: 2, limit: 1 },
            Refusal::Sealed,
            Refusal::UnknownRollup(RollupId(7)),
            Refusal::Expired {
                expiry: Height(1),
                head: Height(2),
            },
            Refusal::ExpiryTooFar {
                expiry: Height(9),
                limit: Height(2),
            },
            Refusal::Duplicate(Digest::ZERO),
            Refusal::QueueFull {
                limit: squad_mempool::admission::QueueLimit::Bytes(1),
                retry_after: Duration::ZERO,
            },
            Refusal::LaneWindow,
            Refusal::Syncing,
            Refusal::NoQuorum,
            Refusal::ShuttingDown,
        ];
        for refusal in refusals {
            let failure = Failure::from(&refusal);
            assert_eq!(failure.reason.as_str(), refusal.reason());
            assert_eq!(
                failure.told_delay().is_some(),
                failure.reason.is_retryable(),
                "{refusal}"
            );
        }
    }
}
