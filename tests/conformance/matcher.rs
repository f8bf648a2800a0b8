//! Compares an answer with what a case expects. Pure.
//!
//! An expected object names only the fields that matter; a list must have as many elements as expected. Besides plain values:
//! - `"<any>"`: present, whatever it is; `"<absent>"`: not present
//! - `"~ REGEX"`: a text in which the expression is found
//! - `{"<contains>": […]}`: a list that holds an element for each of these; `{"<lacks>": […]}`: and none for these
//! - `{"<length>": N}`: a list of that length

use regex::Regex;
use serde_json::Value;

/// The differences, each with the path of the value; empty if the answer is as expected.
pub(crate) fn differences(expected: &Value, actual: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", expected, Some(actual), &mut found);
    found
}

fn compare(path: &str, expected: &Value, actual: Option<&Value>, found: &mut Vec<String>) {
    let shown = || actual.map_or_else(|| "nothing".to_owned(), |value| shorten(&value.to_string()));
    match (expected, actual) {
        (Value::String(text), _) if text == "<any>" => {
            if actual.is_none() {
                found.push(format!("{path}: expected a value, found nothing"));
            }
        }
        (Value::String(text), _) if text == "<absent>" => {
            if actual.is_some() {
                found.push(format!("{path}: expected nothing, found {}", shown()));
            }
        }
        (Value::String(text), Some(Value::String(value))) if text.starts_with("~ ") => {
            if !Regex::new(&text[2..]).is_ok_and(|regex| regex.is_match(value)) {
                found.push(format!("{path}: expected {text:?}, found {}", shown()));
            }
        }
        (Value::Object(fields), Some(Value::Array(list))) if fields.keys().any(|key| key.starts_with('<')) => {
            for (key, wanted) in fields {
                compare_list(path, key, wanted, list, found);
            }
        }
        (Value::Object(fields), Some(Value::Object(values))) => {
            for (key, wanted) in fields {
                compare(&format!("{path}/{key}"), wanted, values.get(key), found);
            }
        }
        (Value::Array(wanted), Some(Value::Array(list))) => {
            if wanted.len() != list.len() {
                found.push(format!("{path}: expected {} elements, found {}: {}", wanted.len(), list.len(), shown()));
            }
            for (index, (wanted, value)) in wanted.iter().zip(list).enumerate() {
                compare(&format!("{path}/{index}"), wanted, Some(value), found);
            }
        }
        _ if Some(expected) == actual => {}
        _ => found.push(format!("{path}: expected {expected}, found {}", shown())),
    }
}

fn compare_list(path: &str, operator: &str, wanted: &Value, list: &[Value], found: &mut Vec<String>) {
    let held = |wanted: &Value| list.iter().any(|value| differences(wanted, value).is_empty());
    let elements = wanted.as_array().map(Vec::as_slice).unwrap_or_default();
    match operator {
        "<length>" if wanted.as_u64() == Some(list.len() as u64) => {}
        "<length>" => found.push(format!("{path}: expected {wanted} elements, found {}", list.len())),
        "<contains>" => found.extend(elements.iter().filter(|element| !held(element)).map(|element| {
            format!("{path}: no element like {element} in {}", shorten(&Value::from(list).to_string()))
        })),
        "<lacks>" => found.extend(
            elements.iter().filter(|element| held(element)).map(|element| format!("{path}: an element like {element}")),
        ),
        other => found.push(format!("{path}: no such operator: {other}")),
    }
}

/// Long values would hide the other differences.
fn shorten(text: &str) -> String {
    const LIMIT: usize = 600;
    match text.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::differences;

    #[test]
    fn an_expected_object_is_a_part_of_the_answer() {
        let answer = json!({"kind": "Status", "code": 404, "details": {"name": "a", "causes": []}});
        assert!(differences(&json!({"code": 404, "details": {"name": "a"}}), &answer).is_empty());
        assert_eq!(
            differences(&json!({"code": 409, "details": {"name": "b"}}), &answer),
            ["/code: expected 409, found 404", "/details/name: expected \"b\", found \"a\""]
        );
    }

    #[test]
    fn presence_and_expressions() {
        let answer = json!({"uid": "x-1", "list": null});
        assert!(differences(&json!({"uid": "<any>", "name": "<absent>", "list": null}), &answer).is_empty());
        assert!(differences(&json!({"uid": "~ ^x-[0-9]$"}), &answer).is_empty());
        assert_eq!(differences(&json!({"uid": "<absent>", "name": "<any>"}), &answer).len(), 2);
        assert_eq!(differences(&json!({"uid": "~ ^y"}), &answer).len(), 1);
        assert_eq!(differences(&json!({"uid": "~ ("}), &answer).len(), 1, "an invalid expression matches nothing");
    }

    #[test]
    fn lists_have_the_expected_length_or_the_expected_elements() {
        let answer = json!([{"name": "a"}, {"name": "b"}]);
        assert!(differences(&json!([{"name": "a"}, {}]), &answer).is_empty());
        assert_eq!(differences(&json!([{"name": "a"}]), &answer).len(), 1);
        assert!(differences(&json!({"<contains>": [{"name": "b"}], "<length>": 2}), &answer).is_empty());
        assert_eq!(differences(&json!({"<lacks>": [{"name": "b"}], "<length>": 3}), &answer).len(), 2);
        assert_eq!(differences(&json!({"<contians>": []}), &answer).len(), 1);
    }
}
