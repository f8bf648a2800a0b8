//! Server-side apply: the client sends the fields that it wants to own; those it no longer sends go, unless somebody
//! else owns them, and what others own may not be changed without force.

use serde_json::{Map, Value};

use super::super::error::{ApiError, ApiResult};
use super::super::write::timestamp;
use super::fields::FieldSet;
use super::managed::{self, Books, Writer};
use super::shape::{ListKind, Shape, item_key};

/// The object after applying `config`. `live` is `None` when apply creates.
pub(crate) fn apply(live: Option<&Value>, config: &Value, writer: &Writer<'_>, force: bool) -> ApiResult<Value> {
    if config["metadata"].get("managedFields").is_some_and(|fields| !fields.is_null()) {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    let shape = Shape::of(writer.ty);
    let empty = Value::Object(Map::new());
    let live = live.unwrap_or(&empty);
    let mut books = Books::read(live);
    let owner = managed::applier(writer);
    let applied = managed::ownable(FieldSet::of(shape, config));
    let mut merged = merge(shape, live, config);
    let dropped = books.fields_of(&owner).minus(&applied);
    dropped.remove_from(&books.fields_of_others(&owner).union(&applied), shape, &mut merged);
    let difference = FieldSet::difference_of(shape, live, &merged);
    let changed = managed::ownable(difference.changed);
    let conflicts: Vec<(String, String)> = books
        .entries
        .iter()
        .filter(|entry| entry.owner != owner)
        .flat_map(|entry| {
            let shared = entry.fields.intersection(&changed).intersection(&applied);
            let shown = entry.owner.shown(&entry.time);
            shared.paths().into_iter().map(move |path| (shown.clone(), path))
        })
        .collect();
    if !conflicts.is_empty() && !force {
        return Err(ApiError::apply_conflict(&conflicts));
    }
    books.take_from_others(&owner, &changed.intersection(&applied).union(&managed::ownable(difference.removed)));
    books.set(owner, applied, &timestamp(writer.now));
    books.write(&mut merged);
    Ok(merged)
}

fn merge(shape: Shape<'_>, live: &Value, config: &Value) -> Value {
    match (live, config) {
        (Value::Object(live), Value::Object(config)) if !shape.is_atomic_map() => {
            let mut merged = live.clone();
            for (key, value) in config {
                let old = live.get(key).unwrap_or(&Value::Null);
                merged.insert(key.clone(), merge(shape.field(key), old, value));
            }
            Value::Object(merged)
        }
        (Value::Array(live), Value::Array(config)) => merge_list(shape, live, config),
        (_, config) => config.clone(),
    }
}

fn merge_list(shape: Shape<'_>, live: &[Value], config: &[Value]) -> Value {
    let is_same = |a: &Value, b: &Value| match shape.list() {
        ListKind::Map(keys) => {
            let key = |item| item_key(shape.item(), &keys, item);
            key(a).is_some() && key(a) == key(b)
        }
        _ => a == b,
    };
    if shape.list() == ListKind::Atomic {
        return Value::Array(config.to_vec());
    }
    let mut merged: Vec<Value> = live
        .iter()
        .map(|old| {
            config.iter().find(|new| is_same(old, new)).map_or_else(|| old.clone(), |new| merge(shape.item(), old, new))
        })
        .collect();
    let added = config.iter().filter(|new| !live.iter().any(|old| is_same(old, new)));
    merged.extend(added.cloned());
    Value::Array(merged)
}
