//! What people want of the plan of a ChaosMonkey: strikes that must not happen, or not yet.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What people want of the plan.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MonkeyControl {
    /// Ids of upcoming strikes that must not happen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub cancel: Vec<String>,
    /// Upcoming strikes that must not happen before an instant; within the schedule, they happen then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub postpone: Vec<Postponement>,
}

impl MonkeyControl {
    /// Until when each strike is put off; of several instants the latest counts.
    pub fn postponed(&self) -> BTreeMap<String, Timestamp> {
        let mut postponed = BTreeMap::new();
        for Postponement { id, until } in &self.postpone {
            let latest = postponed.entry(id.clone()).or_insert(until.0);
            *latest = until.0.max(*latest);
        }
        postponed
    }
}

/// A strike that is put off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Postponement {
    /// Its id, `s<strike number>`.
    #[schemars(length(min = 1, max = 64))]
    pub id: String,
    /// Not before this instant; an earlier one than that of the plan changes nothing.
    pub until: Time,
}
