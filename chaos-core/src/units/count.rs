//! A number of pods: absolute, or a share of the workload (`1`, `34%`).

use std::fmt;

use serde::de::Error as _;

use super::{Percent, UnitError};

/// How many pods: a count, or a percentage of what the workload wants, rounded down. Nowhere in a manifest is 0 of them meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountOrPercent {
    /// That many pods.
    Count(u32),
    /// That share of the workload's desired pods, rounded down.
    Percent(Percent),
}

impl CountOrPercent {
    /// The number of pods meant for a workload that wants `desired` pods.
    pub fn of(self, desired: usize) -> usize {
        match self {
            Self::Count(count) => count as usize,
            Self::Percent(percent) => percent.of_floor(desired),
        }
    }
}

impl fmt::Display for CountOrPercent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::Percent(percent) => percent.fmt(f),
        }
    }
}

impl serde::Serialize for CountOrPercent {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(count) => serializer.serialize_u32(*count),
            Self::Percent(percent) => percent.serialize(serializer),
        }
    }
}

impl<'de> serde::Deserialize<'de> for CountOrPercent {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = CountOrPercent;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a count such as 1 or a percentage such as 34%")
            }

            fn visit_u64<E: serde::de::Error>(self, count: u64) -> Result<CountOrPercent, E> {
                u32::try_from(count).map(CountOrPercent::Count).map_err(E::custom)
            }

            fn visit_i64<E: serde::de::Error>(self, count: i64) -> Result<CountOrPercent, E> {
                u32::try_from(count).map(CountOrPercent::Count).map_err(E::custom)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<CountOrPercent, E> {
                text.parse().map(CountOrPercent::Percent).map_err(|e: UnitError| E::custom(e))
            }
        }
        deserializer.deserialize_any(Visitor).map_err(D::Error::custom)
    }
}

impl schemars::JsonSchema for CountOrPercent {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CountOrPercent".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "x-kubernetes-int-or-string": true,
            "minimum": 1,
            "maximum": u32::MAX,
            "maxLength": 16,
            "pattern": Percent::PATTERN,
            "description": "A number of pods such as 1, or a share of the workload such as 34% (rounded down)."
        })
    }

    fn inline_schema() -> bool {
        true
    }
}
