//! Why a step is where it is, and why a slot was not started: stable names, as statuses, Events and metrics have them.

/// Why a step is where it is, as far as the game day says it; of a run that is over its own reason stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum StepReason {
    /// Somebody approved.
    Approved,
    /// Nobody approved in time.
    NotApproved,
    /// The wait is over.
    Waited,
    /// What was checked held.
    Checked,
    /// What was checked did not hold.
    CheckFailed,
    /// It is not known whether what was checked holds.
    CheckUnknown,
    /// Another step did not pass.
    Stopped,
    /// Nothing starts at this time.
    Blackout,
    /// What is left of the error budget allows no experiment.
    BudgetSpent,
    /// The run could not be created.
    NotCreated,
    /// The run was not over in time.
    TimedOut,
    /// The run is gone.
    RunDeleted,
    /// The execution was asked to end.
    Aborted,
    /// Another execution took the place of this one.
    Replaced,
    /// The steps are not those of the spec any more.
    SpecChanged,
}

impl StepReason {
    const ALL: [Self; 15] = [
        Self::Approved,
        Self::NotApproved,
        Self::Waited,
        Self::Checked,
        Self::CheckFailed,
        Self::CheckUnknown,
        Self::Stopped,
        Self::Blackout,
        Self::BudgetSpent,
        Self::NotCreated,
        Self::TimedOut,
        Self::RunDeleted,
        Self::Aborted,
        Self::Replaced,
        Self::SpecChanged,
    ];

    /// The stable name.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "Approved",
            Self::NotApproved => "NotApproved",
            Self::Waited => "Waited",
            Self::Checked => "Checked",
            Self::CheckFailed => "CheckFailed",
            Self::CheckUnknown => "CheckUnknown",
            Self::Stopped => "Stopped",
            Self::Blackout => "Blackout",
            Self::BudgetSpent => "BudgetSpent",
            Self::NotCreated => "NotCreated",
            Self::TimedOut => "TimedOut",
            Self::RunDeleted => "RunDeleted",
            Self::Aborted => "Aborted",
            Self::Replaced => "Replaced",
            Self::SpecChanged => "SpecChanged",
        }
    }

    /// The reason of that name. A run's own reasons may be others.
    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

impl From<StepReason> for String {
    fn from(reason: StepReason) -> Self {
        reason.as_str().to_owned()
    }
}

/// Why a slot, or an order to start, was not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SkipReason {
    /// The game day is suspended.
    Suspended,
    /// It passed while nobody looked.
    Missed,
    /// It was started before.
    AlreadyRun,
    /// Nothing starts at this time.
    Blackout,
    /// Something holds all game days back, and did until its deadline.
    Held,
    /// It was not known until its deadline what is left of the error budget.
    BudgetUnknown,
    /// What is left of the error budget allows no execution.
    BudgetSpent,
    /// It could not be started in time.
    StartingDeadline,
    /// Another execution is not over, and none may stand beside it.
    StillRunning,
    /// As many executions as may be are not over.
    TooManyActive,
}

impl SkipReason {
    /// The stable name.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Suspended => "Suspended",
            Self::Missed => "Missed",
            Self::AlreadyRun => "AlreadyRun",
            Self::Blackout => "Blackout",
            Self::Held => "Held",
            Self::BudgetUnknown => "BudgetUnknown",
            Self::BudgetSpent => "BudgetSpent",
            Self::StartingDeadline => "StartingDeadline",
            Self::StillRunning => "StillRunning",
            Self::TooManyActive => "TooManyActive",
        }
    }
}
