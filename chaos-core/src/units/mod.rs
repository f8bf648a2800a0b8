//! Values with their unit in them, as manifests write them (`30s`, `34%`, `200/s`). Parsing is strict and says what was
//! expected; nothing here knows a clock.

mod count;
mod duration;
mod percent;
mod rate;

pub use count::CountOrPercent;
pub use duration::Duration;
pub use percent::Percent;
pub use rate::Rate;

/// A value that is not in the grammar of its unit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not {expected}{}", hint.as_ref().map(|h| format!("; hint: {h}")).unwrap_or_default())]
pub struct UnitError {
    /// The text that was found.
    pub found: String,
    /// What would have been accepted, for people.
    pub expected: &'static str,
    /// What the author probably meant.
    pub hint: Option<String>,
}

impl UnitError {
    pub(crate) fn new(found: &str, expected: &'static str) -> Self {
        Self { found: found.to_owned(), expected, hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Gives a unit type its string form in serde and in the schema of the CRDs, from its `FromStr`, `Display` and `PATTERN`; and a
/// rule in CEL, with its words, where a pattern cannot say all.
macro_rules! string_unit {
    ($type:ident, $format:literal, $description:literal $(, $rule:literal, $told:literal)?) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string", "format": $format, "pattern": Self::PATTERN, "maxLength": 64, "description": $description
                    $(, "x-kubernetes-validations": [{"rule": $rule, "message": $told}])?
                })
            }

            fn inline_schema() -> bool {
                true
            }
        }
    };
}
pub(crate) use string_unit;
