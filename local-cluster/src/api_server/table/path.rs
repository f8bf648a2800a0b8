//! The value at the JSON path of a printer column: fields, list positions, `[*]`, `['field']` and `[?(@.field=="value")]`.

use serde_json::Value;

/// The value, if there is one. Of several the server prints the first.
pub(super) fn json_path(object: &Value, path: &str) -> Option<Value> {
    find(object, path).filter(|value| !value.is_null()).cloned()
}

fn find<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    let Some((before, rest)) = path.split_once('[') else { return fields(value, path) };
    let (inside, after) = rest.split_once(']')?;
    let found = fields(value, before)?;
    let item = if inside == "*" {
        found.as_array()?.first()?
    } else if let Ok(index) = inside.parse::<usize>() {
        found.as_array()?.get(index)?
    } else if let Some(filter) = inside.strip_prefix("?(").and_then(|filter| filter.strip_suffix(')')) {
        let (field, wanted) = filter.trim().trim_start_matches('@').split_once("==")?;
        let (field, wanted) = (field.trim(), unquoted(wanted.trim()));
        found.as_array()?.iter().find(|item| fields(item, field).and_then(Value::as_str) == Some(wanted))?
    } else {
        found.get(unquoted(inside))?
    };
    find(item, after)
}

/// Follows field names with dots between them; a dot behind a backslash is part of a name.
fn fields<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    const DOT: &str = "\0";
    let path = path.replace("\\.", DOT);
    let mut names = path.split('.').filter(|name| !name.is_empty());
    names.try_fold(value, |value, name| value.get(name.replace(DOT, ".")))
}

fn unquoted(text: &str) -> &str {
    text.trim_matches(['"', '\''])
}
