//! The step function of a prober. Pure: the same state, view and instant give the same decision.

use std::time::Duration;

use jiff::Timestamp;

use super::{News, ProberAction, ProberResponse, ProberState, ProberView, REPORT_EVERY, Reached, ReportError};
use crate::api::ProberStage;
use crate::forbidden::FORBIDDEN_AT_MOST;
use crate::instant::after;
use crate::machine::{Next, Step};

/// News of a failure is told this soon, but no more often.
const BAD_NEWS_EVERY: Duration = Duration::from_secs(1);
/// A beat that comes while load is on is told this soon.
const BEAT_TOLD_WITHIN: Duration = Duration::from_millis(200);
/// Pause before what failed is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// Whoever cannot be heard for this long has been so for too long, …
const UNHEARD_AT_MOST: Duration = Duration::from_secs(60);
/// Orders that do not come for this long will not come.
const IDLE_AT_MOST: Duration = Duration::from_secs(1_800);
/// A run that would have to wait is left for this long to a prober that has time for it.
const QUEUE_AFTER: Duration = Duration::from_secs(5);
/// Time between two reports of a run that waits: each is an object on the cluster, and it may wait for long.
const QUEUED_EVERY: Duration = Duration::from_secs(15);

type ProberStep = Step<ProberState, ProberAction>;

/// … unless its run may go on blind for longer, which is how long. Then it stops: nothing that it measures would count.
pub fn unheard_at_most(max_blind: Duration) -> Duration {
    UNHEARD_AT_MOST.max(max_blind)
}

pub(super) fn step(
    state: &ProberState,
    view: &ProberView,
    response: Option<ProberResponse>,
    now: Timestamp,
) -> ProberStep {
    let mut state = state.clone();
    if let (Some(asked), Some(response)) = (state.waiting.take(), response) {
        take(&mut state, asked, response, now);
    }
    let unheard = state.unheard_since.is_some_and(|since| now >= after(since, unheard_at_most(view.max_blind)));
    if view.gone || unheard || is_refused(&state) {
        return leave(state);
    }
    let Some(reached) = state.reached.clone() else { return claim(state, view, now) };
    if view.queued {
        // Whoever waits for its turn is not idle.
        state.ceiling = Some(after(now, IDLE_AT_MOST));
    }
    let retry_at = state.unheard_since.map(|_| after(state.reported_at.unwrap_or(now), TRY_AGAIN));
    if state.untold && retry_at.is_none_or(|at| now >= at) {
        return act(state, ProberAction::Report(reached));
    }
    let idle = state.ceiling.is_some_and(|ceiling| now >= ceiling);
    if !state.load && !state.untold && (idle || is_over(&reached, view.order)) {
        return leave(state);
    }
    if let Some(action) = forwards(&state, &reached, view, now) {
        return act(state, action);
    }
    let report_at = retry_at.unwrap_or_else(|| report_at(&state, view, now));
    if now >= report_at {
        return act(state, ProberAction::Report(reached));
    }
    let again = prepare_again_at(&state).filter(|_| reached == Reached::Claimed && !view.queued);
    let until = [state.ceiling, again].into_iter().flatten().fold(report_at, Ord::min);
    Step { state, next: Next::Wait(Some(until)) }
}

/// When what could not be prepared is tried again.
fn prepare_again_at(state: &ProberState) -> Option<Timestamp> {
    state.unprepared.map(|(_, tried)| after(tried, TRY_AGAIN))
}

/// Takes in what came of the last action.
fn take(state: &mut ProberState, asked: ProberAction, response: ProberResponse, now: Timestamp) {
    let reach = |state: &mut ProberState, reached| {
        state.reached = Some(reached);
        state.untold = true;
    };
    match (asked, response) {
        (ProberAction::Claim, ProberResponse::Claimed(Ok(true))) => {
            (state.reached, state.reported_at) = (Some(Reached::Claimed), Some(now));
            state.ceiling = Some(after(now, IDLE_AT_MOST));
        }
        (ProberAction::Claim, ProberResponse::Claimed(Ok(false))) => refuse(state, "another prober measures this run"),
        (ProberAction::Claim, ProberResponse::Claimed(Err(_))) => state.reported_at = Some(now),
        (ProberAction::Prepare, ProberResponse::Prepared(Ok(()))) => reach(state, Reached::Ready),
        (ProberAction::Prepare, ProberResponse::Prepared(Err(unfit))) => {
            let since = state.unprepared.map_or(now, |(since, _)| since);
            state.unprepared = Some((since, now));
            if unfit.may_pass() && now < after(since, FORBIDDEN_AT_MOST) {
                return;
            }
            reach(state, Reached::Unfit { exit_code: unfit.exit_code, message: unfit.message });
        }
        (ProberAction::StartLoad, ProberResponse::Started(Ok(ceiling))) => {
            (state.load, state.ceiling) = (true, Some(ceiling));
            reach(state, Reached::Loading);
        }
        (ProberAction::StartLoad, ProberResponse::Started(Err(message))) => reach(state, Reached::Ended { message }),
        (ProberAction::AskBefore, _) => reach(state, Reached::BeforeAsked),
        (ProberAction::StopLoad, _) => {
            (state.load, state.ceiling) = (false, Some(after(now, IDLE_AT_MOST)));
            reach(state, Reached::Stopped);
        }
        (ProberAction::AskAfter, _) => reach(state, Reached::AfterAsked),
        (ProberAction::Report(_), ProberResponse::Reported(Ok(()))) => {
            (state.untold, state.unheard_since, state.reported_at) = (false, None, Some(now));
        }
        (ProberAction::Report(_), ProberResponse::Reported(Err(ReportError::Unreached(_)))) => {
            state.unheard_since.get_or_insert(now);
            state.reported_at = Some(now);
        }
        (ProberAction::Report(_), ProberResponse::Reported(Err(ReportError::Refused(why)))) => refuse(state, &why),
        // An answer to nothing that was asked: there is nothing to go on with.
        _ => {}
    }
}

/// Nobody will hear of this run from here: load goes off, and that is all.
fn refuse(state: &mut ProberState, why: &str) {
    state.reached = Some(Reached::Ended { message: why.to_owned() });
    state.untold = false;
}

fn is_refused(state: &ProberState) -> bool {
    matches!(state.reached, Some(Reached::Ended { .. })) && !state.untold
}

fn claim(mut state: ProberState, view: &ProberView, now: Timestamp) -> ProberStep {
    match view.order {
        Some(ProberStage::Release) => return leave(state),
        Some(_) => {}
        // The run's status is watched.
        None => return Step { state, next: Next::Wait(None) },
    }
    let asked = *state.asked_at.get_or_insert(now);
    let from = if view.queued { after(asked, QUEUE_AFTER) } else { now };
    let at = state.reported_at.map_or(from, |tried| after(tried, TRY_AGAIN).max(from));
    if now >= at { act(state, ProberAction::Claim) } else { Step { state, next: Next::Wait(Some(at)) } }
}

/// What the orders ask for next, if anything. A stage that was never ordered, or has passed, is not made up for.
fn forwards(state: &ProberState, reached: &Reached, view: &ProberView, now: Timestamp) -> Option<ProberAction> {
    let order = view.order;
    let over = state.ceiling.is_some_and(|ceiling| now >= ceiling);
    match reached {
        Reached::Claimed => {
            let is_time = prepare_again_at(state).is_none_or(|at| now >= at);
            (is_time && !view.queued).then_some(ProberAction::Prepare)
        }
        Reached::Ready => (order == Some(ProberStage::Load)).then_some(ProberAction::StartLoad),
        Reached::Loading | Reached::BeforeAsked if over || order > Some(ProberStage::Load) => {
            Some(ProberAction::StopLoad)
        }
        Reached::Loading => Some(ProberAction::AskBefore),
        Reached::BeforeAsked => None,
        Reached::Stopped => (order == Some(ProberStage::AskAfter)).then_some(ProberAction::AskAfter),
        Reached::Unfit { .. } | Reached::AfterAsked | Reached::Ended { .. } => None,
    }
}

/// Whether nothing will be asked of it any more.
fn is_over(reached: &Reached, order: Option<ProberStage>) -> bool {
    match order {
        Some(ProberStage::Release) => true,
        // The run ended before load was ever ordered.
        Some(ProberStage::Stop | ProberStage::AskAfter) => {
            matches!(reached, Reached::Claimed | Reached::Ready | Reached::Unfit { .. })
        }
        _ => false,
    }
}

/// When to report, if nothing happens before.
fn report_at(state: &ProberState, view: &ProberView, now: Timestamp) -> Timestamp {
    let reported = state.reported_at.unwrap_or(now);
    let regular = after(reported, REPORT_EVERY);
    match view.news {
        _ if view.queued => after(reported, QUEUED_EVERY),
        _ if view.unheard && !state.load => now,
        // An operator that takes the run up compares the clocks while load is on.
        _ if view.unheard => after(reported, BEAT_TOLD_WITHIN),
        News::Bad => after(reported, BAD_NEWS_EVERY),
        News::Good | News::None => regular,
    }
}

/// Leaves, load off.
fn leave(mut state: ProberState) -> ProberStep {
    if state.load {
        state.load = false;
        refuse(&mut state, "it left");
        return Step { state: ProberState { waiting: None, ..state }, next: Next::Act(ProberAction::StopLoad) };
    }
    Step { state, next: Next::Done }
}

fn act(mut state: ProberState, action: ProberAction) -> ProberStep {
    state.waiting = Some(action.clone());
    Step { state, next: Next::Act(action) }
}
