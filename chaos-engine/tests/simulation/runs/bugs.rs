//! Mistakes that whoever drives an ExperimentRun could make, each switched on alone.

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// A process that takes a run up tells the prober to begin.
    OrderTakenBack,
    /// The status is written after the action instead of before.
    ActBeforeSave,
    /// The status is written without its version.
    StatusWithoutVersion,
    /// A status that somebody else has written meanwhile counts as written.
    ConflictIsSaved,
    /// The status is read from a cache at the start.
    StatusFromCache,
    /// That people want something else is not noticed when the status is written.
    ChangeIgnored,
    /// A killer that is told to rest is not waited for.
    RestNotAwaited,
    /// What a killer of a crashed process left open is not waited for.
    OpenKillsForgotten,
    /// A killer goes on although its memory could not be saved.
    UnsavedKills,
    /// What came of kills is not told to the record.
    KillsUnrecorded,
    /// A prober that falls silent is not noticed, and whether it did what it was told is not asked.
    SilenceIgnored,
    /// Nobody has to approve.
    ApprovalIgnored,
    /// A dry run is a live one.
    DryRunIsLive,
    /// The phase is forgotten in a crash.
    PhaseForgotten,
    /// It does not look again by itself.
    NeverWakes,
    /// An abort is not told to the machine.
    AbortIgnored,
    /// A status of which nobody heard whether it was written is not asked for before another task writes its part.
    UnheardWriteForgotten,
}

impl Bug {
    pub(crate) const ALL: [Self; 17] = [
        Self::OrderTakenBack,
        Self::ActBeforeSave,
        Self::StatusWithoutVersion,
        Self::ConflictIsSaved,
        Self::StatusFromCache,
        Self::ChangeIgnored,
        Self::RestNotAwaited,
        Self::OpenKillsForgotten,
        Self::UnsavedKills,
        Self::KillsUnrecorded,
        Self::SilenceIgnored,
        Self::ApprovalIgnored,
        Self::DryRunIsLive,
        Self::PhaseForgotten,
        Self::NeverWakes,
        Self::AbortIgnored,
        Self::UnheardWriteForgotten,
    ];
}
