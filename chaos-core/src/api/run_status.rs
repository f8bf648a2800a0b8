//! What an ExperimentRun remembers: where it is, what its killer needs to go on, and what came out.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::monkey::{EndRecord, IntentRecord, KillRecord, PlannedStrike, RecoveringRecord, SkipRecord};
use super::monkey_counts::GroupRecord;
use super::rules;
use crate::units::Duration;

/// Where a run is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum RunPhase {
    /// Finding out who may be killed. Nothing is touched.
    Resolving,
    /// Waiting for somebody to approve the plan.
    AwaitingApproval,
    /// The prober looks for the addresses it will measure.
    Preparing,
    /// The record of the run is begun.
    Starting,
    /// Probes are started, and those that look before the fault are asked.
    Asking,
    /// Measuring without faults.
    Baseline,
    /// Killing.
    Fault,
    /// The last kills recover.
    Settling,
    /// Measuring on.
    Recovery,
    /// Undoing what was done.
    WindingDown,
    /// Counting what was recorded.
    Judging,
    /// Over; see the verdict.
    Completed,
}

impl RunPhase {
    /// As a status has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resolving => "Resolving",
            Self::AwaitingApproval => "AwaitingApproval",
            Self::Preparing => "Preparing",
            Self::Starting => "Starting",
            Self::Asking => "Asking",
            Self::Baseline => "Baseline",
            Self::Fault => "Fault",
            Self::Settling => "Settling",
            Self::Recovery => "Recovery",
            Self::WindingDown => "WindingDown",
            Self::Judging => "Judging",
            Self::Completed => "Completed",
        }
    }
}

/// What a run remembers. At most 64 KiB: what is longer stands in ConfigMaps that the run owns.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExperimentRunStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready (it can act), Complete (it is over), Passed (what it proved).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<RunPhase>,
    /// What its phase needs to remember.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<RunProgress>,
    /// What will be run, as it was found at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<ResolvedRun>,
    /// What the prober is to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probing: Option<ProbingOrder>,
    /// When the first probe was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// Pods that were killed.
    #[serde(default)]
    pub kills: u64,
    /// Strikes that did not happen.
    #[serde(default)]
    pub skips: u64,
    /// The memory of the run's own killer, for `fault.podKill`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub killer: Option<RunKiller>,
    /// What came out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<RunVerdict>,
    /// What was claimed, with its figures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<RunClaim>,
    /// What the http probes counted while pods were killed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<RunProbe>,
    /// The latest kills and what followed, oldest first, at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<RunKill>,
    /// Where the evidence is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<EvidenceRecord>,
    /// The process that drives this run: whoever writes its name here has fenced off all before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
}

/// What the phase of a run needs to remember; with the phase it is all that a restarted operator goes on from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunProgress {
    /// When the phase ends at the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<MicroTime>,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<MicroTime>,
    /// The next step of the wind-down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<crate::run::WindDown>,
    /// What ended the run early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<StopRecord>,
}

impl ExperimentRunStatus {
    /// Why the run ends early, while it winds down and is judged for that.
    pub fn stop(&self) -> Option<&StopRecord> {
        self.progress.as_ref().and_then(|progress| progress.stop.as_ref())
    }
}

/// What ended a run early.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StopRecord {
    /// What kind of cause.
    pub cause: String,
    /// The facts, for people.
    pub message: String,
}

/// What will be run, as it was found at the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedRun {
    /// SHA-256 of the experiment with its overrides, in hex. Another one is another experiment.
    pub experiment_digest: String,
    /// SHA-256 of everything that somebody approves: experiment, mode, seed, and the workloads that may be hit.
    pub plan_digest: String,
    /// The seed in force.
    pub seed: i64,
    /// Pods that may be killed.
    pub candidates: u64,
    /// Pods that may not.
    pub excluded: u64,
    /// `namespace/Kind/name` of the workloads whose pods may be killed, at most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workloads: Vec<String>,
    /// Strikes planned.
    pub strikes: u64,
    /// The first strikes by this seed, counted from the start of the fault phase, at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedule: Vec<StrikePreview>,
    /// What the plan can prove, one sentence for each claim.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub power: Vec<String>,
    /// Why pods may not be killed, by reason, with how many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclusions: Vec<ExclusionCount>,
}

/// A strike as it is planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StrikePreview {
    /// From the start of the fault phase.
    #[schemars(transform = rules::written)]
    pub after: Duration,
    /// The group it will hit.
    pub group: String,
}

/// Pods that may not be killed for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExclusionCount {
    /// Stable reason.
    pub reason: String,
    /// How many.
    pub pods: u64,
}

/// What the prober is to do. Orders only ever go forwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProbingOrder {
    /// How far to go.
    pub order: ProberStage,
    /// When this was written, by the clock of the operator: the prober tells when it read which.
    pub beat: MicroTime,
    /// Load that is on for longer than this ends by itself, whatever became of the operator.
    #[schemars(transform = rules::written)]
    pub lasts: Duration,
}

/// How far a prober has gone, or is to go. In this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ProberStage {
    /// Find the addresses.
    Prepare,
    /// Start the continuous probes, then ask those that look before the fault.
    Load,
    /// Send nothing more, and wait for what is in flight.
    Stop,
    /// Ask those that look after recovery.
    AskAfter,
    /// The run is over.
    Release,
}

/// The memory of a run's own killer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunKiller {
    /// The next strikes, soonest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upcoming: Vec<PlannedStrike>,
    /// Kills that were decided and whose outcome is not known yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub intents: Vec<IntentRecord>,
    /// The latest kills, oldest first, at most 60; all of them are in the evidence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<KillRecord>,
    /// The latest skips, oldest first, at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<SkipRecord>,
    /// What is remembered of each group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupRecord>,
    /// Kills whose replacement is not Ready yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recovering: Vec<RecoveringRecord>,
    /// Kills so far.
    #[serde(default)]
    pub kills: u64,
    /// Kills on the day of the last one (UTC).
    #[serde(default)]
    pub kills_today: u64,
    /// Strikes that killed at least one pod.
    #[serde(default)]
    pub struck: u64,
    /// Skips so far.
    #[serde(default)]
    pub skips: u64,
    /// Strikes drawn so far: the next one's number, never reused.
    #[serde(default)]
    pub strikes: u64,
    /// Why it kills no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<EndRecord>,
    /// Digest of what the plan was drawn from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Saves made for nothing but to be sure that no other process drives this killer.
    #[serde(default)]
    pub fences: u64,
    /// The strike that has begun to kill, and has more pods to kill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfinished: Option<UnfinishedStrike>,
}

/// A strike of several pods that has begun: whoever finds it after a crash leaves the others alone, and tells them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnfinishedStrike {
    /// Number of the strike.
    pub strike: u64,
    /// The group that it was planned for.
    pub group: String,
    /// Pods that it has not turned to yet.
    pub left: u32,
}

/// What came out of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunVerdict {
    /// pass, fail, inconclusive, aborted, invalid; planned for a dry run.
    pub outcome: String,
    /// The exit code that `chaos run` gives for it.
    pub exit_code: u8,
    /// The decisive reason, stable for machines.
    pub reason_code: String,
    /// The same in one sentence.
    pub reason_text: String,
}

/// One claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunClaim {
    /// The claim as a sentence.
    pub claim: String,
    /// The probe it is about.
    pub probe: String,
    /// Yes, NotRefuted, No, Undecided.
    pub holds: String,
}

/// What an http probe counted while pods were killed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunProbe {
    /// The probe.
    pub probe: String,
    /// Requests that were due.
    pub requests: u64,
    /// Of them failed.
    pub failed: u64,
    /// Of them answered well, but slower than the latency bound.
    pub slow: u64,
    /// Of them without a known outcome.
    pub unknown: u64,
}

/// A kill and what followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunKill {
    /// Number of the strike.
    pub strike: u64,
    /// `namespace/name` of the pod.
    pub pod: String,
    /// When it was killed.
    pub at: Time,
    /// From the kill to its replacement being Ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::written)]
    pub ready_after: Option<Duration>,
    /// Requests that its kill window lost, over all probes.
    pub lost: u64,
}

/// Where the evidence is: ConfigMaps `run-UID-operator-N` and `run-UID-prober-N`, from 0.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EvidenceRecord {
    /// Those of the operator.
    pub operator: u64,
    /// Those of the prober that were read.
    pub prober: u64,
    /// SHA-256 over all that was judged, in hex; once the verdict stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_told_as_they_are_written() {
        for phase in [
            RunPhase::Resolving,
            RunPhase::AwaitingApproval,
            RunPhase::Preparing,
            RunPhase::Starting,
            RunPhase::Asking,
            RunPhase::Baseline,
            RunPhase::Fault,
            RunPhase::Settling,
            RunPhase::Recovery,
            RunPhase::WindingDown,
            RunPhase::Judging,
            RunPhase::Completed,
        ] {
            assert_eq!(serde_json::to_value(phase).unwrap(), phase.as_str());
        }
    }
}
