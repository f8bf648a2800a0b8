//! What an execution proved, and what is kept of it.

use jiff::Timestamp;

use super::Ledger;
use super::execution::{is_over, micros};
use crate::api::{ExecutionRecord, ExecutionResult, HistoryLimits, RunReference, StepPhase};

/// Entries that could not be cleaned up are dropped beyond these: their runs stay, and go with the game day.
const MOST: usize = 40;
/// Outcomes from the one that decides over all others.
const WORST_FIRST: [&str; 4] = ["fail", "aborted", "invalid", "inconclusive"];

/// Moves what is over from the active executions into the history.
pub(super) fn conclude(ledger: &mut Ledger, now: Timestamp) {
    let all = std::mem::take(&mut ledger.active).into_iter();
    let (over, active): (Vec<ExecutionRecord>, _) = all.partition(|execution| execution.steps.iter().all(is_over));
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
    let outcomes = || execution.steps.iter().filter_map(|step| step.outcome.as_deref());
    let has_ended = execution.ending.is_some();
    let worst = WORST_FIRST.into_iter().find(|worst| outcomes().any(|outcome| outcome == *worst));
    let has_planned = outcomes().any(|outcome| outcome == "planned");
    let outcome = match worst {
        Some("fail") => "fail",
        _ if has_ended => "aborted",
        Some(worst) => worst,
        None if has_planned => "planned",
        None => "pass",
    };
    let failed = execution.steps.iter().find(|step| step.outcome.as_deref() == Some(outcome));
    let failed = failed.filter(|step| step.phase == StepPhase::Failed);
    let (reason, message) = match (&execution.ending, failed) {
        (_, Some(step)) if outcome == "fail" || !has_ended => {
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
        finished_at: micros(now),
        outcome: outcome.to_owned(),
        reason,
        message,
        runs: runs.collect(),
    }
}

fn has_passed(result: &ExecutionResult) -> bool {
    matches!(result.outcome.as_str(), "pass" | "planned")
}

/// Forgets what is beyond the limits and has no run any more; the next run of such an entry, which is to be deleted.
pub(super) fn clean_up(ledger: &mut Ledger, limits: HistoryLimits) -> Option<RunReference> {
    loop {
        let surplus = |passed: bool, limit: u32| {
            let of_kind = ledger.history.iter().enumerate().filter(|(_, result)| has_passed(result) == passed);
            let indexes: Vec<usize> = of_kind.map(|(index, _)| index).collect();
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            (indexes.len() > limit).then(|| indexes[0])
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
