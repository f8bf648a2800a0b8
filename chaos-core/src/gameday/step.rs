//! The step function of a game day. Pure: the same state, view and instant give the same decision.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::budget::Extent;
use super::due::take_due;
use super::{
    About, GameDayAction, GameDayMachine, GameDayResponse, GameDayState, GameDayView, Ledger, NotCreated, RunOrder,
    budget, execution, outcome,
};
use crate::api::{StepPhase, StepRecord};
use crate::forbidden::FORBIDDEN_AT_MOST;
use crate::instant::after;
use crate::machine::{Next, Step};
use crate::model::{Check, ConcurrencyPolicy, GameDay, StepKind};

/// Runs are looked at so often, and what failed is tried again.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Values that are waited for are asked for so often.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// A run whose creation was decided is not asked for later than this: others take that for over soon afterwards.
const ASK_WITHIN: Duration = Duration::from_secs(10);
/// A game day is looked at again after this, however far away the next instant is: clocks jump.
pub const LONGEST_WAIT: Duration = Duration::from_secs(600);

type GameDayStep = Step<GameDayState, GameDayAction>;

pub(super) fn step(
    machine: &GameDayMachine,
    state: &GameDayState,
    view: &GameDayView,
    response: Option<GameDayResponse>,
    now: Timestamp,
) -> GameDayStep {
    let mut state = state.clone();
    let day = machine.day.as_ref();
    match (state.waiting.take(), response) {
        (Some(GameDayAction::Ask(About::Budgets, _)), Some(GameDayResponse::Answered { values, age })) => {
            state.budgets = Some(budget::Reading::heard(values, age, now));
        }
        (Some(asked), Some(response)) => take_in(&mut state, day, &asked, response, now),
        // It has waited, or was just resumed.
        _ => {
            state.tried.clear();
            let steps = || state.ledger.active.iter().flat_map(|execution| &execution.steps);
            let starting =
                |run: &String| steps().any(|step| step.phase == StepPhase::Starting && step.run.as_ref() == Some(run));
            state.forbidden.retain(|run, _| starting(run));
        }
    }
    let is_held = take_due(machine, &mut state.ledger, view, state.budgets.as_ref(), now);
    let side_by_side = day.is_some_and(|day| day.concurrency == ConcurrencyPolicy::Allow);
    loop {
        for (index, execution) in state.ledger.active.iter_mut().enumerate() {
            // Otherwise the older ones are to be over before: never two beside each other.
            execution::advance(execution, day, side_by_side || index == 0, now);
        }
        if let Some(day) = day {
            budget::guard(&mut state.ledger.active, day, state.budgets.as_ref(), now);
        }
        let before = state.ledger.active.len();
        outcome::conclude(&mut state.ledger, now);
        // A successor may have waited for what is over now.
        if state.ledger.active.len() == before {
            break;
        }
    }
    let asks = budget::ask(&mut state, day, is_held && view.hold.is_none(), now);
    let action = asks.or_else(|| next_action(&mut state, day, now));
    state.waiting.clone_from(&action);
    let next = match action {
        Some(action) => Next::Act(action),
        None => Next::Wait(Some(wake_at(&state.ledger, day, is_held, now))),
    };
    Step { state, next }
}

fn take_in(
    state: &mut GameDayState,
    day: Option<&GameDay>,
    asked: &GameDayAction,
    response: GameDayResponse,
    now: Timestamp,
) {
    let GameDayState { ledger, forbidden, .. } = state;
    let steps = |ledger: &mut Ledger, run: &str, change: &mut dyn FnMut(&mut StepRecord)| {
        let all = ledger.active.iter_mut().flat_map(|execution| &mut execution.steps);
        all.filter(|step| step.run.as_deref() == Some(run)).for_each(change);
    };
    match (asked, response) {
        (GameDayAction::Look(runs), GameDayResponse::Seen(Ok(facts))) => {
            for run in runs {
                steps(ledger, run, &mut |step| execution::seen(step, facts.get(run), now));
            }
        }
        (GameDayAction::Create(order), GameDayResponse::Created(result)) => {
            let Some(result) = settled(forbidden, &order.name, result, now) else { return };
            steps(ledger, &order.name, &mut |step| execution::created(step, result.clone(), day, now));
        }
        (GameDayAction::Ask(About::Check { execution, step }, _), GameDayResponse::Answered { values, .. }) => {
            let of = ledger.active.iter_mut().find(|known| known.id == *execution);
            let record = of.and_then(|of| of.steps.iter_mut().find(|known| known.name == *step));
            if let (Some(record), Some(check)) = (record, check_of(day, step)) {
                execution::checked(record, check, values);
            }
        }
        (GameDayAction::Delete { run, .. }, GameDayResponse::Done(Ok(()))) => outcome::forget(ledger, run),
        // What could not be read or done is tried again after a pause.
        _ => {}
    }
}

/// What came of creating a run, if that is said for good.
fn settled(
    forbidden: &mut BTreeMap<String, Timestamp>,
    run: &str,
    result: Result<String, NotCreated>,
    now: Timestamp,
) -> Option<Result<String, NotCreated>> {
    let before = forbidden.remove(run);
    let Err(NotCreated::Forbidden(why)) = result else { return Some(result) };
    // A clock that was set back must not give more time than there is.
    let since = before.map_or(now, |since| since.min(now));
    if now >= after(since, FORBIDDEN_AT_MOST) {
        return Some(Err(NotCreated::Refused(why)));
    }
    forbidden.insert(run.to_owned(), since);
    None
}

/// The next thing to do that was not tried since the machine last waited.
fn next_action(state: &mut GameDayState, day: Option<&GameDay>, now: Timestamp) -> Option<GameDayAction> {
    let GameDayState { ledger, tried, budgets, .. } = state;
    let mut looked_at = BTreeSet::new();
    for execution in &ledger.active {
        for step in &execution.steps {
            let Some(run) = &step.run else {
                if step.phase == StepPhase::Running
                    && let Some(check) = check_of(day, &step.name)
                    && tried.insert(format!("check {} {}", execution.id, step.name))
                {
                    let about = About::Check { execution: execution.id.clone(), step: step.name.clone() };
                    return Some(GameDayAction::Ask(about, vec![check.question.clone()]));
                }
                continue;
            };
            match step.phase {
                StepPhase::Starting => {
                    if let Some(day) = day
                        && let Some(extent) = budget::extent(day, budgets.as_ref(), now)
                        && let Some(order) = order(day, &execution.id, step, extent, now)
                        && tried.insert(format!("create {run}"))
                    {
                        return Some(GameDayAction::Create(Box::new(order)));
                    }
                }
                StepPhase::Aborting => {
                    if tried.insert(format!("abort {run}")) {
                        // Deletion is an abort too, and needs nobody who listens.
                        let is_late = step.until.as_ref().is_none_or(|until| until.0 <= now);
                        let delete = GameDayAction::Delete { run: run.clone(), uid: step.run_uid.clone() };
                        return Some(if is_late { delete } else { GameDayAction::Abort(run.clone()) });
                    }
                    looked_at.insert(run.clone());
                }
                StepPhase::Running => _ = looked_at.insert(run.clone()),
                StepPhase::Pending | StepPhase::Passed | StepPhase::Failed | StepPhase::NotRun => {}
            }
        }
    }
    if !looked_at.is_empty() && tried.insert("look".to_owned()) {
        return Some(GameDayAction::Look(looked_at));
    }
    let surplus = day.and_then(|day| outcome::clean_up(ledger, day.history, now))?;
    let is_new = tried.insert(format!("delete {}", surplus.name));
    is_new.then_some(GameDayAction::Delete { run: surplus.name, uid: Some(surplus.uid) })
}

/// What a step of that name checks, if it does.
fn check_of<'a>(day: Option<&'a GameDay>, step: &str) -> Option<&'a Check> {
    match &day?.step(step)?.kind {
        StepKind::Check { check, .. } => Some(check),
        StepKind::Experiment { .. } | StepKind::Wait(_) | StepKind::Approval { .. } => None,
    }
}

/// The run that a step of an execution is to have; nothing if the step names none, or is no experiment any more.
fn order(day: &GameDay, execution: &str, record: &StepRecord, extent: Extent, now: Timestamp) -> Option<RunOrder> {
    let name = record.run.clone()?;
    let StepKind::Experiment { experiment, overrides, shrunk, .. } = &day.step(&record.name)?.kind else { return None };
    Some(RunOrder {
        name,
        experiment: experiment.clone(),
        overrides: match extent {
            Extent::Full => overrides.clone(),
            Extent::Shrunk => shrunk.clone(),
        },
        mode: day.mode,
        execution: execution.to_owned(),
        deadline: after(now, ASK_WITHIN),
    })
}

/// When to step again at the latest: always some time.
fn wake_at(ledger: &Ledger, day: Option<&GameDay>, is_held: bool, now: Timestamp) -> Timestamp {
    let steps = || ledger.active.iter().flat_map(|execution| &execution.steps);
    let has_runs = steps().any(|step| step.run.is_some() && !step.phase.is_over());
    let soon = (has_runs || is_held).then(|| after(now, LOOK_EVERY));
    let mut running = steps().filter(|step| step.phase == StepPhase::Running);
    let check = running.any(|step| check_of(day, &step.name).is_some()).then(|| after(now, CHECK_EVERY));
    let slot = ledger.next_at.filter(|next| *next > now);
    let ends = steps().filter(|step| !step.phase.is_over()).filter_map(|step| step.until.as_ref());
    // What is due now was decided above; a run that does not end although it is late is looked at soon.
    let ends = ends.map(|until| until.0).filter(|until| *until > now);
    let kept = ledger.history.iter().map(|result| after(result.finished_at.0, outcome::KEPT_FOR));
    let kept = kept.filter(|until| *until > now);
    let longest = after(now, LONGEST_WAIT);
    ends.chain(slot).chain(soon).chain(check).chain(kept).min().map_or(longest, |at| at.min(longest))
}
