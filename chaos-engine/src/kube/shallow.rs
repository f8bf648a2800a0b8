//! An object as a tree of bounded depth. Where a schema leaves a value to its author it may be nested as deep as the API server takes
//! it: some thousand levels. A parser with a bound of its own gives up on the list or the watch that such an object stands in, and
//! with it on the objects of everybody else.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};

/// Levels of an object that are read: as many as of a manifest in a file. All of ours has a dozen.
const LEVELS: usize = 64;

/// An object, as far as it is not nested too deep.
#[derive(Debug, Clone)]
pub struct Shallow {
    /// The object, with null in place of whatever is too deep.
    pub object: Value,
    is_too_deep: bool,
}

impl Shallow {
    /// The object as one of that kind, or why it cannot be read.
    pub fn understood<K: DeserializeOwned>(&self) -> Result<K, String> {
        if self.is_too_deep {
            return Err(format!("it is nested deeper than {LEVELS} levels"));
        }
        K::deserialize(&self.object).map_err(|error| error.to_string())
    }
}

impl<'de> Deserialize<'de> for Shallow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let is_too_deep = Cell::new(false);
        let object = Level { left: LEVELS, is_too_deep: &is_too_deep }.deserialize(deserializer)?;
        Ok(Self { object, is_too_deep: is_too_deep.get() })
    }
}

/// A value with so many levels left for what it holds.
#[derive(Clone, Copy)]
struct Level<'a> {
    left: usize,
    is_too_deep: &'a Cell<bool>,
}

impl Level<'_> {
    /// A level further down; `None`: it is one too many.
    fn below(self) -> Option<Self> {
        let below = self.left.checked_sub(1).map(|left| Self { left, ..self });
        if below.is_none() {
            self.is_too_deep.set(true);
        }
        below
    }
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value of JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let Some(below) = self.below() else {
            // To skip a value takes no stack, however deep it is.
            while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Value::Null);
        };
        let mut object = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            object.insert(name, fields.next_value_seed(below)?);
        }
        Ok(Value::Object(object))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let Some(below) = self.below() else {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Value::Null);
        };
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(below)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A text of so many lists within each other.
    fn nested(levels: usize) -> String {
        format!("{}1{}", "[".repeat(levels), "]".repeat(levels))
    }

    #[test]
    fn what_is_flat_enough_is_read_as_it_is() {
        let object = json!({"a": [1, -2, 2.5, true, null, "ä\n"], "b": {"c": {}, "d": []}, "e": u64::MAX});
        let read: Shallow = serde_json::from_str(&object.to_string()).unwrap();
        assert_eq!(read.object, object);
        assert_eq!(read.understood::<Value>(), Ok(object));
        let read: Shallow = serde_json::from_str(&nested(LEVELS)).unwrap();
        assert!(read.understood::<Value>().is_ok());
    }

    #[test]
    fn what_is_too_deep_is_said_of_it_alone() {
        for levels in [LEVELS + 1, 1_000, 1_000_000] {
            let list = format!(r#"[{{"deep": {}, "name": "a"}}, {{"name": "b"}}]"#, nested(levels));
            let read: Vec<Shallow> = serde_json::from_str(&list).unwrap();
            let names: Vec<_> = read.iter().map(|read| read.object["name"].clone()).collect();
            assert_eq!(names, ["a", "b"], "the rest of it is there");
            assert!(read[0].understood::<Value>().unwrap_err().contains("nested deeper than"), "{levels}");
            assert!(read[1].understood::<Value>().is_ok());
        }
    }
}
