//! Exit codes and the error that carries one. This file is the whole list; `docs/operator-guide.md`
//! repeats it, and a test compares the two.

use crate::keys::KeyError;
use squad_primitives::genesis::{GenesisError, Problem};
use squad_storage::{OpenError, StorageError};
use std::fmt;

/// Why the command ends, as service managers and scripts see it. A panic aborts the process, which
/// shells show as 134.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Code {
    /// Anything without a code of its own.
    Other = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Configuration or genesis are invalid.
    Config = 3,
    /// A key is missing, unreadable, or open to others.
    Key = 4,
    /// Another process uses the home directory, or a port is taken.
    InUse = 5,
    /// The storage failed or is damaged.
    Storage = 6,
    /// The safety state is missing, lost records, or contradicts itself: starting could sign twice.
    Safety = 7,
    /// Network or genesis differ from what was expected.
    Network = 10,
    /// The node does not answer.
    Unreachable = 11,
    /// The network refused; the reason is printed.
    Refused = 12,
    /// The wait ended before what was waited for.
    TimedOut = 13,
    /// A certificate, proof or comparison does not hold.
    Verification = 14,
}

impl Code {
    /// Every code.
    pub const ALL: &[Self] = &[
        Self::Other,
        Self::Usage,
        Self::Config,
        Self::Key,
        Self::InUse,
        Self::Storage,
        Self::Safety,
        Self::Network,
        Self::Unreachable,
        Self::Refused,
        Self::TimedOut,
        Self::Verification,
    ];

    /// The code for a data directory that can't be used.
    pub(crate) const fn of_open(error: &OpenError) -> Self {
        match error {
            OpenError::Locked { .. } => Self::InUse,
            OpenError::Storage(StorageError::RecordsLost { .. }) => Self::Safety,
            _ => Self::Storage,
        }
    }

    /// The number that the process returns.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }
}

/// A failed command: what is printed, and the code to exit with.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Exit code.
    pub(crate) code: Code,
    /// The message, with its causes.
    pub(crate) error: anyhow::Error,
}

impl Failure {
    /// A failure with a message.
    pub(crate) fn new(code: Code, message: impl fmt::Display) -> Self {
        Self {
            code,
            error: anyhow::anyhow!("{message}"),
        }
    }

    /// Puts words before the message.
    #[must_use]
    pub(crate) fn context(mut self, context: impl fmt::Display + Send + Sync + 'static) -> Self {
        self.error = self.error.context(context);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

/// What commands return.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// Gives any error an exit code.
pub(crate) trait OrExit<T> {
    /// Turns the error into a [`Failure`] with this code.
    ///
    /// # Errors
    /// The failure, if there was an error.
    fn or_exit(self, code: Code) -> Outcome<T>;
}

impl<T, E: Into<anyhow::Error>> OrExit<T> for Result<T, E> {
    fn or_exit(self, code: Code) -> Outcome<T> {
        self.map_err(|error| Failure {
            code,
            error: error.into(),
        })
    }
}

/// All problems of a configuration or genesis, one per line.
#[must_use]
pub(crate) fn problems(what: &str, problems: &[Problem]) -> Failure {
    let lines: Vec<_> = problems
        .iter()
        .map(|problem| format!("\n  {problem}"))
        .collect();
    let count = match problems.len() {
        1 => "1 problem".to_owned(),
        count => format!("{count} problems"),
    };
    Failure::new(Code::Config, format!("{what}: {count}{}", lines.concat()))
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        Self {
            code: Code::Key,
            error: error.into(),
        }
    }
}

impl From<GenesisError> for Failure {
    fn from(error: GenesisError) -> Self {
        match error {
            GenesisError::Invalid(list) => problems("genesis", &list),
            error => Self {
                code: Code::Config,
                error: error.into(),
            },
        }
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self {
            code: Code::Storage,
            error: error.into(),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self {
            code: Code::of_open(&error),
            error: error.into(),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self {
            code: Code::Other,
            error,
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self {
            code: Code::Other,
            error: error.into(),
        }
    }
}
