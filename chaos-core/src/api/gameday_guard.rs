//! What a GameDay asks metrics for: `spec.guards`, which must hold for it to break anything, and steps that check a value.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::rules;
use crate::units::{Duration, Percent};

/// What must hold; exactly one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GameDayGuard {
    /// So much of an error budget must be left.
    pub error_budget: ErrorBudgetGuard,
}

/// Asked before an execution starts and before each experiment. Whatever is no share is not known, and what is not known starts
/// nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::between("timeout", "100ms", "1m"))]
#[x_kube(validation = Rule::new("!has(self.shrinkBelow) || double(self.shrinkBelow.replace('%', '')) > double(self.keep.replace('%', ''))").message("shrinkBelow must be above keep: nothing starts below that"))]
pub struct ErrorBudgetGuard {
    /// A named source of the operator's configuration, given to this namespace.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::LABEL))]
    pub source: String,
    /// PromQL for the share of the budget that is left: 1 is all of it, 0 nothing, below 0 more than all is spent.
    #[schemars(length(min = 1, max = 2000))]
    pub query: String,
    /// With less than this left nothing starts.
    pub keep: Percent,
    /// With less than this left experiments run with what their step says under `shrunk`; absent: always in full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shrink_below: Option<Percent>,
    /// A source that takes longer did not answer.
    #[serde(default = "super::probe::five_seconds")]
    pub timeout: Duration,
}

/// A value must be within bounds; it has until `within` to become so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.min) || has(self.max)").message("give min, max, or both"))]
#[x_kube(validation = Rule::new("!has(self.min) || !has(self.max) || self.min <= self.max").message("min must not be above max"))]
#[x_kube(validation = rules::between("within", "1s", "24h"))]
#[x_kube(validation = rules::between("timeout", "100ms", "1m"))]
pub struct CheckStep {
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
    /// A value that is not within bounds by then fails the step; one that is not known by then proves nothing.
    pub within: Duration,
    /// A source that takes longer did not answer.
    #[serde(default = "super::probe::five_seconds")]
    pub timeout: Duration,
}
