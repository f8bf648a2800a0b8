//! `kind: Experiment`: a hypothesis. Creating one runs nothing; `chaos run FILE` takes it.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::fault::{Fault, Limits};
use super::probe::Probe;
use super::rules;
use super::target::Target;
use crate::units::Duration;

/// A hypothesis about what the platform promises while parts of it die.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(group = "chaos.dispatch.dev", version = "v1alpha1", kind = "Experiment", namespaced)]
#[kube(shortname = "cexp", category = "chaos", derive = "PartialEq")]
#[kube(printcolumn(name = "Hypothesis", type_ = "string", json_path = ".spec.hypothesis"))]
#[kube(printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.probes.all(probe, self.probes.exists_one(other, other.name == probe.name))").message("probe names must be unique"))]
#[x_kube(validation = Rule::new("!has(self.fault.podKill) || self.fault.podKill.strikes.target * (string(self.fault.podKill.victims).endsWith('%') ? 1 : int(self.fault.podKill.victims)) <= self.limits.maxKills").message("limits.maxKills must not be below strikes.target times victims"))]
#[x_kube(validation = Rule::new("!has(self.fault.podKill) || string(self.fault.podKill.victims).endsWith('%') || string(self.limits.maxUnavailable).endsWith('%') || int(self.fault.podKill.victims) <= int(self.limits.maxUnavailable)").message("victims must not be above limits.maxUnavailable"))]
#[x_kube(validation = Rule::new("!has(self.fault.podKill) || duration(self.fault.podKill.every.distribution == 'Fixed' ? self.fault.podKill.every.mean : self.fault.podKill.every.min) >= duration(self.limits.minInterval)").message("the least gap of podKill.every must not be below limits.minInterval"))]
#[x_kube(validation = Rule::new("!has(self.fault.monkey) || self.fault.monkey.strikes.target <= self.limits.maxKills").message("limits.maxKills must not be below strikes.target"))]
#[x_kube(validation = Rule::new("!has(self.fault.podKill) || !has(self.fault.podKill.gracePeriod) || self.limits.allowForce || duration(self.fault.podKill.gracePeriod) > duration('0s')").message("a grace period of zero needs limits.allowForce: true"))]
#[x_kube(validation = Rule::new("!has(self.fault.monkey) || !has(self.fault.monkey.gracePeriod) || self.limits.allowForce || duration(self.fault.monkey.gracePeriod) > duration('0s')").message("a grace period of zero needs limits.allowForce: true"))]
#[x_kube(validation = Rule::new("!has(self.fault.monkey) || duration(self.fault.monkey.minTimeBetweenKills) >= duration(self.limits.minInterval)").message("minTimeBetweenKills must not be below limits.minInterval"))]
#[x_kube(validation = Rule::new("self.probes.all(probe, !has(probe.initialDelay) || probe.when != 'Continuous' || has(probe.invariants) || duration(probe.initialDelay) < duration(self.phases.baseline))").message("the first look would be after the baseline: initialDelay must be below it"))]
#[x_kube(validation = Rule::new("self.probes.all(probe, !has(probe.prometheus) || !has(probe.prometheus.range) || duration(probe.prometheus.range.over) <= duration(self.phases.baseline) + duration(self.phases.fault))").message("range.over must not reach back before the run"))]
#[x_kube(validation = Rule::new("self.abort.all(guard, !has(guard.burnRate) || self.probes.exists(probe, has(probe.http) && probe.name == guard.burnRate.probe))").message("a burnRate names a probe that is not there, or has no slo"))]
#[x_kube(validation = Rule::new("self.abort.all(guard, !has(guard.burnRate) || duration(guard.burnRate.long) <= duration(self.phases.fault))").message("the long window of a burnRate is never full in the fault phase"))]
pub struct ExperimentSpec {
    /// One sentence that the run proves or refutes.
    #[schemars(length(min = 1, max = 500), regex(pattern = rules::SENTENCE))]
    pub hypothesis: String,
    /// Which pods may be hit.
    pub target: Target,
    /// What is done to them.
    pub fault: Fault,
    /// How long each phase lasts.
    pub phases: Phases,
    /// How the promise is measured.
    #[schemars(length(min = 1, max = 20))]
    pub probes: Vec<Probe>,
    /// Upper bounds of everything.
    pub limits: Limits,
    /// What stops the run early; required, may be empty.
    #[schemars(length(max = 10))]
    pub abort: Vec<Guard>,
    /// Makes victims and instants repeatable; absent: drawn, and written to the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
}

/// Lengths of the phases.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::between("baseline", "1s", "24h"))]
#[x_kube(validation = rules::between("fault", "1s", "24h"))]
#[x_kube(validation = rules::between("recovery", "1s", "24h"))]
pub struct Phases {
    /// Measuring without faults, to see that the system is steady.
    pub baseline: Duration,
    /// A ceiling: the phase ends when the last kill has recovered.
    pub fault: Duration,
    /// Measuring on after the last kill has recovered.
    pub recovery: Duration,
}

/// What stops a run early: exactly one of the fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.burnRate) != has(self.alert)").message("give exactly one of burnRate, alert"))]
pub struct Guard {
    /// The error budget burns too fast on both windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burn_rate: Option<BurnRate>,
    /// An alert of a Prometheus fires, or cannot be read for longer than `limits.maxBlind`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<AlertGuard>,
}

/// Alert guard: any firing alert that all matchers select stops the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.source) != has(self.url)").message("give exactly one of source, url"))]
#[x_kube(validation = rules::timeout())]
pub struct AlertGuard {
    /// A named source of the CLI's (or operator's) configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::LABEL))]
    pub source: Option<String>,
    /// A literal URL; for the CLI only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2_048), regex(pattern = rules::BASE_URL))]
    pub url: Option<String>,
    /// Labels of the alert, as PromQL: `alertname="RidesLost"`, `severity=~"page|critical"`.
    #[schemars(length(min = 1, max = 20), inner(length(min = 1, max = 2_000)))]
    pub matchers: Vec<String>,
    /// A source that takes longer did not answer.
    #[serde(default = "super::probe::five_seconds")]
    pub timeout: Duration,
}

/// Burn-rate guard: the same factor on both windows, both full, at least 10 failures in at least 3 kills.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("duration(self.short) < duration(self.long)").message("short must be below long"))]
#[x_kube(validation = rules::above_zero("short"))]
pub struct BurnRate {
    /// The http probe whose SLO is meant.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::LABEL))]
    pub probe: String,
    /// How many times faster than allowed.
    #[schemars(range(min = 1.0, max = 10_000.0))]
    pub factor: f64,
    /// The long window.
    pub long: Duration,
    /// The short window.
    pub short: Duration,
}
