//! The machine of a run, with a mistake in it if one is asked for.

use chaos_core::machine::{Machine, Next, Step};
use chaos_core::model::Mode;
use chaos_core::operated::{OperatedAction, OperatedResponse, OperatedRun, OperatedState, OperatedView, Record, Stage};
use chaos_core::run::RunState;
use jiff::{SignedDuration, Timestamp};

use super::bugs::Bug;

/// The machine of a run, with a mistake in it if one is asked for.
pub(crate) struct Faulty {
    machine: OperatedRun,
    bug: Option<Bug>,
}

impl Faulty {
    pub(crate) fn new(mut machine: OperatedRun, bug: Option<Bug>) -> Self {
        match bug {
            Some(Bug::ApprovalIgnored) => machine.approval = None,
            Some(Bug::DryRunIsLive) => machine.mode = Mode::Live,
            _ => {}
        }
        Self { machine, bug }
    }
}

impl Machine for Faulty {
    type State = OperatedState;
    type Durable = Record;
    type View = OperatedView;
    type Action = OperatedAction;
    type Response = OperatedResponse;

    fn resume(&self, mut record: Record) -> OperatedState {
        if self.bug == Some(Bug::PhaseForgotten) && matches!(record.stage, Stage::Running(_)) {
            record.stage = Stage::Running(RunState::New);
        }
        self.machine.resume(record)
    }

    fn durable<'a>(&self, state: &'a OperatedState) -> &'a Record {
        self.machine.durable(state)
    }

    fn step(
        &self,
        state: &OperatedState,
        view: &OperatedView,
        response: Option<OperatedResponse>,
        now: Timestamp,
    ) -> Step<OperatedState, OperatedAction> {
        let mut step = self.machine.step(state, view, response, now);
        if let (Some(Bug::NeverWakes), Next::Wait(until)) = (self.bug, &mut step.next) {
            *until = until.map(|_| now + SignedDuration::from_hours(24));
        }
        step
    }
}
