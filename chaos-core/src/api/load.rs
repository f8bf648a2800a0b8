//! `kind: LoadTest`: load without faults, for `chaos load FILE`. A file, never an object of a cluster.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::http::HttpProbe;
use crate::units::Duration;

/// Load without faults, and what it must show.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(group = "chaos.dispatch.dev", version = "v1alpha1", kind = "LoadTest", namespaced)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadTestSpec {
    /// For how long requests are due; what is in flight then is waited for.
    pub duration: Duration,
    /// What is sent, all at the same time.
    #[schemars(length(min = 1, max = 20))]
    pub flows: Vec<LoadFlow>,
    /// Makes arrivals and drawn values repeatable; absent: drawn, and written to the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
}

/// Requests that follow on each other, on a schedule of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadFlow {
    /// Unique in the file.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The requests, as in an experiment's probe.
    pub http: HttpProbe,
    /// What must hold at the end, such as `p99<300ms` or `success>99.9%`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub thresholds: Vec<String>,
}
