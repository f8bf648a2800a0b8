//! Outcomes, exit codes and reasons, and which of several findings decides. The precedence is one function.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What came of a run, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// The hypothesis held, with the evidence asked for.
    Pass,
    /// The hypothesis failed.
    Fail,
    /// Too little evidence for either.
    Inconclusive,
    /// Stopped, or left in a state that needs a person.
    Aborted,
    /// Nothing can be learned from it, or nothing was started.
    Invalid,
}

/// The exit codes of `chaos run`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub enum ExitCode {
    /// 0: the hypothesis held, with the evidence asked for.
    Held,
    /// 1: the hypothesis failed.
    Failed,
    /// 2: usage, a manifest that is not valid, a plan that arithmetic rules out.
    InvalidManifest,
    /// 3: cluster, metrics or a probe tool out of reach at the start.
    OutOfReach,
    /// 4: refused by a safety rule before anything was touched.
    Refused,
    /// 5: stopped; everything wound down.
    Stopped,
    /// 6: wound down incompletely; a person must act now.
    LeftBehind,
    /// 7: too little evidence.
    Inconclusive,
    /// 8: not steady before the fault, no victim, no sample.
    InvalidRun,
}

/// Why, stable for machines. The order is the order in which findings decide within one exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ReasonCode {
    /// Everything claimed holds with the evidence asked for.
    HypothesisHeld,
    /// Something that was done could not be undone.
    WindDownIncomplete,
    /// A rule of the business was broken.
    InvariantBroken,
    /// A kill window lost more than the declared worst loss.
    WorstLossExceeded,
    /// The betting test refuted a promise.
    SloRefuted,
    /// More kills cost something than the claim allows, beyond chance.
    HarmlessKillsRefuted,
    /// The promise was refuted in the recovery phase alone.
    RecoveryRefuted,
    /// A probe answered what was not expected.
    ExpectationBroken,
    /// The promise was already broken before the fault.
    NotSteady,
    /// A guard of `abort` stopped the run.
    GuardTripped,
    /// A replacement was not Ready within `limits.recoverWithin`.
    NotRecovered,
    /// A stop switch was thrown.
    Switched,
    /// SIGINT, SIGTERM or SIGHUP.
    Interrupted,
    /// The cluster was out of sight for too long.
    BlindTooLong,
    /// The killer gave up.
    KillerGaveUp,
    /// The journal could not be written.
    JournalFailed,
    /// The run's record ends without its end: whoever drove it died.
    Orphaned,
    /// No pod might be killed.
    NoVictim,
    /// A probe measured nothing.
    NoSample,
    /// Whoever measured for the run fell silent.
    ProberLost,
    /// The record contradicts itself.
    RecordInconsistent,
    /// A probe could not answer.
    ProbeUnanswered,
    /// A probe was off, and its looks do not say whether for longer than is tolerated.
    ExpectationUndecided,
    /// Fewer kills than `strikes.min`.
    TooFewKills,
    /// The instants of the kills are not known well enough.
    ClockUncertain,
    /// A checker checked nothing.
    NothingChecked,
    /// Too many requests were not sent in time or have no known outcome: without them the claim would be decided.
    TooMuchLag,
    /// It is not known which kills met the probe's traffic, or too few did.
    TooLittleExposure,
    /// More bad requests than the promise allows, but not beyond chance.
    BudgetExceeded,
    /// Too few kills for what is claimed.
    TooLittleEvidence,
    /// Nothing was started: the cluster, the metrics or a probe's tool were out of reach.
    OutOfReach,
    /// The probes could not be started on this machine, so nothing was killed.
    ProbesNotStarted,
    /// Nothing was started: a safety rule refused it.
    Refused,
    /// Nothing was started: the manifest is not valid, or arithmetic rules its plan out.
    InvalidManifest,
}

impl ExitCode {
    /// All of them, ascending.
    pub const ALL: [Self; 9] = [
        Self::Held,
        Self::Failed,
        Self::InvalidManifest,
        Self::OutOfReach,
        Self::Refused,
        Self::Stopped,
        Self::LeftBehind,
        Self::Inconclusive,
        Self::InvalidRun,
    ];

    /// The number.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The word that goes with it.
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::Held => Outcome::Pass,
            Self::Failed => Outcome::Fail,
            Self::Inconclusive => Outcome::Inconclusive,
            Self::Stopped | Self::LeftBehind => Outcome::Aborted,
            Self::InvalidManifest | Self::OutOfReach | Self::Refused | Self::InvalidRun => Outcome::Invalid,
        }
    }

    /// How bad it is among several runs: 6 > 1 > 5 > 3 > 4 > 2 > 8 > 7 > 0.
    const fn severity(self) -> u8 {
        match self {
            Self::Held => 0,
            Self::Inconclusive => 1,
            Self::InvalidRun => 2,
            Self::InvalidManifest => 3,
            Self::Refused => 4,
            Self::OutOfReach => 5,
            Self::Stopped => 6,
            Self::Failed => 7,
            Self::LeftBehind => 8,
        }
    }

    /// The exit code of a command that ran several files: the worst of theirs. Nothing ran: 0.
    pub fn worst(codes: impl IntoIterator<Item = Self>) -> Self {
        codes.into_iter().max_by_key(|code| code.severity()).unwrap_or(Self::Held)
    }
}

impl fmt::Display for ReasonCode {
    /// The stable name, as JSON has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Pass, Self::Fail, Self::Inconclusive, Self::Aborted, Self::Invalid];

    /// The stable word, as JSON has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
            Self::Aborted => "aborted",
            Self::Invalid => "invalid",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl From<ExitCode> for u8 {
    fn from(code: ExitCode) -> Self {
        code.code()
    }
}

impl TryFrom<u8> for ExitCode {
    type Error = String;

    fn try_from(code: u8) -> Result<Self, String> {
        Self::ALL.get(usize::from(code)).copied().ok_or_else(|| format!("{code} is no exit code of a run (0 to 8)"))
    }
}

impl JsonSchema for ExitCode {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ExitCode".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "integer", "minimum": 0, "maximum": 8, "description": "The exit codes of `chaos run`."})
    }
}

impl ReasonCode {
    /// All of them.
    pub const ALL: [Self; 34] = [
        Self::HypothesisHeld,
        Self::WindDownIncomplete,
        Self::InvariantBroken,
        Self::WorstLossExceeded,
        Self::SloRefuted,
        Self::HarmlessKillsRefuted,
        Self::RecoveryRefuted,
        Self::ExpectationBroken,
        Self::NotSteady,
        Self::GuardTripped,
        Self::NotRecovered,
        Self::Switched,
        Self::Interrupted,
        Self::BlindTooLong,
        Self::KillerGaveUp,
        Self::JournalFailed,
        Self::Orphaned,
        Self::NoVictim,
        Self::NoSample,
        Self::ProberLost,
        Self::RecordInconsistent,
        Self::ProbeUnanswered,
        Self::ExpectationUndecided,
        Self::TooFewKills,
        Self::ClockUncertain,
        Self::NothingChecked,
        Self::TooMuchLag,
        Self::TooLittleExposure,
        Self::BudgetExceeded,
        Self::TooLittleEvidence,
        Self::OutOfReach,
        Self::ProbesNotStarted,
        Self::Refused,
        Self::InvalidManifest,
    ];

    /// The exit code that this reason leads to.
    pub const fn exit_code(self) -> ExitCode {
        match self {
            Self::HypothesisHeld => ExitCode::Held,
            Self::WindDownIncomplete => ExitCode::LeftBehind,
            Self::InvariantBroken
            | Self::WorstLossExceeded
            | Self::SloRefuted
            | Self::HarmlessKillsRefuted
            | Self::RecoveryRefuted
            | Self::ExpectationBroken => ExitCode::Failed,
            Self::NotSteady | Self::NoVictim | Self::NoSample => ExitCode::InvalidRun,
            Self::GuardTripped
            | Self::NotRecovered
            | Self::Switched
            | Self::Interrupted
            | Self::BlindTooLong
            | Self::KillerGaveUp
            | Self::JournalFailed
            | Self::Orphaned => ExitCode::Stopped,
            Self::ProberLost
            | Self::TooFewKills
            | Self::RecordInconsistent
            | Self::ClockUncertain
            | Self::ProbeUnanswered
            | Self::ExpectationUndecided
            | Self::NothingChecked
            | Self::TooMuchLag
            | Self::TooLittleExposure
            | Self::BudgetExceeded
            | Self::TooLittleEvidence => ExitCode::Inconclusive,
            Self::OutOfReach | Self::ProbesNotStarted => ExitCode::OutOfReach,
            Self::Refused => ExitCode::Refused,
            Self::InvalidManifest => ExitCode::InvalidManifest,
        }
    }

    /// What it means, in one sentence; the text of the published table.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::HypothesisHeld => "Everything claimed holds with the evidence asked for.",
            Self::WindDownIncomplete => "Something that was done could not be undone.",
            Self::InvariantBroken => "A rule of the business was broken.",
            Self::WorstLossExceeded => "A kill window lost more than the declared worst loss.",
            Self::SloRefuted => "The betting test refuted a promise.",
            Self::HarmlessKillsRefuted => "More kills cost something than the claim allows, beyond chance.",
            Self::RecoveryRefuted => "The promise was refuted in the recovery phase alone.",
            Self::ExpectationBroken => "A probe answered what was not expected.",
            Self::NotSteady => "The promise was already broken before the fault.",
            Self::GuardTripped => "A guard of `abort` stopped the run.",
            Self::NotRecovered => "A replacement was not Ready within `limits.recoverWithin`.",
            Self::Switched => "A stop switch was thrown.",
            Self::Interrupted => "SIGINT, SIGTERM or SIGHUP.",
            Self::BlindTooLong => "The cluster was out of sight for too long.",
            Self::KillerGaveUp => "The killer gave up.",
            Self::JournalFailed => "The journal could not be written.",
            Self::Orphaned => "The run's record ends without its end: whoever drove it died.",
            Self::NoVictim => "No pod might be killed.",
            Self::NoSample => "A probe measured nothing.",
            Self::ProberLost => "The prober was lost in mid-run: slots of its probes were not sent.",
            Self::RecordInconsistent => "The record contradicts itself.",
            Self::ProbeUnanswered => "A probe could not answer.",
            Self::ExpectationUndecided => {
                "A probe was off, and its looks do not say whether for longer than is tolerated."
            }
            Self::TooFewKills => "Fewer kills than `strikes.min`.",
            Self::ClockUncertain => "The instants of the kills are not known well enough.",
            Self::NothingChecked => "A checker checked nothing.",
            Self::TooMuchLag => {
                "Too many requests were not sent in time or have no known outcome: without them the claim would be decided."
            }
            Self::TooLittleExposure => "It is not known which kills met the probe's traffic, or too few did.",
            Self::BudgetExceeded => "More bad requests than the promise allows, but not beyond chance.",
            Self::TooLittleEvidence => "Too few kills for what is claimed.",
            Self::OutOfReach => "Nothing was started: the cluster, the metrics or a probe's tool were out of reach.",
            Self::ProbesNotStarted => "The probes could not be started on this machine, so nothing was killed.",
            Self::Refused => "Nothing was started: a safety rule refused it.",
            Self::InvalidManifest => {
                "Nothing was started: the manifest is not valid, or arithmetic rules its plan out."
            }
        }
    }

    /// Its place in the precedence of findings; the lowest decides.
    pub(crate) const fn precedence(self) -> (u8, Self) {
        (self.rank(), self)
    }

    const fn rank(self) -> u8 {
        match self {
            Self::WindDownIncomplete => 0,
            Self::NotSteady => 2,
            Self::OutOfReach | Self::ProbesNotStarted => 4,
            Self::Refused => 5,
            Self::InvalidManifest => 6,
            Self::NoVictim | Self::NoSample => 7,
            other => match other.exit_code() {
                ExitCode::Failed => 1,
                ExitCode::Stopped => 3,
                ExitCode::Held => 9,
                _ => 8,
            },
        }
    }
}

/// Which of the findings of a run decides; none: the hypothesis held.
///
/// In this order: wound down incompletely (6); broken or refuted, also when that stopped the run (1); not steady before the
/// fault (8); stopped (5); not started, being out of reach (3), refused (4) or not valid (2); no victim, no sample (8); too
/// little evidence (7); held (0). Within one of these the order of
/// [`ReasonCode`] decides.
pub fn decisive(findings: impl IntoIterator<Item = ReasonCode>) -> ReasonCode {
    findings.into_iter().min_by_key(|reason| reason.precedence()).unwrap_or(ReasonCode::HypothesisHeld)
}
