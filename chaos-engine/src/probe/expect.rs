//! Whether a value is what was expected. Typed: a number in quotes is no number, and what cannot be compared is not met.

use chaos_core::model::Expectation;
use serde_json::Value;

/// What the values of a probe must be.
#[derive(Debug, Clone, PartialEq)]
pub enum Expected {
    /// The value itself is judged.
    Value(Expectation),
    /// Each value of a list is judged; a list of none is not met.
    Each(Expectation),
    /// `{exitCode, output}` of a program: the code must be the one that is asked for (0 if none is), and its output is judged
    /// where the expectation says more.
    Exit(Expectation),
    /// `{connected}` must be true.
    Connected,
    /// `{serving}` must be true.
    Serving,
}

impl Expected {
    /// Whether the value is as expected.
    pub(super) fn is_met_by(&self, value: &Value) -> bool {
        match self {
            Self::Value(expectation) => meets(expectation, value),
            Self::Each(expectation) => value
                .as_array()
                .is_some_and(|values| !values.is_empty() && values.iter().all(|value| meets(expectation, value))),
            Self::Exit(expectation) => {
                let code = i64::from(expectation.exit_code.unwrap_or(0));
                value["exitCode"].as_i64() == Some(code) && meets(expectation, &value["output"])
            }
            Self::Connected => value["connected"] == Value::Bool(true),
            Self::Serving => value["serving"] == Value::Bool(true),
        }
    }
}

/// Whether a value meets everything that an expectation says about values.
pub fn meets(expectation: &Expectation, value: &Value) -> bool {
    let bound = |limit: Option<f64>, holds: fn(f64, f64) -> bool| {
        limit.is_none_or(|limit| value.as_f64().is_some_and(|number| holds(number, limit)))
    };
    bound(expectation.min, |number, min| number >= min)
        && bound(expectation.max, |number, max| number <= max)
        && expectation.equals.as_ref().is_none_or(|expected| same(expected, value))
        && (expectation.one_of.is_empty() || expectation.one_of.iter().any(|expected| same(expected, value)))
}

/// Equal and of the same type; 1 and 1.0 are the same number.
fn same(expected: &Value, value: &Value) -> bool {
    match (expected, value) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64() && a.is_f64() != b.is_f64(),
        _ => expected == value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn expectation(change: impl FnOnce(&mut Expectation)) -> Expectation {
        let mut expectation = Expectation::default();
        change(&mut expectation);
        expectation
    }

    #[test]
    fn bounds_and_equality_are_typed() {
        let at_least = expectation(|e| e.min = Some(0.99));
        let between = expectation(|e| (e.min, e.max) = (Some(1.0), Some(2.0)));
        let equal = expectation(|e| e.equals = Some(json!(3)));
        let word = expectation(|e| e.one_of = vec![json!("up"), json!(true)]);
        for (expectation, value, met) in [
            (&at_least, json!(0.99), true),
            (&at_least, json!(0.98), false),
            (&at_least, json!("1"), false),
            (&at_least, json!(null), false),
            (&at_least, json!(true), false),
            (&between, json!(2), true),
            (&between, json!(2.1), false),
            (&equal, json!(3), true),
            (&equal, json!(3.0), true),
            (&equal, json!("3"), false),
            (&word, json!("up"), true),
            (&word, json!(true), true),
            (&word, json!("true"), false),
        ] {
            assert_eq!(meets(expectation, &value), met, "{expectation:?} of {value}");
        }
    }

    #[test]
    fn every_value_of_a_list_must_be_as_expected() {
        let each = Expected::Each(expectation(|e| e.min = Some(0.5)));
        for (value, met) in [
            (json!([0.5, 1]), true),
            (json!([0.5, 0.4, 1]), false),
            (json!([]), false),
            (json!(1), false),
            (json!([1, "1"]), false),
        ] {
            assert_eq!(each.is_met_by(&value), met, "{value}");
        }
    }

    #[test]
    fn large_numbers_are_not_rounded_into_equality() {
        let equal = expectation(|e| e.equals = Some(json!(9_007_199_254_740_993_u64)));
        assert!(!meets(&equal, &json!(9_007_199_254_740_992_u64)));
    }

    #[test]
    fn a_program_must_exit_as_asked_and_say_what_is_asked() {
        let plain = Expected::Exit(Expectation::default());
        let three = Expected::Exit(expectation(|e| (e.exit_code, e.equals) = (Some(3), Some(json!("no")))));
        assert!(plain.is_met_by(&json!({"exitCode": 0, "output": "whatever"})));
        assert!(!plain.is_met_by(&json!({"exitCode": 1, "output": ""})));
        assert!(three.is_met_by(&json!({"exitCode": 3, "output": "no"})));
        assert!(!three.is_met_by(&json!({"exitCode": 3, "output": "yes"})));
        assert!(!Expected::Connected.is_met_by(&json!({"connected": "true"})));
    }
}
