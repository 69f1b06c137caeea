//! One operator's signature over the result of a block, as it travels between operators.

use crate::{MachCommittee, RawSignature, Statement, bls, result, wire};
use squad_primitives::codec::DecodeError;

const VERSION: u8 = 1;

/// Encoded length: version ‖ statement ‖ member index u16 ‖ signature.
pub const ATTESTATION_BYTES: usize = 1 + result::STATEMENT_BYTES + 2 + bls::SIGNATURE_BYTES;

/// An operator's claim to have computed a result. Carries the whole statement, so that two of them are
/// evidence by themselves. Unverified until [`Attestation::is_valid`] or the aggregator says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attestation {
    /// What is attested.
    pub statement: Statement,
    /// Index of the signer in the committee of the statement's epoch.
    pub member: u16,
    /// The signature, not decoded yet.
    pub signature: RawSignature,
}

impl Attestation {
    /// The encoding.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(ATTESTATION_BYTES);
        out.push(VERSION);
        self.statement.encode(&mut out);
        out.extend_from_slice(&self.member.to_be_bytes());
        out.extend_from_slice(&self.signature.0);
        out
    }

    /// Reads an encoding; the signature is not looked at.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        wire::whole(bytes, |reader| {
            wire::version(reader, "attestation version", VERSION)?;
            Ok(Self {
                statement: Statement::decode(reader)?,
                member: wire::short(reader, "member")?,
                signature: RawSignature(reader.array("signature")?),
            })
        })
    }

    /// Whether the member of this committee really signed. Says nothing about network and epoch; the
    /// caller chose the committee by them.
    #[must_use]
    pub fn is_valid(&self, committee: &MachCommittee) -> bool {
        committee.at(self.member).is_some_and(|member| {
            self.signature
                .decode()
                .is_ok_and(|signature| member.key.verify(&self.statement.message(), &signature))
        })
    }
}
