//! Resource quantities: clients may write them as numbers (`cpu: 1`), the API keeps them as text.

use serde_json::Value;

/// Maps whose values are quantities.
const QUANTITY_MAPS: [&str; 9] = [
    "limits",
    "requests",
    "capacity",
    "allocatable",
    "hard",
    "used",
    "overhead",
    "allocatedResources",
    "defaultRequest",
];
/// Single quantities.
const QUANTITIES: [&str; 2] = ["sizeLimit", "divisor"];

/// Fields whose names inside are the user's own: what is called `limits` there is no map of quantities.
const NAMED_BY_USERS: [&str; 7] =
    ["metadata", "data", "binaryData", "stringData", "openAPIV3Schema", "matchLabels", "nodeSelector"];

/// A text where a quantity should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$': {0:?}")]
pub(crate) struct NoQuantity(String);

/// Turns quantities written as numbers into text, wherever they are in a built-in object; refuses other texts.
pub(crate) fn write_as_text(object: &mut Value) -> Result<(), NoQuantity> {
    match object {
        Value::Object(fields) => {
            for (name, value) in fields {
                if NAMED_BY_USERS.contains(&name.as_str()) {
                    continue;
                }
                if QUANTITY_MAPS.contains(&name.as_str()) {
                    value.as_object_mut().into_iter().flatten().try_for_each(|(_, quantity)| normalise(quantity))?;
                } else if QUANTITIES.contains(&name.as_str()) {
                    normalise(value)?;
                } else {
                    write_as_text(value)?;
                }
            }
            Ok(())
        }
        Value::Array(items) => items.iter_mut().try_for_each(write_as_text),
        _ => Ok(()),
    }
}

fn normalise(quantity: &mut Value) -> Result<(), NoQuantity> {
    match quantity {
        Value::Number(number) => *quantity = Value::String(number.to_string()),
        Value::String(text) if !is_valid(text) => return Err(NoQuantity(text.clone())),
        _ => {}
    }
    Ok(())
}

/// Whether the text is a quantity: a decimal number with an optional SI, binary or exponent suffix.
fn is_valid(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(digits);
    let is_number = number.chars().any(|c| c.is_ascii_digit()) && number.matches('.').count() <= 1;
    let is_suffix = matches!(
        suffix,
        "" | "n" | "u" | "m" | "k" | "M" | "G" | "T" | "P" | "E" | "Ki" | "Mi" | "Gi" | "Ti" | "Pi" | "Ei"
    );
    let is_exponent = suffix.strip_prefix(['e', 'E']).is_some_and(|exponent| exponent.parse::<i32>().is_ok());
    is_number && (is_suffix || is_exponent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_of_users_are_left_alone() {
        let schema =
            json!({"openAPIV3Schema": {"properties": {"limits": {"type": "object", "description": "Upper bounds."}}}});
        let map = json!({"data": {"limits": "lots"}, "metadata": {"labels": {"hard": "very"}}});
        for object in [schema, map] {
            let mut written = object.clone();
            assert_eq!(write_as_text(&mut written), Ok(()));
            assert_eq!(written, object);
        }
    }

    #[test]
    fn numbers_become_text_only_where_quantities_are_meant() {
        let mut pod =
            json!({"spec": {"priority": 5, "containers": [{"resources": {"limits": {"cpu": 1, "memory": "1Gi"}}}]}});
        write_as_text(&mut pod).unwrap();
        assert_eq!(pod["spec"]["containers"][0]["resources"]["limits"], json!({"cpu": "1", "memory": "1Gi"}));
        assert_eq!(pod["spec"]["priority"], 5);
        let mut broken = json!({"limits": {"cpu": "lots"}});
        assert_eq!(write_as_text(&mut broken), Err(NoQuantity("lots".to_owned())));
    }

    #[test]
    fn quantities_are_recognised() {
        for good in ["1", "0.5", "500m", "1Gi", "1e3", "-1k", "2E"] {
            assert!(is_valid(good), "{good}");
        }
        for bad in ["", "Gi", "1.2.3", "1gb", "one", "1 Gi"] {
            assert!(!is_valid(bad), "{bad}");
        }
    }
}
