//! Label selectors, parsed: matching is a lookup and cannot fail. The semantics are those of Kubernetes' `LabelSelector`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A conjunction of requirements on labels. The empty one selects everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector(Vec<Requirement>);

/// What one label must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// Key of the label.
    pub key: String,
    /// What is demanded of it.
    pub operator: Operator,
}

/// What is demanded of a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operator {
    /// It is there, with one of these values.
    In(BTreeSet<String>),
    /// It is not there, or has none of these values.
    NotIn(BTreeSet<String>),
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}

impl Selector {
    /// All of these must hold.
    pub fn new(requirements: Vec<Requirement>) -> Self {
        Self(requirements)
    }

    /// Whether it demands nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether these labels are selected.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.unmet(labels).is_none()
    }

    /// The first requirement that these labels do not meet.
    pub fn unmet(&self, labels: &BTreeMap<String, String>) -> Option<&Requirement> {
        self.0.iter().find(|requirement| !requirement.matches(labels))
    }
}

impl Requirement {
    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        match &self.operator {
            Operator::In(values) => value.is_some_and(|value| values.contains(value)),
            Operator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |values: &BTreeSet<String>| values.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        match &self.operator {
            Operator::In(values) if values.len() == 1 => write!(f, "{}={}", self.key, list(values)),
            Operator::In(values) => write!(f, "{} in ({})", self.key, list(values)),
            Operator::NotIn(values) => write!(f, "{} notin ({})", self.key, list(values)),
            Operator::Exists => f.write_str(&self.key),
            Operator::DoesNotExist => write!(f, "!{}", self.key),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.0.iter().enumerate() {
            write!(f, "{}{requirement}", if i > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(operator: Operator, value: Option<&str>) -> bool {
        let labels = value.map(|v| ("tier".to_owned(), v.to_owned())).into_iter().collect();
        Selector::new(vec![Requirement { key: "tier".into(), operator }]).matches(&labels)
    }

    #[test]
    fn follows_kubernetes() {
        let values = || BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        let table = [
            (Operator::In(values()), [true, false, false]),
            (Operator::NotIn(values()), [false, true, true]),
            (Operator::Exists, [true, true, false]),
            (Operator::DoesNotExist, [false, false, true]),
        ];
        for (operator, expected) in table {
            let found = [Some("a"), Some("c"), None].map(|value| check(operator.clone(), value));
            assert_eq!(found, expected, "{operator:?}");
        }
        assert!(Selector::default().matches(&BTreeMap::new()));
    }

    #[test]
    fn prints_as_kubectl_takes_it() {
        let selector = Selector::new(vec![
            Requirement { key: "app".into(), operator: Operator::In(BTreeSet::from(["trips".into()])) },
            Requirement { key: "tier".into(), operator: Operator::NotIn(BTreeSet::from(["a".into(), "b".into()])) },
            Requirement { key: "canary".into(), operator: Operator::DoesNotExist },
        ]);
        assert_eq!(selector.to_string(), "app=trips,tier notin (a, b),!canary");
    }
}
