//! The evidence of one run as a sequence of events: what the journal stores, and all that verdicts and reports are made of.
//! Whatever is told about a run is a pure function of its events, so `chaos report JOURNAL` can rebuild every output.
//!
//! Every non-success is an event of its own and the schedule is stored as a rule, so that kill windows and claims can be
//! recounted slot by slot; successes are stored as bins of one second.

mod classes;
mod cluster;
mod counts;
mod names;
mod stop;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use cluster::{Excluded, Kill, PodChange, PodSighting};
pub(crate) use cluster::{NO_POD_KNOWN, names_a_pod};
pub use stop::StopCause;

use crate::api::{SkipRecord, VictimRef};
use crate::population::Population;
pub use crate::slots::{ProbeSchedule, RateStage};

/// Nanoseconds of the runner's monotonic clock since the run's `Started` event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunTime(pub u64);

impl RunTime {
    /// Whole microseconds, rounded down.
    pub const fn micros(self) -> u64 {
        self.0 / 1_000
    }
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// The first event: what is run, by what, on what.
    Started(Box<Started>),
    /// The population and exclusions at the start, as planned on.
    Planned {
        /// When.
        at: RunTime,
        /// What was read.
        population: Box<Population>,
        /// Pods that may be killed, by UID.
        eligible: Vec<String>,
        /// Pods of the target's namespaces that may not, and namespaces of which none is known, with the reason.
        excluded: Vec<Excluded>,
    },
    /// A phase begins (and the one before ends).
    Phase {
        /// When.
        at: RunTime,
        /// Which.
        phase: Phase,
    },
    /// The schedule of an http probe: slot `i` is due at a function of `i`.
    Schedule(ProbeSchedule),
    /// Slots of one second of an http probe, complete (every slot of it is answered, late or unsent).
    Bin(Bin),
    /// A slot that was not a plain success in time.
    Bad(BadSlot),
    /// A pod served a request of that probe; stored at most every 250 ms for a pod.
    Served {
        /// The probe.
        probe: String,
        /// Name of the pod.
        pod: String,
        /// Due time of the request.
        at: RunTime,
    },
    /// An answer (or none) of a probe that is not http load.
    Sample(Sample),
    /// What the application's own checker said.
    Invariants {
        /// The probe.
        probe: String,
        /// When it answered.
        at: RunTime,
        /// Things that were checked (rides).
        checked: u64,
        /// What was broken, with the story of each.
        violations: Vec<Violation>,
        /// How many were broken in all, where those are more than are told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        total: Option<u64>,
    },
    /// A kill was decided, before it is sent.
    Intent {
        /// When.
        at: RunTime,
        /// Number of the strike.
        strike: u64,
        /// Its identity.
        nonce: String,
        /// The pod.
        victim: VictimRef,
    },
    /// A kill call was made.
    Kill(Kill),
    /// A strike did not happen.
    Skipped {
        /// When this run learned of it.
        at: RunTime,
        /// The strike and its reason.
        skip: SkipRecord,
    },
    /// A strike that was due has to wait. Told once for each strike and reason.
    PutOff {
        /// When this run learned of it.
        at: RunTime,
        /// Number of the strike.
        strike: u64,
        /// Stable reason.
        reason: String,
    },
    /// Something was seen to happen to a pod of the target.
    Pod(PodSighting),
    /// The operator's clock against ours, measured through a heartbeat.
    Clock {
        /// When.
        at: RunTime,
        /// Operator minus ours, in nanoseconds.
        offset: i64,
        /// Half the width of the interval the offset lies in, in nanoseconds.
        uncertainty: u64,
    },
    /// The cluster could not be seen from `at` on; the next `Sight` ends it.
    Blind {
        /// When.
        at: RunTime,
        /// Why.
        cause: String,
    },
    /// The cluster is seen again.
    Sight {
        /// When.
        at: RunTime,
    },
    /// Something asked the run to end early.
    Stop {
        /// When.
        at: RunTime,
        /// What.
        cause: StopCause,
    },
    /// What was undone at the end, and what could not be.
    WoundDown {
        /// When.
        at: RunTime,
        /// What is left for a person to do; empty: nothing.
        left: Vec<String>,
    },
    /// Something worth telling that no other event says (a warning for the report).
    Note {
        /// When.
        at: RunTime,
        /// The text.
        text: String,
    },
    /// What the operator made of the run, where it drove it and the record was fetched from the cluster: the run is told no
    /// better than that. Since format 1.1.
    Told {
        /// The exit code that `chaos run` gives for it.
        exit_code: u8,
        /// The decisive reason, by the name that the operator has for it.
        reason_code: String,
        /// The same in one sentence.
        reason_text: String,
    },
    /// The last event of a whole journal. A journal without it was torn.
    Finished {
        /// When.
        at: RunTime,
        /// The exit code that was given.
        exit_code: u8,
    },
}

impl Event {
    /// Reads an event as it is stored. Here and not where it is called, as this crate is built for speed and a journal of an hour
    /// has tens of megabytes.
    pub fn from_json(json: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(json)
    }
}

/// The first event of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Started {
    /// Random identity of the run.
    pub run_id: String,
    /// UTC at run time zero.
    pub started_at: jiff::Timestamp,
    /// Version of the tool.
    pub tool: String,
    /// SHA-256 of its file, in hex; absent for builds without optimisation, and in journals of older tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_digest: Option<String>,
    /// The manifest as it was read.
    pub manifest: String,
    /// Name of the experiment that is run, as a file may hold several.
    pub experiment: String,
    /// Where it was read from.
    pub manifest_source: String,
    /// SHA-256 of it, in hex.
    pub manifest_digest: String,
    /// The seed in force.
    pub seed: i64,
    /// Which attempt of the same manifest this is, from 1.
    pub attempt: u32,
    /// Context, server and version of the cluster, for people.
    pub cluster: String,
    /// Other facts of the environment that may matter to a reader (overlay, profile, cores).
    pub environment: Vec<(String, String)>,
}

/// Phases of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Measuring without faults.
    Baseline,
    /// Kills.
    Fault,
    /// Measuring on.
    Recovery,
    /// Undoing what was done and asking the `After` probes.
    WindDown,
}

/// One second of slots, by due time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bin {
    /// The probe.
    pub probe: String,
    /// First slot of the bin.
    pub first_slot: u64,
    /// Slots in it.
    pub slots: u64,
    /// Due time of the first slot.
    pub at: RunTime,
    /// Slots answered well in time to be evidence (slow ones included): `slots` less the bad slots that are not `Slow`.
    pub good: u64,
    /// Latencies of all answered slots from their due time, timeouts at their bound: (upper edge in microseconds, count), ascending, sparse.
    #[serde(deserialize_with = "counts::read")]
    pub latency: Vec<(u64, u64)>,
    /// Lag from due to sent of all sent slots, likewise.
    #[serde(deserialize_with = "counts::read")]
    pub lag: Vec<(u64, u64)>,
}

impl Bin {
    /// The first slot behind it. A record from elsewhere may hold any number, so the sum saturates.
    pub const fn end(&self) -> u64 {
        self.first_slot.saturating_add(self.slots)
    }
}

/// A slot that was not a plain success in time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BadSlot {
    /// The probe.
    pub probe: String,
    /// Number of the slot.
    pub slot: u64,
    /// When it was due.
    pub due: RunTime,
    /// From due to sent, in nanoseconds; absent if it was never sent.
    pub lag: Option<u64>,
    /// From due to the end of the answer, in nanoseconds; absent if there was none.
    pub latency: Option<u64>,
    /// From due to the failure, in nanoseconds, where there was neither an answer nor a timeout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_after: Option<u64>,
    /// What was wrong.
    pub class: BadClass,
    /// Detail for people (status, error text), short.
    pub detail: String,
}

/// What was wrong with a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum BadClass {
    /// Connection refused.
    Refused,
    /// Connection reset or closed before a whole answer.
    Reset,
    /// No whole answer in time.
    Timeout,
    /// TLS failed.
    Tls,
    /// A status that is not a success.
    Status,
    /// A body that is not a success, or one that lacks what the next step of the flow needs.
    Body,
    /// A header that is not a success.
    Header,
    /// An answer that came later than the probe calls a success.
    TooSlow,
    /// Another transport error.
    Other,
    /// A good answer, slower than the latency bound.
    Slow,
    /// Sent too late to be evidence, whatever came of it.
    Late,
    /// Never sent.
    Unsent,
    /// Sent, but its outcome cannot be known: the run ended before, or the load generator could not watch for it.
    UnknownOutcome,
}

/// An answer of a probe that is not http load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    /// The probe.
    pub probe: String,
    /// When it was asked.
    pub at: RunTime,
    /// What it said.
    pub answer: Answer,
    /// Whether that is what was expected; `None` where there was no answer.
    pub met: Option<bool>,
}

/// What a probe said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// One value.
    Value(serde_json::Value),
    /// No answer, with its cause: never 0, never skipped, never a pass.
    Error {
        /// Stable reason: `noData`, `nan`, `severalSeries`, `timeout`, `unreachable`, `unparsable`, `refused`…
        reason: String,
        /// The facts, for people.
        message: String,
    },
}

/// A broken business rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Violation {
    /// Which rule.
    pub invariant: String,
    /// What happened to the offending thing.
    pub story: String,
}
