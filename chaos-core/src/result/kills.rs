//! The part of the result about kills and recovery. Plain data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::{Outcome as KillOutcome, VictimRef};

/// Kills in figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KillSummary {
    /// Kills planned.
    pub planned: u64,
    /// Fewer than this are inconclusive.
    pub least: u64,
    /// Kill calls that were made.
    pub attempted: u64,
    /// Strikes of which at least one pod was really killed: what `least` is compared with.
    pub strikes: u64,
    /// Kill calls that were accepted.
    pub done: u64,
    /// Of these, victims that were still there when the run ended: they count for nothing.
    pub still_there: u64,
    /// Kill windows: kills whose recoveries overlap are one trial.
    pub trials: u64,
    /// Trials that the traffic of at least one probe is known to have met.
    pub exposed: u64,
    /// Trials in which at least one promise lost a request (failed, or slower than its bound).
    pub bad: u64,
    /// Other trials in which a request has no known outcome: they count as bad where a claim is to pass.
    #[serde(default)]
    pub unknown: u64,
}

/// One kill and what followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KillRow {
    /// Number of the strike.
    pub strike: u64,
    /// Identity of the kill.
    pub nonce: String,
    /// When the kill call was sent.
    pub at_us: u64,
    /// The pod.
    pub victim: VictimRef,
    /// What came of the call.
    pub outcome: KillOutcome,
    /// The server's words.
    pub message: Option<String>,
    /// The trial it belongs to, from 0; absent where it was no kill.
    pub trial: Option<u64>,
    /// Probes whose traffic reached the victim in the five seconds before.
    pub exposed: Vec<String>,
    /// Losses of its trial, one for each http probe; only on the first kill of a trial.
    pub losses: Vec<LossOf>,
    /// When the victim carried a deletionTimestamp.
    pub terminating_us: Option<u64>,
    /// When the victim's endpoint was out.
    pub endpoint_out_us: Option<u64>,
    /// When the victim's object was gone.
    pub deleted_us: Option<u64>,
    /// The pod that replaced it: the next one of the same direct owner, matched by UID.
    pub replacement: Option<String>,
    /// When the replacement's object appeared.
    pub replacement_created_us: Option<u64>,
    /// When it was bound to a node.
    pub replacement_scheduled_us: Option<u64>,
    /// When its containers ran.
    pub replacement_started_us: Option<u64>,
    /// When it was Ready.
    pub replacement_ready_us: Option<u64>,
    /// Due time of the first failed request of the trial.
    pub first_failure_us: Option<u64>,
    /// Due time of the last failed request of the trial.
    pub last_failure_us: Option<u64>,
    /// Due time of the first good request after it.
    pub first_success_us: Option<u64>,
}

/// What one trial cost one probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LossOf {
    /// The probe.
    pub probe: String,
    /// Requests due in the window.
    pub requests: u64,
    /// Of them failed.
    pub failed: u64,
    /// Of them answered well, but slower than the latency bound.
    pub slow: u64,
    /// Of them without a known outcome.
    pub unknown: u64,
}

/// How fast the platform noticed and healed, over the kills that were done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Recovery {
    /// Kill call to the victim's endpoint being out of service.
    pub detect: Distribution,
    /// Kill call to the replacement being Ready.
    pub ready: Distribution,
    /// Kill call to the first good request after the last failed one; 0 for a kill without a failed request.
    pub traffic: Distribution,
    /// Kills whose replacement was never seen Ready.
    pub not_recovered: u64,
}

/// A distribution of durations in microseconds: order statistics of the sample itself (nearest rank).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Distribution {
    /// How many.
    pub count: u64,
    /// The shortest.
    pub min_us: u64,
    /// Median.
    pub p50_us: u64,
    /// 95th percentile.
    pub p95_us: u64,
    /// The longest.
    pub max_us: u64,
}

/// Strikes that did not happen for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SkipCount {
    /// Stable reason.
    pub reason: String,
    /// How often.
    pub count: u64,
    /// The facts of the first, for people.
    pub example: String,
}

impl Distribution {
    /// Of these durations, in any order.
    pub fn of(mut durations: Vec<u64>) -> Self {
        durations.sort_unstable();
        let (Some(&min_us), Some(&max_us)) = (durations.first(), durations.last()) else {
            return Self::default();
        };
        let rank = |percent: usize| durations[(durations.len() * percent).div_ceil(100).max(1) - 1];
        Self { count: durations.len() as u64, min_us, p50_us: rank(50), p95_us: rank(95), max_us }
    }
}
