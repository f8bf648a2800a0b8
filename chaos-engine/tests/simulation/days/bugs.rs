//! Mistakes that whoever drives a game day could make, each switched on alone.

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// Runs are named by the clock instead of by their slot.
    NameFromClock,
    /// The status is written after the action instead of before.
    ActBeforeSave,
    /// The status is written without its version.
    StatusWithoutVersion,
    /// A status that somebody else has written meanwhile counts as written.
    ConflictIsSaved,
    /// The status is read from a cache at the start.
    StatusFromCache,
    /// Runs that could not be looked at count as gone.
    UnreadIsGone,
    /// A run that is not seen counts as gone, though its creation was not answered.
    UnseenIsGone,
    /// A creation that was not answered counts as refused.
    UnclearIsRefused,
    /// A creation that was not answered counts as done.
    UnclearIsCreated,
    /// Old decisions are carried out.
    DeadlineIgnored,
    /// Suspension is not asked.
    SuspendIgnored,
    /// A change of the spec is not noticed when the status is written.
    ChangeIgnored,
    /// What passed while it was suspended is made up for.
    BacklogReplayed,
    /// Executions run side by side, whatever `concurrencyPolicy` says.
    PolicyIgnored,
    /// How far slots are dealt with is forgotten in a crash.
    SinceForgotten,
    /// What has been skipped is not counted.
    SkipsForgotten,
    /// It does not look again by itself.
    NeverWakes,
    /// Past executions are kept for ever.
    HistoryKept,
    /// Runs are deleted as soon as their execution is one too many.
    RunsNotKept,
    /// That a creation may have been asked for already is forgotten in a crash.
    TriesForgotten,
}

impl Bug {
    pub(crate) const ALL: [Self; 20] = [
        Self::NameFromClock,
        Self::ActBeforeSave,
        Self::StatusWithoutVersion,
        Self::ConflictIsSaved,
        Self::StatusFromCache,
        Self::UnreadIsGone,
        Self::UnseenIsGone,
        Self::UnclearIsRefused,
        Self::UnclearIsCreated,
        Self::DeadlineIgnored,
        Self::SuspendIgnored,
        Self::ChangeIgnored,
        Self::BacklogReplayed,
        Self::PolicyIgnored,
        Self::SinceForgotten,
        Self::SkipsForgotten,
        Self::NeverWakes,
        Self::HistoryKept,
        Self::RunsNotKept,
        Self::TriesForgotten,
    ];
}
