//! The part of `metadata` that only the server writes.

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use serde_json::{Map, Value};

use super::super::defaults::TEMPLATE_GENERATION;
use super::super::error::{ApiError, ApiResult, FieldError};
use super::super::registry::ResourceType;

/// The alphabet of generated name suffixes: no vowels, so that no words appear, and no look-alikes.
const SUFFIX_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LENGTH: usize = 5;
/// Generated names stay short enough for a suffix.
const GENERATED_BASE_LENGTH: usize = 63 - SUFFIX_LENGTH;

/// A time as `metav1.Time` writes it: UTC, whole seconds.
pub(crate) fn timestamp(time: Timestamp) -> String {
    let whole = TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Trunc);
    time.round(whole).unwrap_or(time).to_string()
}

/// `metadata` as a map, created if it is missing.
pub(super) fn metadata_mut(object: &mut Value) -> ApiResult<&mut Map<String, Value>> {
    let object = object.as_object_mut().ok_or_else(|| ApiError::bad_request("the object is not a JSON object"))?;
    object
        .entry("metadata")
        .or_insert_with(|| Value::Object(Map::new()))
        .as_object_mut()
        .ok_or_else(|| ApiError::bad_request("metadata is not a JSON object"))
}

/// Fills the metadata of a new object, whose name is known by now.
pub(super) fn fill_new(ty: &ResourceType, object: &mut Value, namespace: &str, now: Timestamp) -> ApiResult<()> {
    let metadata = metadata_mut(object)?;
    for set_by_server in ["deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink"] {
        metadata.remove(set_by_server);
    }
    if ty.namespaced {
        metadata.insert("namespace".to_owned(), namespace.into());
    } else {
        metadata.remove("namespace");
    }
    metadata.insert("uid".to_owned(), uuid::Uuid::new_v4().to_string().into());
    metadata.insert("creationTimestamp".to_owned(), timestamp(now).into());
    if ty.counts_generations() {
        metadata.insert("generation".to_owned(), 1.into());
    }
    Ok(())
}

/// The name of a new object: its own, or one made from `generateName`.
pub(super) fn choose_name(ty: &ResourceType, object: &mut Value) -> ApiResult<String> {
    let metadata = metadata_mut(object)?;
    let given = metadata.get("name").and_then(Value::as_str).unwrap_or_default();
    if !given.is_empty() {
        return Ok(given.to_owned());
    }
    let base = metadata.get("generateName").and_then(Value::as_str).unwrap_or_default();
    if base.is_empty() {
        let missing = FieldError::required("metadata.name", "name or generateName is required");
        return Err(ApiError::invalid(&ty.group, &ty.kind, "", &[missing]));
    }
    let base: String = base.chars().take(GENERATED_BASE_LENGTH).collect();
    let suffix: String =
        (0..SUFFIX_LENGTH).map(|_| char::from(SUFFIX_ALPHABET[rand::random_range(0..SUFFIX_ALPHABET.len())])).collect();
    let name = format!("{base}{suffix}");
    metadata.insert("name".to_owned(), name.clone().into());
    Ok(name)
}

/// Puts the fields that an update cannot change back to what they were.
pub(super) fn keep_identity(old: &Value, new: &mut Value) -> ApiResult<()> {
    let metadata = metadata_mut(new)?;
    for kept in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "generateName",
        "resourceVersion",
    ] {
        match old["metadata"].get(kept) {
            Some(value) => metadata.insert(kept.to_owned(), value.clone()),
            None => metadata.remove(kept),
        };
    }
    Ok(())
}

/// Refuses a change of the fields that a client may send back but not change.
pub(super) fn check_identity(old: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let is_deleted = !old["metadata"]["deletionTimestamp"].is_null();
    if is_deleted {
        let before = strings(&old["metadata"]["finalizers"]);
        let added: Vec<_> =
            strings(&new["metadata"]["finalizers"]).into_iter().filter(|f| !before.contains(f)).collect();
        if !added.is_empty() {
            let shown: Vec<String> = added.iter().map(|f| format!("{f:?}")).collect();
            errors.push(FieldError::forbidden(
                "metadata.finalizers",
                &format!(
                    "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                    shown.join(", ")
                ),
            ));
        }
    }
    errors
}

/// Counts a change of anything but metadata and status.
pub(super) fn count_generation(ty: &ResourceType, old: &Value, new: &mut Value) -> ApiResult<()> {
    if !ty.counts_generations() || same_specification(old, new) {
        return Ok(());
    }
    let generation = old["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
    metadata_mut(new)?.insert("generation".to_owned(), generation.into());
    Ok(())
}

/// Counts the changes of a DaemonSet's template, whatever the client says of their number.
pub(super) fn count_templates(ty: &ResourceType, old: &Value, new: &mut Value) {
    if !ty.is("apps", "DaemonSet") {
        return;
    }
    let before = old["metadata"]["annotations"][TEMPLATE_GENERATION].as_str().and_then(|text| text.parse::<i64>().ok());
    let changes = i64::from(old["spec"]["template"] != new["spec"]["template"]);
    new["metadata"]["annotations"][TEMPLATE_GENERATION] = (before.unwrap_or(1) + changes).to_string().into();
}

fn same_specification(old: &Value, new: &Value) -> bool {
    let part = |object: &Value| -> Option<Vec<(String, Value)>> {
        let mut fields: Vec<(String, Value)> = object
            .as_object()?
            .iter()
            .filter(|(key, _)| !matches!(key.as_str(), "metadata" | "status" | "apiVersion" | "kind"))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        fields.sort_by(|a, b| a.0.cmp(&b.0));
        Some(fields)
    };
    part(old) == part(new)
}

/// Whether two versions differ in more than bookkeeping; a write that changes nothing must not wake anybody.
pub(super) fn is_same(old: &Value, new: &Value) -> bool {
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else { return false };
    if old.len() != new.len() {
        return false;
    }
    old.iter().all(|(key, value)| match (key.as_str(), new.get(key)) {
        ("metadata", Some(other)) => same_metadata(value, other),
        (_, other) => other == Some(value),
    })
}

fn same_metadata(old: &Value, new: &Value) -> bool {
    let relevant = |metadata: &Value| -> Option<Map<String, Value>> {
        let mut metadata = metadata.as_object()?.clone();
        metadata.remove("resourceVersion");
        for entry in metadata.get_mut("managedFields").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(entry) = entry.as_object_mut() {
                entry.remove("time");
            }
        }
        Some(metadata)
    };
    relevant(old) == relevant(new)
}

/// The strings of a JSON list; anything else counts as none.
pub(super) fn strings(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}
