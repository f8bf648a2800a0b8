//! Bodies in Kubernetes' protobuf form, which kubectl sends for many built-in kinds: read into the JSON that everything else
//! works on. Nothing is answered in it, and a field that is not known is an error, never dropped.

mod schema;
mod wire;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use serde_json::{Map, Value, json};

use schema::{Field, Shape, Type, message};
use wire::{Reader, Wire};

/// The media type of such bodies.
pub(super) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// How such a body begins.
const MAGIC: &[u8] = b"k8s\0";
/// Messages stand in messages no deeper than this.
const DEPTH_MAX: u8 = 32;

/// Why a body cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProtobufError {
    #[error("it does not begin as Kubernetes' protobuf does")]
    NotKubernetes,
    #[error("it ends in the middle of a field")]
    CutOff,
    #[error("a text in it is not UTF-8")]
    NotText,
    #[error("its messages are nested too deeply")]
    TooDeep,
    #[error("{0} is not read in this form; hint: send JSON, as kubectl apply does")]
    UnknownMessage(String),
    #[error("field {number} of {message} is not known; hint: send JSON, as kubectl apply does")]
    UnknownField { message: &'static str, number: u64 },
    #[error("field {number} of {message} is of another type than {expected}")]
    WrongType { message: &'static str, number: u64, expected: &'static str },
    #[error("an instant in it is out of range")]
    NoInstant,
    #[error("the JSON within it cannot be read")]
    NotJson,
}

type Result<T> = std::result::Result<T, ProtobufError>;

/// Reads a body.
pub(super) fn decode(body: &[u8]) -> Result<Value> {
    let envelope = body.strip_prefix(MAGIC).ok_or(ProtobufError::NotKubernetes)?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for field in Reader::new(envelope) {
        match field? {
            (1, Wire::Bytes(type_meta)) => {
                for field in Reader::new(type_meta) {
                    match field? {
                        (1, Wire::Bytes(bytes)) => api_version = text(bytes)?,
                        (2, Wire::Bytes(bytes)) => kind = text(bytes)?,
                        _ => (),
                    }
                }
            }
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => (),
        }
    }
    let name = schema::name_of(&api_version, &kind)
        .ok_or_else(|| ProtobufError::UnknownMessage(format!("{kind} of {api_version}")))?;
    let mut object = Map::from_iter([("apiVersion".to_owned(), json!(api_version)), ("kind".to_owned(), json!(kind))]);
    object.append(&mut fields(name, raw, 0)?);
    Ok(Value::Object(object))
}

/// The fields of a message.
fn fields(name: &'static str, bytes: &[u8], depth: u8) -> Result<Map<String, Value>> {
    if depth > DEPTH_MAX {
        return Err(ProtobufError::TooDeep);
    }
    let known = message(name).ok_or_else(|| ProtobufError::UnknownMessage(name.to_owned()))?;
    let mut object = Map::new();
    for field in Reader::new(bytes) {
        let (number, wire) = field?;
        let field = known.get(&number).ok_or(ProtobufError::UnknownField { message: name, number })?;
        let at = Place { message: name, number, depth };
        match field.shape {
            Shape::One => put_one(&mut object, field, wire, at)?,
            Shape::Many => {
                let list = object.entry(field.name).or_insert_with(|| Value::Array(Vec::new()));
                if let Some(list) = list.as_array_mut() {
                    list.extend(many(field.ty, wire, at)?);
                }
            }
            Shape::Map => {
                let (key, value) = entry(field.ty, wire, at)?;
                let map = object.entry(field.name).or_insert_with(|| Value::Object(Map::new()));
                if let Some(map) = map.as_object_mut() {
                    map.insert(key, value);
                }
            }
        }
    }
    Ok(object)
}

/// Where a value stands.
#[derive(Debug, Clone, Copy)]
struct Place {
    message: &'static str,
    number: u64,
    depth: u8,
}

impl Place {
    fn wrong(self, expected: &'static str) -> ProtobufError {
        ProtobufError::WrongType { message: self.message, number: self.number, expected }
    }
}

fn put_one(object: &mut Map<String, Value>, field: &Field, wire: Wire<'_>, at: Place) -> Result<()> {
    let value = single(field.ty, wire, at)?;
    if field.is_inline() {
        if let Value::Object(mut inner) = value {
            object.append(&mut inner);
        }
        return Ok(());
    }
    let says_nothing = match &value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Bool(is_set) => !is_set,
        Value::Number(number) => number.as_i64() == Some(0),
        _ => false,
    };
    if !says_nothing || (field.keeps_zero && !value.is_null()) {
        object.insert(field.name.to_owned(), value);
    }
    Ok(())
}

/// Numbers may stand packed, many in one field.
fn many(ty: Type, wire: Wire<'_>, at: Place) -> Result<Vec<Value>> {
    match (ty, wire) {
        (Type::Int, Wire::Bytes(packed)) => wire::varints(packed).map(|number| Ok(int(number?))).collect(),
        _ => Ok(vec![single(ty, wire, at)?]),
    }
}

fn entry(ty: Type, wire: Wire<'_>, at: Place) -> Result<(String, Value)> {
    let Wire::Bytes(bytes) = wire else { return Err(at.wrong("a map")) };
    let (mut key, mut value) = (String::new(), None);
    for field in Reader::new(bytes) {
        match field? {
            (1, Wire::Bytes(bytes)) => key = text(bytes)?,
            (2, wire) => value = Some(single(ty, wire, at)?),
            (number, _) => return Err(ProtobufError::UnknownField { message: at.message, number }),
        }
    }
    // A value that is not there is the empty one of its type.
    let value = match value {
        Some(value) => value,
        None => single(ty, ty.nothing(), at)?,
    };
    Ok((key, value))
}

fn single(ty: Type, wire: Wire<'_>, at: Place) -> Result<Value> {
    match (ty, wire) {
        (Type::Text, Wire::Bytes(bytes)) => Ok(Value::String(text(bytes)?)),
        (Type::Bytes, Wire::Bytes(bytes)) => base64(bytes),
        (Type::Bool, Wire::Varint(number)) => Ok(Value::Bool(number != 0)),
        (Type::Int, Wire::Varint(number)) => Ok(int(number)),
        (Type::Message(name), Wire::Bytes(bytes)) => nested(name, bytes, at),
        _ => Err(at.wrong(ty.name())),
    }
}

/// A message within another; some are a text, a number or a list in JSON.
fn nested(name: &'static str, bytes: &[u8], at: Place) -> Result<Value> {
    match name {
        "meta.v1.Time" => instant(bytes, "%Y-%m-%dT%H:%M:%SZ"),
        "meta.v1.MicroTime" => instant(bytes, "%Y-%m-%dT%H:%M:%S.%6fZ"),
        "resource.Quantity" => Ok(Value::String(text(raw(bytes)?)?)),
        "meta.v1.FieldsV1" | "runtime.RawExtension" => {
            serde_json::from_slice(raw(bytes)?).map_err(|_| ProtobufError::NotJson)
        }
        "intstr.IntOrString" => int_or_text(bytes),
        "authorization.v1.ExtraValue" | "authentication.v1.ExtraValue" => {
            let items = fields(name, bytes, at.depth + 1)?.remove("items");
            Ok(items.unwrap_or_else(|| json!([])))
        }
        _ => Ok(Value::Object(fields(name, bytes, at.depth + 1)?)),
    }
}

/// The bytes of a message that has one field.
fn raw(bytes: &[u8]) -> Result<&[u8]> {
    let mut found = &[][..];
    for field in Reader::new(bytes) {
        if let (1, Wire::Bytes(bytes)) = field? {
            found = bytes;
        }
    }
    Ok(found)
}

fn instant(bytes: &[u8], format: &str) -> Result<Value> {
    let (mut seconds, mut nanos) = (0_i64, 0_i32);
    for field in Reader::new(bytes) {
        match field? {
            (1, Wire::Varint(number)) => seconds = number.cast_signed(),
            (2, Wire::Varint(number)) => {
                nanos = i32::try_from(number.cast_signed()).map_err(|_| ProtobufError::NoInstant)?;
            }
            _ => (),
        }
    }
    // No instant at all is written as one without fields.
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let at = Timestamp::new(seconds, nanos).map_err(|_| ProtobufError::NoInstant)?;
    Ok(Value::String(at.strftime(format).to_string()))
}

fn int_or_text(bytes: &[u8]) -> Result<Value> {
    let (mut is_text, mut number, mut words) = (false, 0, String::new());
    for field in Reader::new(bytes) {
        match field? {
            (1, Wire::Varint(kind)) => is_text = kind == 1,
            (2, Wire::Varint(value)) => number = value,
            (3, Wire::Bytes(bytes)) => words = text(bytes)?,
            _ => (),
        }
    }
    Ok(if is_text { Value::String(words) } else { int(number) })
}

fn text(bytes: &[u8]) -> Result<String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| ProtobufError::NotText)
}

fn base64(bytes: &[u8]) -> Result<Value> {
    serde_json::to_value(ByteString(bytes.to_vec())).map_err(|_| ProtobufError::NotText)
}

fn int(number: u64) -> Value {
    json!(number.cast_signed())
}

#[cfg(test)]
mod tests;
