//! A run that the operator drives: what comes before and after the phases of a run (`crate::run`), and how all of it lives in
//! the status of an ExperimentRun. The operator kills and judges, a prober elsewhere measures; neither can do the other's.
//!
//! ```text
//! New ─► Resolving ─► AwaitingApproval ─► Preparing ─► Running(phases of a run) ─► Judging ─► Completed
//!            │ dry run, unfit      │ too late     │ no prober        │ stopped
//!            └────────────────────┴──────────────┴──────────────────┴──────────────────────► Completed
//! ```
//!
//! Everything is a pure function: a step of [`OperatedRun`], the two ways between its record and a status ([`read_record`],
//! [`write_record`]), what a prober is to do ([`order_of`]), which of its reports count ([`admit`]), and how the two halves of
//! the evidence become one ([`merge`]).

mod conditions;
mod evidence;
mod resolve;
mod status;
mod step;
#[cfg(test)]
mod tests;
mod verdicts;

pub use conditions::{Facts, update_conditions};
pub use evidence::{Inadmissible, admit, merge};
pub use resolve::{experiment_digest, not_allowed, permitted, resolve};
pub use status::{fit, order_of, read_killer, read_record, summarise, write_killer, write_record};
pub use step::TAKE_UP_WITHIN;
pub use verdicts::{Unfit, aborted_before_start, evidence_lost, leaving, not_approved, of_result, planned};

use jiff::Timestamp;

use crate::api::{ResolvedRun, RunVerdict};
use crate::machine::{Machine, Step};
use crate::model::Mode;
use crate::record::StopCause;
use crate::run::{RunAction, RunMachine, RunState, RunView};
use crate::units::Duration;

/// The machine of one ExperimentRun.
#[derive(Debug, Clone, PartialEq)]
pub struct OperatedRun {
    /// The phases.
    pub run: RunMachine,
    /// Whether it touches anything.
    pub mode: Mode,
    /// How long somebody has to approve the plan; absent: nobody needs to.
    pub approval: Option<Duration>,
}

/// All that must survive a crash of the operator.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Record {
    /// Where it is.
    pub stage: Stage,
    /// What will be run, once that is known.
    pub resolved: Option<ResolvedRun>,
    /// What came out, once that is known.
    pub verdict: Option<RunVerdict>,
}

/// Where an operated run is.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Stage {
    /// Nobody has looked at it.
    #[default]
    New,
    /// Finding out who may be killed.
    Resolving {
        /// A cluster that cannot be read by then is out of reach.
        until: Timestamp,
    },
    /// Waiting for somebody to approve the plan.
    AwaitingApproval {
        /// Too late from then on.
        until: Timestamp,
    },
    /// Waiting for a prober that is ready.
    Preparing {
        /// Too late from then on, unless it waits for its turn.
        until: Timestamp,
        /// Since when it waits for its turn, if the prober measures as many runs as it may.
        queued: Option<Timestamp>,
    },
    /// The phases of a run.
    Running(RunState),
    /// Counting what was recorded.
    Judging {
        /// Why the run ended early, if it did.
        stop: Option<StopCause>,
    },
    /// Over.
    Completed,
}

impl Stage {
    /// Whether its record was begun, and it is not over: somebody may have been let in to kill.
    pub fn is_under_way(&self) -> bool {
        match self {
            Self::Running(run) => *run != RunState::New,
            other => matches!(other, Self::Judging { .. }),
        }
    }
}

/// What is known when a step is decided.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OperatedView {
    /// Somebody asked the run to end, in words.
    pub abort: Option<String>,
    /// The digest of the plan that was approved for this very run.
    pub approved: Option<String>,
    /// How far the prober has come.
    pub prober: ProberView,
    /// What the phases look at. Its `stop` includes a prober that fell silent, but not `abort`.
    pub run: RunView,
}

/// How far the prober has come before the run.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum ProberView {
    /// No prober has taken the run up.
    #[default]
    Silent,
    /// It measures as many runs as it may, and says that this one is going to have its turn.
    Queued,
    /// It is looking for its addresses, or its clock is not known well enough yet.
    Preparing,
    /// It could start.
    Ready,
    /// It cannot measure what it should.
    Unfit(Unfit),
}

/// What has to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum OperatedAction {
    /// Read the cluster and work out who may be killed. Answered by [`OperatedResponse::Resolved`].
    Resolve,
    /// Begin the record of the run. Answered by [`OperatedResponse::Recorded`].
    Begin,
    /// After a crash: read back what was recorded, and find the prober again. Answered by [`OperatedResponse::Recorded`].
    TakeUp,
    /// An action of the phases. After a crash it may have been performed before. Answered by [`OperatedResponse::Done`].
    Run(RunAction),
    /// Count what was recorded. Answered by [`OperatedResponse::Judged`].
    Judge,
}

/// What came of an action.
#[derive(Debug, Clone, PartialEq)]
pub enum OperatedResponse {
    /// Who may be killed, or why nothing can be run.
    Resolved(Result<ResolvedRun, Unfit>),
    /// Whether the record could be written or read.
    Recorded(Result<(), RecordLoss>),
    /// The phases' action is done.
    Done,
    /// What the run proved.
    Judged(RunVerdict),
}

/// Why a record could not be written or read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordLoss {
    /// The cluster does not answer: to be tried again.
    Unreached(String),
    /// It is gone, or damaged.
    Lost(String),
}

/// All that the machine remembers between two steps.
#[derive(Debug, Clone, PartialEq)]
pub struct OperatedState {
    /// What survives a crash.
    pub record: Record,
    resuming: Resuming,
    waiting: Option<OperatedAction>,
    retry_since: Option<Timestamp>,
    /// This process has taken no step yet.
    fresh: bool,
}

/// What is left to do after a crash before the machine goes on as if there had been none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resuming {
    /// Read back what was recorded.
    TakeUp,
    /// Note once more why the run ends early, if it does.
    Note,
    /// Perform once more what was decided last.
    Repeat,
    /// Nothing.
    No,
}

impl Machine for OperatedRun {
    type State = OperatedState;
    type Durable = Record;
    type View = OperatedView;
    type Action = OperatedAction;
    type Response = OperatedResponse;

    fn resume(&self, record: Record) -> OperatedState {
        let resuming = match record.stage {
            Stage::Running(_) | Stage::Judging { .. } => Resuming::TakeUp,
            _ => Resuming::No,
        };
        OperatedState { record, resuming, waiting: None, retry_since: None, fresh: true }
    }

    fn durable<'a>(&self, state: &'a OperatedState) -> &'a Record {
        &state.record
    }

    fn step(
        &self,
        state: &OperatedState,
        view: &OperatedView,
        response: Option<OperatedResponse>,
        now: Timestamp,
    ) -> Step<OperatedState, OperatedAction> {
        step::step(self, state, view, response, now)
    }
}
