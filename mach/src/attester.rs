//! Which heights an operator attests, and when the signature may leave.
//!
//! A certificate covers the blocks below it, so not every height needs one. All operators must pick the
//! same heights though, or no quorum forms. Two rules, both from data that all share:
//!
//! 1. **Under load**: time is cut into `per_second_max` slots per second of block timestamps; the first
//!    block in a slot is attested. All operators that use the same number pick the same blocks.
//! 2. **When it gets quiet**: if no block was executed for `idle_flush`, the last one is attested, for it is
//!    the last one everywhere. So the tail of a burst doesn't wait for the next block.
//!
//! A local limit of half a slot between two attestations keeps an operator that catches up from signing
//! thousands of old blocks. While a record is being synced the newest candidate waits; older ones are
//! covered by it. An attestation without a certificate is repeated every `repeat`, since links lose
//! messages when they reconnect.
//!
//! An operator that learns that a quorum certified another result calls [`Attester::halt`] and signs
//! nothing more until it is built anew.

use crate::guard::Prepared;
use crate::{Permit, Refusal, SignGuard, Statement};
use squad_primitives::{Duration, Height, Time};

/// Settings of [`Attester`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttesterConfig {
    /// Most certificates per second; at least 1. Must be equal on all operators. Default 10.
    pub per_second_max: u32,
    /// Silence after which the last block is attested. Default 20 ms.
    pub idle_flush: Duration,
    /// Time after which an attestation without a certificate is sent again. Default 500 ms.
    pub repeat: Duration,
}

impl Default for AttesterConfig {
    fn default() -> Self {
        Self {
            per_second_max: 10,
            idle_flush: Duration::from_millis(20),
            repeat: Duration::from_millis(500),
        }
    }
}

/// What happens to an attester.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// This operator executed a block and knows its result. Heights rise.
    Executed {
        /// What it would attest.
        statement: Statement,
        /// Its index in the committee of the epoch; `None` if it isn't a member.
        member: Option<u16>,
        /// Timestamp of the block, in milliseconds.
        timestamp_ms: u64,
    },
    /// The record with this ticket is synced.
    Durable {
        /// From [`Output::Persist`].
        ticket: u64,
    },
    /// A verified certificate for this height is known.
    Certified(Height),
    /// An attestation of this operator's own key for this height came from elsewhere.
    HeardOwn(Height),
}

/// What the shell has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Write the record with a sync over the one before, then give [`Input::Durable`].
    Persist {
        /// Names the write.
        ticket: u64,
        /// Bytes for [`SignGuard::restore`].
        record: Vec<u8>,
    },
    /// Sign, give the attestation to the own aggregator, and send it to all members.
    Attest(Permit),
    /// Sign again what was attested, and send it to all members.
    Repeat(Permit),
    /// Not signed. [`Refusal::Contradiction`] is an alarm.
    Refused(Refusal),
}

/// See the module head.
#[derive(Debug)]
pub struct Attester {
    config: AttesterConfig,
    guard: SignGuard,
    halted: bool,
    slot: Option<u64>,
    /// Last executed block that waits for silence, or for the record before it.
    waiting: Option<(u16, Statement)>,
    flush_at: Option<Time>,
    not_before: Time,
    certified: Height,
    uncertified: Option<(Permit, Time)>,
}

impl Attester {
    /// An attester with a restored guard.
    #[must_use]
    pub fn new(config: AttesterConfig, guard: SignGuard) -> Self {
        Self {
            config,
            guard,
            halted: false,
            slot: None,
            waiting: None,
            flush_at: None,
            not_before: Time::ZERO,
            certified: Height::ZERO,
            uncertified: None,
        }
    }

    /// Stops attesting for good: a quorum certified another result than this operator's.
    pub fn halt(&mut self) {
        self.halted = true;
        self.waiting = None;
        self.flush_at = None;
        self.uncertified = None;
    }

    /// Whether [`Attester::halt`] was called.
    #[must_use]
    pub const fn is_halted(&self) -> bool {
        self.halted
    }

    /// When [`Attester::handle_timeout`] wants to be called.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let repeat = self.uncertified.as_ref().map(|(_, at)| *at);
        [self.flush_at, repeat].into_iter().flatten().min()
    }

    /// Takes one input.
    pub fn step(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Executed {
                statement,
                member,
                timestamp_ms,
            } => self.on_executed(now, statement, member, timestamp_ms, out),
            Input::Durable { ticket } => self.on_durable(now, ticket, out),
            Input::Certified(height) => self.on_certified(height),
            Input::HeardOwn(height) => {
                if self.guard.last().is_none_or(|last| last.height < height) {
                    self.guard.raise_floor(height);
                }
            }
        }
    }

    /// Acts on deadlines that have passed.
    pub fn handle_timeout(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.flush_at.is_some_and(|at| at <= now) {
            self.flush_at = None;
            self.attest_waiting(now, out);
        }
        if let Some((permit, at)) = &mut self.uncertified
            && *at <= now
        {
            *at = now.after(self.config.repeat);
            out.push(Output::Repeat(*permit));
        }
    }

    fn on_executed(
        &mut self,
        now: Time,
        statement: Statement,
        member: Option<u16>,
        timestamp_ms: u64,
        out: &mut Vec<Output>,
    ) {
        let per_second = u64::from(self.config.per_second_max.max(1));
        let slot = timestamp_ms.saturating_mul(per_second) / 1_000;
        let first_in_slot = self.slot.is_some_and(|before| before != slot);
        self.slot = Some(slot);
        if self.halted || statement.height <= self.certified {
            return;
        }
        self.waiting = member.map(|member| (member, statement));
        self.flush_at = self
            .waiting
            .map(|_| now.after(self.config.idle_flush).max(self.not_before));
        if first_in_slot && now >= self.not_before {
            self.attest_waiting(now, out);
        }
    }

    /// Attests the waiting block, unless a record is in flight: then its end does it.
    fn attest_waiting(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.guard.is_busy() {
            return;
        }
        let Some((member, statement)) = self.waiting.take() else {
            return;
        };
        self.flush_at = None;
        let slot = Duration::from_secs(1) / self.config.per_second_max.max(1);
        self.not_before = now.after(slot / 2);
        match self.guard.prepare(member, statement) {
            Ok(Prepared::Record { ticket, record }) => out.push(Output::Persist { ticket, record }),
            Ok(Prepared::Ready(permit)) => self.attest(now, permit, out),
            Err(refusal) => out.push(Output::Refused(refusal)),
        }
    }

    fn on_durable(&mut self, now: Time, ticket: u64, out: &mut Vec<Output>) {
        let Some(permit) = self.guard.durable(ticket) else {
            return;
        };
        if !self.halted {
            self.attest(now, permit, out);
        }
        // A block may have had its turn while the record was in flight.
        if self.waiting.is_some() && self.flush_at.is_none() {
            self.flush_at = Some(self.not_before.max(now));
        }
    }

    fn attest(&mut self, now: Time, permit: Permit, out: &mut Vec<Output>) {
        if permit.statement().height > self.certified {
            self.uncertified = Some((permit, now.after(self.config.repeat)));
        }
        out.push(Output::Attest(permit));
    }

    fn on_certified(&mut self, height: Height) {
        self.certified = self.certified.max(height);
        self.guard.raise_floor(self.certified);
        let covered = |statement: &Statement| statement.height <= self.certified;
        if self.waiting.as_ref().is_some_and(|(_, s)| covered(s)) {
            self.waiting = None;
            self.flush_at = None;
        }
        if self
            .uncertified
            .as_ref()
            .is_some_and(|(permit, _)| covered(permit.statement()))
        {
            self.uncertified = None;
        }
    }
}
