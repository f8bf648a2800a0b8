//! What a GameDay remembers: which slots are dealt with, what is under way, and what came out.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a game day remembers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GameDayStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready (it can start), Active (an execution is under way), Passed (what the last one proved).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The next slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Time>,
    /// Slots up to this instant are dealt with: none of them is started any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Schedule and zone that `since` was counted in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<String>,
    /// It was suspended when it was last looked at.
    #[serde(default)]
    pub suspended: bool,
    /// The last `control.start.id` that was dealt with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_start: Option<String>,
    /// When a `control.start` that waits was first seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_seen_at: Option<Time>,
    /// Executions that are not over, oldest first, at most 5.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub active: Vec<ExecutionRecord>,
    /// The last execution that is over, with its steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<ExecutionRecord>,
    /// Executions that are over, oldest first, as many as `history` keeps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<ExecutionResult>,
    /// The latest slots that were not started, oldest first, at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<SlotSkip>,
    /// Executions that began.
    #[serde(default)]
    pub started: u64,
    /// Slots that were not started.
    #[serde(default)]
    pub skips: u64,
    /// The process that drives this game day: whoever writes its name here has fenced off all before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
}

/// One execution of all steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionRecord {
    /// The slot in UTC (`20261128t090000z`), or what it was started by.
    pub id: String,
    /// The slot; absent: started by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<Time>,
    /// When it began.
    pub started_at: MicroTime,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<MicroTime>,
    /// Digest of the steps that it goes through. With other steps in the spec it is ended.
    pub plan: String,
    /// Why it is being ended before all steps are through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<EndingRecord>,
    /// pass, fail, inconclusive, aborted, invalid; planned for a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Its steps.
    pub steps: Vec<StepRecord>,
}

/// Why an execution is being ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndingRecord {
    /// Stable reason.
    pub reason: String,
    /// The facts, for people.
    pub message: String,
}

/// Where a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum StepPhase {
    /// What it depends on is not over.
    Pending,
    /// Its run is being created.
    Starting,
    /// Its run, wait or approval is under way.
    Running,
    /// Its run is being ended.
    Aborting,
    /// Over, and as it should be.
    Passed,
    /// Over, and not as it should be.
    Failed,
    /// It will not be started.
    NotRun,
}

impl StepPhase {
    /// As a status has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Starting => "Starting",
            Self::Running => "Running",
            Self::Aborting => "Aborting",
            Self::Passed => "Passed",
            Self::Failed => "Failed",
            Self::NotRun => "NotRun",
        }
    }

    /// Whether nothing more comes of it.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Passed | Self::Failed | Self::NotRun)
    }
}

/// One step of an execution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepRecord {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub phase: StepPhase,
    /// When it is too late, or when a wait is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<MicroTime>,
    /// Name of its run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// UID of its run, once that is there: another one of that name is not it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_uid: Option<String>,
    /// What a guard makes of it: why it is shrunk, or waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<String>,
    /// What came out, as verdicts have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Stable reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The facts, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// An execution that is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionResult {
    /// Which.
    pub id: String,
    /// When it began.
    pub started_at: MicroTime,
    /// When it was over.
    pub finished_at: MicroTime,
    /// pass, fail, inconclusive, aborted, invalid; planned for a dry run.
    pub outcome: String,
    /// Stable reason.
    pub reason: String,
    /// The same in a sentence.
    pub message: String,
    /// Its runs. They are deleted with this entry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<RunReference>,
}

/// A run of an execution that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunReference {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

/// A slot, or several, that were not started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SlotSkip {
    /// The slot; of several the last one.
    pub slot: Time,
    /// When it was found, or the last of several. What is recent is told again after a crash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<MicroTime>,
    /// How many slots; 10001 stands for more than 10000.
    pub count: u64,
    /// Stable reason.
    pub reason: String,
    /// The facts, for people.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_told_as_they_are_written() {
        for phase in [
            StepPhase::Pending,
            StepPhase::Starting,
            StepPhase::Running,
            StepPhase::Aborting,
            StepPhase::Passed,
            StepPhase::Failed,
            StepPhase::NotRun,
        ] {
            assert_eq!(serde_json::to_value(phase).unwrap(), phase.as_str());
        }
    }
}
