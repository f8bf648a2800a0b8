//! Validation against a structural schema, and against its CEL rules.

use std::collections::{BTreeSet, HashMap};
use std::sync::{LazyLock, Mutex, PoisonError};

use kube_cel::{CompiledSchema, ErrorKind, RootContext, Validator};
use regex::Regex;
use serde_json::Value;

use super::super::error::FieldError;
use super::super::patch::shape::{Shape, item_key};
use super::super::registry::ResourceType;

/// Everything in which a value differs from its schema.
pub(super) fn check_schema(schema: &Value, value: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check(schema, value, "", &mut errors);
    errors
}

fn check(schema: &Value, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if value.is_null() && (schema["nullable"] == true || path.is_empty()) {
        return;
    }
    if !check_type(schema, value, path, errors) {
        return;
    }
    check_enum(schema, value, path, errors);
    match value {
        Value::String(text) => check_text(schema, text, path, errors),
        Value::Number(number) => check_number(schema, number.as_f64().unwrap_or(0.0), value, path, errors),
        Value::Array(items) => check_list(schema, items, path, errors),
        Value::Object(_) => check_object(schema, value, path, errors),
        Value::Bool(_) | Value::Null => {}
    }
    check_combinations(schema, value, path, errors);
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn check_type(schema: &Value, value: &Value, path: &str, errors: &mut Vec<FieldError>) -> bool {
    let found = type_name(value);
    if schema["x-kubernetes-int-or-string"] == true {
        let is_either = matches!(found, "integer" | "string");
        if !is_either {
            let detail = format!("{} in body must be of type integer,string: {found:?}", shown(path));
            errors.push(FieldError::wrong_type(path, found, &detail));
        }
        return is_either;
    }
    let Some(wanted) = schema["type"].as_str() else { return true };
    let whole = value.as_f64().is_some_and(|number| number.fract() == 0.0);
    let fits = wanted == found
        || (wanted == "number" && found == "integer")
        || (wanted == "integer" && found == "number" && whole);
    if !fits {
        let detail = format!("{} in body must be of type {wanted}: {found:?}", shown(path));
        errors.push(FieldError::wrong_type(path, found, &detail));
    }
    fits
}

fn shown(path: &str) -> &str {
    if path.is_empty() { "object" } else { path }
}

fn check_enum(schema: &Value, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let Some(allowed) = schema["enum"].as_array() else { return };
    if !allowed.contains(value) {
        let supported: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
        errors.push(FieldError::not_supported(path, value, &supported));
    }
}

fn check_text(schema: &Value, text: &str, path: &str, errors: &mut Vec<FieldError>) {
    let value = Value::String(text.to_owned());
    let length = text.chars().count() as u64;
    if let Some(limit) = schema["maxLength"].as_u64().filter(|limit| length > *limit) {
        errors.push(FieldError::too_long(path, limit));
    }
    if let Some(limit) = schema["minLength"].as_u64().filter(|limit| length < *limit) {
        let detail = format!("{} in body should be at least {limit} chars long", shown(path));
        errors.push(FieldError::invalid(path, &value, &detail));
    }
    if let Some(pattern) = schema["pattern"].as_str()
        && compiled(pattern).is_some_and(|regex| !regex.is_match(text))
    {
        let detail = format!("{} in body should match '{pattern}'", shown(path));
        errors.push(FieldError::invalid(path, &value, &detail));
    }
    if let Some(format) = schema["format"].as_str().filter(|format| !fits_format(format, text)) {
        let detail = format!("{} in body must be of type {format}: {text:?}", shown(path));
        errors.push(FieldError::invalid(path, &value, &detail));
    }
}

/// A pattern of a schema. It is asked at every write of every object, and compiled once.
fn compiled(pattern: &str) -> Option<Regex> {
    static COMPILED: LazyLock<Mutex<HashMap<String, Option<Regex>>>> = LazyLock::new(Mutex::default);
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    compiled.entry(pattern.to_owned()).or_insert_with(|| Regex::new(pattern).ok()).clone()
}

/// The formats that people use; others are not checked, as the real server leaves unknown ones alone.
fn fits_format(format: &str, text: &str) -> bool {
    match format {
        "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
        "date" => text.parse::<jiff::civil::Date>().is_ok(),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "uuid" => uuid::Uuid::parse_str(text).is_ok(),
        _ => true,
    }
}

fn check_number(schema: &Value, number: f64, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if let Some(bound) = schema["minimum"].as_f64() {
        let exclusive = schema["exclusiveMinimum"] == true;
        if number < bound || (exclusive && number <= bound) {
            let relation = if exclusive { "greater than" } else { "greater than or equal to" };
            let detail = format!("{} in body should be {relation} {bound}", shown(path));
            errors.push(FieldError::invalid(path, value, &detail));
        }
    }
    if let Some(bound) = schema["maximum"].as_f64() {
        let exclusive = schema["exclusiveMaximum"] == true;
        if number > bound || (exclusive && number >= bound) {
            let relation = if exclusive { "less than" } else { "less than or equal to" };
            let detail = format!("{} in body should be {relation} {bound}", shown(path));
            errors.push(FieldError::invalid(path, value, &detail));
        }
    }
    if let Some(step) = schema["multipleOf"].as_f64().filter(|step| *step > 0.0)
        && (number / step).fract().abs() > f64::EPSILON
    {
        let detail = format!("{} in body should be a multiple of {step}", shown(path));
        errors.push(FieldError::invalid(path, value, &detail));
    }
    let fits_format = match schema["format"].as_str() {
        Some("int32") => number >= f64::from(i32::MIN) && number <= f64::from(i32::MAX),
        _ => true,
    };
    if !fits_format {
        let detail = format!("{} in body must be of type int32: {value}", shown(path));
        errors.push(FieldError::invalid(path, value, &detail));
    }
}

fn check_list(schema: &Value, items: &[Value], path: &str, errors: &mut Vec<FieldError>) {
    if let Some(limit) = schema["maxItems"].as_u64().filter(|limit| items.len() as u64 > *limit) {
        errors.push(FieldError::too_many(path, items.len(), limit));
    }
    if let Some(limit) = schema["minItems"].as_u64().filter(|limit| (items.len() as u64) < *limit) {
        let detail = format!("{} in body should have at least {limit} items", shown(path));
        errors.push(FieldError::invalid(path, &Value::Array(items.to_vec()), &detail));
    }
    if let Some(schema) = schema.get("items") {
        for (index, item) in items.iter().enumerate() {
            check(schema, item, &format!("{path}[{index}]"), errors);
        }
    }
    check_unique(schema, items, path, errors);
}

fn check_unique(schema: &Value, items: &[Value], path: &str, errors: &mut Vec<FieldError>) {
    let keys: Option<Vec<String>> = match schema["x-kubernetes-list-type"].as_str() {
        Some("map") => Some(super::texts(&schema["x-kubernetes-list-map-keys"])),
        Some("set") => None,
        _ if schema["uniqueItems"] == true => None,
        _ => return,
    };
    let mut seen = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        let identity = match &keys {
            Some(keys) => {
                let shape = schema.get("items").map_or(Shape::Untyped, Shape::Schema);
                item_key(shape, keys, item).map(|key| Value::Object(key.into_iter().collect()))
            }
            None => Some(item.clone()),
        };
        if let Some(identity) = identity
            && !seen.insert(identity.to_string())
        {
            errors.push(FieldError::duplicate(format!("{path}[{index}]"), &identity));
        }
    }
}

fn check_object(schema: &Value, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let Some(map) = value.as_object() else { return };
    let child = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !map.contains_key(required) {
            errors.push(FieldError::required(child(required), ""));
        }
    }
    if let Some(limit) = schema["maxProperties"].as_u64().filter(|limit| map.len() as u64 > *limit) {
        errors.push(FieldError::too_many(path, map.len(), limit));
    }
    if let Some(limit) = schema["minProperties"].as_u64().filter(|limit| (map.len() as u64) < *limit) {
        let detail = format!("{} in body should have at least {limit} properties", shown(path));
        errors.push(FieldError::invalid(path, value, &detail));
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    let additional = schema.get("additionalProperties").filter(|schema| schema.is_object());
    for (key, value) in map {
        if let Some(schema) = properties.and_then(|properties| properties.get(key)).or(additional) {
            check(schema, value, &child(key), errors);
        }
    }
}

fn check_combinations(schema: &Value, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let matching =
        |list: &Value| list.as_array().map(|all| all.iter().filter(|one| check_schema(one, value).is_empty()).count());
    for all in schema["allOf"].as_array().into_iter().flatten() {
        check(all, value, path, errors);
    }
    let mut refuse =
        |detail: &str| errors.push(FieldError::invalid(path, value, &format!("{} in body {detail}", shown(path))));
    if matching(&schema["anyOf"]) == Some(0) {
        refuse("must validate at least one schema (anyOf)");
    }
    if let Some(count) = matching(&schema["oneOf"]).filter(|count| *count != 1) {
        refuse(&format!(
            "must validate one and only one schema (oneOf). Found {}",
            if count == 0 { "none valid" } else { "2 or more valid" }
        ));
    }
    if schema["not"].is_object() && check_schema(&schema["not"], value).is_empty() {
        refuse("must not validate the schema (not)");
    }
}

/// What the schema's CEL rules say.
pub(super) fn check_rules(
    ty: &ResourceType,
    rules: &CompiledSchema,
    new: &Value,
    old: Option<&Value>,
) -> Vec<FieldError> {
    let context = RootContext { api_version: ty.api_version(), api_group: ty.group.clone(), kind: ty.kind.clone() };
    let Err(errors) = Validator::new().validate_compiled_with_context(rules, new, old, Some(&context)) else {
        return Vec::new();
    };
    errors
        .into_vec()
        .into_iter()
        .map(|error| {
            let at = error.field_path.split('.').filter(|part| !part.is_empty()).try_fold(new, |v, part| v.get(part));
            let value = at.filter(|value| !value.is_object() && !value.is_array()).cloned();
            let shown = value.unwrap_or_else(|| Value::String(at.map_or("null", type_name).to_owned()));
            let message = match error.kind {
                ErrorKind::ValidationFailure => error.message,
                _ => format!("rule {:?} could not be evaluated: {}", error.rule, error.message),
            };
            match error.reason.as_deref() {
                Some("FieldValueRequired") => FieldError::required(error.field_path, &message),
                Some("FieldValueForbidden") => FieldError::forbidden(error.field_path, &message),
                Some("FieldValueDuplicate") => FieldError::duplicate(error.field_path, &shown),
                _ => FieldError::invalid(error.field_path, &shown, &message),
            }
        })
        .collect()
}
