//! The certificate: one aggregate signature of more than two thirds of stake over a statement.
//!
//! ```text
//! version u8 ‖ network_id ‖ epoch u64 ‖ height u64 ‖ block_hash ‖ result_root
//!           ‖ committee size u16 ‖ bitmap ‖ signature 96                      219 bytes at n = 64
//! ```
//!
//! Valid exactly when the bitmap is as long as the committee of the epoch, the stake of its bits is
//! strictly above two thirds, and the signature verifies for the sum of their keys. Two certificates with
//! equal statements and different bitmaps mean the same. Honest operators sign in height order, so a
//! certificate covers the blocks below it too.

use crate::bls::{SIGNATURE_BYTES, Sum};
use crate::{KeyError, MachCommittee, RawSignature, Signers, Statement, wire};
use squad_primitives::codec::DecodeError;
use squad_primitives::{Epoch, NetworkId, Stake};

/// The only format version.
pub const VERSION: u8 = 1;

/// A certificate, not verified by existing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Certificate {
    /// What is certified.
    pub statement: Statement,
    /// Who signed.
    pub signers: Signers,
    /// Sum of their signatures.
    pub signature: RawSignature,
}

/// Why a certificate is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Bytes that are no certificate; a bitmap with bits outside the committee is one of the cases.
    #[error("certificate: {0}")]
    Decode(#[from] DecodeError),
    /// Made for another network.
    #[error("certificate: of another network")]
    Network,
    /// Of an epoch that the committee doesn't sign for.
    #[error("certificate: of epoch {found}, the committee signs for {expected}")]
    Epoch {
        /// Its epoch.
        found: Epoch,
        /// The committee's epoch.
        expected: Epoch,
    },
    /// The bitmap is longer or shorter than the committee.
    #[error("certificate: bitmap for {found} members, the committee has {expected}")]
    BitmapLength {
        /// Its length in bits.
        found: u16,
        /// Size of the committee.
        expected: u16,
    },
    /// Two thirds of stake or less.
    #[error("certificate: signed by {power} of {total} stake, must be above two thirds")]
    NoQuorum {
        /// Stake of the signers.
        power: Stake,
        /// Stake of the committee.
        total: Stake,
    },
    /// The signature is no point of the group.
    #[error("certificate: {0}")]
    Key(#[from] KeyError),
    /// The signature is not that of the signers over the statement.
    #[error("certificate: the signature does not verify")]
    Signature,
}

impl Certificate {
    /// The encoding.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        self.encode(&mut out);
        out
    }

    /// Reads an encoding; nothing is verified.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        wire::whole(bytes, Self::decode)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        self.statement.encode(out);
        self.signers.encode(out);
        out.extend_from_slice(&self.signature.0);
    }

    pub(crate) fn decode(
        reader: &mut squad_primitives::codec::Reader<'_>,
    ) -> Result<Self, DecodeError> {
        wire::version(reader, "certificate version", VERSION)?;
        Ok(Self {
            statement: Statement::decode(reader)?,
            signers: Signers::decode(reader)?,
            signature: RawSignature(reader.array::<SIGNATURE_BYTES>("signature")?),
        })
    }

    /// Verifies the certificate against the committee of its epoch. Cheap checks come first; the
    /// pairing costs about a millisecond.
    ///
    /// # Errors
    /// See [`CertificateError`]; each rule has its own.
    pub fn verify(
        &self,
        network: &NetworkId,
        committee: &MachCommittee,
    ) -> Result<(), CertificateError> {
        if self.statement.network != *network {
            return Err(CertificateError::Network);
        }
        if self.statement.epoch != committee.epoch() {
            return Err(CertificateError::Epoch {
                found: self.statement.epoch,
                expected: committee.epoch(),
            });
        }
        if self.signers.size() != committee.size() {
            return Err(CertificateError::BitmapLength {
                found: self.signers.size(),
                expected: committee.size(),
            });
        }
        let power = self.signers.power(committee);
        if !committee.is_quorum(power) {
            return Err(CertificateError::NoQuorum {
                power,
                total: committee.total(),
            });
        }
        let mut sum = Sum::of(&self.signature.decode()?);
        for member in self.signers.iter().filter_map(|index| committee.at(index)) {
            sum.add_key(&member.key);
        }
        if sum.verify(&self.statement.message()) {
            Ok(())
        } else {
            Err(CertificateError::Signature)
        }
    }
}
