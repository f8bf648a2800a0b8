//! Structural pruning: what a schema does not name does not reach the store.

use serde_json::Value;

/// Removes unknown fields from an object and gives their paths. The root's `apiVersion`, `kind` and `metadata` are
/// known to every schema.
pub(super) fn prune(schema: &Value, object: &mut Value) -> Vec<String> {
    let mut removed = Vec::new();
    prune_at(schema, object, "", true, &mut removed);
    removed
}

fn prune_at(schema: &Value, value: &mut Value, path: &str, is_object_root: bool, removed: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            let keeps_unknown = schema["x-kubernetes-preserve-unknown-fields"] == true;
            let is_embedded = schema["x-kubernetes-embedded-resource"] == true;
            let properties = schema.get("properties").and_then(Value::as_object);
            let additional = schema.get("additionalProperties").filter(|s| s.is_object() || **s == true);
            let mut unknown = Vec::new();
            for (key, child) in map.iter_mut() {
                if (is_object_root || is_embedded) && matches!(key.as_str(), "apiVersion" | "kind" | "metadata") {
                    continue;
                }
                let child_path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match properties.and_then(|properties| properties.get(key)).or(additional) {
                    Some(schema) => prune_at(schema, child, &child_path, false, removed),
                    None if keeps_unknown || schema == &Value::Bool(true) => {}
                    None => unknown.push((key.clone(), child_path)),
                }
            }
            for (key, path) in unknown {
                map.remove(&key);
                removed.push(path);
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                for (index, item) in items.iter_mut().enumerate() {
                    prune_at(schema, item, &format!("{path}[{index}]"), false, removed);
                }
            }
        }
        _ => {}
    }
}
