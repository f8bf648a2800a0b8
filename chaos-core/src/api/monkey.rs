//! `kind: ChaosMonkey`: continuous random kills, and everything that its status remembers.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fault::{Limits, StandingFault};
use super::mode::Mode;
use super::monkey_control::MonkeyControl;
use super::monkey_counts::{GroupRecord, LiveCounts};
use super::monkey_guard::MonkeyGuard;
use super::rules;
use super::target::Target;
use crate::units::Duration;

/// Random kills of pods, Chaos-Monkey-style, inside limits. What keeps pods alive is required, with an explicit neutral value.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[expect(clippy::duplicated_attributes, reason = "each printcolumn has a name and a type of its own")]
#[kube(group = "chaos.dispatch.dev", version = "v1alpha1", kind = "ChaosMonkey", namespaced)]
#[kube(status = "ChaosMonkeyStatus", shortname = "monkey", category = "chaos", derive = "PartialEq")]
#[kube(printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"))]
#[kube(printcolumn(name = "Suspended", type_ = "boolean", json_path = ".spec.suspend"))]
#[kube(printcolumn(name = "Kills", type_ = "integer", json_path = ".status.kills"))]
#[kube(printcolumn(name = "Skipped", type_ = "integer", json_path = ".status.skips"))]
#[kube(printcolumn(name = "Next", type_ = "string", json_path = ".status.nextAt"))]
#[kube(printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"))]
#[kube(printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::gaps())]
#[x_kube(validation = Rule::new("duration(self.minTimeBetweenKills) >= duration(self.limits.minInterval)").message("minTimeBetweenKills must not be below limits.minInterval"))]
#[x_kube(validation = Rule::new("has(self.until) == has(self.maxKills) && has(self.until) == has(self.heartbeatLease)").message("until, maxKills and heartbeatLease belong together"))]
#[x_kube(validation = Rule::new("!has(self.maxKills) || self.maxKills <= self.limits.maxKills").message("maxKills must not be above limits.maxKills"))]
#[x_kube(validation = Rule::new("!has(self.until) || size(self.guards) == 0").message("a monkey of a run keeps no guards: guards must be []"))]
#[x_kube(validation = Rule::new("!has(self.fault.podKill.gracePeriod) || self.limits.allowForce || duration(self.fault.podKill.gracePeriod) > duration('0s')").message("a grace period of zero needs limits.allowForce: true"))]
pub struct ChaosMonkeySpec {
    /// Which pods may be hit.
    pub target: Target,
    /// What is done to them.
    pub fault: StandingFault,
    /// DryRun plans and reports exactly the same, and touches nothing.
    pub mode: Mode,
    /// Mean time between two kills of a group, in active time, before skips and caps.
    pub mean_time_between_kills: Duration,
    /// Least time between two kills of a group; below the mean.
    pub min_time_between_kills: Duration,
    /// When it may act; required, `{}` is always.
    pub schedule: Schedule,
    /// What must hold for a kill, asked for each strike; required, may be empty.
    #[schemars(length(max = 5))]
    pub guards: Vec<MonkeyGuard>,
    /// Upper bounds of everything.
    pub limits: Limits,
    /// Pods that it may have killed at once, of all its groups together: those that are not back yet. Absent: `limits` alone bound it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_at_once: Option<u32>,
    /// Nothing is planned or killed while true.
    #[serde(default)]
    pub suspend: bool,
    /// What people want of the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<MonkeyControl>,
    /// Run-owned: no kill from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// Run-owned: kills in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_kills: Option<u32>,
    /// Run-owned: the Lease that whoever drives the run renews. Two missed beats and the monkey stops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_lease: Option<HeartbeatRef>,
    /// Makes victims and instants repeatable; absent: derived from the object's UID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
}

/// When a monkey may act. Everything empty: always.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!has(self.weekdays) || self.weekdays.all(day, self.weekdays.exists_one(other, other == day))").message("a day is listed twice"))]
#[x_kube(validation = Rule::new("!has(self.hours) || self.hours.all(one, self.hours.exists_one(other, one.from < other.to && other.from < one.to))").message("two windows of hours overlap"))]
pub struct Schedule {
    /// An IANA zone such as Europe/Paris; absent: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
    /// Days on which it may act; empty: every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7))]
    pub weekdays: Vec<Weekday>,
    /// Hours of local time in which it may act; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 24))]
    pub hours: Vec<Hours>,
    /// When it may not act after all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub blackout: Vec<Blackout>,
}

/// Days of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// A window of local time; `to` is not part of it. `24:00` is the end of the day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.from < self.to").message("from must be before to; over midnight, write two windows"))]
pub struct Hours {
    /// First minute, `HH:MM`.
    #[schemars(length(max = 5), regex(pattern = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub from: String,
    /// First minute after, `HH:MM`.
    #[schemars(length(max = 5), regex(pattern = r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"))]
    pub to: String,
}

/// A day, or a range of instants, without chaos: exactly one of `date` and `from`/`to`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.date) ? (!has(self.from) && !has(self.to)) : (has(self.from) && has(self.to) && self.from < self.to)").message("give date, or from and a later to"))]
pub struct Blackout {
    /// A whole local day, `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = rules::DAY), extend("format" = "date"))]
    pub date: Option<String>,
    /// First instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Time>,
    /// First instant after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Time>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200))]
    pub reason: Option<String>,
}

/// The Lease a run keeps alive, in the monkey's own namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::between("interval", "100ms", "1m"))]
pub struct HeartbeatRef {
    /// Name of the Lease.
    #[schemars(length(min = 1, max = 253), regex(pattern = rules::SUBDOMAIN))]
    pub name: String,
    /// Time between two beats.
    pub interval: Duration,
}

/// What a monkey remembers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChaosMonkeyStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready (it can act), Active (inside its window and not stopped), Complete (a run-owned one that is through).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The next strikes, soonest first: of each group at least one and at most 5, some 20 in all where there are few groups. Those that
    /// were postponed stand here besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upcoming: Vec<PlannedStrike>,
    /// Instant of the soonest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Time>,
    /// Kills that were decided and whose outcome is not known yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub intents: Vec<IntentRecord>,
    /// The latest kills, oldest first, at most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<KillRecord>,
    /// The latest skips, oldest first, at most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<SkipRecord>,
    /// Kills so far; those that would have been while the mode is DryRun, see `live`.
    #[serde(default)]
    pub kills: u64,
    /// Kills so far today (UTC); those that would have been while the mode is DryRun.
    #[serde(default)]
    pub kills_today: u64,
    /// What was killed, while the counts beside it (`kills`, `killsToday` and those of `groups`) are of a dry run. It counts on once the
    /// mode is Live again. Absent: the counts are of what was killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<LiveCounts>,
    /// Skips so far.
    #[serde(default)]
    pub skips: u64,
    /// Strikes drawn so far: the next one's number, never reused.
    #[serde(default)]
    pub strikes: u64,
    /// Observed mean time between kills of a group, once there are two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::written)]
    pub effective_mean_time_between_kills: Option<Duration>,
    /// What is remembered of each group that is there, or was not long ago.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupRecord>,
    /// How many groups nothing is planned for, if there are more than the 300 that a monkey plans for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unplanned_groups: Option<u64>,
    /// Kills whose replacement is not Ready yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recovering: Vec<RecoveringRecord>,
    /// Why it will not kill any more, once that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<EndRecord>,
    /// Digest of what the plan was drawn from; another one means a new plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Saves made for nothing but to be sure that no other process drives this monkey.
    #[serde(default)]
    pub fences: u64,
    /// The process that drives this monkey, since it first wrote this status. Whoever writes its name here has fenced off
    /// all before it: their next write of this status, without which they kill nothing, is a conflict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// When the operator saw which heartbeat: lets the driver of the run measure the offset of the two clocks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<ClockReading>,
}

/// A strike that is going to happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedStrike {
    /// `s<strike number>`: what `control.cancel` names.
    pub id: String,
    /// Number of the strike in this monkey.
    pub strike: u64,
    /// When.
    pub at: MicroTime,
    /// The group it will hit.
    pub group: String,
    /// The reason for which it waits although it is due (run-owned monkeys: a strike is put off, not lost).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// When it would have been, had nobody postponed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postponed_from: Option<MicroTime>,
}

impl PlannedStrike {
    /// What the strike of that number is called by `control`.
    pub fn id_of(strike: u64) -> String {
        format!("s{strike}")
    }
}

/// A kill whose replacement is not Ready yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecoveringRecord {
    /// Number of the strike.
    pub strike: u64,
    /// The pod that was killed.
    pub victim: VictimRef,
    /// When.
    pub since: MicroTime,
    /// Pods of the workload that served before: as many must serve again, or as many as it wants by then.
    pub serving_before: u32,
}

/// The end of a monkey.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndRecord {
    /// Stable reason.
    pub reason: String,
    /// The facts, for people.
    pub message: String,
    /// When.
    pub at: MicroTime,
}

/// A pod that is to be killed or was.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VictimRef {
    /// Namespace of the pod.
    pub namespace: String,
    /// Its name.
    pub pod: String,
    /// Its UID: the only identity that counts.
    pub uid: String,
    /// `Kind/name` of the top controller.
    pub workload: String,
    /// UID of the top controller.
    pub workload_uid: String,
    /// UID of the direct controller (the ReplicaSet): what a replacement will carry as its owner.
    pub owner_uid: String,
    /// The node it ran on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

/// A decided kill, written before it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IntentRecord {
    /// Number of the strike.
    pub strike: u64,
    /// Random identity of this kill; names its Events.
    pub nonce: String,
    /// The group that was hit.
    pub group: String,
    /// The pod.
    pub victim: VictimRef,
    /// When the strike was due.
    pub due: MicroTime,
    /// When it was decided.
    pub decided_at: MicroTime,
    /// After this instant an unsent kill is not sent any more.
    pub deadline: MicroTime,
}

/// A kill with its outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KillRecord {
    /// Number of the strike.
    pub strike: u64,
    /// Identity of this kill.
    pub nonce: String,
    /// The group that was hit.
    pub group: String,
    /// The pod.
    pub victim: VictimRef,
    /// When the kill call was sent, by the killer's clock.
    pub at: MicroTime,
    /// What came of it.
    pub outcome: Outcome,
    /// The server's words, where there is something to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What came of a kill call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Outcome {
    /// The API server accepted it: that pod (by UID) is going.
    Killed,
    /// A dry run: it would have been killed.
    WouldKill,
    /// Refused by a disruption budget.
    Blocked,
    /// The pod was gone, or another pod had its name (UID precondition).
    Gone,
    /// Refused for another reason.
    Failed,
    /// Nobody knows: no answer, and the pod cannot tell. Counts as a kill wherever that is the safer reading.
    Unknown,
}

/// A strike that did not happen, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SkipRecord {
    /// Number of the strike.
    pub strike: u64,
    /// The group it was meant for.
    pub group: String,
    /// When it was decided not to.
    pub at: MicroTime,
    /// Stable reason: also the metric label and the Event reason.
    pub reason: String,
    /// The facts, for people.
    pub message: String,
}

/// A heartbeat and the instant at which the operator saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClockReading {
    /// `renewTime` of the heartbeat Lease, by the driver's clock.
    pub heartbeat: MicroTime,
    /// When the operator read it, by the operator's clock.
    pub read_at: MicroTime,
}
