//! Limits that hold before anything is decoded.
//!
//! prost appends to a list for every item that it meets, and an item may be as short as two bytes on
//! the wire while it takes hundreds in memory. So the wire form is walked first, without allocating:
//! every field that holds a message has a largest count and a least length of one item, chosen so that
//! what prost allocates stays a small multiple of the input. A singular message may occur once: prost
//! would merge several.
//!
//! Fields that hold numbers or bytes need no entry: a later one replaces the earlier.

/// A wire form that breaks a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitError {
    /// The bytes end inside a field, or a field's key is malformed.
    #[error("{message}: malformed protobuf")]
    Malformed {
        /// Message whose fields were walked.
        message: &'static str,
    },
    /// More items than the limit of the field.
    #[error("{field}: more than {limit} items")]
    TooMany {
        /// The field.
        field: &'static str,
        /// Largest legal number.
        limit: usize,
    },
    /// An item shorter than any legal one; many of them would cost more memory than they take on the
    /// wire.
    #[error("{field}: an item of {found} bytes, legal ones have at least {minimum}")]
    TooShort {
        /// The field.
        field: &'static str,
        /// Length found.
        found: usize,
        /// Least length of a legal item.
        minimum: usize,
    },
}

/// The fields of a message that hold messages.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) fields: &'static [Field],
}

/// One field that holds a message.
#[derive(Debug)]
pub(crate) struct Field {
    tag: u64,
    name: &'static str,
    items_max: usize,
    /// Least length of a legal item, without its key and length.
    bytes_min: usize,
    shape: &'static Shape,
}

/// A singular message.
pub(crate) const fn one(tag: u64, name: &'static str, shape: &'static Shape) -> Field {
    many(tag, name, shape, 1, 0)
}

/// A list of at most `items_max` messages of at least `bytes_min` bytes each.
pub(crate) const fn many(
    tag: u64,
    name: &'static str,
    shape: &'static Shape,
    items_max: usize,
    bytes_min: usize,
) -> Field {
    Field {
        tag,
        name,
        items_max,
        bytes_min,
        shape,
    }
}

/// A message without fields that hold messages.
pub(crate) static LEAF: Shape = Shape {
    name: "message",
    fields: &[],
};

/// Most fields that hold messages in one shape.
const FIELDS_MAX: usize = 16;

impl Shape {
    /// Walks the wire form of a message.
    pub(crate) fn check(&self, mut bytes: &[u8]) -> Result<(), LimitError> {
        let malformed = || LimitError::Malformed { message: self.name };
        let mut counts = [0_usize; FIELDS_MAX];
        while !bytes.is_empty() {
            let (tag, content) = next_field(&mut bytes).ok_or_else(malformed)?;
            let Some(content) = content else { continue };
            let known = self.fields.iter().zip(&mut counts);
            for (field, count) in known.filter(|(field, _)| field.tag == tag) {
                *count += 1;
                field.check(*count, content)?;
            }
        }
        Ok(())
    }
}

impl Field {
    fn check(&self, count: usize, content: &[u8]) -> Result<(), LimitError> {
        if count > self.items_max {
            return Err(LimitError::TooMany {
                field: self.name,
                limit: self.items_max,
            });
        }
        if content.len() < self.bytes_min {
            return Err(LimitError::TooShort {
                field: self.name,
                found: content.len(),
                minimum: self.bytes_min,
            });
        }
        self.shape.check(content)
    }
}

/// Takes one field; its content if it has a length. `None` if the bytes are malformed, or use groups,
/// which proto3 does not have.
fn next_field<'a>(bytes: &mut &'a [u8]) -> Option<(u64, Option<&'a [u8]>)> {
    let key = varint(bytes)?;
    let content = match key & 7 {
        0 => {
            varint(bytes)?;
            None
        }
        1 => {
            take(bytes, 8)?;
            None
        }
        2 => {
            let length = usize::try_from(varint(bytes)?).ok()?;
            Some(take(bytes, length)?)
        }
        5 => {
            take(bytes, 4)?;
            None
        }
        _ => return None,
    };
    Some((key >> 3, content))
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(head)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        // The tenth byte has room for one bit.
        if shift == 63 && *byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
