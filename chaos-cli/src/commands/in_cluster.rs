//! `chaos run --in-cluster`: submits experiments to the operator and follows them. The operator kills and a prober measures; what
//! they recorded is fetched and judged here by the same function, so the end, its exit code and its reports are those of a run
//! from this machine. They are never better than the operator's verdict, and never rest on a part of what that rests on.

mod evidence;

use std::time::Duration;

use anyhow::Context as _;
use chaos_core::api::{self, EvidenceRecord, ExperimentRun, ExperimentRunSpec, Mode, RunOverrides, RunVerdict, labels};
use chaos_core::model::Experiment;
use chaos_core::operated::{Stage, read_record};
use chaos_core::record::{Event, RunTime};
use chaos_core::result::{Finding, RunResult, Verdict};
use chaos_core::run::RunState;
use chaos_core::verdict::{ExitCode, JudgeSpec, ReasonCode, judge};
use chaos_engine::chunks::RunKey;
use chaos_engine::clock::RunClock;
use chaos_engine::journal::{JournalWriter, Redactor};
use chaos_engine::recorder::Recorder;
use chaos_engine::run::operated::digest;
use evidence::Evidence;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, ResourceExt as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::run::Job;
use crate::exit::Failure;
use crate::progress::Shown;
use crate::{files, output};

/// Time between two looks at a run.
const LOOK: Duration = Duration::from_millis(500);
/// An operator that has not noticed a run by then does not work.
const NOTICE_WITHIN: Duration = Duration::from_secs(30);
/// An API server that does not answer for this long ends the following, not the run.
const BLIND_AT_MOST: Duration = Duration::from_secs(120);
/// Evidence of a run that is over and cannot be read whole by then cannot be judged here.
const READ_WITHIN: Duration = Duration::from_secs(30);

/// Runs one experiment by the operator, and says what it proved.
pub(super) async fn run_job(job: Job<'_>) -> Result<RunResult, Failure> {
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
    finish(&job, &follower.key, events, &verdict).await
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
    let name = format!("{}-{suffix}", stem.trim_end_matches('-'));
    match runs.create(&PostParams::default(), &ExperimentRun::new(&name, spec)).await {
        Ok(run) => Ok(run),
        Err(kube::Error::Api(status)) if status.code == 404 => {
            let error = anyhow::anyhow!("the cluster serves no ExperimentRuns; hint: `chaos install`");
            Err(Failure::could_not_run(error))
        }
        // What the CRD's rules refuse is told by the server in full.
        Err(kube::Error::Api(status)) if status.code == 422 => Err(Failure::invalid(anyhow::anyhow!(status.message))),
        Err(kube::Error::Api(status)) if status.code == 403 => Err(Failure::refused(anyhow::anyhow!(status.message))),
        Err(error) => {
            Err(Failure::could_not_run(anyhow::Error::new(error).context("failed to create the ExperimentRun")))
        }
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

/// A run that ended before anything was touched.
fn unfit(verdict: &RunVerdict) -> Failure {
    let error = anyhow::anyhow!("{}", verdict.reason_text);
    match verdict.exit_code {
        2 => Failure::invalid(error),
        4 => Failure::refused(error),
        5 => Failure::stopped(error),
        8 => Failure::invalid_run(error),
        _ => Failure::could_not_run(error),
    }
}

/// A run whose evidence could not be read whole: what is there may look better than what was judged. It ended no better than the
/// operator says.
fn unread(run: &RunKey, told: &RunVerdict, missing: &str) -> Failure {
    let error = anyhow::anyhow!(
        "the operator says {} ({}), and the evidence that it judged could not be read: {missing}",
        told.outcome,
        told.reason_text
    );
    let hint = format!("kubectl get configmaps -n {} -l {}={}", run.namespace, labels::RUN, run.uid);
    let failure = Failure::could_not_run(error).hint(&hint);
    let reason = reason_of(told);
    match ExitCode::worst([ExitCode::OutOfReach, reason.exit_code()]) {
        ExitCode::OutOfReach => failure,
        _ => failure.because(reason),
    }
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
    evidence: Evidence,
    /// What is shown meanwhile.
    shown: Recorder,
    state: watch::Sender<RunState>,
}

impl<'a> Follower<'a> {
    fn new(job: &'a Job<'a>, runs: Api<ExperimentRun>, key: RunKey) -> Self {
        let evidence = Evidence::new(&job.target.clients.read, &key);
        let shown = Recorder::in_memory(Redactor::default());
        Self { job, runs, evidence, key, shown, state: watch::channel(RunState::New).0 }
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
        let began = tokio::time::Instant::now();
        let mut seen_at = began;
        let (mut aborted, mut phase) = (false, None);
        let mut asked = self.job.asked.clone();
        loop {
            match self.runs.get_opt(&self.key.name).await {
                Ok(Some(run)) if run.uid().as_deref() == Some(&self.key.uid) => {
                    seen_at = tokio::time::Instant::now();
                    let status = run.status.clone().unwrap_or_default();
                    if status.phase != phase {
                        phase = status.phase;
                        output::say(&format!(
                            "operator: {}",
                            phase.map_or("New".to_owned(), |phase| format!("{phase:?}"))
                        ));
                    }
                    let record = read_record(&status);
                    if let Stage::Running(state) = &record.stage {
                        self.state.send_replace(state.clone());
                    }
                    if let (Stage::Completed, Some(verdict)) = (record.stage, record.verdict) {
                        return Ok(Ended { verdict, evidence: status.evidence.unwrap_or_default() });
                    }
                    if phase.is_none() && began.elapsed() > NOTICE_WITHIN {
                        return Err(self.withdraw().await);
                    }
                }
                Ok(_) => return Err(Failure::stopped(anyhow::anyhow!("the run was deleted: that ended it"))),
                Err(error) if seen_at.elapsed() > BLIND_AT_MOST => {
                    let error = anyhow::Error::new(error).context("lost sight of the run, which goes on by itself");
                    return Err(Failure::could_not_run(error));
                }
                Err(error) => tracing::debug!(%error, "the run could not be read"),
            }
            self.evidence.fetch(&self.shown).await.map_err(Failure::could_not_run)?;
            if asked.borrow_and_update().is_some() && !aborted {
                aborted = self.abort().await;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                Ok(()) = asked.changed() => {}
            }
        }
    }

    /// Asks the operator to wind down.
    async fn abort(&self) -> bool {
        let patch = serde_json::json!({"spec": {"control": {"abort": true}}});
        let asked = self.runs.patch(&self.key.name, &PatchParams::default(), &Patch::Merge(patch)).await;
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

    /// A run that nobody has noticed must not begin when nobody expects it any more.
    async fn withdraw(&self) -> Failure {
        let ours = Preconditions { uid: Some(self.key.uid.clone()), resource_version: None };
        let delete = DeleteParams { preconditions: Some(ours), ..DeleteParams::default() };
        let left = match self.runs.delete(&self.key.name, &delete).await {
            Ok(_) => "the run was withdrawn".to_owned(),
            Err(error) => format!("delete ExperimentRun {}/{} by hand: {error}", self.key.namespace, self.key.name),
        };
        let within = NOTICE_WITHIN.as_secs();
        Failure::could_not_run(anyhow::anyhow!(
            "no operator took notice of the run within {within} s ({left}); hint: does it run? kubectl get pods -n chaos-system"
        ))
    }
}

/// The word of the operator as a reason of this version; where it has none of that name, by the exit code.
fn reason_of(told: &RunVerdict) -> ReasonCode {
    let alike: Vec<ReasonCode> =
        ReasonCode::ALL.into_iter().filter(|reason| reason.exit_code().code() == told.exit_code).collect();
    let named = alike.iter().find(|reason| reason.to_string() == told.reason_code);
    named.or(alike.first()).copied().unwrap_or(ReasonCode::OutOfReach)
}

/// Judges a record of which the operator said what it proves. Where the two differ the worse one counts, and the record says so.
fn settle(spec: &JudgeSpec, mut events: Vec<Event>, told: &RunVerdict) -> (Vec<Event>, RunResult) {
    let result = judge(spec, &events);
    let ours = &result.verdict;
    if ours.exit_code.code() == told.exit_code {
        return (events, result);
    }
    let text = format!(
        "the operator says {} ({}), the evidence says {} ({}) by this version, and the worse of both counts; digest of the \
         evidence: {}",
        told.outcome,
        told.reason_text,
        ours.outcome,
        ours.reason_text,
        digest(&events)
    );
    output::warn(&text);
    // The end stays the last event.
    let end = events.iter().position(|event| matches!(event, Event::Finished { .. })).unwrap_or(events.len());
    let at = match events.get(end) {
        Some(Event::Finished { at, .. }) => *at,
        _ => RunTime::default(),
    };
    events.insert(end, Event::Note { at, text });
    let result = no_better(judge(spec, &events), told);
    (events, result)
}

/// The result, unless the operator says something worse: then that decides.
fn no_better(mut result: RunResult, told: &RunVerdict) -> RunResult {
    let reason_code = reason_of(told);
    let (ours, exit_code) = (result.verdict.exit_code, reason_code.exit_code());
    if ExitCode::worst([ours, exit_code]) == ours {
        return result;
    }
    let reason_text = format!("the operator says: {}", told.reason_text);
    let mut findings = vec![Finding { reason_code, message: reason_text.clone() }];
    findings.append(&mut result.verdict.findings);
    result.verdict = Verdict { outcome: exit_code.outcome(), exit_code, reason_code, reason_text, findings };
    result
}

/// Writes the journal and the reports of a run that is over, and says what it proved.
async fn finish(job: &Job<'_>, key: &RunKey, events: Vec<Event>, told: &RunVerdict) -> Result<RunResult, Failure> {
    let (events, result) = settle(&JudgeSpec::from(&job.experiment), events, told);
    let folder = files::run_folder(&job.out.out, &job.experiment.name, &key.uid[..key.uid.len().min(12)])?;
    let path = folder.join(files::JOURNAL);
    let journal = JournalWriter::create(&path).context("failed to start the journal")?;
    let mut redactor = Redactor::default();
    redactor.hide_probes(&job.experiment.probes);
    let recorder = Recorder::with_journal(journal, redactor);
    for event in events {
        recorder.record_durably(event).await.context("failed to write the journal")?;
    }
    recorder.close().await.context("failed to close the journal")?;
    output::say(&format!("journal: {}", path.display()));
    let written = files::write_reports(&folder, &result)?;
    output::verdict(&result, &written);
    Ok(result)
}

#[cfg(test)]
mod tests {
    use chaos_core::record::Started;
    use chaos_core::verdict::{NotStarted, not_started};
    use jiff::Timestamp;

    use super::*;

    pub(super) fn started(tool: &str) -> Started {
        Started {
            run_id: "u-1".into(),
            started_at: Timestamp::UNIX_EPOCH,
            tool: tool.into(),
            tool_digest: None,
            manifest: String::new(),
            experiment: "e".into(),
            manifest_source: String::new(),
            manifest_digest: String::new(),
            seed: 7,
            attempt: 1,
            cluster: "in-cluster".into(),
            environment: Vec::new(),
        }
    }

    fn spec() -> JudgeSpec {
        JudgeSpec {
            name: "e".into(),
            namespace: "n".into(),
            hypothesis: String::new(),
            strikes_target: 1,
            strikes_min: 1,
            probes: Vec::new(),
        }
    }

    fn held() -> RunResult {
        let (reason_code, message) = (ReasonCode::HypothesisHeld, String::new());
        not_started(NotStarted { spec: spec(), started: started("1"), reason_code, message })
    }

    fn told(exit_code: u8, reason_code: &str) -> RunVerdict {
        let (outcome, reason_text) = ("told".into(), "by the operator".into());
        RunVerdict { outcome, exit_code, reason_code: reason_code.into(), reason_text }
    }

    #[test]
    fn a_run_ends_no_better_than_the_operator_says() {
        for (told, exit_code, reason_code) in [
            (told(0, "HypothesisHeld"), ExitCode::Held, ReasonCode::HypothesisHeld),
            (told(1, "SloRefuted"), ExitCode::Failed, ReasonCode::SloRefuted),
            (told(7, "ProberLost"), ExitCode::Inconclusive, ReasonCode::ProberLost),
            (told(1, "OfANewerVersion"), ExitCode::Failed, ReasonCode::InvariantBroken),
            (told(99, "OfANewerVersion"), ExitCode::OutOfReach, ReasonCode::OutOfReach),
        ] {
            let verdict = no_better(held(), &told).verdict;
            assert_eq!((verdict.exit_code, verdict.reason_code), (exit_code, reason_code), "{told:?}");
            assert_eq!(verdict.outcome, exit_code.outcome());
            assert_eq!(verdict.findings.len() > 1, exit_code != ExitCode::Held, "what was found here stays: {told:?}");
        }
        let failed = no_better(held(), &told(1, "SloRefuted"));
        assert_eq!(no_better(failed.clone(), &told(5, "Interrupted")), failed, "nor than the evidence says");
    }

    #[test]
    fn where_two_verdicts_differ_the_record_says_so() {
        // A record that ends at once is an orphan's.
        let end = Event::Finished { at: RunTime(9), exit_code: 5 };
        let events = vec![Event::Started(Box::new(started("1"))), end.clone()];
        let (same, result) = settle(&spec(), events.clone(), &told(5, "Interrupted"));
        assert_eq!((same, result.verdict.exit_code), (events.clone(), ExitCode::Stopped));
        for (word, exit_code) in [
            (told(0, "HypothesisHeld"), ExitCode::Stopped),
            (told(1, "SloRefuted"), ExitCode::Failed),
            (told(6, "WindDownIncomplete"), ExitCode::LeftBehind),
        ] {
            let (noted, result) = settle(&spec(), events.clone(), &word);
            assert_eq!(result.verdict.exit_code, exit_code);
            assert!(result.notes.iter().any(|note| note.contains("the worse of both counts")), "{:?}", result.notes);
            assert_eq!((noted.len(), noted.last()), (3, Some(&end)));
        }
    }

    #[test]
    fn evidence_that_cannot_be_read_ends_as_out_of_reach_or_worse() {
        let run = RunKey { namespace: "n".into(), name: "r".into(), uid: "u-1".into() };
        for (told, reason) in [
            (told(0, "HypothesisHeld"), ReasonCode::OutOfReach),
            (told(7, "TooFewKills"), ReasonCode::OutOfReach),
            (told(1, "SloRefuted"), ReasonCode::SloRefuted),
            (told(6, "WindDownIncomplete"), ReasonCode::WindDownIncomplete),
        ] {
            let failure = unread(&run, &told, "1 of 2");
            assert_eq!(failure.reason(), reason);
            let message = failure.message();
            for part in ["by the operator", "1 of 2", "hint: kubectl get configmaps -n n"] {
                assert!(message.contains(part), "{message}");
            }
        }
    }
}
