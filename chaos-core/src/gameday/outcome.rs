//! What an execution proved, and what is kept of it.

use std::time::Duration;

use jiff::Timestamp;

use super::Ledger;
use crate::api::{ExecutionRecord, ExecutionResult, HistoryLimits, RunReference, StepPhase, StepRecord};
use crate::instant::{after, micro_time};
use crate::verdict::{Conclusion, Outcome};

/// Entries that could not be cleaned up are dropped beyond these: their runs stay, and go with the game day.
const MOST: usize = 40;
/// Runs are kept for so long once their execution is over, whatever the limits are: a creation that was asked for late, or that
/// came late, finds the run there, and makes none once more.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(90);
/// What decides even where an execution was ended before its steps were through.
const FAIL: Conclusion = Conclusion::Judged(Outcome::Fail);

/// Moves what is over from the active executions into the history.
pub(super) fn conclude(ledger: &mut Ledger, now: Timestamp) {
    let all = std::mem::take(&mut ledger.active).into_iter();
    let is_over = |execution: &ExecutionRecord| execution.steps.iter().all(|step| step.phase.is_over());
    let (over, active): (Vec<ExecutionRecord>, _) = all.partition(is_over);
    ledger.active = active;
    for mut execution in over {
        let result = result(&execution, now);
        execution.finished_at = Some(result.finished_at.clone());
        execution.outcome = Some(result.outcome.clone());
        ledger.last = Some(execution);
        ledger.history.push(result);
    }
    let surplus = ledger.history.len().saturating_sub(MOST);
    ledger.history.drain(..surplus);
}

fn result(execution: &ExecutionRecord, now: Timestamp) -> ExecutionResult {
    let has_ended = execution.ending.is_some();
    let worst = execution.steps.iter().filter_map(outcome_of).max_by_key(|outcome| outcome.severity());
    let outcome = match worst {
        Some(FAIL) => FAIL,
        _ if has_ended => Conclusion::Judged(Outcome::Aborted),
        Some(worst) => worst,
        None => Conclusion::Judged(Outcome::Pass),
    };
    let failed = execution.steps.iter().find(|step| outcome_of(step) == Some(outcome));
    let failed = failed.filter(|step| step.phase == StepPhase::Failed);
    let (reason, message) = match (&execution.ending, failed) {
        (_, Some(step)) if outcome == FAIL || !has_ended => {
            let reason = step.reason.clone().unwrap_or_default();
            (reason, format!("step {}: {}", step.name, step.message.as_deref().unwrap_or_default()))
        }
        (Some(ending), _) => (ending.reason.clone(), ending.message.clone()),
        (None, _) => ("Passed".to_owned(), format!("all {} steps passed", execution.steps.len())),
    };
    let runs = execution
        .steps
        .iter()
        .filter_map(|step| Some(RunReference { name: step.run.clone()?, uid: step.run_uid.clone()? }));
    ExecutionResult {
        id: execution.id.clone(),
        started_at: execution.started_at.clone(),
        finished_at: micro_time(now),
        outcome: outcome.as_str().to_owned(),
        reason,
        message,
        runs: runs.collect(),
    }
}

fn outcome_of(step: &StepRecord) -> Option<Conclusion> {
    step.outcome.as_deref().map(Conclusion::read)
}

fn has_passed(result: &ExecutionResult) -> bool {
    Conclusion::read(&result.outcome).has_passed()
}

/// Forgets what is beyond the limits and has no run any more; the next run of such an entry, which is to be deleted.
pub(super) fn clean_up(ledger: &mut Ledger, limits: HistoryLimits, now: Timestamp) -> Option<RunReference> {
    loop {
        let surplus = |passed: bool, limit: u32| {
            let of_kind = ledger.history.iter().enumerate().filter(|(_, result)| has_passed(result) == passed);
            let indexes: Vec<usize> = of_kind.map(|(index, _)| index).collect();
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let oldest = indexes.first().filter(|_| indexes.len() > limit)?;
            (after(ledger.history[*oldest].finished_at.0, KEPT_FOR) <= now).then_some(*oldest)
        };
        let index = surplus(true, limits.passed).or_else(|| surplus(false, limits.failed))?;
        match ledger.history[index].runs.first() {
            Some(run) => return Some(run.clone()),
            None => _ = ledger.history.remove(index),
        }
    }
}

/// A run of the history is gone.
pub(super) fn forget(ledger: &mut Ledger, run: &str) {
    for result in &mut ledger.history {
        result.runs.retain(|known| known.name != run);
    }
}
