//! Fixed-width big-endian fields, read with the bounds-checked reader of the canonical encoding.

use squad_primitives::Digest;
use squad_primitives::codec::{DecodeError, Reader};

pub(crate) fn byte(reader: &mut Reader<'_>, field: &'static str) -> Result<u8, DecodeError> {
    reader.array::<1>(field).map(|[byte]| byte)
}

pub(crate) fn short(reader: &mut Reader<'_>, field: &'static str) -> Result<u16, DecodeError> {
    reader.array(field).map(u16::from_be_bytes)
}

pub(crate) fn word(reader: &mut Reader<'_>, field: &'static str) -> Result<u32, DecodeError> {
    reader.array(field).map(u32::from_be_bytes)
}

pub(crate) fn long(reader: &mut Reader<'_>, field: &'static str) -> Result<u64, DecodeError> {
    reader.array(field).map(u64::from_be_bytes)
}

pub(crate) fn digest(reader: &mut Reader<'_>, field: &'static str) -> Result<Digest, DecodeError> {
    reader.array(field).map(Digest)
}

/// A format version; `known` is the only one.
pub(crate) fn version(
    reader: &mut Reader<'_>,
    field: &'static str,
    known: u8,
) -> Result<(), DecodeError> {
    if byte(reader, field)? == known {
        Ok(())
    } else {
        Err(DecodeError::Illegal { field })
    }
}

/// Reads a value that must fill `bytes`.
pub(crate) fn whole<T>(
    bytes: &[u8],
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let mut reader = Reader::new(bytes);
    let value = read(&mut reader)?;
    match reader.remaining() {
        0 => Ok(value),
        extra => Err(DecodeError::Trailing { extra }),
    }
}

/// Reads a count of at most `limit` that stands before items of at least `item_bytes` each. A count
/// that the rest of the input can't hold is refused before anything is reserved.
pub(crate) fn count(
    reader: &mut Reader<'_>,
    field: &'static str,
    limit: usize,
    item_bytes: usize,
) -> Result<usize, DecodeError> {
    let count = usize::from(short(reader, field)?);
    if count > limit {
        return Err(DecodeError::TooLong {
            field,
            length: count as u64,
            limit: limit as u64,
        });
    }
    if count.saturating_mul(item_bytes) > reader.remaining() {
        return Err(DecodeError::Truncated { field });
    }
    Ok(count)
}

/// Writes a count that the caller has bounded by a limit below 2^16.
pub(crate) fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
}
