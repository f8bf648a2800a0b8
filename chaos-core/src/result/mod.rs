//! What is told about a run: the versioned result that JSON, HTML, JUnit, Markdown and the terminal are made of.
//! Plain data. It holds integers wherever something was counted; ratios are derived by whoever prints them.
//!
//! All times are run time in whole microseconds since `run.startedAt`, unless a field says UTC.

mod kills;
mod measures;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use kills::{Distribution, KillRow, KillSummary, LossOf, Recovery, SkipCount};
pub use measures::{
    ClassCount, Counts, ExpectationResult, InvariantsResult, LatencyQuantiles, Outage, ProbeResult, Second, Series,
};

use crate::record::{Phase, names_a_pod};
pub use crate::verdict::{ExitCode, Level, Outcome, ReasonCode};

/// `schemaVersion` of what this version of the tool writes: the major number changes when a reader could misread it.
pub const SCHEMA_VERSION: &str = "1.0";

/// Everything that is told about one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunResult {
    /// Version of this format, `major.minor`.
    pub schema_version: String,
    /// The API group and version of the manifest that was run.
    pub api_version: String,
    /// Always `RunResult`.
    pub kind: String,
    /// Which run this is, of what, where.
    pub run: RunInfo,
    /// The sentence that the run was to prove or refute.
    pub hypothesis: String,
    /// What came out.
    pub verdict: Verdict,
    /// Everything that was claimed, with its figures, in the order of the manifest.
    pub claims: Vec<Claim>,
    /// Counts and latencies of the http probes.
    pub probes: Vec<ProbeResult>,
    /// Answers of the probes that are not http load.
    pub expectations: Vec<ExpectationResult>,
    /// What the application's own checkers said.
    pub invariants: Vec<InvariantsResult>,
    /// Kills in figures.
    pub kills: KillSummary,
    /// One row for each kill, in the order of their instants.
    pub kill_rows: Vec<KillRow>,
    /// Strikes that did not happen, by reason.
    pub skips: Vec<SkipCount>,
    /// Strikes that were due and had to wait, by reason; each strike counts once for a reason.
    pub put_off: Vec<SkipCount>,
    /// How fast the platform noticed and healed.
    pub recovery: Recovery,
    /// The phases that were reached.
    pub phases: Vec<PhaseSpan>,
    /// What happened second by second, one for each http probe.
    pub series: Vec<Series>,
    /// What was planned on.
    pub plan: PlanFacts,
    /// What the run and the cluster show to be weak.
    pub advice: Vec<Advice>,
    /// What is left for a person to do; empty: nothing.
    pub leftovers: Vec<String>,
    /// Things worth knowing that no figure says.
    pub notes: Vec<String>,
}

/// The results of several runs that one command made, in their order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunResultList {
    /// Version of this format, `major.minor`.
    pub schema_version: String,
    /// The API group and version of the manifests that were run.
    pub api_version: String,
    /// Always `RunResultList`.
    pub kind: String,
    /// The worst of their exit codes: that of the command.
    pub exit_code: ExitCode,
    /// The results.
    pub items: Vec<RunResult>,
}

impl RunResultList {
    /// Of these.
    pub fn of(items: Vec<RunResult>) -> Self {
        Self {
            schema_version: SCHEMA_VERSION.into(),
            api_version: crate::api::API_VERSION.into(),
            kind: "RunResultList".into(),
            exit_code: ExitCode::worst(items.iter().map(|item| item.verdict.exit_code)),
            items,
        }
    }
}

/// Identity and surroundings of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunInfo {
    /// Random identity of the run.
    pub id: String,
    /// Name of the experiment.
    pub experiment: String,
    /// Its namespace.
    pub namespace: String,
    /// UTC of run time zero.
    pub started_at: Timestamp,
    /// How long it took, in microseconds, to the last event that was recorded.
    pub duration_us: u64,
    /// Version of the tool.
    pub tool: String,
    /// SHA-256 of its file, in hex; absent for builds without optimisation.
    pub tool_digest: Option<String>,
    /// Context, server and version of the cluster.
    pub cluster: String,
    /// Other facts that may matter.
    pub environment: Vec<Fact>,
    /// The seed in force.
    pub seed: i64,
    /// Which attempt of the same manifest this is, from 1.
    pub attempt: u32,
    /// Where the manifest was read from.
    pub manifest_source: String,
    /// SHA-256 of the manifest, in hex.
    pub manifest_digest: String,
    /// The manifest as it was read.
    pub manifest: String,
}

/// A name and a value, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fact {
    /// What.
    pub name: String,
    /// How much or which.
    pub value: String,
}

/// What came out of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// In one word.
    pub outcome: Outcome,
    /// The exit code of the command line.
    pub exit_code: ExitCode,
    /// The decisive reason, stable for machines.
    pub reason_code: ReasonCode,
    /// The same in one sentence: what is certified and under which assumption, or what it would take.
    pub reason_text: String,
    /// All findings that spoke against a pass, the decisive one first.
    pub findings: Vec<Finding>,
}

/// One thing that spoke against a pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Stable for machines.
    pub reason_code: ReasonCode,
    /// The figures, for people.
    pub message: String,
}

/// One claim with all that it takes to recompute it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// The claim as a sentence.
    pub claim: String,
    /// The probe it is about.
    pub probe: String,
    /// What kind of claim.
    pub level: Level,
    /// How it was decided.
    pub method: String,
    /// Probability of error that it was decided at; absent where none is involved.
    pub alpha: Option<f64>,
    /// What must be true for the claim to mean anything.
    pub assumption: Option<String>,
    /// Requests it is about: due in the phase, or in all kill windows, exposed or not. Those of exposed windows alone, which a
    /// certificate of availability rests on, stand in `method`. Of other probes: answers, or things checked.
    pub n: u64,
    /// Trials (kill windows) it rests on.
    #[serde(rename = "K")]
    pub trials: u64,
    /// Trials with a kill that the probe's traffic is known to have met.
    pub exposed: u64,
    /// The figure that was compared, in the terms of `method`.
    pub value: f64,
    /// What it was compared with.
    pub bound: f64,
    /// Whether it holds.
    pub holds: Holds,
}

/// Whether a claim holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Holds {
    /// Yes, as far as its level goes.
    Yes,
    /// It can only be refuted, and is not.
    NotRefuted,
    /// It is refuted.
    No,
    /// The evidence is enough for neither.
    Undecided,
}

impl Holds {
    /// As results and statuses have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "Yes",
            Self::NotRefuted => "NotRefuted",
            Self::No => "No",
            Self::Undecided => "Undecided",
        }
    }
}

/// A phase that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PhaseSpan {
    /// Which.
    pub phase: Phase,
    /// When it began.
    pub start_us: u64,
    /// When it ended.
    pub end_us: u64,
    /// UTC of its beginning.
    pub started_at: Timestamp,
}

/// What was planned on: the population at the start.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanFacts {
    /// Pods that might be killed.
    pub eligible: Vec<PlannedPod>,
    /// Pods that might not, and why.
    pub excluded: Vec<ExcludedPod>,
    /// Images of the pods that might be killed, each once.
    pub images: Vec<ImageUsed>,
}

/// An image that pods of a workload ran.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageUsed {
    /// `Kind/name` of the top controller.
    pub workload: String,
    /// As the template names it.
    pub image: String,
    /// What it was resolved to: a digest as a rule.
    pub image_id: Option<String>,
}

/// A pod that might be killed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedPod {
    /// `namespace/name`.
    pub pod: String,
    /// `Kind/name` of its top controller.
    pub workload: String,
    /// Its node.
    pub node: Option<String>,
    /// The zone of its node.
    pub zone: Option<String>,
}

/// A pod that might not be killed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExcludedPod {
    /// `namespace/name`.
    pub pod: String,
    /// Stable reason.
    pub reason: String,
    /// The facts, for people.
    pub message: String,
}

impl ExcludedPod {
    /// Whether it is one pod, which can be counted: `namespace/*` stands for a namespace of which no pod is known.
    pub fn is_pod(&self) -> bool {
        names_a_pod(&self.pod)
    }
}

/// Something weak, what shows it, and what to change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Advice {
    /// What is weak, in one sentence.
    pub title: String,
    /// `Kind/name` of what it is about.
    pub about: String,
    /// The facts that show it.
    pub evidence: String,
    /// Lines of YAML to add or change; capitals stand for what the run could not know.
    pub manifest: String,
}
