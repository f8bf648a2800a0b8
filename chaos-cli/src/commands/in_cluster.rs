//! `chaos run --in-cluster`: submits experiments to the operator and follows them. The operator kills and a prober measures; what
//! they recorded is fetched and judged here by the same function, so the end, its exit code and its reports are those of a run
//! from this machine. They are never better than the operator's verdict, and never rest on a part of what that rests on.

use std::time::Duration;

use anyhow::Context as _;
use chaos_core::api::{
    self, EvidenceRecord, ExperimentRun, ExperimentRunSpec, Mode, RunOverrides, RunPhase, RunVerdict, labels,
};
use chaos_core::model::Experiment;
use chaos_core::operated::{Stage, read_record};
use chaos_core::result::RunResult;
use chaos_core::run::RunState;
use chaos_core::verdict::ReasonCode;
use chaos_engine::chunks::{ReadError, RunKey};
use chaos_engine::clock::RunClock;
use chaos_engine::journal::Redactor;
use chaos_engine::kube::{done, is_of_a_moment, is_unserved, may_have_happened, said, told};
use chaos_engine::recorder::Recorder;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::core::Status;
use kube::{Api, ResourceExt as _};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::evidence::{Evidence, READ_WITHIN};
use super::fetched::{Fetched, unfit, unread};
use super::followed::{Followed, LOOK, NOTICE_WITHIN, ended, goes_on};
use super::recorded::experiment_of;
use super::run::Job;
use crate::context::ANSWER;
use crate::exit::Failure;
use crate::progress::Shown;
use crate::signals::Asked;
use crate::{files, output, signals};

/// Time between two looks for a run of which nobody heard whether it was made.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Runs one experiment by the operator, and says what it proved.
pub(super) async fn run_job(job: Job<'_>) -> Result<RunResult, Failure> {
    // Pods must not die for a run of which nothing can be kept.
    files::check_out(&job.out.out)?;
    let runs: Api<ExperimentRun> = Api::namespaced(job.target.clients.write.clone(), &job.experiment.namespace);
    let submitted = submit(&job, &runs).await?;
    let key = RunKey {
        namespace: job.experiment.namespace.clone(),
        name: submitted.name_any(),
        uid: submitted.uid().unwrap_or_default(),
    };
    output::headline(&job.experiment.hypothesis);
    output::say(&format!("ExperimentRun {}/{}", key.namespace, key.name));
    let mut follower = Follower::new(&job, runs, key);
    let Ended { verdict, evidence } = follower.follow_to_end().await?;
    let read = follower.evidence.whole(&evidence, READ_WITHIN, &follower.shown).await;
    let events = read.map_err(|missing| unread(&follower.key, &verdict, &missing))?;
    if events.is_empty() {
        return Err(unfit(&verdict));
    }
    // By its record, as `chaos report` tells it afterwards: an operator of another version may not know what the file calls it.
    let recorded = experiment_of(&events);
    if recorded.is_err() {
        output::warn(
            "this version cannot read the manifest in the record: told by the file, and not by the journal alone",
        );
    }
    let experiment = recorded.as_ref().unwrap_or(&job.experiment);
    let redactor = Redactor::of(&job.experiment.probes);
    let (told, attempt) = (&verdict, job.attempt);
    let fetched = Fetched { key: &follower.key, experiment, redactor: &redactor, told, attempt };
    let (result, _folder) = fetched.finish(events, &job.out.out).await?;
    Ok(result)
}

async fn submit(job: &Job<'_>, runs: &Api<ExperimentRun>) -> Result<ExperimentRun, Failure> {
    let spec = ExperimentRunSpec {
        experiment_ref: None,
        experiment: Some(spec_of(job)?),
        mode: Mode::Live,
        overrides: job.seed.map(|seed| RunOverrides { seed: Some(seed), strikes: None }),
        approval: None,
        control: None,
    };
    let suffix = &uuid::Uuid::new_v4().simple().to_string()[..8];
    let stem: String = job.experiment.name.chars().take(54).collect();
    let mut run = ExperimentRun::new(&format!("{}-{suffix}", stem.trim_end_matches('-')), spec);
    run.labels_mut().insert(labels::EXPERIMENT.to_owned(), job.experiment.name.clone());
    if job.attempt > 1 {
        run.annotations_mut().insert(labels::ATTEMPT.to_owned(), job.attempt.to_string());
    }
    let sent = Instant::now();
    match runs.create(&PostParams::default(), &run).await {
        Ok(run) => Ok(run),
        Err(kube::Error::Api(status)) if status.code == 404 => Err(nowhere(&status, &job.experiment.namespace)),
        // What the CRD's rules refuse is told by the server in full.
        Err(kube::Error::Api(status)) if status.code == 422 => Err(Failure::invalid(anyhow::anyhow!(status.message))),
        Err(kube::Error::Api(status)) if status.code == 403 => Err(Failure::refused(anyhow::anyhow!(status.message))),
        Err(error) => {
            let (namespace, name) = (&job.experiment.namespace, run.name_any());
            let left = if may_have_happened(&error) {
                remove_unheard(runs, namespace, &name, sent, job.asked.clone()).await
            } else {
                None
            };
            Err(unsubmitted(error, left))
        }
    }
}

/// Why there is no place for a run: its kind is not served, or its namespace is not there, in which nobody can be meant.
fn nowhere(status: &Status, namespace: &str) -> Failure {
    if is_unserved(status) {
        return Failure::could_not_run(anyhow::anyhow!("the cluster serves no ExperimentRuns; hint: `chaos install`"));
    }
    if status.message == format!("namespaces {namespace:?} not found") {
        let error =
            anyhow::anyhow!("no pod is meant by the target: there is no namespace {namespace}; hint: `chaos plan`");
        return Failure::invalid_run(error);
    }
    Failure::could_not_run(anyhow::anyhow!(said(status)).context("failed to create the ExperimentRun"))
}

/// Removes a run that nobody follows: it must not begin when nobody expects it any more. Gives what is left for a person to do.
async fn remove(runs: &Api<ExperimentRun>, namespace: &str, name: &str, uid: &str) -> Option<String> {
    let ours = Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None });
    let delete = DeleteParams { preconditions: ours, ..DeleteParams::default() };
    match done(runs.delete(name, &delete).await) {
        Ok(()) => None,
        // Another one has its name.
        Err(kube::Error::Api(status)) if status.code == 409 => None,
        Err(error) => Some(to_delete(namespace, name, &told(&error))),
    }
}

/// Removes a run that was sent then, and of which nobody heard whether it was made. One that is not there may yet come to be, for as
/// long as a server may be at work on it, and would begin when nobody expects it.
async fn remove_unheard(
    runs: &Api<ExperimentRun>,
    namespace: &str,
    name: &str,
    sent: Instant,
    mut asked: Asked,
) -> Option<String> {
    let mut is_told = false;
    loop {
        let is_last = sent.elapsed() >= ANSWER;
        match runs.delete(name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 && !is_last => {}
            // Where nothing was heard of the run a server is in trouble, and may be so for a while.
            Err(error) if is_of_a_moment(&error) && !is_last => {}
            other => return done(other).err().map(|error| to_delete(namespace, name, &told(&error))),
        }
        if !std::mem::replace(&mut is_told, true) {
            let span = ANSWER.saturating_sub(sent.elapsed()).as_secs();
            output::say(&format!(
                "nobody heard whether the run was made: it is looked for, to be removed, for {span} s"
            ));
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            Ok(_) = asked.wait_for(Option::is_some) => {
                return Some(to_delete(namespace, name, "the server may still be at work on it"));
            }
        }
    }
}

/// What is left to do about a run that may be there.
fn to_delete(namespace: &str, name: &str, why: &str) -> String {
    format!("delete ExperimentRun {namespace}/{name}, if it is there: {why}")
}

/// A run that could not be submitted, with what is left of it: where nobody heard whether it was, an operator may begin it.
fn unsubmitted(error: kube::Error, left: Option<String>) -> Failure {
    let error = anyhow::Error::new(error).context("failed to create the ExperimentRun");
    match left {
        None => Failure::could_not_run(error),
        Some(left) => Failure::could_not_run(error).hint(&left).because(ReasonCode::WindDownIncomplete),
    }
}

/// The experiment as it is written in its file, which was found to be valid.
fn spec_of(job: &Job<'_>) -> Result<api::ExperimentSpec, Failure> {
    let written: Vec<api::Experiment> = serde_yaml::from_multiple(job.text)
        .context("failed to read the experiment once more")
        .map_err(Failure::invalid)?;
    let found = written.into_iter().find(|experiment| experiment.name_any() == job.experiment.name);
    found
        .map(|experiment| experiment.spec)
        .context("the experiment is not in its file any more")
        .map_err(Failure::invalid)
}

/// A run of which nothing can be seen any more: it is not over for that.
fn unseen(run: &RunKey, error: &ReadError) -> Failure {
    let RunKey { namespace, name, .. } = run;
    let unread = anyhow::anyhow!(
        "the evidence of ExperimentRun {namespace}/{name} cannot be read, and the run goes on by itself: {error}"
    );
    Failure::could_not_run(unread).hint(&goes_on(namespace, name))
}

/// How a run ended by the word of the operator.
struct Ended {
    verdict: RunVerdict,
    /// What the verdict rests on.
    evidence: EvidenceRecord,
}

/// Follows one run.
struct Follower<'a> {
    job: &'a Job<'a>,
    runs: Api<ExperimentRun>,
    key: RunKey,
    run: Followed,
    evidence: Evidence,
    /// What is shown meanwhile.
    shown: Recorder,
    state: watch::Sender<RunState>,
}

impl<'a> Follower<'a> {
    fn new(job: &'a Job<'a>, runs: Api<ExperimentRun>, key: RunKey) -> Self {
        let evidence = Evidence::new(&job.target.clients.read, &key);
        let run = Followed::new(runs.clone(), &key.namespace, &key.name, &key.uid);
        let shown = Recorder::in_memory(Redactor::default());
        Self { job, runs, run, evidence, key, shown, state: watch::channel(RunState::New).0 }
    }

    /// Follows the run until it is over.
    async fn follow_to_end(&mut self) -> Result<Ended, Failure> {
        let stop = CancellationToken::new();
        let experiment: &Experiment = &self.job.experiment;
        let shown = Shown::new(experiment, RunClock::start(), &self.shown, self.state.subscribe());
        let showing = tokio::spawn(shown.until(stop.clone()));
        let followed = self.follow().await;
        stop.cancel();
        if let Err(error) = showing.await {
            tracing::warn!(%error, "the progress display ended badly");
        }
        followed
    }

    async fn follow(&mut self) -> Result<Ended, Failure> {
        let (mut aborted, mut phase) = (false, None);
        let mut asked = self.job.asked.clone();
        loop {
            if let Some(run) = self.run.look().await? {
                let status = run.status.clone().unwrap_or_default();
                if status.phase != phase {
                    phase = status.phase;
                    output::say(&format!("operator: {}", phase.map_or("New", RunPhase::as_str)));
                }
                if let Stage::Running(state) = read_record(&status).stage {
                    self.state.send_replace(state);
                }
                if let Some(verdict) = ended(&status) {
                    return Ok(Ended { verdict, evidence: status.evidence.unwrap_or_default() });
                }
                if self.run.is_unnoticed(&run) {
                    return Err(self.withdraw().await);
                }
            }
            self.evidence.fetch(&self.shown).await.map_err(|error| unseen(&self.key, &error))?;
            let signal = *asked.borrow_and_update();
            match signal {
                Some(signals::HANGUP) => return Err(self.left()),
                Some(_) if !aborted => aborted = self.abort().await,
                _ => {}
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                Ok(()) = asked.changed() => {}
            }
        }
    }

    /// Asks the operator to wind down.
    async fn abort(&self) -> bool {
        let asked = self.run.ask_to_end(None).await;
        match asked {
            Ok(_) => output::say("the operator was asked to wind down"),
            Err(error) => output::warn(&format!("failed to ask the operator to wind down, trying again: {error}")),
        }
        self.runs
            .get_opt(&self.key.name)
            .await
            .ok()
            .flatten()
            .is_none_or(|run| run.spec.control.is_some_and(|control| control.abort))
    }

    /// Whoever followed is gone with the terminal, and the operator needs nobody to drive the run.
    fn left(&self) -> Failure {
        let RunKey { namespace, name, .. } = &self.key;
        let goes_on = anyhow::anyhow!("the terminal is gone, and ExperimentRun {namespace}/{name} goes on by itself");
        Failure::stopped(goes_on).hint(&format!("`chaos report crun/{name} -n {namespace}` once it is over"))
    }

    /// A run that nobody has noticed must not begin when nobody expects it any more.
    async fn withdraw(&self) -> Failure {
        let within = NOTICE_WITHIN.as_secs();
        let unnoticed = |left: &str| {
            Failure::could_not_run(anyhow::anyhow!(
                "no operator took notice of the run within {within} s ({left}); hint: does it run? kubectl get pods -n chaos-system"
            ))
        };
        match remove(&self.runs, &self.key.namespace, &self.key.name, &self.key.uid).await {
            None => unnoticed("the run was withdrawn"),
            Some(left) => unnoticed(&left).because(ReasonCode::WindDownIncomplete),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn a_namespace_that_is_not_there_is_no_reason_to_install() {
        let told = |message: &str| {
            let failure = nowhere(&Status::failure(message, "NotFound").with_code(404), "shop");
            (failure.exit(), failure.message())
        };
        let (exit, words) = told("namespaces \"shop\" not found");
        assert_eq!(exit, Exit::INVALID_RUN);
        assert_eq!(words, "no pod is meant by the target: there is no namespace shop; hint: `chaos plan`");
        let (exit, words) = told("404 page not found");
        assert_eq!(exit, Exit::COULD_NOT_RUN);
        assert!(words.ends_with("; hint: `chaos install`"), "{words}");
        let (exit, words) = told("something else");
        assert_eq!(exit, Exit::COULD_NOT_RUN);
        assert!(words.contains("something else") && !words.contains("install"), "{words}");
    }

    #[test]
    fn a_run_whose_evidence_cannot_be_read_is_not_told_as_over() {
        let run = RunKey { namespace: "shop".into(), name: "r-1".into(), uid: "u".into() };
        let failure = unseen(&run, &ReadError::Damaged { name: "c".into(), why: "torn".into() });
        assert_eq!(failure.exit(), Exit::COULD_NOT_RUN);
        let told = failure.message();
        for part in ["shop/r-1", "goes on", "torn", "hint: `chaos runs watch r-1 -n shop`", "`chaos runs abort r-1 -n"]
        {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
}
