//! Bad conduct of one peer: the third offence within ten minutes closes the link for ten minutes.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Offences older than this are forgiven.
const WINDOW: Duration = Duration::from_secs(600);
/// How long a link stays closed.
const BAN: Duration = Duration::from_secs(600);
/// Offences within [`WINDOW`] that close the link.
const OFFENCES_MAX: usize = 3;

/// What a peer did. Only what it must have done on purpose, or by a bug of its own: nothing that a
/// slow or lossy network can cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Offence {
    /// A signature that doesn't verify.
    BadSignature,
    /// A frame that doesn't decode.
    Undecodable,
    /// A message that decodes and breaks the rules.
    Illegal,
    /// A promise to have something, then no answer.
    Unanswered,
}

impl Offence {
    /// Label in metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadSignature => "bad_signature",
            Self::Undecodable => "undecodable",
            Self::Illegal => "illegal",
            Self::Unanswered => "unanswered",
        }
    }
}

/// Record of one peer.
#[derive(Debug, Default)]
pub(crate) struct Record {
    recent: VecDeque<Instant>,
    banned_until: Option<Instant>,
}

impl Record {
    /// Notes an offence. Returns whether it closes the link.
    pub(crate) fn note(&mut self, now: Instant) -> bool {
        while self
            .recent
            .front()
            .is_some_and(|at| now.saturating_duration_since(*at) >= WINDOW)
        {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        if self.recent.len() < OFFENCES_MAX {
            return false;
        }
        self.recent.clear();
        self.banned_until = Some(now + BAN);
        true
    }

    /// Time until the peer may connect again; `None` if it may now.
    pub(crate) fn ban_left(&self, now: Instant) -> Option<Duration> {
        let left = self.banned_until?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_offence_in_ten_minutes_bans_for_ten_minutes() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut record = Record::default();
        assert!(!record.note(at(0)));
        assert!(!record.note(at(300)));
        assert!(record.note(at(599)));
        assert!(record.ban_left(at(599 + 599)).is_some());
        assert!(record.ban_left(at(599 + 600)).is_none());
    }

    #[test]
    fn old_offences_are_forgiven() {
        let start = Instant::now();
        let mut record = Record::default();
        for minute in [0, 6, 12, 18, 24] {
            assert!(!record.note(start + Duration::from_secs(minute * 60)));
        }
        assert_eq!(record.ban_left(start), None);
    }
}
