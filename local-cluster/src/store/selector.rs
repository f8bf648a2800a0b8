//! Label and field selectors, as they are written in query strings and in `LabelSelector` objects.
//!
//! Pure matching. Which fields a kind can be selected by is decided by the caller.

use serde_json::Value;

/// Why a selector could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unable to parse requirement: {0}")]
pub struct SelectorError(String);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Operator {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    DoesNotExist,
    GreaterThan(i64),
    LessThan(i64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
}

/// A conjunction of requirements on labels. The empty one matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
}

impl LabelSelector {
    /// Reads the form of query strings: `a=b,c!=d,e in (f,g),h,!i`.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut requirements = Vec::new();
        for part in split_outside_parentheses(text) {
            let part = part.trim();
            if part.is_empty() {
                if text.trim().is_empty() {
                    continue;
                }
                return Err(SelectorError(format!("found ',', expected: identifier in {text:?}")));
            }
            requirements.push(parse_requirement(part)?);
        }
        Ok(Self { requirements })
    }

    /// Reads a `metav1.LabelSelector` object. `null` selects nothing and gives `None`; `{}` selects everything.
    pub fn from_object(selector: &Value) -> Result<Option<Self>, SelectorError> {
        let Some(selector) = selector.as_object() else { return Ok(None) };
        let mut requirements = Vec::new();
        for (key, value) in selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
            let value = value.as_str().unwrap_or_default().to_owned();
            requirements.push(Requirement { key: key.clone(), operator: Operator::In(vec![value]) });
        }
        for expression in selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            requirements.push(parse_expression(expression)?);
        }
        Ok(Some(Self { requirements }))
    }

    /// Whether everything matches.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether the `labels` (a JSON object, or `null` for none) satisfy every requirement.
    pub fn matches(&self, labels: &Value) -> bool {
        self.requirements.iter().all(|requirement| requirement.matches(labels.get(&requirement.key)))
    }
}

impl std::fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let requirements: Vec<String> = self.requirements.iter().map(Requirement::text).collect();
        f.write_str(&requirements.join(","))
    }
}

impl Requirement {
    fn text(&self) -> String {
        let key = &self.key;
        match &self.operator {
            Operator::In(values) if values.len() == 1 => format!("{key}={}", values[0]),
            Operator::In(values) => format!("{key} in ({})", values.join(",")),
            Operator::NotIn(values) => format!("{key} notin ({})", values.join(",")),
            Operator::Exists => key.clone(),
            Operator::DoesNotExist => format!("!{key}"),
            Operator::GreaterThan(bound) => format!("{key}>{bound}"),
            Operator::LessThan(bound) => format!("{key}<{bound}"),
        }
    }

    fn matches(&self, value: Option<&Value>) -> bool {
        let value = value.and_then(Value::as_str);
        match &self.operator {
            Operator::In(values) => value.is_some_and(|v| values.iter().any(|w| w == v)),
            Operator::NotIn(values) => value.is_none_or(|v| values.iter().all(|w| w != v)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan(bound) => value.and_then(|v| v.parse::<i64>().ok()).is_some_and(|v| v > *bound),
            Operator::LessThan(bound) => value.and_then(|v| v.parse::<i64>().ok()).is_some_and(|v| v < *bound),
        }
    }
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_u32, 0);
    for (index, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn parse_requirement(part: &str) -> Result<Requirement, SelectorError> {
    if let Some(key) = part.strip_prefix('!') {
        return requirement(key, Operator::DoesNotExist);
    }
    if let Some((key, value)) = part.split_once("!=") {
        return requirement(key, Operator::NotIn(vec![label_value(value)?]));
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return requirement(key, Operator::In(vec![label_value(value)?]));
    }
    if let Some((key, bound)) = part.split_once('>') {
        return requirement(key, Operator::GreaterThan(integer(bound)?));
    }
    if let Some((key, bound)) = part.split_once('<') {
        return requirement(key, Operator::LessThan(integer(bound)?));
    }
    if let Some((head, rest)) = part.split_once('(') {
        let values = rest.strip_suffix(')').ok_or_else(|| SelectorError(format!("missing ')' in {part:?}")))?;
        let values = values.split(',').map(label_value).collect::<Result<Vec<_>, _>>()?;
        let mut words = head.split_whitespace();
        return match (words.next(), words.next(), words.next()) {
            (Some(key), Some("in"), None) => requirement(key, Operator::In(values)),
            (Some(key), Some("notin"), None) => requirement(key, Operator::NotIn(values)),
            _ => Err(SelectorError(format!("expected `key in (…)` or `key notin (…)`, found {part:?}"))),
        };
    }
    requirement(part, Operator::Exists)
}

fn requirement(key: &str, operator: Operator) -> Result<Requirement, SelectorError> {
    let key = key.trim();
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    if key.is_empty() || !key.chars().all(valid) {
        return Err(SelectorError(format!(
            "<nil>: Invalid value: {key:?}: name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
        )));
    }
    Ok(Requirement { key: key.to_owned(), operator })
}

fn label_value(value: &str) -> Result<String, SelectorError> {
    let value = value.trim();
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if value.chars().all(valid) && value.len() <= 63 {
        Ok(value.to_owned())
    } else {
        Err(SelectorError(format!(
            "values[0]: Invalid value: {value:?}: a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
        )))
    }
}

fn integer(bound: &str) -> Result<i64, SelectorError> {
    bound
        .trim()
        .parse()
        .map_err(|_| SelectorError(format!("for 'Gt', 'Lt' operators, the value must be an integer: {bound:?}")))
}

fn parse_expression(expression: &Value) -> Result<Requirement, SelectorError> {
    let key = expression.get("key").and_then(Value::as_str).unwrap_or_default();
    let values = || -> Vec<String> {
        let values = expression.get("values").and_then(Value::as_array).into_iter().flatten();
        values.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let operator = match expression.get("operator").and_then(Value::as_str).unwrap_or_default() {
        "In" => Operator::In(values()),
        "NotIn" => Operator::NotIn(values()),
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        "Gt" => Operator::GreaterThan(integer(values().first().map_or("", String::as_str))?),
        "Lt" => Operator::LessThan(integer(values().first().map_or("", String::as_str))?),
        other => return Err(SelectorError(format!("{other:?} is not a valid label selector operator"))),
    };
    requirement(key, operator)
}

/// A conjunction of `field=value` and `field!=value` terms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<FieldTerm>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct FieldTerm {
    field: String,
    value: String,
    equal: bool,
}

impl FieldSelector {
    /// Reads the form of query strings: `status.phase!=Running,spec.nodeName=n1`.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut terms = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (field, value, equal) = if let Some((field, value)) = part.split_once("!=") {
                (field, value, false)
            } else if let Some((field, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
                (field, value, true)
            } else {
                return Err(SelectorError(format!("invalid field selector: {part:?}; can't understand {part:?}")));
            };
            terms.push(FieldTerm { field: field.trim().to_owned(), value: value.trim().to_owned(), equal });
        }
        Ok(Self { terms })
    }

    /// The fields that it asks for.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.terms.iter().map(|term| term.field.as_str())
    }

    /// Whether everything matches.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The value demanded of a field, if it is demanded to equal one.
    pub fn required(&self, field: &str) -> Option<&str> {
        self.terms.iter().find(|term| term.equal && term.field == field).map(|term| term.value.as_str())
    }

    /// Whether `object` satisfies every term. An absent field counts as the empty string (or `false`, `0`).
    pub fn matches(&self, object: &Value) -> bool {
        self.terms.iter().all(|term| (field_text(object, &term.field) == term.value) == term.equal)
    }
}

fn field_text(object: &Value, field: &str) -> String {
    let found = field.split('.').try_fold(object, |value, name| value.get(name));
    match found {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => match field {
            "spec.unschedulable" | "spec.hostNetwork" => "false".to_owned(),
            "status.successful" | "status.replicas" => "0".to_owned(),
            _ => String::new(),
        },
        Some(other) => other.to_string(),
    }
}
