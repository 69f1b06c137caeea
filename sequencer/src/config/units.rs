//! Durations and sizes with their unit: `"500ms"`, `"512KiB"`. A number without a unit is refused,
//! because nobody remembers which one a program meant. Empty text stands for "not set".

use serde::{Deserialize, Deserializer, Serializer, de};
use std::fmt::Display;
use std::str::FromStr;

/// Serializes text forms of optional values: empty text is `None`.
pub(super) mod optional {
    use super::*;

    pub(in crate::config) fn serialize<T: ToText, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&value.as_ref().map(T::to_text).unwrap_or_default())
    }

    pub(in crate::config) fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr,
        T::Err: Display,
        D: Deserializer<'de>,
    {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(de::Error::custom)
    }
}

/// Values with a text form that [`FromStr`] reads back.
pub(super) trait ToText {
    fn to_text(&self) -> String;
}

impl ToText for squad_primitives::Digest {
    fn to_text(&self) -> String {
        self.to_string()
    }
}

impl ToText for String {
    fn to_text(&self) -> String {
        self.clone()
    }
}

impl ToText for std::path::PathBuf {
    fn to_text(&self) -> String {
        self.display().to_string()
    }
}

/// Durations as an integer and `us`, `ms`, `s`, `m` or `h`.
pub(super) mod duration {
    use super::*;
    use std::time::Duration;

    /// Unit and its length in microseconds, longest first.
    const UNITS: &[(&str, u64)] = &[
        ("h", 3_600_000_000),
        ("m", 60_000_000),
        ("s", 1_000_000),
        ("ms", 1_000),
        ("us", 1),
    ];

    pub(in crate::config) fn serialize<S: Serializer>(
        value: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        serializer.serialize_str(&to_text(micros, "ms", UNITS))
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text).map_err(de::Error::custom)
    }

    /// Reads a duration.
    pub(crate) fn parse(text: &str) -> Result<Duration, String> {
        from_text(text, UNITS)
            .map(Duration::from_micros)
            .ok_or_else(|| {
                format!("{text:?} is no duration: write an integer and us, ms, s, m or h, as 500ms")
            })
    }
}

/// Sizes as an integer and `B`, `KiB`, `MiB` or `GiB`.
pub(super) mod bytes {
    use super::*;

    /// Unit and its length in bytes, longest first.
    const UNITS: &[(&str, u64)] = &[
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
        ("B", 1),
    ];

    pub(in crate::config) fn serialize<S: Serializer>(
        value: &usize,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let bytes = u64::try_from(*value).unwrap_or(u64::MAX);
        serializer.serialize_str(&to_text(bytes, "B", UNITS))
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<usize, D::Error> {
        let text = String::deserialize(deserializer)?;
        from_text(&text, UNITS)
            .and_then(|bytes| usize::try_from(bytes).ok())
            .ok_or_else(|| {
                de::Error::custom(format!(
                    "{text:?} is no size: write an integer and B, KiB, MiB or GiB, as 512KiB"
                ))
            })
    }
}

type Unit = (&'static str, u64);

/// The shortest exact form; zero in `zero_unit`.
fn to_text(value: u64, zero_unit: &str, units: &[Unit]) -> String {
    let exact = units
        .iter()
        .find(|(_, size)| value != 0 && value.is_multiple_of(*size));
    match exact {
        Some((unit, size)) => format!("{}{unit}", value / size),
        None => format!("{value}{zero_unit}"),
    }
}

fn from_text(text: &str, units: &[Unit]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, size) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[derive(Debug, PartialEq, Eq, serde::Serialize, Deserialize)]
    struct Values {
        #[serde(with = "duration")]
        time: Duration,
        #[serde(with = "bytes")]
        size: usize,
    }

    fn read(time: &str, size: &str) -> Result<Values, String> {
        toml::from_str(&format!("time = {time:?}\nsize = {size:?}")).map_err(|e| e.to_string())
    }

    #[test]
    fn values_come_back_in_their_largest_exact_unit() {
        for (time, size) in [
            ("500ms", "512KiB"),
            ("90s", "1GiB"),
            ("1h", "1025B"),
            ("0ms", "0B"),
            ("250us", "3MiB"),
        ] {
            let values = read(time, size).unwrap();
            let text = toml::to_string(&values).unwrap();
            assert_eq!(text, format!("time = {time:?}\nsize = {size:?}\n"));
        }
        let values = read("1000 ms", "1024B").unwrap();
        assert_eq!(values, read("1s", "1KiB").unwrap());
    }

    #[test]
    fn numbers_without_unit_unknown_units_and_overflow_are_refused() {
        for time in [
            "500",
            "",
            "ms",
            "-1s",
            "1.5s",
            "1d",
            "18446744073709551615h",
        ] {
            let error = read(time, "1B").expect_err(time);
            assert!(error.contains("write an integer and us, ms"), "{error}");
        }
        for size in ["4096", "1KB", "1kib", "99999999999GiB"] {
            let error = read("1s", size).expect_err(size);
            assert!(error.contains("KiB"), "{error}");
        }
    }
}
