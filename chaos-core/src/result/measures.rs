//! The part of the result about what probes measured. Plain data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::{BadClass, Violation};

/// What an http probe measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProbeResult {
    /// Its name.
    pub probe: String,
    /// Bound of its latency promise, if it makes one.
    pub latency_bound_us: Option<u64>,
    /// Before the fault.
    pub baseline: Counts,
    /// From the first kill window's start to the end of recovery: what is judged.
    pub judged: Counts,
    /// The recovery phase alone (part of `judged`).
    pub recovery: Counts,
    /// Latencies before the fault.
    pub baseline_latency: LatencyQuantiles,
    /// Latencies of the judged part.
    pub judged_latency: LatencyQuantiles,
    /// How late requests were sent in the judged part: the load generator's own quality.
    pub lag: LatencyQuantiles,
    /// The longest unbroken run of failed requests in the judged part.
    pub worst_outage: Option<Outage>,
    /// What the bad slots of the judged part were, by class; of the baseline, where the run ended in it.
    pub classes: Vec<ClassCount>,
    /// Share of the service's 30-day error budget that the judged part used, in millionths; where the manifest gives the
    /// service's requests.
    pub budget_30d_ppm: Option<u64>,
}

/// Slots of one span of time. `good + slow + failed + unknown = slots`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Slots that were due.
    pub slots: u64,
    /// Answered well and in time.
    pub good: u64,
    /// Answered well, slower than the latency bound.
    pub slow: u64,
    /// The system failed.
    pub failed: u64,
    /// Says nothing about the system: never sent, sent too late, or the outcome is unknown.
    pub unknown: u64,
}

/// Bad slots of one class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClassCount {
    /// The class.
    pub class: BadClass,
    /// How many.
    pub count: u64,
    /// The detail of the first of them.
    pub example: String,
}

/// Quantiles of a set of durations, in microseconds, each the upper edge of its histogram bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LatencyQuantiles {
    /// How many durations.
    pub count: u64,
    /// Median.
    pub p50_us: u64,
    /// 90th percentile.
    pub p90_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// 99.9th percentile.
    pub p999_us: u64,
    /// The longest.
    pub max_us: u64,
}

/// A run of consecutive failed slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Outage {
    /// Due time of the first.
    pub start_us: u64,
    /// From there to the due time of the next slot after the last.
    pub duration_us: u64,
    /// How many.
    pub requests: u64,
}

/// Answers of a probe that is not http load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExpectationResult {
    /// The probe.
    pub probe: String,
    /// What was expected, in words.
    pub expected: String,
    /// Answers as expected.
    pub met: u64,
    /// Answers that were not.
    pub unmet: u64,
    /// Looks without an answer, or with one that could not be judged.
    pub errors: u64,
    /// The first answer that was not as expected, or the first error, for people.
    pub first_problem: Option<String>,
    /// The last answer.
    pub last: Option<serde_json::Value>,
}

/// What the application's own checker said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InvariantsResult {
    /// The probe.
    pub probe: String,
    /// Things that were checked in the last answer; 0 where that was before the fault, and one after it was asked for.
    pub checked: u64,
    /// Violations in all, each once, however often the checker told it.
    pub violations: u64,
    /// Their stories, at most 100.
    pub stories: Vec<Violation>,
}

/// What happened second by second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Series {
    /// The probe.
    pub probe: String,
    /// Its seconds, ascending, without those in which nothing was due.
    pub seconds: Vec<Second>,
}

/// One second of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Second {
    /// When it began.
    pub at_us: u64,
    /// What became of its slots.
    #[serde(flatten)]
    pub counts: Counts,
    /// Median latency; 0 where nothing was answered.
    pub p50_us: u64,
    /// 99th percentile; 0 where nothing was answered.
    pub p99_us: u64,
}

impl Counts {
    /// Failed, slow and unknown slots together: everything but a plain success in time.
    pub const fn not_good(&self) -> u64 {
        self.slow + self.failed + self.unknown
    }

    /// Share of the known slots that the system answered well, slow ones included; `None` without known slots.
    pub fn availability(&self) -> Option<f64> {
        let known = self.slots.checked_sub(self.unknown).filter(|known| *known > 0)?;
        Some(1.0 - self.failed as f64 / known as f64)
    }
}
