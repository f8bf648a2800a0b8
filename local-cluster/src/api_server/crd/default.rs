//! Defaults from a schema, as the real server applies them: for absent fields, and for nulls that may not be null.

use serde_json::Value;

/// Fills an object's absent fields.
pub(crate) fn apply_defaults(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
                let is_null = map.get(key).is_some_and(Value::is_null);
                if is_null && schema["nullable"] != true && schema.get("default").is_some() {
                    map.remove(key);
                }
                if let Some(default) = schema.get("default").filter(|default| !default.is_null()) {
                    map.entry(key.clone()).or_insert_with(|| default.clone());
                }
                if let Some(child) = map.get_mut(key) {
                    apply_defaults(schema, child);
                }
            }
            if let Some(schema) = schema.get("additionalProperties").filter(|schema| schema.is_object()) {
                map.values_mut().for_each(|child| apply_defaults(schema, child));
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                items.iter_mut().for_each(|item| apply_defaults(schema, item));
            }
        }
        _ => {}
    }
}
