//! A GameDay as it is meant: its cron expression parsed, its steps in one piece, what people want of it bound to this very
//! object. When it starts is worked out in `gameday`.

use std::collections::BTreeSet;
use std::str::FromStr;

use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::{Blackout, ConcurrencyPolicy, HistoryLimits, Mode, OnFailure, RunOverrides};
use crate::units::{Duration, Percent};

/// A share may be above the whole by so much: sums of floating-point numbers are.
const ROUNDING: f64 = 1e-6;

/// Experiments on a calendar.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct GameDay {
    /// Name of the object.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its UID; empty for one that no API server has seen.
    pub uid: String,
    /// When it starts; absent: by hand alone.
    pub cron: Option<Cron>,
    /// The zone of cron and blackout days.
    pub zone: TimeZone,
    /// When nothing is started after all.
    pub blackout: Vec<Blackout>,
    /// A slot that could not be started for so long is skipped.
    pub starting_deadline: Duration,
    /// Whether its runs touch anything.
    pub mode: Mode,
    /// What is done: names are unique, and dependencies form no circle.
    pub steps: Vec<Step>,
    /// What must hold for anything to start.
    pub guards: Vec<BudgetGuard>,
    /// What becomes of a slot whose predecessor is not over.
    pub concurrency: ConcurrencyPolicy,
    /// What follows from a step that did not pass.
    pub on_failure: OnFailure,
    /// How many past executions are kept.
    pub history: HistoryLimits,
    /// Nothing is started.
    pub suspend: bool,
    /// Somebody wants it to start now, under this name.
    pub start: Option<String>,
    /// Executions and their steps that were approved.
    pub approved: BTreeSet<(String, String)>,
    /// Executions that somebody wants to end.
    pub abort: BTreeSet<String>,
    /// Digest of what an execution goes through.
    pub plan: String,
    /// Schedule and zone as they are written: slots are counted anew when they change.
    pub calendar: String,
}

impl GameDay {
    /// The step of that name.
    pub fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }
}

/// A question to a named source of the operator's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricQuestion {
    /// Name of the source.
    pub source: String,
    /// PromQL that gives one value.
    pub query: String,
    /// Selectors of what the query reads now.
    pub reads: Vec<String>,
    /// A source that takes longer did not answer.
    pub timeout: Duration,
}

/// So much of an error budget must be left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetGuard {
    /// What gives the share that is left.
    pub question: MetricQuestion,
    /// With less than this left nothing starts.
    pub keep: Percent,
    /// With less than this left experiments are shrunk; above `keep`.
    pub shrink_below: Option<Percent>,
}

impl BudgetGuard {
    /// Whether a value is a share of a budget: 1 is all of it, below 0 more than all is spent.
    pub fn is_share(value: f64) -> bool {
        value.is_finite() && value <= 1.0 + ROUNDING
    }

    /// Whether less is left than what has to be kept.
    pub fn is_spent(&self, share: f64) -> bool {
        share < self.keep.ratio()
    }
}

/// A value that must be within bounds, of which there is one at least.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// What gives the value.
    pub question: MetricQuestion,
    /// Not below.
    pub min: Option<f64>,
    /// Not above.
    pub max: Option<f64>,
}

impl Check {
    /// Whether a value is within bounds.
    pub fn holds(&self, value: f64) -> bool {
        self.min.is_none_or(|min| value >= min) && self.max.is_none_or(|max| value <= max)
    }
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.min, self.max) {
            (Some(min), Some(max)) => write!(f, "between {min} and {max}"),
            (Some(min), None) => write!(f, "at least {min}"),
            (None, Some(max)) => write!(f, "at most {max}"),
            (None, None) => f.write_str("anything"),
        }
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// Names of the steps that must be over before.
    pub depends_on: Vec<String>,
    /// What it does.
    pub kind: StepKind,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq)]
pub enum StepKind {
    /// Runs an Experiment of the same namespace.
    Experiment {
        /// Its name.
        experiment: String,
        /// What the run does differently from it.
        overrides: Option<RunOverrides>,
        /// What it does differently instead while a guard shrinks experiments; there is one where a guard can.
        shrunk: Option<RunOverrides>,
        /// A run that is not over by then is aborted.
        within: Duration,
    },
    /// Lets time pass.
    Wait(Duration),
    /// Waits until a value is within bounds.
    Check {
        /// Which.
        check: Check,
        /// How long it may take.
        within: Duration,
    },
    /// Waits for somebody to approve.
    Approval {
        /// What is to be looked at.
        prompt: String,
        /// How long somebody has.
        within: Duration,
    },
}

/// A cron expression of five fields, in the time of the clock on the wall.
#[derive(Debug, Clone, PartialEq)]
pub struct Cron(croner::Cron);

/// A text that is no cron expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no cron expression of five fields: {1}")]
pub struct CronError(String, String);

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let error = |error: croner::errors::CronError| CronError(text.to_owned(), error.to_string());
        parser.parse(text).map(Self).map_err(error)
    }
}

impl Cron {
    /// The first slot by the clock on the wall after `local`, changes of the clock aside; `None`: there is none.
    pub fn next_after(&self, local: DateTime) -> Option<DateTime> {
        let at = local.to_zoned(TimeZone::UTC).ok()?;
        self.0.find_next_occurrence(&at, false).ok().map(|found| found.datetime())
    }

    /// The last slot by the clock on the wall at or before `local`, changes of the clock aside; `None`: there is none.
    pub fn last_until(&self, local: DateTime) -> Option<DateTime> {
        let at = local.to_zoned(TimeZone::UTC).ok()?;
        self.0.find_previous_occurrence(&at, true).ok().map(|found| found.datetime())
    }
}
