//! The canonical encoding: fixed-width little-endian integers, `u32` length prefixes, fields in
//! declaration order, a byte 0 or 1 before an optional field.
//!
//! A value has exactly one encoding, and [`decode`] refuses trailing bytes, so decoding and encoding
//! again gives the same bytes. Decoders check a claimed length against the bytes that are left before
//! they reserve memory.

use bytes::Bytes;

/// Bytes that are not the canonical encoding of the expected type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The input ended inside `field`.
    #[error("{field}: input ends early")]
    Truncated {
        /// What was being read.
        field: &'static str,
    },
    /// A length above the field's limit.
    #[error("{field}: length {length} is above the limit of {limit}")]
    TooLong {
        /// What was being read.
        field: &'static str,
        /// Claimed length.
        length: u64,
        /// Largest legal length.
        limit: u64,
    },
    /// A value outside the field's range, or not in canonical form.
    #[error("{field}: illegal value")]
    Illegal {
        /// What was being read.
        field: &'static str,
    },
    /// Bytes left over after the value.
    #[error("{extra} bytes follow the value")]
    Trailing {
        /// Number of bytes left.
        extra: usize,
    },
}

/// Types with a canonical encoding.
pub trait Encode {
    /// Appends the encoding to `out`.
    fn encode(&self, out: &mut Vec<u8>);

    /// The encoding as a fresh vector.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }
}

/// Types that can be read back from their canonical encoding.
pub trait Decode: Sized {
    /// Reads one value.
    ///
    /// # Errors
    /// [`DecodeError`] names the field that could not be read.
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

/// Decodes a value that must fill `bytes` exactly.
///
/// # Errors
/// Those of `T`, and [`DecodeError::Trailing`].
pub fn decode<T: Decode>(bytes: &[u8]) -> Result<T, DecodeError> {
    let mut reader = Reader::new(bytes);
    let value = T::decode(&mut reader)?;
    match reader.remaining() {
        0 => Ok(value),
        extra => Err(DecodeError::Trailing { extra }),
    }
}

/// A cursor over input bytes.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Bytes not yet read.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// Takes `length` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if fewer are left.
    pub fn take(&mut self, field: &'static str, length: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self
            .bytes
            .split_at_checked(length)
            .ok_or(DecodeError::Truncated { field })?;
        self.bytes = rest;
        Ok(head)
    }

    /// Takes exactly `N` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if fewer are left.
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        self.take(field, N)?
            .try_into()
            .map_err(|_| DecodeError::Truncated { field })
    }

    /// Reads a `u32` length prefix that must not exceed `limit`, and leaves the content unread.
    ///
    /// # Errors
    /// [`DecodeError::TooLong`] above `limit`, [`DecodeError::Truncated`] if the prefix is cut.
    pub fn length(&mut self, field: &'static str, limit: usize) -> Result<usize, DecodeError> {
        let length = u32::from_le_bytes(self.array(field)?);
        match usize::try_from(length) {
            Ok(value) if value <= limit => Ok(value),
            _ => Err(DecodeError::TooLong {
                field,
                length: u64::from(length),
                limit: limit as u64,
            }),
        }
    }

    /// Reads a length-prefixed list of at most `limit` items. Whatever length is claimed, no more memory
    /// is reserved than twice the input that is left: items take less than twice their encoding.
    ///
    /// # Errors
    /// Those of [`Reader::length`] and of `T`.
    pub fn list<T: Decode>(
        &mut self,
        field: &'static str,
        limit: usize,
    ) -> Result<Vec<T>, DecodeError> {
        let length = self.length(field, limit)?;
        let fitting = self.remaining().saturating_mul(2) / size_of::<T>().max(1);
        let mut items = Vec::with_capacity(length.min(fitting));
        for _ in 0..length {
            items.push(T::decode(self)?);
        }
        Ok(items)
    }
}

/// Appends a list with its `u32` length prefix.
pub fn encode_list<T: Encode>(items: &[T], out: &mut Vec<u8>) {
    encode_length(items.len(), out);
    for item in items {
        item.encode(out);
    }
}

/// Appends a `u32` length prefix. Every list in Squad is limited far below 2^32 items; longer ones
/// saturate, which no decoder accepts.
pub fn encode_length(length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}

macro_rules! integers {
    ($($inner:ty),*) => {$(
        impl Encode for $inner {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
        impl Decode for $inner {
            fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(Self::from_le_bytes(reader.array(stringify!($inner))?))
            }
        }
    )*};
}
integers!(u8, u16, u32, u64);

macro_rules! newtypes {
    ($($name:ident),*) => {$(
        impl Encode for crate::$name {
            fn encode(&self, out: &mut Vec<u8>) {
                self.0.encode(out);
            }
        }
        impl Decode for crate::$name {
            fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(Self(Decode::decode(reader)?))
            }
        }
    )*};
}
newtypes!(Height, View, Epoch, Stake, OperatorId, RollupId, BatchSeq);

impl Encode for crate::ViewId {
    fn encode(&self, out: &mut Vec<u8>) {
        self.epoch.encode(out);
        self.view.encode(out);
    }
}

impl Decode for crate::ViewId {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch: Decode::decode(reader)?,
            view: Decode::decode(reader)?,
        })
    }
}

impl Encode for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

impl Decode for bool {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::decode(reader)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Illegal { field: "bool" }),
        }
    }
}

impl<T: Encode> Encode for Option<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.is_some().encode(out);
        if let Some(value) = self {
            value.encode(out);
        }
    }
}

impl<T: Decode> Decode for Option<T> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match bool::decode(reader)? {
            true => Some(T::decode(reader)?),
            false => None,
        })
    }
}

impl Encode for str {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_length(self.len(), out);
        out.extend_from_slice(self.as_bytes());
    }
}

impl Encode for Bytes {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_length(self.len(), out);
        out.extend_from_slice(self);
    }
}

impl<T: Encode + ?Sized> Encode for &T {
    fn encode(&self, out: &mut Vec<u8>) {
        (**self).encode(out);
    }
}

/// Implements [`Encode`] and [`Decode`] for a struct whose fields all have them, in the order given.
#[macro_export]
macro_rules! canonical {
    ($name:ty { $($field:ident),* $(,)? }) => {
        impl $crate::codec::Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                $($crate::codec::Encode::encode(&self.$field, out);)*
            }
        }
        impl $crate::codec::Decode for $name {
            fn decode(
                reader: &mut $crate::codec::Reader<'_>,
            ) -> Result<Self, $crate::codec::DecodeError> {
                Ok(Self { $($field: $crate::codec::Decode::decode(reader)?,)* })
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digest, Height};

    #[test]
    fn trailing_and_truncated_input_is_refused() {
        let bytes = Height(7).to_bytes();
        assert_eq!(decode::<Height>(&bytes), Ok(Height(7)));
        assert_eq!(
            decode::<Height>(&bytes[..7]),
            Err(DecodeError::Truncated { field: "u64" })
        );
        let mut longer = bytes;
        longer.push(0);
        assert_eq!(
            decode::<Height>(&longer),
            Err(DecodeError::Trailing { extra: 1 })
        );
    }

    #[test]
    fn a_claimed_length_reserves_only_what_the_input_can_hold() {
        let mut reader = Reader::new(&[0xff, 0xff, 0xff, 0x00]);
        let result = reader.list::<Digest>("digests", usize::MAX);
        assert_eq!(result, Err(DecodeError::Truncated { field: "digest" }));
    }

    #[test]
    fn lengths_above_the_limit_name_field_and_limit() {
        let mut reader = Reader::new(&[9, 0, 0, 0]);
        assert_eq!(
            reader.length("tips", 8),
            Err(DecodeError::TooLong {
                field: "tips",
                length: 9,
                limit: 8
            })
        );
    }
}
