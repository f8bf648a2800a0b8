//! The step function of an operated run. Pure: the same state, view and instant give the same decision.

use jiff::Timestamp;

use super::{
    OperatedAction, OperatedResponse, OperatedRun, OperatedState, OperatedView, ProberView, RecordLoss, Resuming,
    Stage, Unfit, verdicts,
};
use crate::api::{ResolvedRun, RunVerdict};
use crate::forbidden::FORBIDDEN_AT_MOST;
use crate::instant::after;
use crate::machine::{Machine as _, Next, Step};
use crate::model::Mode;
use crate::record::StopCause;
use crate::run::{RunAction, RunState, RunView};
use crate::units::Duration;
use crate::verdict::ExitCode;

/// A cluster that cannot be read for this long is out of reach.
const RESOLVE_WITHIN: Duration = Duration::from_secs(30);
/// A permission of which it is said for this long that it is missing is. A server that can say so knows nearly all of them, and is
/// asked for all of them every three seconds while one is missing.
const MISSING_FOR: Duration = Duration::from_secs(5);
/// A prober that is not ready by then will not be.
const PREPARE_WITHIN: Duration = Duration::from_secs(60);
/// Pause before what failed is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// For so long whoever takes a run up looks for what it waits for, at least.
const LOOK_FOR: Duration = Duration::from_secs(10);
/// A record that cannot be read for this long is lost.
pub const TAKE_UP_WITHIN: Duration = Duration::from_secs(600);

type OperatedStep = Step<OperatedState, OperatedAction>;

pub(super) fn step(
    machine: &OperatedRun,
    state: &OperatedState,
    view: &OperatedView,
    response: Option<OperatedResponse>,
    now: Timestamp,
) -> OperatedStep {
    let mut state = state.clone();
    if std::mem::take(&mut state.fresh) {
        begin_anew(&mut state.record.stage, now);
    }
    let asked = state.waiting.take();
    match (asked, response) {
        (Some(OperatedAction::Resolve), Some(OperatedResponse::Resolved(resolved))) => {
            return resolved_as(machine, state, view, resolved, now);
        }
        (
            Some(asked @ (OperatedAction::TakeUp | OperatedAction::Begin)),
            Some(OperatedResponse::Recorded(recorded)),
        ) => {
            if let Some(step) = recorded_as(&mut state, view, &asked, recorded, now) {
                return step;
            }
        }
        (Some(OperatedAction::Judge), Some(OperatedResponse::Judged(verdict))) => return complete(state, verdict),
        _ => {}
    }
    match state.record.stage.clone() {
        Stage::New => {
            state.record.stage = Stage::Resolving { until: after(now, RESOLVE_WITHIN) };
            act(state, OperatedAction::Resolve)
        }
        Stage::Completed => Step { state, next: Next::Done },
        Stage::Judging { stop } => judging(state, stop),
        Stage::Running(run) => running(machine, state, &run, view, now),
        _ if view.abort.is_some() => {
            let why = view.abort.as_deref().unwrap_or_default();
            complete(state, verdicts::aborted_before_start(why))
        }
        Stage::Resolving { .. } => act(state, OperatedAction::Resolve),
        Stage::AwaitingApproval { until } => awaiting(machine, state, view, until, now),
        Stage::Preparing { until, queued } => preparing(state, view, until, queued, now),
    }
}

/// Nobody has looked for what is waited for since whoever drove the run before was lost.
fn begin_anew(stage: &mut Stage, now: Timestamp) {
    match stage {
        Stage::Resolving { until } => *until = anew(*until, RESOLVE_WITHIN, now),
        Stage::Preparing { until, queued: None } => *until = anew(*until, PREPARE_WITHIN, now),
        _ => {}
    }
}

/// Until when to wait. The time begins anew where it ran out meanwhile. It does not otherwise: processes that are lost again and
/// again, or take the run from each other, would wait for ever.
fn anew(until: Timestamp, within: Duration, now: Timestamp) -> Timestamp {
    if now >= until { after(now, within) } else { until.max(after(now, LOOK_FOR)) }
}

/// The cluster was read, or could not be.
fn resolved_as(
    machine: &OperatedRun,
    mut state: OperatedState,
    view: &OperatedView,
    resolved: Result<ResolvedRun, Unfit>,
    now: Timestamp,
) -> OperatedStep {
    let resolved = match resolved {
        Ok(resolved) => resolved,
        Err(unfit) => {
            let until = match state.record.stage {
                Stage::Resolving { until } | Stage::AwaitingApproval { until } => until.min(after(now, RESOLVE_WITHIN)),
                _ => now,
            };
            let is_refused = unfit.exit_code == ExitCode::Refused;
            // A clock that was set back must not give more time than there is.
            state.retry_since = is_refused.then(|| state.retry_since.map_or(now, |since| since.min(now)));
            let until = state.retry_since.map_or(until, |since| until.min(after(since, MISSING_FOR)));
            if unfit.may_pass() && now < until && view.abort.is_none() {
                return wait(state, after(now, TRY_AGAIN).min(until));
            }
            return complete(state, unfit.verdict());
        }
    };
    state.retry_since = None;
    let is_approved = view.approved.as_deref() == Some(resolved.plan_digest.as_str());
    let until = match (state.record.stage.clone(), machine.approval) {
        (Stage::AwaitingApproval { until }, _) => Some(until),
        (_, Some(within)) => Some(after(now, within)),
        (_, None) => None,
    };
    if machine.mode == Mode::DryRun {
        let verdict = verdicts::planned(resolved.strikes, resolved.candidates);
        state.record.resolved = Some(resolved);
        return complete(state, verdict);
    }
    state.record.resolved = Some(resolved);
    state.record.stage = match until {
        Some(until) if !is_approved => Stage::AwaitingApproval { until },
        _ => Stage::Preparing { until: after(now, PREPARE_WITHIN), queued: None },
    };
    match state.record.stage {
        Stage::AwaitingApproval { until } => awaiting(machine, state, view, until, now),
        _ => wait(state, after(now, TRY_AGAIN)),
    }
}

/// An approval counts for the plan as it is when it is looked at: so the cluster is read once more.
fn awaiting(
    machine: &OperatedRun,
    state: OperatedState,
    view: &OperatedView,
    until: Timestamp,
    now: Timestamp,
) -> OperatedStep {
    let within = machine.approval.unwrap_or_default();
    // A clock that was set back must not give more time than was asked for.
    let until = until.min(after(now, within));
    let known = state.record.resolved.as_ref().map(|resolved| resolved.plan_digest.as_str());
    match view.approved.as_deref() {
        Some(approved) if Some(approved) == known => act(state, OperatedAction::Resolve),
        _ if now >= until => complete(state, verdicts::not_approved(within)),
        _ => {
            let state = with_stage(state, Stage::AwaitingApproval { until });
            wait(state, until)
        }
    }
}

fn preparing(
    state: OperatedState,
    view: &OperatedView,
    until: Timestamp,
    queued: Option<Timestamp>,
    now: Timestamp,
) -> OperatedStep {
    let within = after(now, PREPARE_WITHIN);
    // The time of a run that waited for its turn begins when it has it.
    let until = if queued.is_some() { within } else { until.min(within) };
    match &view.prober {
        ProberView::Unfit(unfit) => complete(state, unfit.verdict()),
        ProberView::Queued => {
            // Nothing of it is written again and again while nothing happens.
            let since = queued.unwrap_or(now);
            wait(with_stage(state, Stage::Preparing { until: since, queued: Some(since) }), after(now, TRY_AGAIN))
        }
        ProberView::Ready => act(with_stage(state, Stage::Running(RunState::New)), OperatedAction::Begin),
        ProberView::Silent if now >= until => {
            let message = format!(
                "no prober took the run up within {PREPARE_WITHIN}; hint: does it run? kubectl get pods -n chaos-system"
            );
            complete(state, Unfit::out_of_reach(message).verdict())
        }
        ProberView::Preparing if now >= until => {
            let message = format!("the prober was not ready within {PREPARE_WITHIN}; hint: see its log");
            complete(state, Unfit::out_of_reach(message).verdict())
        }
        ProberView::Silent | ProberView::Preparing => {
            wait(with_stage(state, Stage::Preparing { until, queued: None }), until.min(after(now, TRY_AGAIN)))
        }
    }
}

/// The record was read or begun. A step, if that is what comes next.
fn recorded_as(
    state: &mut OperatedState,
    view: &OperatedView,
    asked: &OperatedAction,
    recorded: Result<(), RecordLoss>,
    now: Timestamp,
) -> Option<OperatedStep> {
    let lost = |state: &OperatedState, why: String| Some(complete(state.clone(), verdicts::evidence_lost(&why)));
    match recorded {
        Ok(()) => {
            state.retry_since = None;
            let taken_up = *asked == OperatedAction::TakeUp;
            state.resuming = if taken_up { Resuming::Note } else { Resuming::No };
            // Of a baseline that ended while nobody drove the run it could not be heard what was measured in it.
            if taken_up && let Stage::Running(RunState::Baseline { until }) = &mut state.record.stage {
                *until = now.max(*until);
            }
            None
        }
        Err(RecordLoss::Lost(why)) => lost(state, why),
        Err(RecordLoss::Unreached(why)) => {
            let since = *state.retry_since.get_or_insert(now);
            // Load is on while a run that was under way waits for its record: whoever ends the run does not wait as long as others.
            let is_ended = *asked == OperatedAction::TakeUp && view.abort.is_some();
            let within = if is_ended { FORBIDDEN_AT_MOST } else { TAKE_UP_WITHIN.std() };
            if now >= after(since, within) {
                return lost(state, why);
            }
            if *asked == OperatedAction::Begin {
                state.resuming = Resuming::Repeat;
            }
            Some(wait(state.clone(), after(now, TRY_AGAIN)))
        }
    }
}

fn running(
    machine: &OperatedRun,
    mut state: OperatedState,
    run: &RunState,
    view: &OperatedView,
    now: Timestamp,
) -> OperatedStep {
    if state.resuming == Resuming::Note
        && let Some(cause) = run.stop()
    {
        return note(state, cause.clone());
    }
    let stop = view.run.stop.clone().or_else(|| view.abort.clone().map(|name| StopCause::Signal { name }));
    // Also of a record that cannot be begun for a while.
    if *run == RunState::New
        && let Some(cause) = &stop
    {
        return complete(state, verdicts::aborted_before_start(&super::status::stop_record(cause).message));
    }
    match state.resuming {
        Resuming::TakeUp => return act(state, OperatedAction::TakeUp),
        Resuming::Note | Resuming::Repeat => {
            state.resuming = Resuming::No;
            // Nobody is let in to kill for a run that is known to end at once.
            if stop.is_none() || !matches!(run, RunState::Fault { .. }) {
                let action = run.pending().map_or(OperatedAction::Begin, OperatedAction::Run);
                return act(state, action);
            }
        }
        Resuming::No => {}
    }
    let run_view = RunView { stop, ..view.run.clone() };
    let inner = machine.run.step(run, &run_view, Some(()), now);
    match inner.next {
        Next::Act(action) => act(with_stage(state, Stage::Running(inner.state)), OperatedAction::Run(action)),
        Next::Wait(until) => {
            let until = until.unwrap_or_else(|| after(now, TRY_AGAIN));
            wait(with_stage(state, Stage::Running(inner.state)), until)
        }
        Next::Done => {
            let stop = inner.state.stop().cloned();
            act(with_stage(state, Stage::Judging { stop }), OperatedAction::Judge)
        }
    }
}

/// After a crash the record has to be read back before anything is made of it.
fn judging(state: OperatedState, stop: Option<StopCause>) -> OperatedStep {
    match (state.resuming, stop) {
        (Resuming::TakeUp, _) => act(state, OperatedAction::TakeUp),
        (Resuming::Note, Some(cause)) => note(state, cause),
        _ => act(state, OperatedAction::Judge),
    }
}

/// Whoever drove the run before may have gone before the note was kept.
fn note(mut state: OperatedState, cause: StopCause) -> OperatedStep {
    state.resuming = Resuming::Repeat;
    act(state, OperatedAction::Run(RunAction::NoteStop(cause)))
}

fn complete(mut state: OperatedState, verdict: RunVerdict) -> OperatedStep {
    state.record.stage = Stage::Completed;
    state.record.verdict = Some(verdict);
    Step { state, next: Next::Done }
}

fn with_stage(mut state: OperatedState, stage: Stage) -> OperatedState {
    state.record.stage = stage;
    state
}

fn act(mut state: OperatedState, action: OperatedAction) -> OperatedStep {
    state.waiting = Some(action.clone());
    Step { state, next: Next::Act(action) }
}

fn wait(state: OperatedState, until: Timestamp) -> OperatedStep {
    Step { state, next: Next::Wait(Some(until)) }
}
