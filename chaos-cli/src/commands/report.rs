//! `chaos report`: rebuilds every output of a run from its journal alone, or from the evidence that the cluster keeps of a run
//! that was made there, or of those of a game day.

mod day;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chaos_core::api::{ExperimentRun, Mode, RunVerdict, labels};
use chaos_core::record::Event;
use chaos_core::result::RunResult;
use chaos_engine::chunks::RunKey;
use chaos_engine::journal::Redactor;
use chaos_engine::kube::Caller;
use chaos_engine::recorder::Recorder;
use chaos_engine::run::operated::recorded;
use kube::{Api, ResourceExt as _};

use super::evidence::{Evidence, READ_WITHIN};
use super::fetched::{self, Fetched, unfit};
use super::followed::ended;
use super::recorded::Recorded;
use crate::cli::{Global, OUT, OUT_ENV, ReportArgs};
use crate::context::{CONNECT, Target};
use crate::exit::{Exit, Failure};
use crate::{files, output};

/// What runs and game days are called, as kubectl would be told.
const RUNS: [&str; 3] = ["crun", "experimentrun", "experimentruns"];
const DAYS: [&str; 3] = ["cgd", "gameday", "gamedays"];

pub(super) async fn report(global: &Global, args: &ReportArgs) -> Result<Exit, Failure> {
    match (named(&args.run, RUNS), named(&args.run, DAYS)) {
        (Some(run), _) => of_cluster(global, args, run).await,
        (None, Some(day)) => day::report(global, args, day).await,
        (None, None) => of_journal(args),
    }
}

fn of_journal(args: &ReportArgs) -> Result<Exit, Failure> {
    let recorded = Recorded::of_the_past(&args.run)?;
    let result = recorded.judge();
    let now = result.verdict.exit_code.code();
    if let Some(then) = given(&recorded.journal.events).filter(|then| *then != now) {
        output::warn(&format!("the run ended with exit code {then}, and this version of the tool judges it as {now}"));
    }
    let folder = match &args.out {
        Some(folder) => folder.clone(),
        None => files::journal(&args.run).parent().map(Path::to_path_buf).unwrap_or_default(),
    };
    std::fs::create_dir_all(&folder).with_context(|| format!("failed to make the folder {}", folder.display()))?;
    let written = files::reports(&folder, &files::journal(&args.run), &result);
    output::verdict(&result, &written);
    Ok(result.verdict.exit_code.into())
}

/// The exit code that a run gave when it ended, by the word of the operator where that drove it; one whose process died gave none.
fn given(events: &[Event]) -> Option<u8> {
    let told = events.iter().rev().find_map(|event| match event {
        Event::Told { exit_code, .. } => Some(*exit_code),
        _ => None,
    });
    told.or_else(|| {
        events.iter().rev().find_map(|event| match event {
            Event::Finished { exit_code, .. } => Some(*exit_code),
            _ => None,
        })
    })
}

/// The name of an object on the cluster, where one of such a kind is meant, as kubectl would be told. A file of that path comes
/// first.
fn named<'a>(path: &'a Path, kinds: [&str; 3]) -> Option<&'a str> {
    let (kind, name) = path.to_str()?.split_once('/')?;
    let kind = kind.to_ascii_lowercase();
    let kind = kind.strip_suffix(".chaos.dispatch.dev").unwrap_or(&kind);
    (kinds.contains(&kind) && !name.is_empty() && !name.contains('/') && !path.exists()).then_some(name)
}

/// Tells a run of the cluster that is over.
async fn of_cluster(global: &Global, args: &ReportArgs, name: &str) -> Result<Exit, Failure> {
    let target = Target::connect(global, CONNECT).await?;
    let namespace = target.namespace(global);
    let runs: Api<ExperimentRun> = Api::namespaced(target.clients.read.clone(), &namespace);
    let run = super::runs::get(&runs, &namespace, name).await?;
    let (result, _) = fetch(&target, &namespace, &run, &out(args)).await?;
    Ok(result.verdict.exit_code.into())
}

/// Fetches what was recorded of a run that is over, and tells it as `chaos run --in-cluster` does at its end, in a folder of its
/// own below `out`.
async fn fetch(
    target: &Target,
    namespace: &str,
    run: &ExperimentRun,
    out: &Path,
) -> Result<(RunResult, PathBuf), Failure> {
    let verdict = verdict_of(run, namespace)?;
    let read = Caller::new(target.clients.read.clone());
    let Some(begun) = recorded(read, run).await.map_err(Failure::could_not_run)? else {
        return Err(nothing_recorded(run, &verdict));
    };
    let key = RunKey { namespace: namespace.to_owned(), name: run.name_any(), uid: run.uid().unwrap_or_default() };
    let judged = run.status.as_ref().and_then(|status| status.evidence.clone()).unwrap_or_default();
    let nobody = Recorder::in_memory(Redactor::default());
    let whole = Evidence::new(&target.clients.read, &key).whole(&judged, READ_WITHIN, &nobody).await;
    let events = whole.map_err(|missing| fetched::unread(&key, &verdict, &missing))?;
    let (experiment, redactor) = (&begun.experiment, Redactor::of(&begun.experiment.probes));
    let fetched = Fetched { key: &key, experiment, redactor: &redactor, told: &verdict, attempt: attempt_of(run) };
    fetched.finish(events, out).await
}

/// Which attempt at the same manifest a run was, by the word of whoever submitted it; what is no number says nothing.
fn attempt_of(run: &ExperimentRun) -> u32 {
    run.annotations().get(labels::ATTEMPT).and_then(|attempt| attempt.parse().ok()).unwrap_or(1)
}

/// The verdict of a run that is over.
fn verdict_of(run: &ExperimentRun, namespace: &str) -> Result<RunVerdict, Failure> {
    let status = run.status.clone().unwrap_or_default();
    if let Some(verdict) = ended(&status) {
        return Ok(verdict);
    }
    let name = run.name_any();
    let phase =
        status.phase.map_or("no operator has taken it up".to_owned(), |phase| format!("it is {}", phase.as_str()));
    Err(Failure::could_not_run(anyhow::anyhow!(
        "run {namespace}/{name} is not over: {phase}; hint: wait for it: `chaos runs watch {name} -n {namespace}`"
    )))
}

/// A run that ended before its record was begun has proved nothing, and says why.
fn nothing_recorded(run: &ExperimentRun, verdict: &RunVerdict) -> Failure {
    let is_kept = run.status.as_ref().and_then(|status| status.evidence.as_ref()).is_some_and(|kept| kept.operator > 0);
    if is_kept {
        return Failure::could_not_run(anyhow::anyhow!(
            "the evidence of run {} is gone, or not of this version; hint: its verdict is {}: {}",
            run.name_any(),
            verdict.outcome,
            verdict.reason_text
        ));
    }
    if run.spec.mode == Mode::DryRun {
        let message = format!("run {} was a dry run: {}", run.name_any(), verdict.reason_text);
        return Failure::invalid(anyhow::anyhow!("{message}; hint: what was planned stands in .status.resolved"));
    }
    unfit(verdict)
}

/// Where the run's folder is made: there is no journal beside which it could be.
fn out(args: &ReportArgs) -> PathBuf {
    let set = || std::env::var_os(OUT_ENV).filter(|folder| !folder.is_empty()).map(PathBuf::from);
    args.out.clone().or_else(set).unwrap_or_else(|| OUT.into())
}

#[cfg(test)]
mod tests {
    use chaos_core::record::RunTime;

    use super::*;

    #[test]
    fn a_run_that_ended_says_with_which_exit_code() {
        let note = || Event::Note { at: RunTime(1), text: "n".into() };
        assert_eq!(given(&[note(), Event::Finished { at: RunTime(9), exit_code: 7 }]), Some(7));
        assert_eq!(given(&[note()]), None);
        let told = Event::Told { exit_code: 6, reason_code: "WindDownIncomplete".into(), reason_text: "r".into() };
        assert_eq!(given(&[note(), told, Event::Finished { at: RunTime(9), exit_code: 7 }]), Some(6));
    }

    #[test]
    fn runs_and_game_days_are_named_as_kubectl_names_them_and_everything_else_is_a_file() {
        for path in ["crun/r", "ExperimentRun/r", "experimentruns/r", "experimentrun.chaos.dispatch.dev/r"] {
            assert_eq!(named(Path::new(path), RUNS), Some("r"), "{path}");
            assert_eq!(named(Path::new(path), DAYS), None, "{path}");
        }
        for path in ["cgd/d", "GameDay/d", "gamedays.chaos.dispatch.dev/d"] {
            assert_eq!(named(Path::new(path), DAYS), Some("d"), "{path}");
            assert_eq!(named(Path::new(path), RUNS), None, "{path}");
        }
        for path in ["run.journal", "./crun/r", "out/r", "crun/", "crun/r/run.journal", "/crun/r", "gameday/"] {
            assert_eq!([named(Path::new(path), RUNS), named(Path::new(path), DAYS)], [None; 2], "{path}");
        }
    }

    #[test]
    fn a_run_says_which_attempt_it_was() {
        let attempt = |annotations: serde_json::Value| {
            let run = serde_json::json!({
                "apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": "ExperimentRun",
                "metadata": {"name": "r", "annotations": annotations},
                "spec": {"experimentRef": {"name": "e"}, "mode": "Live"},
            });
            attempt_of(&serde_json::from_value(run).unwrap())
        };
        let said = |attempt: &str| serde_json::json!({(labels::ATTEMPT): attempt});
        assert_eq!(attempt(said("3")), 3);
        for (annotations, why) in [
            (serde_json::json!({}), "the first"),
            (said(""), "no number"),
            (said("-3"), "none either"),
            (said("99999999999"), "nor this one"),
        ] {
            assert_eq!(attempt(annotations), 1, "{why}");
        }
    }

    #[test]
    fn a_run_that_goes_on_has_no_report_and_one_that_never_began_says_why() {
        let run = |status: serde_json::Value| -> ExperimentRun {
            let run = serde_json::json!({
                "apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": "ExperimentRun", "metadata": {"name": "r"},
                "spec": {"experimentRef": {"name": "e"}, "mode": "Live"}, "status": status,
            });
            serde_json::from_value(run).unwrap()
        };
        let early = verdict_of(&run(serde_json::json!({"phase": "Fault"})), "n").unwrap_err().message();
        assert!(early.contains("it is Fault") && early.contains("chaos runs watch r -n n"), "{early}");
        let verdict = serde_json::json!({
            "outcome": "invalid", "exitCode": 4, "reasonCode": "Refused", "reasonText": "the stop switch says stop",
        });
        let over = run(serde_json::json!({"phase": "Completed", "verdict": verdict}));
        let told = verdict_of(&over, "n").unwrap();
        assert!(nothing_recorded(&over, &told).message().contains("the stop switch says stop"));
    }
}
