//! Weighted choices: sizes, and rollups with a skew.

use crate::rng::SplitMix64;
use std::fmt;
use std::str::FromStr;

/// Values with weights, chosen by a random number.
#[derive(Clone, Debug, PartialEq)]
pub struct Mix<T> {
    values: Vec<T>,
    /// Upper ends of the values' shares of the 64-bit range, ascending; the last is `u64::MAX`.
    ends: Vec<u64>,
}

/// Why a list is no mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MixError {
    /// Nothing to choose from.
    #[error("mix: the list is empty")]
    Empty,
    /// A part that is not `value` or `value:weight`.
    #[error("mix: expected value or value:weight, separated by commas")]
    Syntax,
    /// Zero, negative, infinite, or no number.
    #[error("mix: a weight must be a number above zero")]
    Weight,
}

impl<T: Clone> Mix<T> {
    /// A choice among weighted values.
    ///
    /// # Errors
    /// No value, or a weight that is not above zero.
    pub fn new(parts: &[(T, f64)]) -> Result<Self, MixError> {
        let total: f64 = parts.iter().map(|(_, weight)| weight).sum();
        if parts.is_empty() {
            return Err(MixError::Empty);
        }
        if !total.is_finite() || parts.iter().any(|(_, weight)| *weight <= 0.0) {
            return Err(MixError::Weight);
        }
        let mut sum = 0.0;
        let mut ends: Vec<u64> = parts
            .iter()
            .map(|(_, weight)| {
                sum += weight;
                (sum / total * u64::MAX as f64) as u64
            })
            .collect();
        if let Some(last) = ends.last_mut() {
            *last = u64::MAX;
        }
        let values = parts.iter().map(|(value, _)| value.clone()).collect();
        Ok(Self { values, ends })
    }

    /// A choice in which the i-th value (from 1) has weight `1 / i^skew`: zero is uniform, one is the
    /// classic Zipf distribution.
    ///
    /// # Errors
    /// No value, or a skew that is no number.
    pub fn zipf(values: &[T], skew: f64) -> Result<Self, MixError> {
        let parts: Vec<_> = values
            .iter()
            .enumerate()
            .map(|(i, value)| (value.clone(), ((i + 1) as f64).powf(-skew)))
            .collect();
        Self::new(&parts)
    }

    /// The value that a uniform random number stands for.
    #[must_use]
    pub fn pick(&self, random: u64) -> &T {
        let index = self.ends.partition_point(|end| *end < random);
        &self.values[index.min(self.values.len() - 1)]
    }

    /// All values, in the order given.
    #[must_use]
    pub fn values(&self) -> &[T] {
        &self.values
    }
}

impl<T: fmt::Display> fmt::Display for Mix<T> {
    /// Values with their shares in percent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut start = 0;
        for (index, (value, end)) in self.values.iter().zip(&self.ends).enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let share = (end - start) as f64 / u64::MAX as f64;
            write!(f, "{comma}{value}:{:.1}%", share * 100.0)?;
            start = *end;
        }
        Ok(())
    }
}

impl<T: Clone + FromStr> FromStr for Mix<T> {
    type Err = MixError;

    /// Reads `value` or `value:weight` parts, separated by commas.
    fn from_str(text: &str) -> Result<Self, MixError> {
        let parts: Vec<(T, f64)> = text
            .split(',')
            .filter(|part| !part.is_empty())
            .map(|part| {
                let (value, weight) = part.split_once(':').unwrap_or((part, "1"));
                let value = value.trim().parse().map_err(|_| MixError::Syntax)?;
                let weight = weight.trim().parse().map_err(|_| MixError::Syntax)?;
                Ok((value, weight))
            })
            .collect::<Result<_, _>>()?;
        Self::new(&parts)
    }
}

/// The random numbers that decide about transaction `index`: first its rollup, then its size.
#[must_use]
pub fn draws(seed: u64, index: u64) -> (u64, u64) {
    let mut rng = SplitMix64::for_item(seed, index);
    (rng.next(), rng.next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(mix: &Mix<u64>) -> Vec<f64> {
        let mut counts = vec![0.0; mix.values().len()];
        for index in 0..100_000 {
            let value = mix.pick(draws(5, index).0);
            let at = mix.values().iter().position(|v| v == value).unwrap();
            counts[at] += 1e-5;
        }
        counts
    }

    #[test]
    fn weights_become_shares() {
        let found = shares(&"256:7,1024:3".parse().unwrap());
        assert!((found[0] - 0.7).abs() < 0.01, "{found:?}");
        let found = shares(&Mix::zipf(&[901, 7, 8], 1.0).unwrap());
        let sum = 1.0 + 0.5 + 1.0 / 3.0;
        for (share, weight) in found.iter().zip([1.0, 0.5, 1.0 / 3.0]) {
            assert!((share - weight / sum).abs() < 0.01, "{found:?}");
        }
    }

    #[test]
    fn the_ends_of_the_range_are_covered() {
        let mix: Mix<u64> = "1:1,2:1,3:1".parse().unwrap();
        assert_eq!((mix.pick(0), mix.pick(u64::MAX)), (&1, &3));
    }

    #[test]
    fn bad_mixes_are_refused() {
        let parse = |text: &str| text.parse::<Mix<u64>>();
        assert_eq!(parse(""), Err(MixError::Empty));
        assert_eq!(parse("512:0"), Err(MixError::Weight));
        assert_eq!(parse("512:inf"), Err(MixError::Weight));
        assert_eq!(parse("512:x"), Err(MixError::Syntax));
        assert_eq!(parse("half"), Err(MixError::Syntax));
    }
}
