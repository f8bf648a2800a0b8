//! `slo` of an http probe: what is promised, and what a pass must prove of it.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::http::Latency;
use super::rules;
use crate::units::{Duration, Percent};

/// A promise: availability, latency, or both (two claims).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.availability) || has(self.latency)").message("give availability, latency, or both"))]
#[x_kube(validation = rules::provable_if_given("availability"))]
#[x_kube(validation = Rule::new("self.confidence.matches('^[5-9][0-9][.%]')").message("confidence must be at least 50% and below 100%"))]
pub struct Slo {
    /// Share of requests answered well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub availability: Option<Percent>,
    /// Share of requests answered well and fast enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// Confidence of a certified claim.
    pub confidence: Percent,
    /// What a pass must prove; exactly one.
    pub evidence: Evidence,
    /// Requests of the service in 30 days: the run's share of the budget is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub requests_per30d: Option<u64>,
    /// What a killed pod costs by design: a promise that this rules out is refused before the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<DeclaredOutage>,
}

/// What a killed pod costs by design.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::above_zero("detection"))]
pub struct DeclaredOutage {
    /// How long a dead pod goes on getting its share of the requests.
    pub detection: Duration,
    /// The share of those requests that retries rescue.
    pub rescued: Percent,
}

/// What a pass must prove: exactly one of the fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("[has(self.observed), has(self.harmlessKills), has(self.availability)].exists_one(given, given)").message("give exactly one of observed, harmlessKills, availability"))]
pub struct Evidence {
    /// Nothing is certified: the observed share is not below the promise, and the promise is not refuted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<Observed>,
    /// At least `share` of such kills cost at most `maxLoss` requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harmless_kills: Option<HarmlessKills>,
    /// The promise itself, certified under a declared worst loss of one kill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub availability: Option<CertifiedAvailability>,
}

/// No parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Observed {}

/// Parameters of the claim that most kills cost nothing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::provable("share"))]
pub struct HarmlessKills {
    /// The share of kills that must be harmless.
    pub share: Percent,
    /// Bad requests that a harmless kill may cost.
    pub max_loss: u64,
}

/// Parameters of certified availability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertifiedAvailability {
    /// No kill costs more requests of this probe than this: declared, printed, and refutable.
    #[schemars(range(min = 1))]
    pub worst_loss_per_kill: u64,
    /// Where that number comes from.
    #[schemars(length(min = 1, max = 500))]
    pub source: String,
}
