//! `chaos report gameday/NAME`: fetches the runs of the last execution of a game day that is over, tells each, and then all of
//! them on one page.

use std::path::Path;

use chaos_core::api::{ExecutionRecord, ExperimentRun, GameDay, GameDayStatus, StepRecord};
use chaos_core::verdict::Conclusion;
use chaos_engine::report::day::{self, DayReport, StepRun};
use kube::{Api, ResourceExt as _};

use super::fetch;
use crate::cli::{Global, ReportArgs};
use crate::commands::gameday::unread;
use crate::context::{CONNECT, Target};
use crate::exit::{Exit, Failure};
use crate::{files, output};

pub(super) async fn report(global: &Global, args: &ReportArgs, name: &str) -> Result<Exit, Failure> {
    let target = Target::connect(global, CONNECT).await?;
    let namespace = target.namespace(global);
    let days: Api<GameDay> = Api::namespaced(target.clients.read.clone(), &namespace);
    let day = days.get(name).await.map_err(|error| unread(error, &namespace, name))?;
    let status = day.status.unwrap_or_default();
    let execution = last(&status, &namespace, name)?;
    let folder = files::run_folder(&super::out(args), name, &execution.id)?;
    let mut runs = Vec::new();
    for step in &execution.steps {
        runs.push(of_step(&target, &namespace, step, &folder).await);
    }
    let told = status.history.iter().find(|result| result.id == execution.id).cloned();
    let report = DayReport { day: format!("{namespace}/{name}"), execution, told, runs };
    let page = folder.join(files::SUMMARY);
    files::write(&page, &day::markdown(&report))?;
    output::end("\nsummary\n");
    output::end(&day::terminal(&report, &folder.display().to_string()));
    output::end(&format!("  {}\n", page.display()));
    Ok(report.exit_code().into())
}

/// The last execution that is over: only of that the steps are remembered.
fn last(status: &GameDayStatus, namespace: &str, name: &str) -> Result<ExecutionRecord, Failure> {
    let ids: Vec<&str> = status.active.iter().map(|execution| execution.id.as_str()).collect();
    let under_way = if ids.is_empty() { String::new() } else { format!("; {} is under way", ids.join(", ")) };
    match &status.last {
        Some(last) => {
            output::say(&format!("execution {} of game day {namespace}/{name}{under_way}", last.id));
            Ok(last.clone())
        }
        None => Err(Failure::could_not_run(anyhow::anyhow!(
            "no execution of game day {namespace}/{name} is over{under_way}; hint: `chaos gameday show {name} -n {namespace}`"
        ))),
    }
}

/// Fetches the run of a step and tells it; what cannot be told is told as that, and is no reason to leave out the others.
async fn of_step(target: &Target, namespace: &str, step: &StepRecord, folder: &Path) -> StepRun {
    let Some((name, uid)) = run_of(step) else { return StepRun::None };
    let runs: Api<ExperimentRun> = Api::namespaced(target.clients.read.clone(), namespace);
    let found = match runs.get_opt(name).await {
        Ok(Some(run)) if run.uid().as_deref() == Some(uid) => fetch(target, namespace, &run, folder).await,
        Ok(_) => {
            Err(Failure::could_not_run(anyhow::anyhow!("run {namespace}/{name} is gone, and its evidence with it")))
        }
        Err(error) => Err(Failure::of_api(error, format!("failed to read run {name}"))),
    };
    match found {
        Ok((result, of_run)) => {
            let of_run = of_run.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            StepRun::Told { result: Box::new(result), folder: of_run }
        }
        Err(failure) => {
            failure.report();
            StepRun::Missing { reason: failure.reason(), message: failure.message() }
        }
    }
}

/// Name and UID of the run of a step, if there was one that did more than plan.
fn run_of(step: &StepRecord) -> Option<(&str, &str)> {
    let is_planned = step.outcome.as_deref().map(Conclusion::read) == Some(Conclusion::Planned);
    Some((step.run.as_deref()?, step.run_uid.as_deref()?)).filter(|_| !is_planned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: serde_json::Value) -> GameDayStatus {
        serde_json::from_value(status).unwrap()
    }

    fn execution(id: &str) -> serde_json::Value {
        serde_json::json!({"id": id, "startedAt": "2026-11-28T09:00:00.000000Z", "plan": "p", "steps": []})
    }

    #[test]
    fn the_last_execution_that_is_over_is_told_and_one_that_is_under_way_is_not() {
        let both = status(serde_json::json!({"active": [execution("two")], "last": execution("one")}));
        assert_eq!(last(&both, "n", "d").unwrap().id, "one");
        let early = last(&status(serde_json::json!({"active": [execution("two")]})), "n", "d").unwrap_err();
        assert_eq!(early.exit(), Exit::COULD_NOT_RUN);
        assert!(early.message().contains("two is under way; hint: `chaos gameday show d -n n`"), "{}", early.message());
        assert!(last(&GameDayStatus::default(), "n", "d").is_err());
    }

    #[test]
    fn a_step_has_a_run_to_be_fetched_if_one_was_there_and_did_more_than_plan() {
        let step = |change: serde_json::Value| {
            let mut step = serde_json::json!({"name": "s", "phase": "Passed"});
            step.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            serde_json::from_value::<StepRecord>(step).unwrap()
        };
        let run_of = |change: serde_json::Value| run_of(&step(change)).map(|(name, uid)| format!("{name} {uid}"));
        let fetched = run_of(serde_json::json!({"run": "r", "runUid": "u", "outcome": "pass"}));
        assert_eq!(fetched.as_deref(), Some("r u"));
        assert_eq!(run_of(serde_json::json!({"run": "r", "runUid": "u", "outcome": "planned"})), None);
        assert_eq!(run_of(serde_json::json!({"run": "r", "outcome": "invalid"})), None, "it was not created");
        assert_eq!(run_of(serde_json::json!({"outcome": "pass"})), None, "it waited");
    }
}
