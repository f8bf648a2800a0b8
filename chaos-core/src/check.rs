//! One row of `explain`: a rule, and whether it lets a pod be killed. `eligible` and `limits` decide by the very rows that
//! they show, so that what is explained is what is done.

use std::borrow::Cow;

use serde::Serialize;

/// What a rule found, `R` being its reasons to refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding<R> {
    /// It does not stand in the way; the facts, for people.
    Pass(Cow<'static, str>),
    /// It stands in the way.
    Fail(R, String),
}

/// A rule and what it found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check<R> {
    /// Name of the rule.
    pub name: &'static str,
    /// What it found.
    pub finding: Finding<R>,
}

/// A rule and what it found, as it is printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Name of the rule.
    pub name: &'static str,
    /// Whether it lets the pod be killed.
    pub pass: bool,
    /// The stable reason, if it does not.
    pub reason: Option<&'static str>,
    /// The facts, for people.
    pub message: String,
}

impl<R> Finding<R> {
    /// It does not stand in the way.
    pub(crate) fn pass(facts: impl Into<Cow<'static, str>>) -> Self {
        Self::Pass(facts.into())
    }

    /// It stands in the way.
    pub(crate) fn fail(reason: R, facts: impl Into<String>) -> Self {
        Self::Fail(reason, facts.into())
    }
}

impl<R: Into<&'static str>> From<Check<R>> for Row {
    fn from(check: Check<R>) -> Self {
        match check.finding {
            Finding::Pass(facts) => Self { name: check.name, pass: true, reason: None, message: facts.into_owned() },
            Finding::Fail(reason, message) => {
                Self { name: check.name, pass: false, reason: Some(reason.into()), message }
            }
        }
    }
}
