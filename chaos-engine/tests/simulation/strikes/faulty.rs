//! The strike machine, with a mistake in it if one is asked for.

use chaos_core::api::Outcome;
use chaos_core::instant::micro_time;
use chaos_core::killer::{
    Action, KillAnswer, KillAnswerKind, Killer, KillerSpec, KillerState, KillerView, Ledger, Life, Observation,
    Response,
};
use chaos_core::machine::{Machine, Step};
use chaos_core::model::Schedule;
use jiff::Timestamp;

use super::bugs::Bug;
use super::metrics::{Reading, well};
use crate::seats::millis;

/// A strike that is due for so long, in milliseconds, was missed.
const LATE: i64 = 1_000;
/// How a strike is marked that was missed, and is made up for.
const MISSED: &str = "Missed";

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

    /// The machine that makes up for strikes that were missed, at any time, and the state in which they are due now.
    fn made_up_for(&self, state: &KillerState, now: Timestamp) -> Option<(Killer, KillerState)> {
        let spec = self.killer.spec();
        if self.bug != Some(Bug::MissedStruck) || spec.life != Life::Standing {
            return None;
        }
        let mut late = state.clone();
        for missed in late.ledger.upcoming.iter_mut().filter(|planned| planned.at.0 + millis(LATE) < now) {
            (missed.at, missed.waiting_for) = (micro_time(now), Some(MISSED.to_owned()));
        }
        let is_missed = late.ledger.upcoming.iter().any(|planned| planned.waiting_for.as_deref() == Some(MISSED));
        let killer = is_missed.then(|| Killer::new(KillerSpec { schedule: Schedule::always(), ..spec.clone() }))?;
        // It takes the plan that was drawn for its own.
        late.ledger.plan = Some(killer.spec().plan_digest());
        Some((killer, late))
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
        let mut step = match self.made_up_for(state, now) {
            Some((killer, late)) => killer.step(&late, view, response, now),
            None => self.killer.step(state, view, response, now),
        };
        if self.bug == Some(Bug::MissedStruck) {
            step.state.ledger.plan = step.state.ledger.plan.map(|_| self.killer.spec().plan_digest());
        }
        if self.bug == Some(Bug::OutcomeForgotten) {
            step.state.ledger.history.retain(|kill| kill.outcome != Outcome::Killed || kill.strike % 2 == 0);
        }
        if self.bug == Some(Bug::SkipsForgotten) {
            step.state.ledger.skipped.clear();
        }
        step
    }
}
