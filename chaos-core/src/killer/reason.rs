//! Why a strike did not happen and why a killer ended: stable names, for status, Events and metric labels.

use crate::limits::RefusalReason;

/// Why a strike did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SkipReason {
    /// A limit refuses it.
    Limit(RefusalReason),
    /// It was due seconds ago: nobody was there, or what came before took too long.
    Missed,
    /// Somebody cancelled it.
    Cancelled,
    /// No pod of its group may be killed.
    NoEligiblePod,
    /// Its window has closed meanwhile.
    OutsideSchedule,
    /// Chaos is held.
    Held,
    /// The run that owns this killer has not given a sign of life in time.
    HeartbeatLate,
    /// The cluster cannot be seen.
    Blind,
    /// Others wrote the workload's budget all the time.
    BudgetContended,
    /// The workload's budget can be neither read nor written.
    BudgetUnavailable,
    /// Somebody else is about to kill the chosen pod.
    VictimTaken,
    /// The last kill of this group is too recent.
    Spacing,
    /// An alert that guards against kills fires.
    GuardAlert,
    /// Less of an error budget is left than a guard keeps.
    GuardErrorBudget,
    /// A guard's value is not within its bounds.
    GuardProbe,
    /// It is not known whether a guard holds.
    GuardUnknown,
    /// The kill call was refused.
    KillRefused,
    /// The disruption budget refused the eviction.
    EvictionBlocked,
    /// The chosen pod was gone.
    VictimGone,
}

impl SkipReason {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Limit(reason) => reason.as_str(),
            Self::Missed => "Missed",
            Self::Cancelled => "Cancelled",
            Self::NoEligiblePod => "NoEligiblePod",
            Self::OutsideSchedule => "OutsideSchedule",
            Self::Held => "Held",
            Self::HeartbeatLate => "HeartbeatLate",
            Self::Blind => "Blind",
            Self::BudgetContended => "BudgetContended",
            Self::BudgetUnavailable => "BudgetUnavailable",
            Self::VictimTaken => "VictimTaken",
            Self::Spacing => "Spacing",
            Self::GuardAlert => "GuardAlert",
            Self::GuardErrorBudget => "GuardErrorBudget",
            Self::GuardProbe => "GuardProbe",
            Self::GuardUnknown => "GuardUnknown",
            Self::KillRefused => "KillRefused",
            Self::EvictionBlocked => "EvictionBlocked",
            Self::VictimGone => "VictimGone",
        }
    }
}

/// A strike that may not happen now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Stable reason.
    pub reason: SkipReason,
    /// The facts, for people.
    pub message: String,
}

impl Refused {
    pub(super) fn new(reason: SkipReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// Why a killer kills no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndReason {
    /// All strikes that were asked for are done.
    StrikesDone,
    /// Its time is over.
    Until,
    /// The run that owns it missed two heartbeats.
    HeartbeatLost,
    /// No replacement was Ready in time.
    NotRecovered,
    /// The cluster was out of sight for too long.
    Blind,
}

impl EndReason {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StrikesDone => "StrikesDone",
            Self::Until => "Until",
            Self::HeartbeatLost => "HeartbeatLost",
            Self::NotRecovered => "NotRecovered",
            Self::Blind => "Blind",
        }
    }

    /// The reason of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::StrikesDone, Self::Until, Self::HeartbeatLost, Self::NotRecovered, Self::Blind]
            .into_iter()
            .find(|reason| reason.as_str() == name)
    }

    /// Whether it did what it was made for.
    pub const fn is_regular(self) -> bool {
        matches!(self, Self::StrikesDone | Self::Until)
    }
}
