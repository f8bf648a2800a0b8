//! Strategic merge patch: a merge patch that knows which lists merge by key, with its `$patch` directives.

use serde_json::{Map, Value};

use super::super::error::{ApiError, ApiResult};
use super::super::registry::ResourceType;
use super::shape::{ListKind, Shape};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const ELEMENT_ORDER: &str = "$setElementOrder/";
const DELETE_FROM_LIST: &str = "$deleteFromPrimitiveList/";

/// Applies `patch` to a copy of `document`.
pub(crate) fn apply(ty: &ResourceType, document: &Value, patch: &Value) -> ApiResult<Value> {
    let Some(patch) = patch.as_object() else {
        return Err(ApiError::bad_request("error decoding patch: a strategic merge patch must be a JSON object"));
    };
    let mut patched = document.as_object().cloned().unwrap_or_default();
    merge_map(Shape::of(ty), &mut patched, patch)?;
    Ok(Value::Object(patched))
}

fn merge_map(shape: Shape<'_>, target: &mut Map<String, Value>, patch: &Map<String, Value>) -> ApiResult<()> {
    match patch.get(DIRECTIVE).and_then(Value::as_str) {
        Some("replace") => {
            *target = without_directives(patch);
            return Ok(());
        }
        Some("delete") => {
            target.clear();
            return Ok(());
        }
        Some("merge") | None => {}
        Some(other) => return Err(unknown_directive(other)),
    }
    if let Some(kept) = patch.get(RETAIN_KEYS).and_then(Value::as_array) {
        target.retain(|key, _| kept.iter().any(|name| name == key));
    }
    for (key, value) in patch {
        if let Some(field) = key.strip_prefix(DELETE_FROM_LIST) {
            delete_scalars(target, field, value);
        }
    }
    for (key, value) in patch.iter().filter(|(key, _)| !key.starts_with('$')) {
        let field = shape.field(key);
        match (value, target.get_mut(key)) {
            (Value::Null, _) => {
                target.remove(key);
            }
            (Value::Object(value), Some(Value::Object(existing))) => {
                merge_map(field, existing, value)?;
                if value.get(DIRECTIVE).is_some_and(|directive| directive == "delete") {
                    target.remove(key);
                }
            }
            (Value::Object(value), _) => {
                let mut fresh = Map::new();
                merge_map(field, &mut fresh, value)?;
                target.insert(key.clone(), Value::Object(fresh));
            }
            (Value::Array(items), existing) => {
                let existing = existing.and_then(|value| value.as_array().cloned()).unwrap_or_default();
                let order = patch.get(&format!("{ELEMENT_ORDER}{key}")).and_then(Value::as_array);
                target.insert(key.clone(), merge_list(field, existing, items, order)?);
            }
            (value, _) => {
                target.insert(key.clone(), value.clone());
            }
        }
    }
    reorder_untouched(shape, target, patch);
    Ok(())
}

/// A list whose order alone is stated.
fn reorder_untouched(shape: Shape<'_>, target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (key, order) in patch {
        let Some(field) = key.strip_prefix(ELEMENT_ORDER).filter(|field| !patch.contains_key(*field)) else { continue };
        let (Some(Value::Array(items)), Some(order)) = (target.get_mut(field), order.as_array()) else { continue };
        match shape.field(field).list() {
            ListKind::Map(keys) if !keys.is_empty() => sort_by_order(items, order, Some(&keys[0])),
            _ => sort_by_order(items, order, None),
        }
    }
}

fn merge_list(
    shape: Shape<'_>,
    mut existing: Vec<Value>,
    items: &[Value],
    order: Option<&Vec<Value>>,
) -> ApiResult<Value> {
    if items.iter().any(|item| item[DIRECTIVE] == "replace") {
        let kept = items.iter().filter(|item| item[DIRECTIVE] != "replace").cloned().collect();
        return Ok(Value::Array(kept));
    }
    let key = match shape.list() {
        ListKind::Atomic => return Ok(Value::Array(items.iter().map(strip).collect())),
        ListKind::Set => None,
        ListKind::Map(keys) => keys.into_iter().next(),
    };
    for item in items {
        match &key {
            None => {
                if !existing.contains(item) {
                    existing.push(item.clone());
                }
            }
            Some(key) => merge_item(shape, &mut existing, key, item)?,
        }
    }
    if let Some(order) = order {
        sort_by_order(&mut existing, order, key.as_ref());
    }
    Ok(Value::Array(existing))
}

fn merge_item(shape: Shape<'_>, existing: &mut Vec<Value>, key: &str, item: &Value) -> ApiResult<()> {
    let (Some(patch), Some(id)) = (item.as_object(), item.get(key)) else {
        return Err(ApiError::bad_request(format!("map: {item} does not contain declared merge key: {key}")));
    };
    let position = existing.iter().position(|candidate| candidate.get(key) == Some(id));
    match (patch.get(DIRECTIVE).and_then(Value::as_str), position) {
        (Some("delete"), position) => {
            if let Some(position) = position {
                existing.remove(position);
            }
        }
        (_, Some(position)) => {
            if let Some(target) = existing[position].as_object_mut() {
                merge_map(shape.item(), target, patch)?;
            }
        }
        (_, None) => {
            let mut fresh = Map::new();
            merge_map(shape.item(), &mut fresh, patch)?;
            existing.push(Value::Object(fresh));
        }
    }
    Ok(())
}

/// Sorts the items named in `order` into that order; the others keep their place after their predecessors.
fn sort_by_order(items: &mut [Value], order: &[Value], key: Option<&String>) {
    let rank = |item: &Value| {
        order.iter().position(|wanted| match key {
            Some(key) => wanted.get(key).is_some() && wanted.get(key) == item.get(key),
            None => wanted == item,
        })
    };
    let mut last = 0;
    let ranks: Vec<usize> = items
        .iter()
        .map(|item| {
            last = rank(item).unwrap_or(last);
            last
        })
        .collect();
    let mut indexed: Vec<(usize, Value)> = ranks.into_iter().zip(items.iter().cloned()).collect();
    indexed.sort_by_key(|(rank, _)| *rank);
    for (slot, (_, item)) in items.iter_mut().zip(indexed) {
        *slot = item;
    }
}

fn delete_scalars(target: &mut Map<String, Value>, field: &str, values: &Value) {
    let Some(Value::Array(items)) = target.get_mut(field) else { return };
    let values = values.as_array().cloned().unwrap_or_default();
    items.retain(|item| !values.contains(item));
}

fn without_directives(map: &Map<String, Value>) -> Map<String, Value> {
    map.iter().filter(|(key, _)| !key.starts_with('$')).map(|(key, value)| (key.clone(), strip(value))).collect()
}

fn strip(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(without_directives(map)),
        other => other.clone(),
    }
}

fn unknown_directive(found: &str) -> ApiError {
    ApiError::bad_request(format!("unknown patch type: {found}"))
}
