//! Damage along the fields of a protobuf message: what is around the damaged place stays well-formed,
//! so the decoder gets that far.

use crate::bytes::{NUMBERS, damage, noise};
use crate::{Result, Unstructured};

/// One field as it stands in the wire form.
struct Field<'a> {
    key: u64,
    /// Key, length and content.
    whole: &'a [u8],
    /// Without key and length; the bytes of the number for other wire types.
    content: &'a [u8],
}

/// Nesting that is followed downwards.
const DEPTH_MAX: usize = 6;

/// One change to a field, at the top or inside: repeated, left out, moved, renumbered, of another wire
/// type, with another length or value, or with a part of another message instead.
///
/// # Errors
/// None that matter: the randomness is used up.
pub fn damage_protobuf(u: &mut Unstructured<'_>, bytes: &mut Vec<u8>, other: &[u8]) -> Result<()> {
    damage_at(u, bytes, other, 0)
}

fn damage_at(
    u: &mut Unstructured<'_>,
    bytes: &mut Vec<u8>,
    other: &[u8],
    depth: usize,
) -> Result<()> {
    let Some(fields) = fields(bytes).filter(|fields| !fields.is_empty()) else {
        return damage(u, bytes, other);
    };
    let chosen = u.choose_index(fields.len())?;
    let mut out = Vec::with_capacity(bytes.len() + 64);
    for (index, field) in fields.iter().enumerate() {
        if index == chosen {
            damage_field(u, field, other, depth, &mut out)?;
        } else {
            out.extend_from_slice(field.whole);
        }
    }
    if u.ratio(1, 12)? {
        // Again at the end, where a decoder that merges would merge.
        out.extend_from_slice(fields[chosen].whole);
    }
    *bytes = out;
    Ok(())
}

fn damage_field(
    u: &mut Unstructured<'_>,
    field: &Field<'_>,
    other: &[u8],
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<()> {
    let number = field.key >> 3;
    let is_content = field.key & 7 == 2;
    match u.int_in_range(0..=15)? {
        // Mostly inside: the top has few fields, and the rules are below.
        0..=7 if is_content && depth < DEPTH_MAX => {
            let mut content = field.content.to_vec();
            let inner = fields(other).and_then(|fields| {
                let same = fields.iter().find(|field| field.key >> 3 == number)?;
                Some(same.content)
            });
            damage_at(u, &mut content, inner.unwrap_or(other), depth + 1)?;
            put_content(number, &content, out);
        }
        0..=8 => {
            let mut value = field.content.to_vec();
            damage(u, &mut value, other)?;
            put(field.key, &value, out);
        }
        9 => {
            let times = u.int_in_range(2..=300)?;
            out.extend(field.whole.repeat(times));
        }
        10 => {}
        11 => {
            put_varint(u.int_in_range(0..=24)? << 3 | field.key & 7, out);
            out.extend_from_slice(&field.whole[varint_length(field.key)..]);
        }
        12 => {
            put_varint(field.key & !7 | u.int_in_range(0..=7)?, out);
            out.extend_from_slice(&field.whole[varint_length(field.key)..]);
        }
        13 => {
            // A length or number of its own; the content follows whatever it says.
            put_varint(field.key, out);
            put_varint(*u.choose(&NUMBERS)?, out);
            out.extend_from_slice(field.content);
        }
        14 => put_content(u.int_in_range(0..=24)?, &noise(u, 80)?, out),
        _ => {
            // The same number in more bytes than it needs.
            put_varint(field.key, out);
            let length = field.content.len();
            out.extend([
                (length & 0x7f) as u8 | 0x80,
                (length >> 7 & 0x7f) as u8 | 0x80,
                0,
            ]);
            out.extend_from_slice(field.content);
        }
    }
    Ok(())
}

fn put(key: u64, content: &[u8], out: &mut Vec<u8>) {
    if key & 7 == 2 {
        put_content(key >> 3, content, out);
    } else {
        put_varint(key, out);
        out.extend_from_slice(content);
    }
}

fn put_content(number: u64, content: &[u8], out: &mut Vec<u8>) {
    put_varint(number << 3 | 2, out);
    put_varint(content.len() as u64, out);
    out.extend_from_slice(content);
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint_length(value: u64) -> usize {
    let mut out = Vec::with_capacity(10);
    put_varint(value, &mut out);
    out.len()
}

/// The fields, or `None` if the bytes are no message.
fn fields(mut bytes: &[u8]) -> Option<Vec<Field<'_>>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let all = bytes;
        let key = varint(&mut bytes)?;
        let before = bytes;
        let content = match key & 7 {
            0 => {
                varint(&mut bytes)?;
                &before[..before.len() - bytes.len()]
            }
            1 => take(&mut bytes, 8)?,
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                take(&mut bytes, length)?
            }
            5 => take(&mut bytes, 4)?,
            _ => return None,
        };
        fields.push(Field {
            key,
            whole: &all[..all.len() - bytes.len()],
            content,
        });
    }
    Some(fields)
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(head)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..63).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_all_wire_types_are_found_and_nothing_else_is() {
        // 1: varint 300, 2: bytes "ab", 3: fixed32, 4: fixed64.
        let message =
            b"\x08\xac\x02\x12\x02ab\x1d\x01\x02\x03\x04\x21\x01\x02\x03\x04\x05\x06\x07\x08";
        let found = fields(message).unwrap();
        let contents: Vec<_> = found.iter().map(|field| field.content.len()).collect();
        assert_eq!(contents, [2, 2, 4, 8]);
        let whole: Vec<u8> = found
            .iter()
            .flat_map(|field| field.whole)
            .copied()
            .collect();
        assert_eq!(whole, message);
        assert!(fields(&message[..6]).is_none(), "cut");
        assert!(fields(b"\x0b").is_none(), "a group");
    }

    #[test]
    fn damage_inside_keeps_the_lengths_around_it() {
        let inner = b"\x0a\x04abcd\x10\x07".repeat(3);
        let mut outer = Vec::new();
        put_content(1, &inner, &mut outer);
        let mut nested = 0;
        for seed in 0..500_u32 {
            let entropy: Vec<u8> = (0..256_u32)
                .map(|i| {
                    (seed.wrapping_mul(2_654_435_761) ^ i.wrapping_mul(40_503)).to_le_bytes()[2]
                })
                .collect();
            let mut damaged = outer.clone();
            damage_protobuf(&mut Unstructured::new(&entropy), &mut damaged, &outer).unwrap();
            let top = fields(&damaged).and_then(|fields| Some(fields.first()?.content.to_vec()));
            nested += usize::from(top.is_some_and(|content| content != inner));
        }
        assert!(nested > 100, "{nested}");
    }
}
