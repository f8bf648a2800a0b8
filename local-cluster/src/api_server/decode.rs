//! From a request's body to an object as the server keeps it: parsed, of the right kind, well-typed, without unknown
//! fields. Defaults and rules across fields come later.

use serde_json::Value;

use super::error::{ApiError, ApiResult};
use super::registry::{Origin, ResourceType};
use super::write::FieldValidation;
use super::{compact, crd, protobuf, quantity};
use crate::store::ObjectKey;

/// A decoded object and what the client should be told about it.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) value: Value,
    pub(crate) warnings: Vec<String>,
}

/// A content type without its parameters.
pub(crate) fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// Reads JSON, or YAML or Kubernetes' protobuf where the content type says so.
pub(crate) fn parse_body(content_type: &str, body: &[u8]) -> ApiResult<Value> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Null);
    }
    let media_type = media_type(content_type);
    if media_type == protobuf::MEDIA_TYPE {
        let why = |error| ApiError::bad_request(format!("failed to read the protobuf body: {error}"));
        return protobuf::decode(body).map_err(why);
    }
    let is_known = media_type.is_empty() || media_type.contains("json") || media_type.contains("yaml");
    if !is_known {
        return Err(ApiError::unsupported_media_type(
            media_type,
            &["application/json", "application/yaml", protobuf::MEDIA_TYPE],
        ));
    }
    match serde_json::from_slice(body) {
        Ok(value) => Ok(value),
        Err(error) if media_type.ends_with("yaml") => {
            let text = std::str::from_utf8(body).map_err(|_| unreadable(&error))?;
            serde_yaml::from_str(text).map_err(|error| ApiError::bad_request(format!("error decoding YAML: {error}")))
        }
        Err(error) => Err(unreadable(&error)),
    }
}

/// Objects of custom resources have no messages, hence no protobuf.
pub(crate) fn check_encoding(ty: &ResourceType, content_type: &str) -> ApiResult<()> {
    let media_type = media_type(content_type);
    if media_type == protobuf::MEDIA_TYPE && !matches!(ty.origin, Origin::Builtin(_)) {
        return Err(ApiError::unsupported_media_type(media_type, &["application/json", "application/yaml"]));
    }
    Ok(())
}

fn unreadable(error: &serde_json::Error) -> ApiError {
    ApiError::bad_request(format!("couldn't get version/kind; json parse error: {error}"))
}

/// Makes `body` an object of `ty`.
pub(crate) fn decode_object(ty: &ResourceType, body: Value, validation: FieldValidation) -> ApiResult<Decoded> {
    let mut body = body;
    check_type(ty, &mut body)?;
    let (value, unknown) = match &ty.origin {
        Origin::Builtin(row) => {
            quantity::write_as_text(&mut body).map_err(|error| cannot_be_handled(ty, &error))?;
            let mut value = (row.normalise)(&body).map_err(|error| cannot_be_handled(ty, &error))?;
            let unknown = unknown_fields(&body, &value);
            compact::omit_empty(&mut value);
            (value, unknown)
        }
        Origin::Custom(custom) => {
            let mut value = body.clone();
            if let Some(metadata) = value.get_mut("metadata") {
                *metadata = normalise_metadata(metadata).map_err(|error| cannot_be_handled(ty, &error))?;
                compact::omit_empty(metadata);
            }
            let mut unknown = unknown_fields(&body["metadata"], &value["metadata"]);
            unknown.iter_mut().for_each(|path| *path = format!("metadata.{path}"));
            unknown.extend(crd::prune(custom, &ty.version, &mut value));
            (value, unknown)
        }
    };
    match validation {
        FieldValidation::Strict if !unknown.is_empty() => Err(strict_error(ty, &unknown, "unknown")),
        FieldValidation::Strict | FieldValidation::Ignore => Ok(Decoded { value, warnings: Vec::new() }),
        FieldValidation::Warn => Ok(Decoded { value, warnings: described(&unknown, "unknown") }),
    }
}

fn described(paths: &[String], what: &str) -> Vec<String> {
    paths.iter().map(|path| format!("{what} field {path:?}")).collect()
}

/// The refusal of fields that are `unknown` or `duplicate`.
pub(crate) fn strict_error(ty: &ResourceType, paths: &[String], what: &str) -> ApiError {
    let (kind, version) = (&ty.kind, &ty.version);
    ApiError::bad_request(format!(
        "{kind} in version {version:?} cannot be handled as a {kind}: strict decoding error: {}",
        described(paths, what).join(", ")
    ))
}

/// Checks what is applied, without filling anything in: only fields that the client sent become its own.
pub(crate) fn applied_config(
    ty: &ResourceType,
    config: &Value,
    validation: FieldValidation,
    key: &ObjectKey,
) -> ApiResult<Value> {
    if config["kind"].as_str().is_none_or(str::is_empty) || config["apiVersion"].as_str().is_none_or(str::is_empty) {
        return Err(ApiError::bad_request("Object 'Kind' and 'apiVersion' must be set in what is applied"));
    }
    let decoded = decode_object(ty, config.clone(), validation)?;
    let mut config = restricted(config, &decoded.value);
    config["apiVersion"] = ty.api_version().into();
    config["kind"] = ty.kind.clone().into();
    let name = config["metadata"]["name"].as_str().unwrap_or(&key.name);
    if name != key.name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            key.name
        )));
    }
    if !config["metadata"].is_object() {
        config["metadata"] = Value::Object(serde_json::Map::new());
    }
    config["metadata"]["name"] = key.name.clone().into();
    Ok(config)
}

/// The fields of `given` with the values of `kept`; nulls are no fields.
fn restricted(given: &Value, kept: &Value) -> Value {
    match (given, kept) {
        (Value::Object(given), Value::Object(kept)) => {
            let fields = given
                .iter()
                .filter(|(_, value)| !value.is_null())
                .filter_map(|(key, value)| kept.get(key).map(|kept| (key.clone(), restricted(value, kept))));
            Value::Object(fields.collect())
        }
        (Value::Array(given), Value::Array(kept)) if given.len() == kept.len() => {
            Value::Array(given.iter().zip(kept).map(|(given, kept)| restricted(given, kept)).collect())
        }
        (_, kept) => kept.clone(),
    }
}

fn cannot_be_handled(ty: &ResourceType, error: &dyn std::fmt::Display) -> ApiError {
    let (kind, version) = (&ty.kind, &ty.version);
    let text = error.to_string();
    // The words that people search for.
    let error = if text.contains("nvalid symbol") || text.contains("nvalid padding") || text.contains("nvalid length") {
        format!("illegal base64 data: {text}")
    } else {
        text
    };
    ApiError::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: json: {error}"))
}

fn check_type(ty: &ResourceType, body: &mut Value) -> ApiResult<()> {
    let api_version = ty.api_version();
    let Some(object) = body.as_object_mut() else {
        return Err(ApiError::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): couldn't get version/kind; the body is not a JSON object",
            ty.kind
        )));
    };
    let found_kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
    let found_version = object.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    if found_kind.is_empty() && matches!(ty.origin, Origin::Custom(_)) {
        return Err(ApiError::bad_request("Object 'Kind' is missing in the request body"));
    }
    if !found_kind.is_empty() && found_kind != ty.kind {
        return Err(ApiError::bad_request(format!(
            "{found_kind} in version {found_version:?} cannot be handled as a {}: the kind in the data ({found_kind}) does not match the expected kind ({})",
            ty.kind, ty.kind
        )));
    }
    if !found_version.is_empty() && found_version != api_version {
        return Err(ApiError::bad_request(format!(
            "{kind} in version {found_version:?} cannot be handled as a {kind}: the API version in the data ({found_version}) does not match the expected API version ({api_version})",
            kind = ty.kind
        )));
    }
    object.insert("kind".to_owned(), ty.kind.clone().into());
    object.insert("apiVersion".to_owned(), api_version.into());
    Ok(())
}

fn normalise_metadata(metadata: &Value) -> Result<Value, serde_json::Error> {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    serde_json::to_value(<ObjectMeta as serde::Deserialize>::deserialize(metadata)?)
}

/// Paths of fields that were given and did not survive reading.
fn unknown_fields(given: &Value, kept: &Value) -> Vec<String> {
    let mut unknown = Vec::new();
    collect_unknown(given, kept, "", &mut unknown);
    unknown
}

fn collect_unknown(given: &Value, kept: &Value, path: &str, unknown: &mut Vec<String>) {
    match (given, kept) {
        (Value::Object(given), Value::Object(kept)) => {
            for (key, value) in given {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match kept.get(key) {
                    Some(kept) => collect_unknown(value, kept, &path, unknown),
                    None if value.is_null() => {}
                    None => unknown.push(path),
                }
            }
        }
        (Value::Array(given), Value::Array(kept)) => {
            for (index, (value, kept)) in given.iter().zip(kept).enumerate() {
                collect_unknown(value, kept, &format!("{path}[{index}]"), unknown);
            }
        }
        _ => {}
    }
}
