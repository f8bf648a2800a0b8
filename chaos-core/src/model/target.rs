//! Which pods are meant: every filter parsed. Who of them may be killed is decided in `eligible`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use regex::Regex;

use super::{Selector, WorkloadRef};
use crate::units::Duration;

/// Which pods may be hit; all filters are ANDed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Target {
    /// What the cluster's environment label must say.
    pub environment: Option<String>,
    /// Top controllers; empty: any.
    pub workloads: Vec<WorkloadRef>,
    /// Labels of the pods.
    pub selector: Selector,
    /// Namespaces of the pods.
    pub namespaces: NamespaceScope,
    /// Names of the pods.
    pub pod_names: Names,
    /// Kinds of the top controllers.
    pub owner_kinds: Kinds,
    /// Labels of the nodes, where nodes matter.
    pub nodes: Option<Selector>,
    /// Zones; empty: any.
    pub zones: BTreeSet<String>,
    /// Younger pods are left alone.
    pub min_age: Duration,
}

/// Where pods may be hit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamespaceScope {
    /// In these namespaces; never empty.
    Named(BTreeSet<String>),
    /// In namespaces with such labels; never an empty selector.
    Labelled(Selector),
}

/// Pod names to take and to leave.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Names {
    /// Only matching names, if given.
    pub include: Option<NamePattern>,
    /// No matching name, if given.
    pub exclude: Option<NamePattern>,
}

/// Kinds of top controllers to take and to leave.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kinds {
    /// Only these; empty: any but Jobs.
    pub include: BTreeSet<String>,
    /// None of these.
    pub exclude: BTreeSet<String>,
}

/// A regular expression that the whole name must match. Its compiled size is bounded.
#[derive(Debug, Clone)]
pub struct NamePattern {
    source: String,
    regex: Regex,
}

impl NamespaceScope {
    /// Whether a namespace of that name and labels is meant.
    pub fn contains(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Self::Named(names) => names.contains(name),
            Self::Labelled(selector) => selector.matches(labels),
        }
    }
}

impl NamePattern {
    /// The compiled program of one pattern may take this many bytes: enough for any list of names, too little to hurt.
    const SIZE_LIMIT: usize = 1 << 18;

    /// Compiles the pattern, anchored at both ends.
    pub fn new(source: &str) -> Result<Self, regex::Error> {
        // Compiled by itself first: `a)(b` must be an error, not something that our parentheses make valid.
        Self::compile(source)?;
        Ok(Self { source: source.to_owned(), regex: Self::compile(&format!("^(?:{source})$"))? })
    }

    fn compile(source: &str) -> Result<Regex, regex::Error> {
        regex::RegexBuilder::new(source)
            .size_limit(Self::SIZE_LIMIT)
            .dfa_size_limit(Self::SIZE_LIMIT)
            .nest_limit(50)
            .build()
    }

    /// Whether the whole name matches.
    pub fn matches(&self, name: &str) -> bool {
        self.regex.is_match(name)
    }
}

impl PartialEq for NamePattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl fmt::Display for NamespaceScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(names) => f.write_str(&names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")),
            Self::Labelled(selector) => write!(f, "namespaces with {selector}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_name_must_match() {
        let pattern = NamePattern::new("trips-.*|gateway").unwrap();
        assert!(pattern.matches("trips-1") && pattern.matches("gateway"));
        assert!(!pattern.matches("my-trips-1") && !pattern.matches("gateway-2"));
    }

    #[test]
    fn hostile_patterns_are_errors() {
        for source in ["a)(b", "(", "((((a{1000}){1000}){1000}){1000})", "\\p{L}{100000}"] {
            assert!(NamePattern::new(source).is_err(), "{source}");
        }
    }
}
