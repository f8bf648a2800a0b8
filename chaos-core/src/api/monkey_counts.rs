//! What a ChaosMonkey counts, in its status: of each group, and what was killed while the other counts are of a dry run. Which
//! kills count where is decided in `killer`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;
use crate::units::Duration;

/// What is remembered of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupRecord {
    /// Its name.
    pub group: String,
    /// Gaps drawn so far: the number of the next one.
    pub drawn: u64,
    /// Kills so far.
    #[serde(default)]
    pub kills: u64,
    /// The last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_kill_at: Option<MicroTime>,
    /// Active time from the first to the last.
    #[serde(default)]
    #[schemars(transform = rules::written)]
    pub active: Duration,
}

/// What was killed, set aside while a dry run counts what it would kill.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LiveCounts {
    /// Kills so far.
    #[serde(default)]
    pub kills: u64,
    /// Kills on the day of the last one (UTC).
    #[serde(default)]
    pub kills_today: u64,
    /// What is remembered of each group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupRecord>,
}
