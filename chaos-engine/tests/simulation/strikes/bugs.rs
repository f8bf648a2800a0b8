//! Mistakes that a killer could make. Each is switched on alone, and some schedule must catch it: a simulation that catches
//! nothing proves nothing.

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// Pods are killed by name.
    UidIgnored,
    /// Budgets are written without their version.
    BudgetWithoutVersion,
    /// Budgets are read from a cache.
    BudgetFromCache,
    /// The population is read before the budgets.
    FactsBeforeBudgets,
    /// The population is read from a cache.
    FactsFromCache,
    /// Terminating pods count as serving.
    TerminatingServes,
    /// The opt-in is not asked.
    OptInIgnored,
    /// The stop switch is not asked.
    SwitchIgnored,
    /// The stop switch is as the watch has it.
    SwitchFromCache,
    /// The ledger is saved after the action instead of before.
    ActBeforeSave,
    /// The status is written without its version.
    StatusWithoutVersion,
    /// The first write of a status that was taken up without one names no version.
    FirstWriteWithoutVersion,
    /// Open intents are forgotten in a crash.
    IntentsForgotten,
    /// A kill that was not answered is sent again.
    KillRetried,
    /// A kill that was not answered counts as refused.
    UnknownIsRefused,
    /// A kill that was not answered counts as accepted, without looking.
    UnknownIsAccepted,
    /// A kill that the server failed on (500) counts as refused.
    FailureIsRefused,
    /// A kill that the server had no time for (503, 504) counts as refused.
    TimeoutIsRefused,
    /// A kill that is to be sent again later (429) counts as accepted.
    BusyIsAccepted,
    /// The reservation is given back before the outcome is known.
    ReleasedBeforeOutcome,
    /// Old decisions are carried out.
    DeadlineIgnored,
    /// A clock that is set back makes an old decision young.
    ClockTrusted,
    /// A clock that is set ahead makes what happened before older.
    StepIgnored,
    /// Outcomes are not written down.
    OutcomeForgotten,
    /// Kills are not told as Events.
    EventsForgotten,
    /// Kills are told as Events before they are written down.
    EventsBeforeSave,
    /// The journal tells of no intents.
    IntentsUnjournaled,
    /// The budget forgets its last kill.
    LastKillForgotten,
    /// Reservations of an own process are dropped without fencing it off first.
    OrphansDropped,
    /// A budget that somebody else has written meanwhile counts as written.
    ConflictIsDone,
    /// A budget whose writing was not answered counts as written.
    UnknownWriteIsDone,
    /// The ledger is read from a cache at the start.
    LedgerFromCache,
    /// The number of kills so far is forgotten in a crash.
    CountForgotten,
    /// The heartbeat of the run is not asked.
    HeartbeatIgnored,
    /// The bound on unavailable pods is not asked.
    MaxUnavailableIgnored,
    /// The least time between two kills is not asked.
    MinIntervalIgnored,
    /// Pods that are not ready count as serving.
    UnreadyServes,
    /// Reservations of others are not counted.
    OthersIgnored,
    /// Guards are not asked.
    GuardsIgnored,
    /// A guard of which nothing was heard holds.
    UnknownGuardHolds,
    /// A guard that does not hold does.
    FailingGuardHolds,
    /// Guards are asked once, and never again.
    GuardsFromCache,
    /// Rollouts are not asked.
    RolloutIgnored,
    /// How many pods a workload wants is asked once, and never again.
    ScaleIgnored,
    /// The window of a standing monkey is not asked.
    WindowIgnored,
    /// The kills of the day are forgotten in a crash.
    DayForgotten,
    /// Strikes that are skipped are not told.
    SkipsForgotten,
    /// It is not asked whether a monkey is suspended.
    SuspendIgnored,
    /// It is not asked whether a strike was cancelled.
    CancelIgnored,
    /// It is not asked whether a strike was postponed.
    PostponeIgnored,
    /// A kill is written down though people want something else since it was decided.
    ChangeIgnored,
    /// A dry run kills.
    DryRunIsLive,
    /// It is not asked how many pods have to be left ready.
    MinReadyIgnored,
    /// A share of the pods is rounded up.
    PercentRoundedUp,
    /// Disruption budgets are not asked.
    DisruptionBudgetIgnored,
    /// The cap on all monkeys together is not asked.
    CapIgnored,
    /// The cap is not asked once more when a kill was written down.
    CapAskedOnce,
    /// A strike of a standing monkey that was missed is made up for, whenever that is.
    MissedStruck,
}

impl Bug {
    pub(crate) const ALL: [Self; 58] = [
        Self::UidIgnored,
        Self::BudgetWithoutVersion,
        Self::BudgetFromCache,
        Self::FactsBeforeBudgets,
        Self::FactsFromCache,
        Self::TerminatingServes,
        Self::OptInIgnored,
        Self::SwitchIgnored,
        Self::SwitchFromCache,
        Self::ActBeforeSave,
        Self::StatusWithoutVersion,
        Self::FirstWriteWithoutVersion,
        Self::IntentsForgotten,
        Self::KillRetried,
        Self::UnknownIsRefused,
        Self::UnknownIsAccepted,
        Self::FailureIsRefused,
        Self::TimeoutIsRefused,
        Self::BusyIsAccepted,
        Self::ReleasedBeforeOutcome,
        Self::DeadlineIgnored,
        Self::ClockTrusted,
        Self::StepIgnored,
        Self::OutcomeForgotten,
        Self::EventsForgotten,
        Self::EventsBeforeSave,
        Self::IntentsUnjournaled,
        Self::LastKillForgotten,
        Self::OrphansDropped,
        Self::ConflictIsDone,
        Self::UnknownWriteIsDone,
        Self::LedgerFromCache,
        Self::CountForgotten,
        Self::HeartbeatIgnored,
        Self::MaxUnavailableIgnored,
        Self::MinIntervalIgnored,
        Self::UnreadyServes,
        Self::OthersIgnored,
        Self::GuardsIgnored,
        Self::UnknownGuardHolds,
        Self::FailingGuardHolds,
        Self::GuardsFromCache,
        Self::RolloutIgnored,
        Self::ScaleIgnored,
        Self::WindowIgnored,
        Self::DayForgotten,
        Self::SkipsForgotten,
        Self::SuspendIgnored,
        Self::CancelIgnored,
        Self::PostponeIgnored,
        Self::ChangeIgnored,
        Self::DryRunIsLive,
        Self::MinReadyIgnored,
        Self::PercentRoundedUp,
        Self::DisruptionBudgetIgnored,
        Self::CapIgnored,
        Self::CapAskedOnce,
        Self::MissedStruck,
    ];
}
