//! Damage along the tokens of JSON and TOML.

use crate::bytes::damage;
use crate::{Result, Unstructured};

/// What takes the place of a value.
const VALUES: [&str; 16] = [
    "0",
    "-1",
    "1e400",
    "18446744073709551615",
    "18446744073709551616",
    "9007199254740993",
    "\"18446744073709551615\"",
    "\"\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "null",
    "true",
    "[]",
    "{}",
    "nan",
    "1979-05-27",
];

/// One change: a value replaced, a line repeated, removed or moved, deep nesting, or damage to a byte.
///
/// # Errors
/// None that matter: the randomness is used up.
pub fn damage_text(u: &mut Unstructured<'_>, bytes: &mut Vec<u8>, other: &[u8]) -> Result<()> {
    let values = values(bytes);
    match u.int_in_range(0..=7)? {
        0..=2 if !values.is_empty() => {
            let at = u.choose(&values)?.clone();
            let with = u.choose(&VALUES)?.bytes();
            bytes.splice(at, with);
        }
        3..=5 => {
            let mut lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
            if lines.is_empty() {
                return damage(u, bytes, other);
            }
            let line = lines.remove(u.choose_index(lines.len())?);
            for _ in 0..u.int_in_range(0..=2)? {
                lines.insert(u.int_in_range(0..=lines.len())?, line);
            }
            *bytes = lines.concat();
        }
        6 if !values.is_empty() => {
            let depth = u.int_in_range(1..=2_000)?;
            let open = *u.choose(&["[", "{\"a\":", "{a="])?;
            let at = u.choose(&values)?.clone();
            bytes.splice(at, open.repeat(depth).into_bytes());
        }
        _ => damage(u, bytes, other)?,
    }
    Ok(())
}

/// Ranges of numbers, words and strings.
fn values(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut values = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let start = at;
        at += 1;
        if *byte == b'"' || *byte == b'\'' {
            while bytes.get(at).is_some_and(|next| next != byte) {
                at += 1;
            }
            at += 1;
        } else if byte.is_ascii_alphanumeric() || *byte == b'-' {
            while bytes
                .get(at)
                .is_some_and(|next| next.is_ascii_alphanumeric() || b"_.-".contains(next))
            {
                at += 1;
            }
        } else {
            continue;
        }
        values.push(start..at.min(bytes.len()));
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_numbers_words_and_strings() {
        let text = b"{\"a-b\": 12, x = '3s', y=true}";
        let found: Vec<_> = values(text)
            .into_iter()
            .map(|range| std::str::from_utf8(&text[range]).unwrap())
            .collect();
        assert_eq!(found, ["\"a-b\"", "12", "x", "'3s'", "y", "true"]);
        assert_eq!(values(b"\"open").first(), Some(&(0..5)));
    }
}
