//! The prober: measures for a run that the operator drives. It follows the orders in the run's status, which only ever go
//! forwards, and reports in ConfigMaps that the run owns; it can neither kill nor judge. What it did not measure, or could not
//! tell, is missing in the evidence, and counts as such: it never makes up for anything, and a prober that comes after one that
//! was lost does not go on for it.

mod step;
#[cfg(test)]
mod tests;

pub use step::unheard_at_most;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::api::ProberStage;
use crate::machine::{Machine, Step};
use crate::operated::Unfit;
use crate::verdict::ExitCode;

/// The machine of one prober for one run. It remembers nothing over a crash: whoever measured is gone then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Prober;

/// Time between two reports while there is no news of a failure; also the sign of life.
pub const REPORT_EVERY: std::time::Duration = std::time::Duration::from_secs(5);
/// A prober that was not heard of for this long is lost.
pub const SILENT_AFTER: std::time::Duration = std::time::Duration::from_secs(20);

/// What a report says besides events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Which process this is.
    pub prober: String,
    /// SHA-256 of its program, in hex; absent where it is not known, and in reports of older probers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_digest: Option<String>,
    /// How far it has gone.
    pub reached: Reached,
    /// It measures as many runs as it may: this one waits for its turn.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub queued: bool,
    /// UTC of run time zero, by the prober's clock: the clock of the whole record.
    pub started_at: Timestamp,
    /// When this was written, by the prober's clock: everything that had ended by then is told.
    pub written_at: Timestamp,
    /// The newest beat that was read.
    pub heard: Option<Heard>,
}

/// A beat of the operator, and when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Heard {
    /// `status.probing.beat`, by the operator's clock.
    pub beat: Timestamp,
    /// By the prober's clock.
    pub read_at: Timestamp,
}

/// How far a prober has gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Reached {
    /// The run is its to measure; it looks for its addresses.
    Claimed,
    /// It could start.
    Ready,
    /// It cannot measure what it should.
    Unfit {
        /// What `chaos run` would leave with.
        exit_code: ExitCode,
        /// The facts, for people.
        message: String,
    },
    /// Load is on.
    Loading,
    /// And the probes that look before the fault were asked.
    BeforeAsked,
    /// Load is off, and nothing is in flight.
    Stopped,
    /// And the probes that look after recovery were asked.
    AfterAsked,
    /// It ended by itself, and why.
    Ended {
        /// The facts, for people.
        message: String,
    },
}

impl Reached {
    /// Whether it is as far as that, or farther.
    pub const fn is_at_least(&self, stage: &Self) -> bool {
        self.rank() >= stage.rank()
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::Claimed => 0,
            Self::Ready | Self::Unfit { .. } => 1,
            Self::Loading => 2,
            Self::BeforeAsked => 3,
            Self::Stopped => 4,
            Self::AfterAsked => 5,
            Self::Ended { .. } => 6,
        }
    }
}

/// What is known when a step is decided.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProberView {
    /// How far the run's status wants it to go.
    pub order: Option<ProberStage>,
    /// The run is gone, or is not this prober's.
    pub gone: bool,
    /// This prober measures as many runs as it may: the run has to wait for its turn.
    pub queued: bool,
    /// The newest beat was not reported.
    pub unheard: bool,
    /// Whether there is something to report, and something that may end the run.
    pub news: News,
    /// For how long the run goes on though the cluster is out of sight, once that is known.
    pub max_blind: std::time::Duration,
}

/// What there is to report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum News {
    /// Nothing.
    #[default]
    None,
    /// Successes.
    Good,
    /// A failure among them.
    Bad,
}

/// What has to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProberAction {
    /// Make the first report, which nobody else can make then. Answered by [`ProberResponse::Claimed`].
    Claim,
    /// Find the addresses. Answered by [`ProberResponse::Prepared`]; asked for again for a while where that may help.
    Prepare,
    /// Start the continuous probes. Answered by [`ProberResponse::Started`].
    StartLoad,
    /// Ask the probes that look before the fault. Answered by [`ProberResponse::Done`].
    AskBefore,
    /// Send nothing more, and wait for what is in flight. Answered by [`ProberResponse::Done`].
    StopLoad,
    /// Ask the probes that look after recovery. Answered by [`ProberResponse::Done`].
    AskAfter,
    /// Tell all events so far, and this. Answered by [`ProberResponse::Reported`].
    Report(Reached),
}

/// What came of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProberResponse {
    /// Whether the run is this prober's; an error if the cluster did not say.
    Claimed(Result<bool, String>),
    /// Whether it can measure what it should.
    Prepared(Result<(), Unfit>),
    /// Whether load is on, and when it ends by itself.
    Started(Result<Timestamp, String>),
    /// It is done.
    Done,
    /// Whether the report was taken; an error if it has to be tried again.
    Reported(Result<(), ReportError>),
}

/// Why a report was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReportError {
    /// The cluster does not answer.
    Unreached(String),
    /// There will be no other report: the run is gone, or there is too much to tell.
    Refused(String),
}

/// All that it remembers between two steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProberState {
    /// How far it has gone; absent: the run is not its own.
    reached: Option<Reached>,
    /// That was not reported.
    untold: bool,
    waiting: Option<ProberAction>,
    /// When the run asked to be measured, as far as this prober knows.
    asked_at: Option<Timestamp>,
    reported_at: Option<Timestamp>,
    /// Since when it could not be prepared for what may pass, and when it was last tried.
    unprepared: Option<(Timestamp, Timestamp)>,
    /// Since when reports are not taken.
    unheard_since: Option<Timestamp>,
    /// When it ends by itself.
    ceiling: Option<Timestamp>,
    load: bool,
}

impl Machine for Prober {
    type State = ProberState;
    type Durable = ();
    type View = ProberView;
    type Action = ProberAction;
    type Response = ProberResponse;

    fn resume(&self, (): ()) -> ProberState {
        ProberState {
            reached: None,
            untold: false,
            waiting: None,
            asked_at: None,
            reported_at: None,
            unprepared: None,
            unheard_since: None,
            ceiling: None,
            load: false,
        }
    }

    fn durable<'a>(&self, _: &'a ProberState) -> &'a () {
        &()
    }

    fn step(
        &self,
        state: &ProberState,
        view: &ProberView,
        response: Option<ProberResponse>,
        now: Timestamp,
    ) -> Step<ProberState, ProberAction> {
        step::step(state, view, response, now)
    }
}
