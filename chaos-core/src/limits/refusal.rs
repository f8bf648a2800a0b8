//! Why a kill is refused now: stable names, for Events, metric labels and `explain`. Renaming one breaks dashboards.

/// A kill that may not happen now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", reason.as_str())]
pub struct Refusal {
    /// The stable reason.
    pub reason: RefusalReason,
    /// The facts, for people.
    pub message: String,
}

/// Why a kill may not happen now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusalReason {
    /// The facts are too old.
    StaleView,
    /// The cluster's stop switch says so, or cannot be read.
    Stopped,
    /// The victim's top controller is not known.
    WorkloadUnknown,
    /// The run (or the day) has had its kills.
    MaxKills,
    /// The last kill of this workload is too recent.
    MinInterval,
    /// A rollout is under way.
    RolloutInProgress,
    /// Too many pods of this workload would be unavailable.
    MaxUnavailable,
    /// Too few pods of this workload would be ready.
    MinReady,
    /// A disruption budget has no room.
    DisruptionBudget,
}

impl RefusalReason {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StaleView => "StaleView",
            Self::Stopped => "Stopped",
            Self::WorkloadUnknown => "WorkloadUnknown",
            Self::MaxKills => "MaxKills",
            Self::MinInterval => "MinInterval",
            Self::RolloutInProgress => "RolloutInProgress",
            Self::MaxUnavailable => "MaxUnavailable",
            Self::MinReady => "MinReady",
            Self::DisruptionBudget => "DisruptionBudget",
        }
    }

    /// Whether trying again soon makes sense: all but a stop and a count that is used up.
    pub const fn may_pass(self) -> bool {
        !matches!(self, Self::Stopped | Self::MaxKills)
    }
}

impl From<RefusalReason> for &'static str {
    fn from(reason: RefusalReason) -> Self {
        reason.as_str()
    }
}
