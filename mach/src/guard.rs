//! The sign-once guard: at most one statement per height and key, for ever.
//!
//! A signature leaves in three steps, and types make the order binding:
//!
//! ```text
//! prepare(statement) ─▶ Record, to be synced ─▶ durable(ticket) ─▶ Permit ─▶ BlsSecretKey::attest
//! ```
//!
//! 1. Heights only rise. The record is one watermark, the last statement of this key; what lies at or below
//!    it is refused unless it is that very statement, which may be signed again (BLS signatures are
//!    deterministic, so nothing new leaves).
//! 2. Nothing is signed at or below the **floor**: the highest height for which a certificate, or an
//!    attestation of this very key from somewhere else, is known. So a node whose records were restored
//!    from an old backup signs nothing that it may have signed before, once it has heard from others.
//! 3. A record that was prepared counts from then on, durable or not. Only a restart forgets it, and
//!    then no signature has left.

use crate::{BlsPublicKey, Statement, bls, result, wire};
use squad_primitives::Height;
use squad_primitives::codec::DecodeError;

const VERSION: u8 = 1;

/// Length of the durable record: version ‖ public key ‖ statement.
pub const RECORD_BYTES: usize = 1 + bls::PUBLIC_KEY_BYTES + result::STATEMENT_BYTES;

/// Why a record can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GuardError {
    /// Damaged bytes. The node must not sign until an operator has looked.
    #[error("sign-once record: {0}")]
    Decode(#[from] DecodeError),
    /// The record belongs to another key.
    #[error("sign-once record: of another key")]
    OtherKey,
}

/// Why a statement is not signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Another statement for this height was signed or prepared: the result changed between two
    /// executions. An alarm.
    #[error("height {0}: another result was signed before")]
    Contradiction(Height),
    /// A higher height was signed already.
    #[error("height {height}: height {signed} was signed already")]
    Below {
        /// Refused height.
        height: Height,
        /// Highest signed height.
        signed: Height,
    },
    /// At or below the floor.
    #[error("height {height}: not above the floor at {floor}")]
    Floor {
        /// Refused height.
        height: Height,
        /// The floor.
        floor: Height,
    },
    /// The record before is not durable yet.
    #[error("height {0}: the record before is not durable yet")]
    InFlight(Height),
}

/// The right to sign one statement. Only [`SignGuard`] makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    statement: Statement,
    member: u16,
}

impl Permit {
    /// What may be signed.
    #[must_use]
    pub const fn statement(&self) -> &Statement {
        &self.statement
    }

    /// Index of the signer in the committee.
    #[must_use]
    pub const fn member(&self) -> u16 {
        self.member
    }
}

/// Answer to [`SignGuard::prepare`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prepared {
    /// Write this record with a sync, over the one before; then call [`SignGuard::durable`].
    Record {
        /// Names the write.
        ticket: u64,
        /// Bytes for [`SignGuard::restore`].
        record: Vec<u8>,
    },
    /// The durable record says just this; sign.
    Ready(Permit),
}

/// See the module head.
#[derive(Debug)]
pub struct SignGuard {
    key: [u8; bls::PUBLIC_KEY_BYTES],
    durable: Option<Statement>,
    in_flight: Option<(u64, Permit)>,
    next_ticket: u64,
    floor: Height,
}

impl SignGuard {
    /// A guard for a key, from its last durable record; `None` if it never signed.
    ///
    /// # Errors
    /// See [`GuardError`].
    pub fn restore(key: &BlsPublicKey, record: Option<&[u8]>) -> Result<Self, GuardError> {
        let key = key.to_bytes();
        let durable = match record {
            None => None,
            Some(bytes) => {
                let (owner, statement) = Self::read(bytes)?;
                if owner != key {
                    return Err(GuardError::OtherKey);
                }
                Some(statement)
            }
        };
        Ok(Self {
            key,
            durable,
            in_flight: None,
            next_ticket: 1,
            floor: Height::ZERO,
        })
    }

    /// What a record says: whose key signed, and what.
    ///
    /// # Errors
    /// [`GuardError::Decode`].
    pub fn read(record: &[u8]) -> Result<([u8; bls::PUBLIC_KEY_BYTES], Statement), GuardError> {
        Ok(wire::whole(record, |reader| {
            wire::version(reader, "record version", VERSION)?;
            let owner: [u8; bls::PUBLIC_KEY_BYTES] = reader.array("record key")?;
            Ok((owner, Statement::decode(reader)?))
        })?)
    }

    /// The last statement whose record is durable.
    #[must_use]
    pub const fn last(&self) -> Option<&Statement> {
        self.durable.as_ref()
    }

    /// Whether a record is on its way to the disk.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Raises the floor; see rule 2 of the module head. Never lowers it.
    pub fn raise_floor(&mut self, height: Height) {
        self.floor = self.floor.max(height);
    }

    /// Asks to sign a statement as the member with this index.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn prepare(&mut self, member: u16, statement: Statement) -> Result<Prepared, Refusal> {
        let height = statement.height;
        let permit = Permit { statement, member };
        for seen in [
            self.in_flight.as_ref().map(|(_, permit)| &permit.statement),
            self.durable.as_ref(),
        ]
        .into_iter()
        .flatten()
        {
            if seen.height == height && *seen != statement {
                return Err(Refusal::Contradiction(height));
            }
            if seen.height > height {
                return Err(Refusal::Below {
                    height,
                    signed: seen.height,
                });
            }
        }
        if self.durable == Some(statement) {
            return Ok(Prepared::Ready(permit));
        }
        if self.in_flight.is_some() {
            return Err(Refusal::InFlight(height));
        }
        if height <= self.floor {
            return Err(Refusal::Floor {
                height,
                floor: self.floor,
            });
        }
        let ticket = self.next_ticket;
        self.next_ticket = ticket.saturating_add(1);
        self.in_flight = Some((ticket, permit));
        Ok(Prepared::Record {
            ticket,
            record: self.record(&statement),
        })
    }

    /// The write with this ticket is durable. `None` for a ticket that is not in flight.
    pub fn durable(&mut self, ticket: u64) -> Option<Permit> {
        let (_, permit) = self.in_flight.take_if(|(waiting, _)| *waiting == ticket)?;
        self.durable = Some(permit.statement);
        Some(permit)
    }

    fn record(&self, statement: &Statement) -> Vec<u8> {
        let mut record = Vec::with_capacity(RECORD_BYTES);
        record.push(VERSION);
        record.extend_from_slice(&self.key);
        statement.encode(&mut record);
        record
    }
}
