//! A ChaosMonkey as it is meant. When it strikes next is worked out in `killer`.

use std::collections::BTreeSet;

use jiff::civil::{Date, Weekday};
use jiff::{Timestamp, tz::TimeZone};

use super::{BudgetGuard, Check, GroupBy, KillMode, Limits, Mode, Target};
use crate::units::Duration;

/// Continuous random kills.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Monkey {
    /// Name of the object.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its UID; empty for one that no API server has seen.
    pub uid: String,
    /// Which pods may be hit.
    pub target: Target,
    /// Whether it kills or only says what it would.
    pub mode: Mode,
    /// How it kills.
    pub kill: Kill,
    /// Mean time between two kills of a group, in active time.
    pub mean: Duration,
    /// Least time between two kills of a group; below the mean.
    pub min: Duration,
    /// When it may act.
    pub schedule: Schedule,
    /// What must hold for a kill; none for one of a run.
    pub guards: Vec<MonkeyGuard>,
    /// Upper bounds.
    pub limits: Limits,
    /// For how long it lives.
    pub tenure: Tenure,
    /// Makes victims and instants repeatable: the given one, or one derived from the object's UID.
    pub seed: i64,
    /// Nothing is planned or killed.
    pub suspend: bool,
    /// Ids of strikes that must not happen.
    pub cancel: BTreeSet<String>,
}

/// How pods are killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kill {
    /// Evict or delete.
    pub mode: KillMode,
    /// Absent: the pod's own.
    pub grace: Option<Duration>,
    /// What makes two pods belong to one group.
    pub group: GroupBy,
}

/// What must hold for a kill.
#[derive(Debug, Clone, PartialEq)]
pub enum MonkeyGuard {
    /// No such alert fires.
    Alert(AlertQuestion),
    /// So much of an error budget is left. There is nothing to shrink.
    ErrorBudget(BudgetGuard),
    /// A value is within bounds.
    Probe(Check),
}

/// Alerts that a named source of the operator's configuration is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertQuestion {
    /// Name of the source.
    pub source: String,
    /// The matchers as written; they parse.
    pub matchers: Vec<String>,
    /// A source that takes longer did not answer.
    pub timeout: Duration,
}

/// For how long a monkey lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tenure {
    /// Until it is deleted. `limits.maxKills` are those of a day (UTC).
    Standing,
    /// As long as the run that made it beats.
    RunOwned {
        /// No kill from then on.
        until: Timestamp,
        /// Kills in all; at most `limits.maxKills`.
        max_kills: u32,
        /// The sign of life of the run.
        heartbeat: Heartbeat,
    },
}

/// The sign of life of a run: a Lease in the monkey's namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// Name of the Lease.
    pub lease: String,
    /// Time between two beats, above zero. Two missed ones stop the monkey.
    pub interval: Duration,
}

/// When a monkey may act.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// The zone that days and hours are meant in.
    pub zone: TimeZone,
    /// Days on which it may act; never empty.
    pub weekdays: BTreeSet<DayOfWeek>,
    /// Windows of local time, ascending and apart from each other; never empty.
    pub windows: Vec<Window>,
    /// When it may not act after all.
    pub blackout: Vec<Blackout>,
}

/// A day of the week, Monday first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DayOfWeek(i8);

/// A window of local time within one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window {
    /// First minute.
    pub from: Minute,
    /// First minute after; above `from`.
    pub to: Minute,
}

/// Minutes since midnight by the clock on the wall, 0 to 1440.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Minute(u16);

/// A time without chaos.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blackout {
    /// A whole local day.
    Day {
        /// Which.
        date: Date,
        /// Why.
        reason: Option<String>,
    },
    /// From an instant to another, which is not part of it.
    Span {
        /// First instant.
        from: Timestamp,
        /// First instant after; later than `from`.
        to: Timestamp,
        /// Why.
        reason: Option<String>,
    },
}

impl MonkeyGuard {
    /// The field of a manifest that it is written in.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Alert(_) => "alert",
            Self::ErrorBudget(_) => "errorBudget",
            Self::Probe(_) => "probe",
        }
    }

    /// Name of the source that it asks.
    pub fn source(&self) -> &str {
        match self {
            Self::Alert(alerts) => &alerts.source,
            Self::ErrorBudget(budget) => &budget.question.source,
            Self::Probe(check) => &check.question.source,
        }
    }
}

impl DayOfWeek {
    /// All seven.
    pub fn all() -> BTreeSet<Self> {
        (0..7).map(Self).collect()
    }

    /// Days since Monday, 0 to 6.
    pub const fn since_monday(self) -> i8 {
        self.0
    }
}

impl From<Weekday> for DayOfWeek {
    fn from(day: Weekday) -> Self {
        Self(day.to_monday_zero_offset())
    }
}

impl Minute {
    /// Midnight, at the start of the day.
    pub const START: Self = Self(0);
    /// Midnight, at the end of the day.
    pub const END: Self = Self(24 * 60);

    /// Reads `HH:MM`, 00:00 to 24:00.
    pub fn parse(text: &str) -> Option<Self> {
        let (hours, minutes) = text.split_once(':')?;
        let two = |part: &str| {
            (part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse::<u16>().ok()).flatten()
        };
        let (hours, minutes) = (two(hours)?, two(minutes)?);
        let total = hours * 60 + minutes;
        (minutes < 60 && total <= Self::END.0).then_some(Self(total))
    }

    /// Minutes since midnight, 0 to 1440.
    pub const fn since_midnight(self) -> u16 {
        self.0
    }
}

impl Window {
    /// The whole day.
    pub const ALL_DAY: Self = Self { from: Minute::START, to: Minute::END };
}

impl Schedule {
    /// Every day, all day, in UTC.
    pub fn always() -> Self {
        Self { zone: TimeZone::UTC, weekdays: DayOfWeek::all(), windows: vec![Window::ALL_DAY], blackout: Vec::new() }
    }

    /// Active time of an ordinary week: one without a blackout and without a change of the clocks.
    pub fn of_week(&self) -> Duration {
        let minutes = |window: &Window| u64::from(window.to.since_midnight() - window.from.since_midnight());
        let of_day: u64 = self.windows.iter().map(minutes).sum();
        Duration::from_secs(of_day * 60 * self.weekdays.len() as u64)
    }
}
