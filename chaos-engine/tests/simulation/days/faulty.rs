//! The game day's machine, with a mistake in it if one is asked for.

use chaos_core::api::{HistoryLimits, StepPhase};
use chaos_core::gameday::{GameDayAction, GameDayMachine, GameDayResponse, GameDayState, GameDayView, Ledger};
use chaos_core::machine::{Machine, Next, Step};
use chaos_core::model::ConcurrencyPolicy;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::bugs::Bug;

/// The game day's machine, with a mistake in it if one is asked for.
pub(crate) struct Faulty {
    machine: GameDayMachine,
    bug: Option<Bug>,
}

impl Faulty {
    pub(crate) fn new(mut machine: GameDayMachine, bug: Option<Bug>) -> Self {
        if let Some(day) = &mut machine.day {
            match bug {
                Some(Bug::SuspendIgnored) => day.suspend = false,
                Some(Bug::PolicyIgnored) => day.concurrency = ConcurrencyPolicy::Allow,
                Some(Bug::HistoryKept) => day.history = HistoryLimits { passed: 10, failed: 20 },
                _ => {}
            }
        }
        Self { machine, bug }
    }
}

impl Machine for Faulty {
    type State = GameDayState;
    type Durable = Ledger;
    type View = GameDayView;
    type Action = GameDayAction;
    type Response = GameDayResponse;

    fn resume(&self, mut ledger: Ledger) -> GameDayState {
        match self.bug {
            Some(Bug::BacklogReplayed) => ledger.suspended = false,
            Some(Bug::SinceForgotten) => ledger.since = None,
            _ => {}
        }
        let mut state = self.machine.resume(ledger);
        if self.bug == Some(Bug::TriesForgotten) {
            let steps = state.ledger.active.iter_mut().flat_map(|execution| &mut execution.steps);
            steps.filter(|step| step.phase == StepPhase::Starting).for_each(|step| step.message = None);
        }
        state
    }

    fn durable<'a>(&self, state: &'a GameDayState) -> &'a Ledger {
        self.machine.durable(state)
    }

    fn step(
        &self,
        state: &GameDayState,
        view: &GameDayView,
        response: Option<GameDayResponse>,
        now: Timestamp,
    ) -> Step<GameDayState, GameDayAction> {
        let mut state = state.clone();
        if self.bug == Some(Bug::UnseenIsGone) {
            let steps = state.ledger.active.iter_mut().flat_map(|execution| &mut execution.steps);
            // As if it had been looked for long enough.
            for step in steps.filter(|step| step.phase == StepPhase::Aborting) {
                step.until = Some(MicroTime(now));
            }
        }
        if self.bug == Some(Bug::RunsNotKept) {
            // As if all that is over had been so for long.
            state.ledger.history.iter_mut().for_each(|result| result.finished_at = MicroTime(Timestamp::UNIX_EPOCH));
        }
        let mut step = self.machine.step(&state, view, response, now);
        if self.bug == Some(Bug::SkipsForgotten) {
            step.state.ledger.skips = 0;
        }
        if let (Some(Bug::NeverWakes), Next::Wait(until)) = (self.bug, &mut step.next) {
            *until = until.map(|_| now + SignedDuration::from_hours(24));
        }
        step
    }
}
