//! `spec.guards` of a ChaosMonkey: what must hold for a kill, asked of named metrics sources for each strike. A source is
//! named, never addressed: an operator fetches no URL that a manifest brings.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::rules;
use crate::units::{Duration, Percent};

/// What must hold for a kill: exactly one of the fields. What is not known lets none happen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("[has(self.alert), has(self.errorBudget), has(self.probe)].exists_one(given, given)").message("give exactly one of alert, errorBudget, probe"))]
pub struct MonkeyGuard {
    /// No such alert fires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<MonkeyAlert>,
    /// So much of an error budget is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_budget: Option<MonkeyErrorBudget>,
    /// A value is within bounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<MonkeyProbe>,
}

/// Any firing alert that all matchers select keeps every kill from happening. That none fires counts only where the source
/// has a rule that could give one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::between("timeout", "100ms", "5s"))]
pub struct MonkeyAlert {
    /// A named source of the operator's configuration, given to this namespace.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::LABEL))]
    pub source: String,
    /// Labels of the alert, as PromQL: `alertname="RidesLost"`, `severity=~"page|critical"`.
    #[schemars(length(min = 1, max = 20), inner(length(min = 1, max = 500)))]
    pub matchers: Vec<String>,
    /// A source that takes longer did not answer.
    #[serde(default = "super::probe::five_seconds")]
    pub timeout: Duration,
}

/// With less than `keep` of an error budget left nothing is killed. Whatever is no share is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::between("timeout", "100ms", "5s"))]
pub struct MonkeyErrorBudget {
    /// A named source of the operator's configuration, given to this namespace.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::LABEL))]
    pub source: String,
    /// PromQL for the share of the budget that is left: 1 is all of it, 0 nothing, below 0 more than all is spent.
    #[schemars(length(min = 1, max = 2000))]
    pub query: String,
    /// With less than this left nothing is killed.
    pub keep: Percent,
    /// A source that takes longer did not answer.
    #[serde(default = "super::probe::five_seconds")]
    pub timeout: Duration,
}

/// While a value is not within bounds nothing is killed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.min) || has(self.max)").message("give min, max, or both"))]
#[x_kube(validation = Rule::new("!has(self.min) || !has(self.max) || self.min <= self.max").message("min must not be above max"))]
#[x_kube(validation = rules::between("timeout", "100ms", "5s"))]
pub struct MonkeyProbe {
    /// A named source of the operator's configuration, given to this namespace.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::LABEL))]
    pub source: String,
    /// PromQL that gives one value.
    #[schemars(length(min = 1, max = 2000))]
    pub query: String,
    /// Not below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Not above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// A source that takes longer did not answer.
    #[serde(default = "super::probe::five_seconds")]
    pub timeout: Duration,
}
