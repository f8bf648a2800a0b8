//! A game day: when an execution of its steps starts, and how it goes on. A pure state machine; its memory is the status of the
//! GameDay, and what it makes are ExperimentRuns, whose names follow from game day, slot and step, so that making one again
//! after a crash makes nothing.
//!
//! ```text
//! slot due ─► skipped (missed, late, suspended, blackout, held, still running, budget spent)
//!     └─────► execution: steps Pending ─► Starting ─► Running ─► Passed | Failed ──► history ─► runs deleted
//!                              │                         └► Aborting ─► Failed
//!                              └► NotRun
//! ```
//!
//! No state waits without a deadline: whatever is under way has a `until`, and the machine looks again at least every ten minutes.

mod budget;
mod due;
mod execution;
mod names;
mod outcome;
mod reason;
mod slots;
mod status;
mod step;
#[cfg(test)]
mod tests;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

pub use names::run_name;
pub use slots::{MOST_COUNTED, last_slot, next_slot, slots_between};
pub use status::{Facts, read_ledger, update_conditions, write_ledger};
pub use step::LONGEST_WAIT;
pub use told::{NewSkip, new_skips};

use crate::api::{ExecutionRecord, ExecutionResult, SlotSkip};
use crate::machine::{Machine, Step};
use crate::model::{GameDay, MetricQuestion, Mode, RunOverrides};
use crate::verdict::Conclusion;

/// The machine of one GameDay.
#[derive(Debug, Clone, PartialEq)]
pub struct GameDayMachine {
    /// What it is to do. `None`: the spec is not valid, so nothing starts, and what is under way is ended.
    pub day: Option<GameDay>,
    /// When the object was created: there are no slots before.
    pub created: Timestamp,
}

/// All that must survive a crash of the operator.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ledger {
    /// Slots up to this instant are dealt with.
    pub since: Option<Timestamp>,
    /// Schedule and zone that it was counted in.
    pub calendar: Option<String>,
    /// It was suspended when it was last looked at.
    pub suspended: bool,
    /// The last order to start that was dealt with.
    pub last_start: Option<String>,
    /// When an order that waits was first seen.
    pub start_seen_at: Option<Timestamp>,
    /// Executions that are not over, oldest first.
    pub active: Vec<ExecutionRecord>,
    /// The last one that is.
    pub last: Option<ExecutionRecord>,
    /// Those that are over, oldest first.
    pub history: Vec<ExecutionResult>,
    /// Slots that were not started, oldest first.
    pub skipped: Vec<SlotSkip>,
    /// Executions that began.
    pub started: u64,
    /// Slots that were not started.
    pub skips: u64,
    /// The next slot.
    pub next_at: Option<Timestamp>,
}

/// What is known when a step is decided.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GameDayView {
    /// Why nothing may be started at present, if so.
    pub hold: Option<String>,
}

/// What has to be done. Each may have been done before, and does nothing then.
#[derive(Debug, Clone, PartialEq)]
pub enum GameDayAction {
    /// Read these runs. Answered by [`GameDayResponse::Seen`].
    Look(BTreeSet<String>),
    /// Ask these of metrics sources. Answered by [`GameDayResponse::Answered`].
    Ask(About, Vec<MetricQuestion>),
    /// Create a run, owned by the game day. Answered by [`GameDayResponse::Created`].
    Create(Box<RunOrder>),
    /// Ask a run to end, if it is there. Answered by [`GameDayResponse::Done`].
    Abort(String),
    /// Delete a run, if it is there. Answered by [`GameDayResponse::Done`].
    Delete {
        /// Its name.
        run: String,
        /// Its UID, as far as it is known: another one is not deleted.
        uid: Option<String>,
    },
}

/// What metrics are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// The error budgets of all guards.
    Budgets,
    /// One step that checks a value.
    Check {
        /// Id of its execution.
        execution: String,
        /// Its name.
        step: String,
    },
}

/// A run to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOrder {
    /// Its name.
    pub name: String,
    /// The Experiment that it refers to.
    pub experiment: String,
    /// What it does differently from it.
    pub overrides: Option<RunOverrides>,
    /// Whether it touches anything.
    pub mode: Mode,
    /// The execution that it belongs to.
    pub execution: String,
    /// Not asked for after this instant: whoever drives the game day by then may have ended and deleted it.
    pub deadline: Timestamp,
}

/// What came of an action.
#[derive(Debug, Clone, PartialEq)]
pub enum GameDayResponse {
    /// Those of the runs that are there and belong to this game day, by name; or why they could not be read.
    Seen(Result<BTreeMap<String, RunFact>, String>),
    /// What metrics sources said.
    Answered {
        /// One value for each question, in their order; or why one of them is not known.
        values: Result<Vec<f64>, String>,
        /// How long ago the oldest of them was heard.
        age: Duration,
    },
    /// The UID of the run: the one just created, or the one that was there and belongs to this game day.
    Created(Result<String, NotCreated>),
    /// Whether it is done.
    Done(Result<(), String>),
}

/// Why a run was not created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotCreated {
    /// The server refuses, or somebody else's run has the name: asking again does not help.
    Refused(String),
    /// The server says that it may not be created, which it may say for a while only. It was not.
    Forbidden(String),
    /// It may help; and the run may have been created all the same.
    Unclear(String),
}

/// A run as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFact {
    /// Its UID.
    pub uid: String,
    /// What came out, once it is over.
    pub over: Option<RunOutcome>,
}

/// What came out of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOutcome {
    /// The word of its verdict, or planned for a dry run.
    pub outcome: Conclusion,
    /// Stable reason.
    pub reason: String,
    /// The same in a sentence.
    pub message: String,
}

/// All that the machine remembers between two steps.
#[derive(Debug, Clone, PartialEq)]
pub struct GameDayState {
    /// What survives a crash.
    pub ledger: Ledger,
    waiting: Option<GameDayAction>,
    /// What was last heard of the budgets that guard it.
    budgets: Option<budget::Reading>,
    /// What was tried since it last waited: each thing once, so that it always comes to wait.
    tried: BTreeSet<String>,
    /// Since when it is said of runs that they may not be created.
    forbidden: BTreeMap<String, Timestamp>,
}

impl Machine for GameDayMachine {
    type State = GameDayState;
    type Durable = Ledger;
    type View = GameDayView;
    type Action = GameDayAction;
    type Response = GameDayResponse;

    fn resume(&self, mut ledger: Ledger) -> GameDayState {
        let steps = ledger.active.iter_mut().flat_map(|execution| &mut execution.steps);
        steps.for_each(execution::resumed);
        let (tried, forbidden) = (BTreeSet::new(), BTreeMap::new());
        GameDayState { ledger, waiting: None, budgets: None, tried, forbidden }
    }

    fn durable<'a>(&self, state: &'a GameDayState) -> &'a Ledger {
        &state.ledger
    }

    fn step(
        &self,
        state: &GameDayState,
        view: &GameDayView,
        response: Option<GameDayResponse>,
        now: Timestamp,
    ) -> Step<GameDayState, GameDayAction> {
        step::step(self, state, view, response, now)
    }
}
