//! Conversions between protobuf messages and the types of `squad-primitives`.
//!
//! Towards protobuf they cannot fail (`From<&T>`); from protobuf they check everything that a type's
//! canonical decoder checks: lengths, limits, known kinds, canonical order (`TryFrom<&M>`). What comes
//! out is well-formed but not verified: signatures and certificates are still claims.

mod batch;
mod block;
mod certificate;
mod order;
mod transaction;

use bytes::Bytes;
use squad_primitives::{Digest, Signature};

pub use block::{cut, cut_tips};
pub use transaction::{digests_packed, digests_unpacked};

/// A protobuf message that is not a legal value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct ConvertError {
    /// Field of the message, by its name in the `.proto` file.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A message that must be present is not.
    #[error("missing")]
    Missing,
    /// Wrong number of bytes.
    #[error("{found} bytes, must be {expected}")]
    Length {
        /// Length found.
        found: usize,
        /// Length of the type.
        expected: usize,
    },
    /// Packed values whose total is no multiple of their size.
    #[error("{found} bytes, must be a multiple of {unit}")]
    Ragged {
        /// Length found.
        found: usize,
        /// Length of one value.
        unit: usize,
    },
    /// More items than allowed.
    #[error("{found} items, the limit is {limit}")]
    TooMany {
        /// Number found.
        found: usize,
        /// Largest legal number.
        limit: usize,
    },
    /// A kind that is unspecified or unknown.
    #[error("unknown value {0}")]
    UnknownValue(i32),
    /// A value that contradicts another field, or not in canonical form.
    #[error("not in canonical form")]
    NotCanonical,
}

impl ConvertError {
    pub(crate) const fn new(field: &'static str, problem: Problem) -> Self {
        Self { field, problem }
    }

    pub(crate) const fn not_canonical(field: &'static str) -> Self {
        Self::new(field, Problem::NotCanonical)
    }
}

/// Conversion of a present sub-message.
pub(crate) fn required<'a, M, T>(
    field: &'static str,
    message: &'a Option<M>,
) -> Result<T, ConvertError>
where
    T: TryFrom<&'a M, Error = ConvertError>,
{
    match message {
        Some(message) => T::try_from(message),
        None => Err(ConvertError::new(field, Problem::Missing)),
    }
}

/// Conversion of a sub-message that may be absent.
pub(crate) fn optional<'a, M, T>(message: &'a Option<M>) -> Result<Option<T>, ConvertError>
where
    T: TryFrom<&'a M, Error = ConvertError>,
{
    message.as_ref().map(T::try_from).transpose()
}

/// Conversion of a list with at most `limit` items.
pub(crate) fn list<'a, M, T>(
    field: &'static str,
    limit: usize,
    messages: &'a [M],
) -> Result<Vec<T>, ConvertError>
where
    T: TryFrom<&'a M, Error = ConvertError>,
{
    at_most(field, limit, messages.len())?;
    messages.iter().map(T::try_from).collect()
}

pub(crate) const fn at_most(
    field: &'static str,
    limit: usize,
    found: usize,
) -> Result<(), ConvertError> {
    if found > limit {
        return Err(ConvertError::new(field, Problem::TooMany { found, limit }));
    }
    Ok(())
}

/// Reads exactly `N` bytes.
pub(crate) fn array<const N: usize>(
    field: &'static str,
    bytes: &[u8],
) -> Result<[u8; N], ConvertError> {
    bytes.try_into().map_err(|_| {
        let problem = Problem::Length {
            found: bytes.len(),
            expected: N,
        };
        ConvertError::new(field, problem)
    })
}

/// Reads at most `limit` values of `N` bytes each.
pub(crate) fn packed<const N: usize>(
    field: &'static str,
    limit: usize,
    bytes: &[u8],
) -> Result<impl Iterator<Item = [u8; N]>, ConvertError> {
    let (values, rest) = bytes.as_chunks::<N>();
    if !rest.is_empty() {
        let problem = Problem::Ragged {
            found: bytes.len(),
            unit: N,
        };
        return Err(ConvertError::new(field, problem));
    }
    at_most(field, limit, values.len())?;
    Ok(values.iter().copied())
}

pub(crate) fn digest(field: &'static str, bytes: &[u8]) -> Result<Digest, ConvertError> {
    array(field, bytes).map(Digest)
}

pub(crate) fn signature(field: &'static str, bytes: &[u8]) -> Result<Signature, ConvertError> {
    array(field, bytes).map(Signature)
}

pub(crate) fn digest_bytes(digest: &Digest) -> Bytes {
    Bytes::copy_from_slice(&digest.0)
}

pub(crate) fn signature_bytes(signature: &Signature) -> Bytes {
    Bytes::copy_from_slice(&signature.0)
}

pub(crate) fn signatures_packed(signatures: &[Signature]) -> Bytes {
    let mut bytes = Vec::with_capacity(signatures.len() * 64);
    for signature in signatures {
        bytes.extend_from_slice(&signature.0);
    }
    bytes.into()
}
