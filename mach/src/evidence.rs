//! Proofs that operators contradicted themselves or the quorum, checkable by anybody who has the
//! committee of the epoch.

use crate::attestation::ATTESTATION_BYTES;
use crate::{Attestation, Certificate, CertificateError, MachCommittee, wire};
use squad_primitives::codec::{DecodeError, Reader};
use squad_primitives::{NetworkId, OperatorId};

const VERSION: u8 = 1;

/// What honest operators never make.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Evidence {
    /// Two attestations of one member for one height with different statements.
    DoubleAttestation(Box<[Attestation; 2]>),
    /// Two certificates for one height with different statements. Whoever is in both bitmaps is
    /// guilty: more than a third of stake.
    ConflictingCertificates(Box<[Certificate; 2]>),
    /// An attestation that a certificate for the same height contradicts.
    Contradicted(Box<(Attestation, Certificate)>),
}

/// Why evidence is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// Bytes that are no evidence.
    #[error("evidence: {0}")]
    Decode(#[from] DecodeError),
    /// Of another network, or of an epoch that isn't the committee's.
    #[error("evidence: of another network or epoch than the committee")]
    Elsewhere,
    /// The two messages are about different heights or by different members.
    #[error("evidence: the messages are about different heights or by different members")]
    Unrelated,
    /// The two messages say the same.
    #[error("evidence: the messages say the same")]
    Equal,
    /// An attestation that the member did not sign.
    #[error("evidence: an attestation does not verify")]
    Attestation,
    /// A certificate that does not hold.
    #[error("evidence: {0}")]
    Certificate(#[from] CertificateError),
}

impl Evidence {
    /// Checks the evidence and names the guilty.
    ///
    /// # Errors
    /// See [`EvidenceError`].
    pub fn verify(
        &self,
        network: &NetworkId,
        committee: &MachCommittee,
    ) -> Result<Vec<OperatorId>, EvidenceError> {
        let (first, second) = self.statements();
        if first.network != *network || first.epoch != committee.epoch() {
            return Err(EvidenceError::Elsewhere);
        }
        if !first.same_height(second) {
            return Err(EvidenceError::Unrelated);
        }
        if first == second {
            return Err(EvidenceError::Equal);
        }
        let guilty: Vec<u16> = match self {
            Self::DoubleAttestation(pair) => {
                let [a, b] = pair.as_ref();
                if a.member != b.member {
                    return Err(EvidenceError::Unrelated);
                }
                if !a.is_valid(committee) || !b.is_valid(committee) {
                    return Err(EvidenceError::Attestation);
                }
                vec![a.member]
            }
            Self::ConflictingCertificates(pair) => {
                let [a, b] = pair.as_ref();
                a.verify(network, committee)?;
                b.verify(network, committee)?;
                a.signers
                    .iter()
                    .filter(|i| b.signers.contains(*i))
                    .collect()
            }
            Self::Contradicted(pair) => {
                let (attestation, certificate) = pair.as_ref();
                if !attestation.is_valid(committee) {
                    return Err(EvidenceError::Attestation);
                }
                certificate.verify(network, committee)?;
                vec![attestation.member]
            }
        };
        Ok(guilty
            .into_iter()
            .filter_map(|member| Some(committee.at(member)?.operator))
            .collect())
    }

    const fn statements(&self) -> (&crate::Statement, &crate::Statement) {
        match self {
            Self::DoubleAttestation(pair) => {
                let [a, b] = &**pair;
                (&a.statement, &b.statement)
            }
            Self::ConflictingCertificates(pair) => {
                let [a, b] = &**pair;
                (&a.statement, &b.statement)
            }
            Self::Contradicted(pair) => (&pair.0.statement, &pair.1.statement),
        }
    }

    /// version ‖ kind ‖ the two messages.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        match self {
            Self::DoubleAttestation(pair) => {
                out.push(1);
                for attestation in pair.iter() {
                    out.extend_from_slice(&attestation.to_bytes());
                }
            }
            Self::ConflictingCertificates(pair) => {
                out.push(2);
                for certificate in pair.iter() {
                    certificate.encode(&mut out);
                }
            }
            Self::Contradicted(pair) => {
                out.push(3);
                out.extend_from_slice(&pair.0.to_bytes());
                pair.1.encode(&mut out);
            }
        }
        out
    }

    /// Reads an encoding; nothing is verified.
    ///
    /// # Errors
    /// [`EvidenceError::Decode`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EvidenceError> {
        Ok(wire::whole(bytes, |reader| {
            wire::version(reader, "evidence version", VERSION)?;
            Ok(match wire::byte(reader, "evidence kind")? {
                1 => {
                    Self::DoubleAttestation(Box::new([attestation(reader)?, attestation(reader)?]))
                }
                2 => Self::ConflictingCertificates(Box::new([
                    Certificate::decode(reader)?,
                    Certificate::decode(reader)?,
                ])),
                3 => Self::Contradicted(Box::new((
                    attestation(reader)?,
                    Certificate::decode(reader)?,
                ))),
                _ => {
                    return Err(DecodeError::Illegal {
                        field: "evidence kind",
                    });
                }
            })
        })?)
    }
}

fn attestation(reader: &mut Reader<'_>) -> Result<Attestation, DecodeError> {
    Attestation::from_bytes(reader.take("attestation", ATTESTATION_BYTES)?)
}
