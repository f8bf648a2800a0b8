//! Writes a body as clients of built-in kinds send it: protobuf in the envelope of Kubernetes. Pure.
//!
//! A message is an object whose keys are field numbers: `{"1": {"1": "name"}}`. Texts are texts, numbers and booleans are
//! varints, objects are messages, and a list is a field that occurs several times.

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::Value;

const MAGIC: &[u8] = b"k8s\0";

/// An object in protobuf.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Protobuf {
    /// As the envelope names it; absent: not named.
    #[serde(default)]
    pub(crate) api_version: String,
    #[serde(default)]
    pub(crate) kind: String,
    /// The object's own message.
    pub(crate) message: Value,
}

impl Protobuf {
    /// The bytes that are sent.
    pub(crate) fn encode(&self) -> anyhow::Result<Vec<u8>> {
        let mut kind = Vec::new();
        bytes(1, self.api_version.as_bytes(), &mut kind);
        bytes(2, self.kind.as_bytes(), &mut kind);
        let mut envelope = MAGIC.to_vec();
        bytes(1, &kind, &mut envelope);
        bytes(2, &message(&self.message)?, &mut envelope);
        Ok(envelope)
    }
}

fn message(fields: &Value) -> anyhow::Result<Vec<u8>> {
    let mut out = Vec::new();
    for (number, value) in fields.as_object().context("a message is an object of field numbers")? {
        let number = number.parse().with_context(|| format!("{number:?} is no field number"))?;
        let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        for value in values {
            field(number, value, &mut out)?;
        }
    }
    Ok(out)
}

fn field(number: u64, value: &Value, out: &mut Vec<u8>) -> anyhow::Result<()> {
    match value {
        Value::String(text) => bytes(number, text.as_bytes(), out),
        Value::Object(_) => bytes(number, &message(value)?, out),
        Value::Bool(flag) => varints(&[number << 3, u64::from(*flag)], out),
        Value::Number(count) => varints(&[number << 3, count.as_u64().context("a count")?], out),
        Value::Null | Value::Array(_) => bail!("field {number}: {value} has no form in protobuf"),
    }
    Ok(())
}

fn bytes(number: u64, content: &[u8], out: &mut Vec<u8>) {
    varints(&[(number << 3) | 2, content.len() as u64], out);
    out.extend(content);
}

const fn low_byte(value: u64) -> u8 {
    value.to_le_bytes()[0]
}

fn varints(values: &[u64], out: &mut Vec<u8>) {
    for mut value in values.iter().copied() {
        while value >= 0x80 {
            out.push(low_byte(value) | 0x80);
            value >>= 7;
        }
        out.push(low_byte(value));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Protobuf;

    #[test]
    fn a_message_is_written_field_by_field() {
        let body =
            Protobuf { api_version: "v1".into(), kind: "X".into(), message: json!({"1": {"1": "ab"}, "2": [1, 300]}) };
        let message = b"\x0a\x04\x0a\x02ab\x10\x01\x10\xac\x02";
        let expected = [b"k8s\0\x0a\x07\x0a\x02v1\x12\x01X\x12\x0b".as_slice(), message].concat();
        assert_eq!(body.encode().unwrap(), expected);
    }
}
