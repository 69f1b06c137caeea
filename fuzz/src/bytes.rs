//! Damage that knows nothing of the format.

use crate::{Result, Unstructured};

/// Largest input that damage produces: repeating parts must not make the target slow.
pub(crate) const INPUT_BYTES_MAX: usize = 128 << 10;

/// Numbers at which decoders tend to go wrong.
pub(crate) const NUMBERS: [u64; 14] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x100,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    u64::MAX,
];

/// Random bytes, at most `limit`.
///
/// # Errors
/// None that matter: the randomness is used up.
pub fn noise(u: &mut Unstructured<'_>, limit: usize) -> Result<Vec<u8>> {
    let length = u.int_in_range(0..=limit)?;
    let mut bytes = vec![0; length];
    u.fill_buffer(&mut bytes)?;
    Ok(bytes)
}

/// One input: noise, or one of the valid encodings after a few changes by `damage`. One in sixteen is
/// left as it is.
///
/// # Errors
/// None that matter: the randomness is used up.
pub fn hostile(
    u: &mut Unstructured<'_>,
    valid: &[Vec<u8>],
    damage: impl Fn(&mut Unstructured<'_>, &mut Vec<u8>, &[u8]) -> Result<()>,
) -> Result<Vec<u8>> {
    if u.ratio(1, 16)? {
        return noise(u, 2_000);
    }
    let mut bytes = u.choose(valid)?.clone();
    if u.ratio(1, 16)? {
        return Ok(bytes);
    }
    for _ in 0..u.int_in_range(1..=4)? {
        let other = u.choose(valid)?;
        damage(u, &mut bytes, other)?;
        bytes.truncate(INPUT_BYTES_MAX);
    }
    Ok(bytes)
}

/// One change: a bit, a byte or a number replaced, a part cut off, removed, repeated or added, or a
/// part of another encoding put in.
///
/// # Errors
/// None that matter: the randomness is used up.
pub fn damage(u: &mut Unstructured<'_>, bytes: &mut Vec<u8>, other: &[u8]) -> Result<()> {
    let at = position(u, bytes.len())?;
    match u.int_in_range(0..=9)? {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << u.int_in_range(0..=7)?;
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = u.arbitrary()?;
            }
        }
        2 => bytes.truncate(at),
        3 => bytes.extend(noise(u, 80)?),
        4 => {
            let part = part(u, bytes.len())?;
            bytes.drain(part);
        }
        5 => {
            let copy = bytes[part(u, bytes.len())?].to_vec();
            let times = u.int_in_range(1..=8)?;
            bytes.splice(at..at, copy.repeat(times));
        }
        6 => {
            let number = u32::try_from(*u.choose(&NUMBERS)?).unwrap_or(u32::MAX);
            overwrite(bytes, at, &number.to_le_bytes());
        }
        7 => overwrite(bytes, at, &u.choose(&NUMBERS)?.to_le_bytes()),
        8 => {
            bytes.truncate(at);
            bytes.extend_from_slice(&other[position(u, other.len())?..]);
        }
        _ => {
            let put = other[part(u, other.len())?].to_vec();
            bytes.splice(at..at, put);
        }
    }
    Ok(())
}

fn overwrite(bytes: &mut [u8], at: usize, with: &[u8]) {
    for (byte, new) in bytes.iter_mut().skip(at).zip(with) {
        *byte = *new;
    }
}

/// Between 0 and `length`, both included.
pub(crate) fn position(u: &mut Unstructured<'_>, length: usize) -> Result<usize> {
    u.int_in_range(0..=length)
}

pub(crate) fn part(u: &mut Unstructured<'_>, length: usize) -> Result<std::ops::Range<usize>> {
    let start = position(u, length)?;
    Ok(start..u.int_in_range(start..=length)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_damage_happens_and_stays_small() {
        let valid = vec![vec![1; 40], vec![2; 60]];
        let (mut same, mut shorter, mut longer, mut spliced) = (0, 0, 0, 0);
        for seed in 0..2_000_u32 {
            let entropy: Vec<u8> = (0..512_u32)
                .map(|i| {
                    (seed.wrapping_mul(2_654_435_761) ^ i.wrapping_mul(40_503)).to_le_bytes()[2]
                })
                .collect();
            let input = hostile(&mut Unstructured::new(&entropy), &valid, damage).unwrap();
            assert!(input.len() <= INPUT_BYTES_MAX);
            same += usize::from(valid.contains(&input));
            shorter += usize::from(input.len() < 40);
            longer += usize::from(input.len() > 60);
            spliced += usize::from(input.contains(&1) && input.contains(&2));
        }
        for count in [same, shorter, longer, spliced] {
            assert!(count > 20, "{same} {shorter} {longer} {spliced}");
        }
    }
}
