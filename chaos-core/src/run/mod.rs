//! The phases of one run, as a pure step function: baseline → fault → recovery → wind-down. It decides when a phase ends
//! and what has to be done next; it must not know how probes, killers or clusters work.

pub mod guard;
mod recovering;
mod step;

#[cfg(test)]
mod tests;

pub use recovering::Recovering;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::Experiment;
use crate::record::StopCause;
use crate::units::Duration;

/// The machine of one run: what the run is held to, from its manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct RunMachine {
    /// Length of the baseline.
    pub baseline: Duration,
    /// The fault phase ends at the latest after this.
    pub fault_ceiling: Duration,
    /// Length of the recovery phase.
    pub recovery: Duration,
    /// A kill whose replacement is not Ready after this stops the run.
    pub recover_within: Duration,
    /// Without a fresh view of the cluster for longer than this the run stops.
    pub max_blind: Duration,
}

/// Where a run is. Each phase carries what belongs to it and nothing else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum RunState {
    /// Nothing was started yet.
    New,
    /// Probes run; the `Before` probes are about to be asked.
    Asking,
    /// Probes run, nothing is killed.
    Baseline {
        /// When it ends.
        until: Timestamp,
    },
    /// The killer works.
    Fault {
        /// When it ends at the latest.
        ceiling: Timestamp,
    },
    /// The killer was told to stop; the last kills are recovering.
    Settling {
        /// Since when.
        since: Timestamp,
    },
    /// Probes run on, nothing is killed.
    Recovery {
        /// When it ends.
        until: Timestamp,
    },
    /// Undoing what was done.
    WindingDown {
        /// What is to be done next.
        next: WindDown,
        /// Why the run ends early, if it does: the cause must survive a crash until the note of it is on disk, or on the cluster.
        stop: Option<StopCause>,
    },
    /// Through.
    Finished {
        /// Why it ended early, if it did.
        stop: Option<StopCause>,
    },
}

/// Steps of the wind-down, in this order, each done whatever became of the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WindDown {
    /// No more kills.
    StopKiller,
    /// No more load; what is in flight is waited for.
    StopProbes,
    /// The business rules and other `After` probes.
    AskAfter,
    /// Remove what the run made on the cluster.
    CleanUp,
}

/// What is known when a step is decided.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunView {
    /// The baseline (or a `Before` probe) says that the system is not steady, or a probe could not answer, so that the run
    /// can prove nothing: nothing may be killed then.
    pub unsteady: bool,
    /// A continuous probe has not answered yet, and its time to do so is not up: too early to kill.
    pub unanswered: bool,
    /// What was measured up to the end of the baseline is not known yet (probes elsewhere report now and then): since when it could
    /// have been. While nobody can listen to them that moves on.
    pub unmeasured: Option<Timestamp>,
    /// The killer has nothing left to do (all strikes done, or it may do no more).
    pub killer_done: bool,
    /// The oldest kill whose replacement is not Ready yet: when it was made, and which pod.
    pub unrecovered: Option<(Timestamp, String)>,
    /// Since when the cluster cannot be seen, and why.
    pub blind: Option<(Timestamp, String)>,
    /// Since when a source of alerts that guards the run cannot be read, and why.
    pub unguarded: Option<(Timestamp, String)>,
    /// Something asks the run to end early. The first cause stands.
    pub stop: Option<StopCause>,
}

/// What has to be done. One at a time; each is done when the next step is decided.
#[derive(Debug, Clone, PartialEq)]
pub enum RunAction {
    /// Ask the `Before` and `Edge` probes.
    AskBefore,
    /// Start the continuous probes: the baseline begins. Always the first action.
    StartProbes,
    /// Let the killer work until then: the fault phase begins.
    StartKiller {
        /// No kill after this.
        until: Timestamp,
    },
    /// Tell the killer to stop and wait until it has.
    StopKiller,
    /// The recovery phase begins.
    BeginRecovery,
    /// Note why the run ends early.
    NoteStop(StopCause),
    /// The wind-down begins: stop the load and wait for what is in flight.
    StopProbes,
    /// Ask the `After` and `Edge` probes.
    AskAfter,
    /// Remove what the run made on the cluster.
    CleanUp,
}

impl RunState {
    /// The action that was decided together with this state. After a crash it may or may not have been performed, so whoever
    /// takes a run up again performs it once more; a world that is taken up again must take that well.
    pub fn pending(&self) -> Option<RunAction> {
        Some(match self {
            Self::New => return None,
            Self::Asking => RunAction::StartProbes,
            Self::Baseline { .. } => RunAction::AskBefore,
            Self::Fault { ceiling } => RunAction::StartKiller { until: *ceiling },
            Self::Settling { .. } => RunAction::StopKiller,
            Self::Recovery { .. } => RunAction::BeginRecovery,
            Self::WindingDown { next: WindDown::StopKiller | WindDown::StopProbes, .. } => RunAction::StopKiller,
            Self::WindingDown { next: WindDown::AskAfter, .. } => RunAction::StopProbes,
            Self::WindingDown { next: WindDown::CleanUp, .. } => RunAction::AskAfter,
            Self::Finished { .. } => RunAction::CleanUp,
        })
    }

    /// Why the run ends early, if it does. After a crash this may or may not have been noted, however far the wind-down has come.
    pub const fn stop(&self) -> Option<&StopCause> {
        match self {
            Self::WindingDown { stop, .. } | Self::Finished { stop } => stop.as_ref(),
            _ => None,
        }
    }
}

impl RunMachine {
    /// The machine of a run of this experiment.
    pub fn new(experiment: &Experiment) -> Self {
        Self {
            baseline: experiment.phases.baseline,
            fault_ceiling: experiment.phases.fault,
            recovery: experiment.phases.recovery,
            recover_within: experiment.limits.recover_within,
            max_blind: experiment.limits.max_blind,
        }
    }
}
