//! `kind: ExperimentRun`: one execution of an experiment by the operator. What its status remembers stands in `run_status`.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::experiment::ExperimentSpec;
use super::fault::Strikes;
use super::mode::Mode;
use super::rules;
use super::run_status::ExperimentRunStatus;
use crate::units::Duration;

/// One execution of an experiment. What is run cannot be changed afterwards; `control` can.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[expect(clippy::duplicated_attributes, reason = "each printcolumn has a name and a type of its own")]
#[kube(group = "chaos.dispatch.dev", version = "v1alpha1", kind = "ExperimentRun", namespaced)]
#[kube(status = "ExperimentRunStatus", shortname = "crun", category = "chaos", derive = "PartialEq")]
#[kube(printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"))]
#[kube(printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"))]
#[kube(printcolumn(name = "Kills", type_ = "integer", json_path = ".status.kills"))]
#[kube(printcolumn(name = "Verdict", type_ = "string", json_path = ".status.verdict.outcome"))]
#[kube(printcolumn(name = "Reason", type_ = "string", json_path = ".status.verdict.reasonCode"))]
#[kube(printcolumn(name = "Text", type_ = "string", json_path = ".status.verdict.reasonText", priority = 1))]
#[kube(printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.experimentRef) != has(self.experiment)").message("give exactly one of experimentRef, experiment"))]
#[x_kube(validation = Rule::new("has(self.experimentRef) == has(oldSelf.experimentRef)").message("what is run cannot be changed: create another run"))]
#[x_kube(validation = Rule::new("!has(self.experiment) || self.experiment.probes.all(probe, !has(probe.command) && !has(probe.tcp) && (!has(probe.grpc) || has(probe.grpc.service)))").message("no program is run and no address of its own choice is connected to inside a cluster"))]
#[x_kube(validation = Rule::new("!has(self.experiment) || self.experiment.probes.all(probe, (!has(probe.http) || has(probe.http.service)) && (!has(probe.invariants) || has(probe.invariants.service)) && (!has(probe.prometheus) || has(probe.prometheus.source)))").message("no url is fetched from inside a cluster: name a service or a source"))]
#[x_kube(validation = Rule::new("!has(self.experiment) || self.experiment.probes.all(probe, !has(probe.http) || !has(probe.http.caFile))").message("no file of the prober is read for a manifest inside a cluster"))]
#[x_kube(validation = Rule::new("!has(self.experiment) || self.experiment.abort.all(guard, !has(guard.alert))").message("alerts are not looked at from inside a cluster: guard the run by burnRate"))]
#[x_kube(validation = Rule::new("!has(self.experiment) || self.experiment.probes.all(probe, !has(probe.kubernetes) || probe.kubernetes.resource.matches('^(v[^/]*/(Pod|Service)|apps/v[^/]*/(DaemonSet|Deployment|ReplicaSet|StatefulSet)|batch/v[^/]*/Job|policy/v[^/]*/PodDisruptionBudget)$'))").message("from inside a cluster pods, Services, DaemonSets, Deployments, ReplicaSets, StatefulSets, Jobs and PodDisruptionBudgets are looked at, and no other kind"))]
#[x_kube(validation = Rule::new("!has(self.experiment) || !has(self.overrides) || !has(self.overrides.strikes) || self.overrides.strikes.target * (has(self.experiment.fault.podKill) && !string(self.experiment.fault.podKill.victims).endsWith('%') ? int(self.experiment.fault.podKill.victims) : 1) <= self.experiment.limits.maxKills").message("limits.maxKills of the experiment must not be below overrides.strikes.target times victims"))]
#[x_kube(validation = Rule::new("has(self.overrides) == has(oldSelf.overrides) && has(self.approval) == has(oldSelf.approval)").message("overrides and approval cannot be changed: create another run"))]
pub struct ExperimentRunSpec {
    /// An Experiment of the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("what is run cannot be changed: create another run"))]
    pub experiment_ref: Option<ExperimentRef>,
    /// The experiment itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("what is run cannot be changed: create another run"))]
    pub experiment: Option<ExperimentSpec>,
    /// DryRun resolves and plans exactly the same, and touches nothing.
    #[x_kube(validation = Rule::new("self == oldSelf").message("mode cannot be changed: create another run"))]
    pub mode: Mode,
    /// What this run does differently from its experiment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("overrides cannot be changed: create another run"))]
    pub overrides: Option<RunOverrides>,
    /// Somebody has to approve the plan before anything is touched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("approval cannot be changed: create another run"))]
    pub approval: Option<ApprovalPolicy>,
    /// What people want of the run; the one part that may be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<RunControl>,
}

impl ExperimentRun {
    /// Whether somebody wants it to end.
    pub fn is_aborted(&self) -> bool {
        self.spec.control.as_ref().is_some_and(|control| control.abort)
    }
}

/// An Experiment by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExperimentRef {
    /// Its name.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::LABEL))]
    pub name: String,
}

/// What a run does differently from its experiment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunOverrides {
    /// Makes victims and instants repeatable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// Planned and least strikes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strikes: Option<Strikes>,
}

/// Somebody has to approve the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::between("within", "1s", "168h"))]
pub struct ApprovalPolicy {
    /// Without an approval in this time nothing is run.
    pub within: Duration,
}

/// What people want of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunControl {
    /// Wind down and end. What was asked for once cannot be taken back.
    #[serde(default)]
    pub abort: bool,
    /// Approves one plan of one run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approve: Option<Approval>,
    /// Why it is to end; the verdict repeats it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200))]
    pub reason: Option<String>,
}

/// Approves one plan of one run: another run, or another plan of the same run, is not approved by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Approval {
    /// `metadata.uid` of the run.
    #[schemars(length(min = 1, max = 64))]
    pub run_uid: String,
    /// `status.resolved.planDigest` of the plan.
    #[schemars(length(min = 1, max = 64))]
    pub plan_digest: String,
}
