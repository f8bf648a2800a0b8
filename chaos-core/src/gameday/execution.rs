//! How one execution goes on: its steps begin, end, time out and are aborted. Every step that is under way has an end.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::due::blackout;
use super::names::run_name;
use super::reason::StepReason;
use super::{NotCreated, RunFact, RunOutcome};
use crate::api::{EndingRecord, ExecutionRecord, StepPhase, StepRecord};
use crate::instant::{after, micro_time};
use crate::model::{Check, GameDay, OnFailure, Step, StepKind};
use crate::short::short;
use crate::verdict::{Conclusion, Outcome};

/// A run that could not be created by then will not be.
const START_WITHIN: Duration = Duration::from_secs(300);
/// A run that has not ended by then, although it was asked to, is deleted.
const ABORT_WITHIN: Duration = Duration::from_secs(900);
/// A run whose creation was not answered is believed not to exist only if it cannot be seen for so long: a server may be at work on a
/// write for 34 seconds.
const UNSEEN_FOR: Duration = Duration::from_secs(35);

/// A new execution of a game day.
pub(super) fn new(day: &GameDay, id: String, slot: Option<Timestamp>, now: Timestamp) -> ExecutionRecord {
    let step = |step: &Step| StepRecord {
        name: step.name.clone(),
        phase: StepPhase::Pending,
        until: None,
        run: None,
        run_uid: None,
        guard: None,
        outcome: None,
        reason: None,
        message: None,
    };
    ExecutionRecord {
        id,
        slot: slot.map(Time),
        started_at: micro_time(now),
        finished_at: None,
        plan: day.plan.clone(),
        ending: None,
        outcome: None,
        steps: day.steps.iter().map(step).collect(),
    }
}

/// Ends an execution before its steps are through. The first reason stays.
pub(super) fn end(execution: &mut ExecutionRecord, reason: StepReason, message: String) {
    execution.ending.get_or_insert_with(|| EndingRecord { reason: reason.into(), message: short(&message) });
}

fn reason_of(step: &StepRecord) -> Option<StepReason> {
    step.reason.as_deref().and_then(StepReason::parse)
}

/// Moves an execution on as far as it goes by itself. `may_begin`: no older execution stands in its way.
pub(super) fn advance(execution: &mut ExecutionRecord, day: Option<&GameDay>, may_begin: bool, now: Timestamp) {
    let day = day.filter(|day| day.plan == execution.plan);
    match day {
        None => end(execution, StepReason::SpecChanged, "its steps are not those of the spec any more".to_owned()),
        Some(day) if day.abort.contains(&execution.id) => {
            end(execution, StepReason::Aborted, "spec.control.abort".to_owned());
        }
        Some(_) => {}
    }
    for index in 0..execution.steps.len() {
        let (ending, id) = (execution.ending.clone(), execution.id.clone());
        under_way(&mut execution.steps[index], day, &id, ending.as_ref(), now);
    }
    // A step that is over at once lets others begin.
    for _ in 0..=execution.steps.len() {
        if !begin_some(execution, day, may_begin, now) {
            break;
        }
    }
}

/// A step that is under way: whether its time is over, it was approved, or it has to end.
fn under_way(
    step: &mut StepRecord,
    day: Option<&GameDay>,
    execution: &str,
    ending: Option<&EndingRecord>,
    now: Timestamp,
) {
    if !matches!(step.phase, StepPhase::Starting | StepPhase::Running | StepPhase::Aborting) {
        return;
    }
    let kind = day.and_then(|day| day.step(&step.name)).map(|step| &step.kind);
    // A clock that was set back must not give more time than was asked for.
    let until = step.until.as_ref().map_or(now, |until| until.0).min(after(now, longest(step.phase, kind)));
    step.until = Some(micro_time(until));
    let is_late = now >= until;
    match (step.phase, step.run.is_some(), ending) {
        (StepPhase::Aborting, ..) => {}
        (_, true, Some(ending)) => abort(step, &ending.reason, &ending.message, now),
        (_, false, Some(ending)) => over(step, StepPhase::NotRun, Outcome::Aborted, &ending.reason, &ending.message),
        (StepPhase::Starting, ..) if is_late => {
            let known = step.message.clone().or(step.guard.clone()).unwrap_or_default();
            abort(step, StepReason::NotCreated, &format!("the run could not be created: {known}"), now);
        }
        (_, true, None) if is_late => abort(step, StepReason::TimedOut, "the run was not over in time", now),
        (_, false, None) => {
            let is_approved = day.is_some_and(|day| day.approved.contains(&(execution.to_owned(), step.name.clone())));
            without_run(step, kind, is_approved, is_late);
        }
        (_, true, None) => {}
    }
}

/// How long a step may be in a phase.
fn longest(phase: StepPhase, kind: Option<&StepKind>) -> Duration {
    match (phase, kind) {
        (StepPhase::Starting, _) => START_WITHIN,
        (StepPhase::Aborting, _) => ABORT_WITHIN,
        (_, Some(StepKind::Wait(span))) => span.std(),
        (
            _,
            Some(
                StepKind::Experiment { within, .. }
                | StepKind::Approval { within, .. }
                | StepKind::Check { within, .. },
            ),
        ) => within.std(),
        (_, None) => Duration::ZERO,
    }
}

/// A step that waits for something else than a run: whether that came, or its time is over.
fn without_run(step: &mut StepRecord, kind: Option<&StepKind>, is_approved: bool, is_late: bool) {
    match kind {
        Some(StepKind::Approval { .. }) if is_approved => {
            over(step, StepPhase::Passed, Outcome::Pass, StepReason::Approved, "it was approved");
        }
        Some(StepKind::Approval { within, .. }) if is_late => {
            let message = format!("nobody approved within {within}");
            over(step, StepPhase::Failed, Outcome::Aborted, StepReason::NotApproved, &message);
        }
        Some(StepKind::Check { within, .. }) if is_late => unchecked(step, *within),
        Some(StepKind::Wait(_)) if is_late => over(step, StepPhase::Passed, Outcome::Pass, StepReason::Waited, ""),
        _ => {}
    }
}

/// Begins what can begin, and rules out what cannot any more. Whether anything changed.
fn begin_some(execution: &mut ExecutionRecord, day: Option<&GameDay>, may_begin: bool, now: Timestamp) -> bool {
    let phases: BTreeMap<String, StepPhase> =
        execution.steps.iter().map(|step| (step.name.clone(), step.phase)).collect();
    let on_failure = day.map_or(OnFailure::Stop, |day| day.on_failure);
    let failed = |step: &&StepRecord| step.phase == StepPhase::Failed;
    let not_approved = |step: &&StepRecord| failed(step) && reason_of(step) == Some(StepReason::NotApproved);
    let stopper = match on_failure {
        OnFailure::Stop => execution.steps.iter().find(failed),
        OnFailure::Continue => execution.steps.iter().find(not_approved),
    };
    let stopper = stopper.map(|step| format!("step {} did not pass", step.name));
    let (id, ending) = (execution.id.clone(), execution.ending.clone());
    let mut changed = false;
    for record in execution.steps.iter_mut().filter(|step| step.phase == StepPhase::Pending) {
        if let Some(ending) = &ending {
            over(record, StepPhase::NotRun, Outcome::Aborted, &ending.reason, &ending.message);
            changed = true;
            continue;
        }
        if let Some(stopper) = &stopper {
            record.phase = StepPhase::NotRun;
            (record.reason, record.message) = (Some(StepReason::Stopped.as_str().to_owned()), Some(stopper.clone()));
            changed = true;
            continue;
        }
        let Some(day) = day.filter(|_| may_begin) else { continue };
        let Some(step) = day.step(&record.name) else { continue };
        let is_done = |name: &String| phases.get(name).is_some_and(|phase| phase.is_over());
        if step.depends_on.iter().all(is_done) {
            begin(record, step, day, &id, now);
            changed = true;
        }
    }
    changed
}

/// What a check found. That it does not hold yet is noted when it changes: a status is not written for every value.
pub(super) fn checked(step: &mut StepRecord, check: &Check, answer: Result<Vec<f64>, String>) {
    if step.phase != StepPhase::Running {
        return;
    }
    let value = answer.and_then(|values| match values.as_slice() {
        [value] if value.is_finite() => Ok(*value),
        _ => Err(format!("{values:?} is no value")),
    });
    let (reason, message) = match value {
        Ok(value) if check.holds(value) => {
            return over(step, StepPhase::Passed, Outcome::Pass, StepReason::Checked, &format!("{value} is {check}"));
        }
        Ok(value) => (StepReason::CheckFailed, format!("{value} is not {check}")),
        Err(why) => (StepReason::CheckUnknown, why),
    };
    if reason_of(step) != Some(reason) {
        (step.reason, step.message) = (Some(reason.as_str().to_owned()), Some(short(&message)));
    }
}

/// A check that did not come to hold in time. One without an answer at the end proves nothing.
fn unchecked(step: &mut StepRecord, within: crate::units::Duration) {
    let known = step.message.clone().unwrap_or_else(|| "there was no answer".to_owned());
    let message = format!("not within {within}: {known}");
    match reason_of(step) {
        Some(failed @ StepReason::CheckFailed) => over(step, StepPhase::Failed, Outcome::Fail, failed, &message),
        _ => over(step, StepPhase::Failed, Outcome::Inconclusive, StepReason::CheckUnknown, &message),
    }
}

fn begin(record: &mut StepRecord, step: &Step, day: &GameDay, execution: &str, now: Timestamp) {
    let span = match &step.kind {
        StepKind::Wait(span) => span.std(),
        StepKind::Check { within, .. } => within.std(),
        StepKind::Approval { prompt, within } => {
            record.message = Some(short(prompt));
            within.std()
        }
        StepKind::Experiment { .. } => {
            if let Some(why) = blackout(day, now) {
                return over(record, StepPhase::Failed, Outcome::Aborted, StepReason::Blackout, &why);
            }
            record.phase = StepPhase::Starting;
            record.run = Some(run_name(&day.name, &day.uid, execution, &record.name));
            record.until = Some(micro_time(after(now, START_WITHIN)));
            return;
        }
    };
    record.phase = StepPhase::Running;
    record.until = Some(micro_time(after(now, span)));
}

/// Whoever drove it before may have had the run created, and died before it could say so.
pub(super) fn resumed(step: &mut StepRecord) {
    if step.phase == StepPhase::Starting && step.message.is_none() {
        step.message = Some("it may have been created already".to_owned());
    }
}

/// What came of creating the run of a step.
pub(super) fn created(
    step: &mut StepRecord,
    result: Result<String, NotCreated>,
    day: Option<&GameDay>,
    now: Timestamp,
) {
    if step.phase != StepPhase::Starting {
        // It has to end meanwhile: the UID makes sure that it is this run that ends.
        step.run_uid = step.run_uid.take().or(result.ok());
        return;
    }
    match result {
        Ok(uid) => {
            let kind = day.and_then(|day| day.step(&step.name)).map(|step| &step.kind);
            let within = match kind {
                Some(StepKind::Experiment { within, .. }) => within.std(),
                _ => Duration::ZERO,
            };
            step.phase = StepPhase::Running;
            step.run_uid = Some(uid);
            step.message = None;
            step.until = Some(micro_time(after(now, within)));
        }
        // An earlier try may have been carried out, although nobody heard of it.
        Err(NotCreated::Refused(why) | NotCreated::Forbidden(why)) if step.message.is_some() => {
            abort(step, StepReason::NotCreated, &why, now);
        }
        Err(NotCreated::Refused(why) | NotCreated::Forbidden(why)) => {
            step.run = None;
            over(step, StepPhase::Failed, Outcome::Invalid, StepReason::NotCreated, &why);
        }
        Err(NotCreated::Unclear(why)) => step.message = Some(short(&why)),
    }
}

/// What is known of the run of a step that is under way. `None`: it is not there.
pub(super) fn seen(step: &mut StepRecord, fact: Option<&RunFact>, now: Timestamp) {
    let fact = fact.filter(|fact| step.run_uid.as_ref().is_none_or(|uid| *uid == fact.uid));
    match (step.phase, fact) {
        (StepPhase::Running | StepPhase::Aborting, Some(RunFact { uid, over: Some(outcome) })) => {
            step.run_uid = Some(uid.clone());
            let is_aborting = step.phase == StepPhase::Aborting;
            finished(step, outcome, is_aborting);
        }
        (StepPhase::Running | StepPhase::Aborting, Some(RunFact { uid, over: None })) => {
            step.run_uid = Some(uid.clone());
        }
        (StepPhase::Running, None) => {
            let message = "the run was deleted, which ends it";
            over(step, StepPhase::Failed, Outcome::Aborted, StepReason::RunDeleted, message);
        }
        (StepPhase::Aborting, None) => {
            let until = step.until.as_ref().map_or(now, |until| until.0);
            let waited_since = until.saturating_sub(ABORT_WITHIN).unwrap_or(now);
            if step.run_uid.is_some() || now >= after(waited_since, UNSEEN_FOR) {
                let (reason, message) = (step.reason.clone(), step.message.clone());
                let reason = reason.unwrap_or_else(|| StepReason::RunDeleted.into());
                over(step, StepPhase::Failed, Outcome::Aborted, reason, &message.unwrap_or_default());
            }
        }
        _ => {}
    }
}

fn finished(step: &mut StepRecord, outcome: &RunOutcome, is_aborting: bool) {
    let RunOutcome { outcome, reason, message } = outcome;
    match (outcome.has_passed(), is_aborting) {
        (true, false) => over(step, StepPhase::Passed, *outcome, reason, message),
        // What had to end and came to its end all the same: the run has its verdict, the step has not.
        (true, true) => {
            let (reason, message) = (step.reason.clone().unwrap_or_default(), step.message.clone().unwrap_or_default());
            over(step, StepPhase::Failed, Outcome::Aborted, reason, &message);
        }
        (false, _) => over(step, StepPhase::Failed, *outcome, reason, message),
    }
}

pub(super) fn abort(step: &mut StepRecord, reason: impl Into<String>, message: &str, now: Timestamp) {
    step.phase = StepPhase::Aborting;
    step.until = Some(micro_time(after(now, ABORT_WITHIN)));
    (step.reason, step.message) = (Some(reason.into()), Some(short(message)));
}

pub(super) fn over(
    step: &mut StepRecord,
    phase: StepPhase,
    outcome: impl Into<Conclusion>,
    reason: impl Into<String>,
    message: &str,
) {
    let outcome: Conclusion = outcome.into();
    step.phase = phase;
    step.until = None;
    step.outcome = Some(outcome.as_str().to_owned());
    step.reason = Some(reason.into());
    step.message = Some(short(message)).filter(|message| !message.is_empty());
}
