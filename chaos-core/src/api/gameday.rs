//! `kind: GameDay`: experiments on a calendar, step by step. What its status remembers stands in `gameday_status`.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::gameday_guard::{CheckStep, GameDayGuard};
use super::gameday_status::GameDayStatus;
use super::mode::Mode;
use super::monkey::Blackout;
use super::rules;
use super::run::RunOverrides;
use crate::units::Duration;

/// Experiments on a calendar. What keeps pods alive is required, with an explicit neutral value.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[expect(clippy::duplicated_attributes, reason = "each printcolumn has a name and a type of its own")]
#[kube(group = "chaos.dispatch.dev", version = "v1alpha1", kind = "GameDay", namespaced)]
#[kube(status = "GameDayStatus", shortname = "cgd", category = "chaos", derive = "PartialEq")]
#[kube(printcolumn(name = "Schedule", type_ = "string", json_path = ".spec.schedule"))]
#[kube(printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"))]
#[kube(printcolumn(name = "Suspended", type_ = "boolean", json_path = ".spec.suspend"))]
#[kube(printcolumn(name = "Active", type_ = "string", json_path = ".status.active[0].id"))]
#[kube(printcolumn(name = "Next", type_ = "string", json_path = ".status.nextAt"))]
#[kube(printcolumn(name = "Last", type_ = "string", json_path = ".status.last.outcome"))]
#[kube(printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"))]
#[kube(printcolumn(name = "Zone", type_ = "string", json_path = ".spec.timeZone", priority = 1))]
#[kube(printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.schedule == 'Manual' || self.schedule.lowerAscii() in ['@yearly', '@annually', '@monthly', '@weekly', '@daily', '@hourly'] || self.schedule.matches('^ *[^ @]+( +[^ ]+){4} *$')").message("schedule is a cron expression of five fields, a nickname such as @daily, or Manual"))]
#[x_kube(validation = rules::between("startingDeadline", "1s", "24h"))]
#[x_kube(validation = Rule::new("self.steps.all(step, self.steps.exists_one(other, other.name == step.name))").message("two steps have one name"))]
#[x_kube(validation = Rule::new("self.steps.all(step, !has(step.dependsOn) || step.dependsOn.all(name, self.steps.exists(other, other.name == name)))").message("a step depends on one that is not there"))]
#[x_kube(validation = Rule::new("self.steps.exists(step, has(step.experiment))").message("no step is an experiment"))]
#[x_kube(validation = Rule::new("!has(self.guards) || !self.guards.exists(guard, has(guard.errorBudget.shrinkBelow)) || self.steps.all(step, !has(step.experiment) || has(step.experiment.shrunk))").message("a guard shrinks experiments: say in each step's experiment what it is then, under shrunk"))]
#[x_kube(validation = Rule::new("self.steps.all(step, !has(step.experiment) || !has(step.experiment.shrunk)) || (has(self.guards) && self.guards.exists(guard, has(guard.errorBudget.shrinkBelow)))").message("no guard shrinks experiments: give one shrinkBelow, or leave shrunk out"))]
pub struct GameDaySpec {
    /// When it starts: a cron expression of five fields (`0 9 * * MON-FRI`), a nickname (`@daily`), or `Manual`.
    #[schemars(length(min = 1, max = 100))]
    pub schedule: String,
    /// The IANA zone of schedule and blackout days, such as Europe/Paris; absent: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
    /// When nothing is started after all; required, may be empty.
    #[schemars(length(max = 100))]
    pub blackout: Vec<Blackout>,
    /// A slot that could not be started for so long is skipped.
    pub starting_deadline: Duration,
    /// DryRun goes through the same steps with dry runs, and touches nothing.
    pub mode: Mode,
    /// What is done. A step starts when all that it depends on have passed; steps that depend on nothing start at once.
    #[schemars(length(min = 1, max = 20))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub steps: Vec<GameDayStep>,
    /// What must hold for anything to start; absent: nothing besides the rest of this spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    pub guards: Vec<GameDayGuard>,
    /// What becomes of a slot whose predecessor is not over.
    #[serde(default)]
    pub concurrency_policy: ConcurrencyPolicy,
    /// What follows from a step that did not pass.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// How many past executions, with their runs, are kept.
    #[serde(default)]
    pub history: HistoryLimits,
    /// Nothing is started while true; what has started goes on. Slots of that time are not made up for.
    #[serde(default)]
    pub suspend: bool,
    /// What people want of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<GameDayControl>,
}

/// One step: exactly one of experiment, wait, approval, check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("(has(self.experiment) ? 1 : 0) + (has(self.wait) ? 1 : 0) + (has(self.approval) ? 1 : 0) + (has(self.check) ? 1 : 0) == 1").message("give exactly one of experiment, wait, approval, check"))]
#[x_kube(validation = rules::between_if_given("wait", "1s", "24h"))]
#[x_kube(validation = Rule::new("!has(self.dependsOn) || !(self.name in self.dependsOn)").message("a step depends on itself"))]
#[x_kube(validation = Rule::new("!has(self.dependsOn) || self.dependsOn.all(name, self.dependsOn.exists_one(other, other == name))").message("a step is named twice in dependsOn"))]
pub struct GameDayStep {
    /// Its name.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::LABEL))]
    pub name: String,
    /// Steps that must be over before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(max = 63)))]
    pub depends_on: Vec<String>,
    /// Run an Experiment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment: Option<ExperimentStep>,
    /// Let so much time pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Duration>,
    /// Wait for somebody to approve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalStep>,
    /// Wait until a value is within bounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckStep>,
}

/// An Experiment of the same namespace, as it is when the step starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::between_if_given("within", "1s", "168h"))]
pub struct ExperimentStep {
    /// Its name.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::LABEL))]
    pub name: String,
    /// What the run does differently from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<RunOverrides>,
    /// What it does differently instead while a guard shrinks experiments (`shrinkBelow`): fewer strikes, as a rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shrunk: Option<RunOverrides>,
    /// A run that is not over by then is aborted; absent: 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
}

/// Somebody has to approve. What is not approved in time ends the execution, whatever `onFailure` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::between("within", "1s", "168h"))]
pub struct ApprovalStep {
    /// What is to be looked at, for people.
    #[schemars(length(min = 1, max = 300))]
    pub prompt: String,
    /// How long somebody has.
    pub within: Duration,
}

/// What becomes of a slot whose predecessor is not over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConcurrencyPolicy {
    /// It starts beside it.
    Allow,
    /// It is skipped.
    #[default]
    Forbid,
    /// The predecessor is aborted, and it starts once that is over.
    Replace,
}

/// What follows from a step that did not pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnFailure {
    /// No further step starts.
    #[default]
    Stop,
    /// The others go on as if it had passed; the execution has not.
    Continue,
}

/// How many past executions are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HistoryLimits {
    /// Those that passed.
    #[serde(default = "kept_passed")]
    #[schemars(range(max = 10))]
    pub passed: u32,
    /// All others.
    #[serde(default = "kept_failed")]
    #[schemars(range(max = 20))]
    pub failed: u32,
}

const fn kept_passed() -> u32 {
    3
}

const fn kept_failed() -> u32 {
    10
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self { passed: kept_passed(), failed: kept_failed() }
    }
}

/// What people want of a game day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GameDayControl {
    /// Start it now, once for each id. It keeps to blackout, suspension and concurrencyPolicy like any slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<StartOrder>,
    /// Approved steps of executions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub approve: Vec<StepApproval>,
    /// Ids of executions to wind down and end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), inner(length(max = 64)))]
    pub abort: Vec<String>,
}

/// Starts one very game day now: another one of the same name is not started by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StartOrder {
    /// `metadata.uid` of the game day.
    #[schemars(length(min = 1, max = 64))]
    pub game_day_uid: String,
    /// Any name; another one starts it once more.
    #[schemars(length(min = 1, max = 32), regex(pattern = rules::LABEL))]
    pub id: String,
}

/// Approves one step of one execution of one very game day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StepApproval {
    /// `metadata.uid` of the game day.
    #[schemars(length(min = 1, max = 64))]
    pub game_day_uid: String,
    /// `status.active[].id` of the execution.
    #[schemars(length(min = 1, max = 64))]
    pub execution: String,
    /// Name of the step.
    #[schemars(length(min = 1, max = 63))]
    pub step: String,
}
