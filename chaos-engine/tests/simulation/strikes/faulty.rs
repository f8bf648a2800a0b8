//! The strike machine, with a mistake in it if one is asked for.

use chaos_core::api::Outcome;
use chaos_core::killer::{
    Action, KillAnswer, KillAnswerKind, Killer, KillerState, KillerView, Ledger, Observation, Response,
};
use chaos_core::machine::{Machine, Step};
use jiff::Timestamp;

use super::bugs::Bug;
use super::metrics::{Reading, well};

/// The strike machine, with a mistake in it if one is asked for.
pub(crate) struct Faulty {
    pub(crate) killer: Killer,
    pub(crate) bug: Option<Bug>,
}

impl Faulty {
    /// The same answer, with the readings of that kind taken for good ones.
    fn with_readings(&self, mut seen: Observation, of_kind: fn(&Reading) -> bool) -> Response {
        for (reading, guard) in seen.readings.iter_mut().zip(&self.killer.spec().guards) {
            if of_kind(reading) {
                *reading = Ok(well(guard));
            }
        }
        Response::Observed(Ok(seen))
    }
}

impl Machine for Faulty {
    type State = KillerState;
    type Durable = Ledger;
    type View = KillerView;
    type Action = Action;
    type Response = Response;

    fn resume(&self, mut ledger: Ledger) -> KillerState {
        if self.bug == Some(Bug::IntentsForgotten) {
            ledger.intents.clear();
        }
        if self.bug == Some(Bug::CountForgotten) {
            (ledger.kills, ledger.struck) = (0, 0);
        }
        if self.bug == Some(Bug::DayForgotten) {
            ledger.kills_today = 0;
        }
        self.killer.resume(ledger)
    }

    fn durable<'a>(&self, state: &'a KillerState) -> &'a Ledger {
        self.killer.durable(state)
    }

    fn step(
        &self,
        state: &KillerState,
        view: &KillerView,
        response: Option<Response>,
        now: Timestamp,
    ) -> Step<KillerState, Action> {
        let response = response.map(|response| match (self.bug, response) {
            (Some(Bug::UnknownIsRefused), Response::Kill(answer)) if answer.kind == KillAnswerKind::Unknown => {
                Response::Kill(KillAnswer { kind: KillAnswerKind::Refused, ..answer })
            }
            (Some(Bug::UnknownIsAccepted), Response::Kill(answer)) if answer.kind == KillAnswerKind::Unknown => {
                Response::Kill(KillAnswer { kind: KillAnswerKind::Accepted, ..answer })
            }
            (Some(Bug::UnknownGuardHolds), Response::Observed(Ok(seen))) => self.with_readings(seen, Result::is_err),
            (Some(Bug::FailingGuardHolds), Response::Observed(Ok(seen))) => self.with_readings(seen, Result::is_ok),
            (_, response) => response,
        });
        let mut step = self.killer.step(state, view, response, now);
        if self.bug == Some(Bug::OutcomeForgotten) {
            step.state.ledger.history.retain(|kill| kill.outcome != Outcome::Killed || kill.strike % 2 == 0);
        }
        if self.bug == Some(Bug::SkipsForgotten) {
            step.state.ledger.skipped.clear();
        }
        step
    }
}
