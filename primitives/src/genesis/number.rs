//! Integers in JSON that every language can read: above 2^53 they are decimal strings.

use crate::{RollupId, Stake};
use serde::{Deserialize, Deserializer, Serializer, de};
use std::fmt;

/// Largest integer up to which doubles are exact.
const NUMBER_MAX: u64 = 1 << 53;

/// Types that are one unsigned integer.
pub(super) trait Integer: Sized {
    fn get(&self) -> u64;
    fn from_u64(value: u64) -> Self;
}

impl Integer for u64 {
    fn get(&self) -> u64 {
        *self
    }
    fn from_u64(value: u64) -> Self {
        value
    }
}

macro_rules! integers {
    ($($name:ident),*) => {$(
        impl Integer for $name {
            fn get(&self) -> u64 {
                self.0
            }
            fn from_u64(value: u64) -> Self {
                Self(value)
            }
        }
    )*};
}
integers!(RollupId, Stake);

pub(super) fn serialize<T: Integer, S: Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value.get() {
        value if value <= NUMBER_MAX => serializer.serialize_u64(value),
        value => serializer.collect_str(&value),
    }
}

pub(super) fn deserialize<'de, T: Integer, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    deserializer.deserialize_any(Visitor).map(T::from_u64)
}

struct Visitor;

impl de::Visitor<'_> for Visitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer from 0 to 2^53, or a decimal string from 0 to 2^64 - 1")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<u64, E> {
        match value {
            // A tool that reads numbers as doubles may have rounded it.
            value if value > NUMBER_MAX => {
                Err(E::invalid_value(de::Unexpected::Unsigned(value), &self))
            }
            value => Ok(value),
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
        text.parse::<u64>()
            .ok()
            .filter(|value| value.to_string() == text)
            .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

/// The same for fields that may be absent.
pub(super) mod optional {
    use super::{Deserialize, Deserializer, Serializer, Visitor};

    pub(in crate::genesis) fn serialize<S: Serializer>(
        value: &Option<u64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::genesis) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<u64>, D::Error> {
        struct Number(u64);
        impl<'de> Deserialize<'de> for Number {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Visitor).map(Self)
            }
        }
        Ok(Option::<Number>::deserialize(deserializer)?.map(|number| number.0))
    }
}
