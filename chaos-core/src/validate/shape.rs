//! Compares a tree with a structural schema: the very schema of the CRD, so that a file and an API server agree on what a
//! manifest looks like. Every deviation is a problem; what the values mean together is checked elsewhere. Patterns are asked by
//! themselves, of what else is valid: where there is a rule of names, its words are the better ones.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use regex::Regex;
use serde_json::Value;

use super::document::{Data, Node};
use super::path::Path;
use super::problem::Problems;
use super::suggest::closest;
use crate::units::{CountOrPercent, Duration, Percent, Rate, UnitError};

/// Checking ends after so many: nobody reads more, and a hostile file has a hundred thousand.
const MOST_PROBLEMS: usize = 500;

/// Adds a problem for each deviation of `node` from `schema`.
pub(super) fn check(schema: &Value, node: &Node, at: &Path, problems: &mut Problems) {
    if problems.len() >= MOST_PROBLEMS {
        return;
    }
    if flag(schema, "x-kubernetes-int-or-string") {
        return count_or_percent(node, at, problems);
    }
    if matches!(node.data, Data::Null) && flag(schema, "nullable") {
        return;
    }
    match (schema.get("type").and_then(Value::as_str), &node.data) {
        (Some("object"), Data::Map(_)) => object(schema, node, at, problems),
        (Some("array"), Data::List(items)) => array(schema, items, at, problems),
        (Some("string"), Data::Text(text)) => string(schema, text, at, problems),
        (Some("boolean"), Data::Bool(_)) | (None, _) => {}
        (Some("integer" | "number"), Data::Number(number)) => numeric(schema, number, at, problems),
        (Some(expected), found) => wrong_type(schema, expected, found, at, problems),
    }
}

fn object(schema: &Value, node: &Node, at: &Path, problems: &mut Problems) {
    let Data::Map(fields) = &node.data else { return };
    bounds(schema, &FIELDS, fields.len() as f64, at, problems);
    let known = schema.get("properties").and_then(Value::as_object);
    let others = schema.get("additionalProperties").filter(|others| others.is_object());
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let mut missing: Vec<&str> = required.filter(|name| node.get(name).is_none()).collect();
    let names = || known.into_iter().flat_map(|known| known.keys().map(String::as_str));
    let absent: Vec<&str> = names().filter(|name| node.get(name).is_none()).collect();
    for (key, value) in fields {
        if problems.len() >= MOST_PROBLEMS {
            return;
        }
        let path = at.field(&key.name);
        match (known.and_then(|known| known.get(&key.name)), others) {
            (Some(schema), _) | (None, Some(schema)) => check(schema, value, &path, problems),
            (None, None) if flag(schema, "x-kubernetes-preserve-unknown-fields") => {}
            (None, None) => {
                let problem = problems.add_at_key(&path, format!("there is no field {:?} here", key.name));
                if let Some(meant) = closest(&key.name, absent.iter().copied()) {
                    problem.hint(format!("did you mean {meant}?"));
                    // One mistake, one error: the field that was misspelt is not missing as well.
                    missing.retain(|name| *name != meant);
                } else {
                    problem.hint(format!("the fields here are {}", names().collect::<Vec<_>>().join(", ")));
                }
            }
        }
    }
    for name in missing {
        let problem = problems.add_at_key(at, format!("the field {name} is missing"));
        let field = known.and_then(|known| known.get(name));
        if let Some(text) = field.and_then(|field| field.get("description")).and_then(Value::as_str) {
            problem.hint(format!("{name}: {}", first_sentence(text)));
        }
    }
}

fn array(schema: &Value, items: &[Node], at: &Path, problems: &mut Problems) {
    bounds(schema, &ELEMENTS, items.len() as f64, at, problems);
    if let Some(schema) = schema.get("items") {
        for (i, item) in items.iter().enumerate() {
            check(schema, item, &at.index(i), problems);
        }
    }
}

fn string(schema: &Value, text: &str, at: &Path, problems: &mut Problems) {
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        let values = || values.iter().filter_map(Value::as_str);
        if !values().any(|value| value == text) {
            let problem = problems.add(at, format!("{text:?} is none of {}", values().collect::<Vec<_>>().join(", ")));
            if let Some(value) = closest(text, values()) {
                problem.hint(format!("did you mean {value}?"));
            }
        }
        return;
    }
    let unit = match schema.get("format").and_then(Value::as_str) {
        Some("go-duration") => Some(text.parse::<Duration>().err()),
        Some("percent") => Some(text.parse::<Percent>().err()),
        Some("rate") => Some(text.parse::<Rate>().err()),
        Some("date-time") => {
            if text.parse::<jiff::Timestamp>().is_err() {
                problems.add(at, format!("{text:?} is no instant")).hint("write it as 2026-11-23T20:00:00Z");
            }
            return;
        }
        _ => None,
    };
    match unit {
        Some(Some(error)) => unit_error(&error, at, problems),
        Some(None) | None => bounds(schema, &CHARACTERS, text.chars().count() as f64, at, problems),
    }
}

/// Adds a problem for each text of `node` that is not of the pattern that `schema` has for it.
pub(super) fn patterns(schema: &'static Value, node: &Node, at: &Path, problems: &mut Problems) {
    if problems.len() >= MOST_PROBLEMS {
        return;
    }
    match &node.data {
        Data::Map(fields) => {
            for (key, value) in fields {
                let known = schema.get("properties").and_then(|known| known.get(&key.name));
                let others = || schema.get("additionalProperties").filter(|others| others.is_object());
                if let Some(schema) = known.or_else(others) {
                    patterns(schema, value, &at.field(&key.name), problems);
                }
            }
        }
        Data::List(items) => {
            for (i, item) in items.iter().enumerate() {
                schema.get("items").into_iter().for_each(|schema| patterns(schema, item, &at.index(i), problems));
            }
        }
        Data::Text(text) => {
            let pattern = schema.get("pattern").and_then(Value::as_str);
            let broken = |pattern: &&'static str| compiled(pattern).is_some_and(|regex| !regex.is_match(text));
            if let Some(pattern) = pattern.filter(broken) {
                let problem = problems.add(at, format!("{text:?} is not what is written here"));
                problem.hint(format!("it must match {pattern}"));
            }
        }
        Data::Null | Data::Bool(_) | Data::Number(_) => {}
    }
}

/// A pattern of our own schemas, compiled once: most stand for many texts. One that does not compile would be found by a test.
fn compiled(pattern: &'static str) -> Option<Regex> {
    static COMPILED: Mutex<BTreeMap<&str, Option<Regex>>> = Mutex::new(BTreeMap::new());
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    compiled.entry(pattern).or_insert_with(|| Regex::new(pattern).ok()).clone()
}

fn numeric(schema: &Value, number: &serde_json::Number, at: &Path, problems: &mut Problems) {
    if schema.get("type").and_then(Value::as_str) == Some("integer") && !(number.is_i64() || number.is_u64()) {
        problems.add(at, format!("expected a whole number, found {number}"));
        return;
    }
    let before = problems.len();
    bounds(schema, &VALUE, number.as_f64().unwrap_or_default(), at, problems);
    let fits = match schema.get("format").and_then(Value::as_str) {
        Some("uint32") => number.as_u64().is_some_and(|n| u32::try_from(n).is_ok()),
        Some("uint16") => number.as_u64().is_some_and(|n| u16::try_from(n).is_ok()),
        Some("int32") => number.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
        Some("uint64") => number.is_u64(),
        Some("int64") => number.is_i64(),
        _ => true,
    };
    if !fits && problems.len() == before {
        problems.add(at, format!("{number} does not fit here"));
    }
}

/// What a schema can bound.
struct Bounded {
    /// The keyword of the lower bound.
    min: &'static str,
    /// The keyword of the upper bound.
    max: &'static str,
    /// Stands behind every figure.
    unit: &'static str,
    /// Whether what is below says what is meant all the same, as a record may.
    readable_below: bool,
    /// Whether what is above does.
    readable_above: bool,
}

const FIELDS: Bounded = Bounded {
    min: "minProperties",
    max: "maxProperties",
    unit: " fields",
    readable_below: false,
    readable_above: true,
};
const ELEMENTS: Bounded =
    Bounded { min: "minItems", max: "maxItems", unit: " elements", readable_below: false, readable_above: true };
const CHARACTERS: Bounded =
    Bounded { min: "minLength", max: "maxLength", unit: " characters", readable_below: true, readable_above: true };
const VALUE: Bounded =
    Bounded { min: "minimum", max: "maximum", unit: "", readable_below: false, readable_above: false };

fn bounds(schema: &Value, bounded: &Bounded, size: f64, at: &Path, problems: &mut Problems) {
    let unit = bounded.unit;
    let mut problem = |readable: bool, message| {
        if readable {
            problems.judge(at, message)
        } else {
            problems.add(at, message)
        };
    };
    if let Some(min) = schema.get(bounded.min).and_then(Value::as_f64).filter(|min| size < *min) {
        problem(bounded.readable_below, format!("{size}{unit}: at least {min}{unit} are needed here"));
    }
    if let Some(max) = schema.get(bounded.max).and_then(Value::as_f64).filter(|max| size > *max) {
        problem(bounded.readable_above, format!("{size}{unit}: at most {max}{unit} are allowed here"));
    }
}

fn count_or_percent(node: &Node, at: &Path, problems: &mut Problems) {
    match &node.data {
        Data::Text(text) => {
            if let Err(error) = text.parse::<Percent>() {
                let whole = text.parse::<u32>().is_ok();
                let error = UnitError { expected: "a count such as 1 or a percentage such as 34%", ..error };
                let hint = whole.then(|| format!("write {text} without quotes, or {text}%"));
                unit_error(&UnitError { hint: hint.or(error.hint.clone()), ..error }, at, problems);
            }
        }
        _ => {
            if serde_json::from_value::<CountOrPercent>(node.to_json()).is_err() {
                problems.add(at, "expected a count such as 1 or a percentage such as 34%");
            }
        }
    }
}

fn unit_error(error: &UnitError, at: &Path, problems: &mut Problems) {
    let problem = problems.add(at, format!("{:?} is not {}", error.found, error.expected));
    if let Some(hint) = &error.hint {
        problem.hint(hint);
    }
}

fn wrong_type(schema: &Value, expected: &str, found: &Data, at: &Path, problems: &mut Problems) {
    let expected_words = match expected {
        "object" => "a mapping",
        "array" => "a list",
        "string" => "text",
        "boolean" => "true or false",
        "integer" => "a whole number",
        _ => "a number",
    };
    let found_words = match found {
        Data::Null => "nothing".to_owned(),
        Data::Bool(value) => value.to_string(),
        Data::Number(number) => format!("the number {number}"),
        Data::Text(text) => format!("the text {:?}", text.chars().take(40).collect::<String>()),
        Data::List(_) => "a list".to_owned(),
        Data::Map(_) => "a mapping".to_owned(),
    };
    let problem = problems.add(at, format!("expected {expected_words}, found {found_words}"));
    let number = match found {
        Data::Number(number) => number.to_string(),
        _ => String::new(),
    };
    let unit_hint = match schema.get("format").and_then(Value::as_str) {
        Some("go-duration") => number.parse::<Duration>().err().and_then(|error| error.hint),
        Some("percent") => number.parse::<Percent>().err().and_then(|error| error.hint),
        Some("rate") => number.parse::<Rate>().err().and_then(|error| error.hint),
        _ => None,
    };
    match (unit_hint, expected, found) {
        (Some(hint), _, Data::Number(_)) => problem.hint(hint),
        (None, "string", Data::Number(_) | Data::Bool(_)) => problem.hint("put it in quotes"),
        (_, "array", found) if !matches!(found, Data::Null) => problem.hint("write it as a list: [ … ]"),
        _ => {}
    }
}

fn first_sentence(text: &str) -> &str {
    text.split(". ").next().unwrap_or(text).trim_end_matches('.')
}

fn flag(schema: &Value, name: &str) -> bool {
    schema.get(name).and_then(Value::as_bool).unwrap_or_default()
}
