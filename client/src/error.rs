//! What an operator's refusal means: status code, stable reason, and how long to wait.

use squad_proto::v1;
use std::error::Error;
use std::time::Duration;
use tonic::Code;
use tonic_types::StatusExt;

/// Longest wait that a server may ask for; a larger figure is cut to it.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);

/// A call, stream or single transaction that an operator did not answer with "yes", or a connection that
/// broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code:?} {reason}: {message}")]
pub struct Refusal {
    /// gRPC status code.
    pub code: Code,
    /// Stable name such as `QUEUE_FULL`; empty if the server gave none, as for a lost connection.
    pub reason: String,
    /// One sentence for people.
    pub message: String,
    /// How long to wait before trying again, if waiting helps.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// An operator that stays silent, or whose answer makes no sense.
    pub(crate) fn no_answer() -> Self {
        Self::unexplained(Code::DeadlineExceeded, "the operator did not answer")
    }

    /// A stream that ended without a reason.
    pub(crate) fn closed() -> Self {
        Self::unexplained(Code::Unavailable, "the stream was closed")
    }

    fn unexplained(code: Code, message: &str) -> Self {
        Self {
            code,
            reason: String::new(),
            message: message.into(),
            retry_after: None,
        }
    }

    /// Whether the same request may succeed later or at another operator.
    ///
    /// Resubmitting is harmless: a transaction's id is ordered once. So lost connections, overload and
    /// deadlines are worth another try; a verdict about the transaction itself is not.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.retry_after.is_some()
            || self.reason == "NOT_A_COMMITTEE_MEMBER"
            || matches!(
                self.code,
                Code::Unavailable
                    | Code::ResourceExhausted
                    | Code::DeadlineExceeded
                    | Code::Aborted
                    | Code::Cancelled
                    | Code::Unknown
                    | Code::Internal
            )
    }

    /// A short name for counting: the reason, or the status code where there is none.
    #[must_use]
    pub fn label(&self) -> String {
        match self.reason.is_empty() {
            true => format!("{:?}", self.code),
            false => self.reason.clone(),
        }
    }
}

/// An error with its causes: transport errors tell what happened in their source only.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

impl From<tonic::Status> for Refusal {
    fn from(status: tonic::Status) -> Self {
        let delay = status
            .get_details_retry_info()
            .and_then(|info| info.retry_delay);
        // Servers send a message; what has a source happened here, before any server spoke.
        let here = status.source();
        Self {
            // Bytes that are no HTTP/2 are `Internal` if they were read before the connection was seen
            // to be closed, else `Unknown`: one server must not get several verdicts by chance.
            code: match status.code() {
                Code::Internal | Code::Unknown if here.is_some() => Code::Unavailable,
                code => code,
            },
            reason: status
                .get_details_error_info()
                .map_or_else(String::new, |info| info.reason),
            message: here.map_or_else(|| status.message().to_owned(), with_causes),
            retry_after: delay.map(|delay| delay.min(RETRY_AFTER_MAX)),
        }
    }
}

impl From<v1::Error> for Refusal {
    fn from(error: v1::Error) -> Self {
        let delay = Duration::from_millis(error.retry_after_ms).min(RETRY_AFTER_MAX);
        Self {
            code: i32::try_from(error.code).map_or(Code::Unknown, Code::from_i32),
            reason: error.reason,
            message: error.message,
            retry_after: (!delay.is_zero()).then_some(delay),
        }
    }
}
