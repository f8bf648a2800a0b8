//! What is told about a load test, for people and machines. Plain data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::judge::JudgedThreshold;
use super::summary::FlowSummary;
use crate::verdict::ExitCode;

/// Version of the JSON form; grows when a field changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;

/// The result of one load test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoadResult {
    /// Version of this form.
    pub schema_version: u32,
    /// Name of the test.
    pub name: String,
    /// Version of the tool.
    pub tool: String,
    /// When the first request was due, by the wall clock.
    #[schemars(with = "String")]
    pub started_at: jiff::Timestamp,
    /// For how long requests were due.
    pub seconds: f64,
    /// The seed in force.
    pub seed: i64,
    /// The signal that ended it early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<String>,
    /// Processor time that the load generator took, as a share of one core.
    pub processor_share: f64,
    /// What each flow has shown.
    pub flows: Vec<FlowResult>,
    /// What was to hold, and whether it did.
    pub thresholds: Vec<JudgedThreshold>,
    /// The exit code that this gives.
    pub exit_code: ExitCode,
}

/// The result of one flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlowResult {
    /// Where its requests went: scheme, host and port.
    pub target: String,
    /// Its first request: method and path as written.
    pub request: String,
    /// How its samples were due, in words.
    pub schedule: String,
    /// What it has shown.
    #[serde(flatten)]
    pub summary: FlowSummary,
}
