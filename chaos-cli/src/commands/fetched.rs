//! A run that the operator made and that is over, once its evidence is here: kept as a journal, judged by the same function, and
//! told as a run from this machine is.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chaos_core::api::{RunVerdict, labels};
use chaos_core::model::Experiment;
use chaos_core::record::{Event, RunTime};
use chaos_core::result::RunResult;
use chaos_core::verdict::{ExitCode, JudgeSpec, ReasonCode, judge, reason_told};
use chaos_engine::chunks::RunKey;
use chaos_engine::journal::{JournalWriter, Redactor};
use chaos_engine::recorder::Recorder;
use chaos_engine::run::operated::digest;

use crate::exit::Failure;
use crate::{files, output};

/// A run that is over.
pub(super) struct Fetched<'a> {
    pub(super) key: &'a RunKey,
    /// What was run, as its record tells it.
    pub(super) experiment: &'a Experiment,
    /// Its secrets, as far as they are known here.
    pub(super) redactor: &'a Redactor,
    /// What the operator made of it.
    pub(super) told: &'a RunVerdict,
    /// Which attempt at the same manifest it was. The operator does not know that.
    pub(super) attempt: u32,
}

impl Fetched<'_> {
    /// Writes the journal of these events and the reports into a folder of its own below `out`, and says what the run proved. Gives
    /// that, and the folder.
    pub(super) async fn finish(&self, events: Vec<Event>, out: &Path) -> Result<(RunResult, PathBuf), Failure> {
        let Self { key, experiment, redactor, told, attempt } = *self;
        let spec = JudgeSpec::from(experiment);
        let mut events = settle(&spec, events, told);
        if attempt > 1 {
            number(&mut events, attempt);
        }
        let folder = files::run_folder(out, &experiment.name, &key.uid[..key.uid.len().min(12)])
            .map_err(|failure| unkept(told, &failure.message()))?;
        let path = folder.join(files::JOURNAL);
        // Judged is what was kept: the journal tells the same by itself.
        let kept = keep(&path, redactor, events).await.map_err(|error| unkept(told, &output::one_line(&error)))?;
        output::say(&format!("journal: {}", path.display()));
        let result = judge(&spec, &kept);
        let written = files::reports(&folder, &path, &result);
        output::verdict(&result, &written);
        Ok((result, folder))
    }
}

/// Says in a record which attempt it was: a pass that came after failures is worth less.
fn number(events: &mut [Event], attempt: u32) {
    if let Some(Event::Started(started)) = events.first_mut() {
        started.attempt = attempt;
    }
}

/// Writes a journal beside and renames it: half of one has no name that anybody looks for, and what was fetched before is
/// replaced by what the cluster tells now. Gives the events as they stand in it.
async fn keep(path: &Path, redactor: &Redactor, events: Vec<Event>) -> anyhow::Result<Vec<Event>> {
    let partial = path.with_extension("partial");
    match std::fs::remove_file(&partial) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("failed to remove {}", partial.display()));
        }
        _ => {}
    }
    let journal = JournalWriter::create(&partial).context("failed to start the journal")?;
    let recorder = Recorder::with_journal(journal, redactor.clone());
    for event in events {
        recorder.record_durably(event).await.context("failed to write the journal")?;
    }
    recorder.close().await.context("failed to close the journal")?;
    std::fs::rename(&partial, path).with_context(|| format!("failed to write {}", path.display()))?;
    Ok(recorder.events())
}

/// A run that ended before anything was touched.
pub(super) fn unfit(verdict: &RunVerdict) -> Failure {
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
pub(super) fn unread(run: &RunKey, told: &RunVerdict, missing: &str) -> Failure {
    let error = anyhow::anyhow!(
        "the operator says {} ({}), and the evidence that it judged could not be read: {missing}",
        told.outcome,
        told.reason_text
    );
    let hint = format!("kubectl get configmaps -n {} -l {}={}", run.namespace, labels::RUN, run.uid);
    let failure = Failure::could_not_run(error).hint(&hint);
    let reason = reason_told(told.exit_code, &told.reason_code);
    match ExitCode::worst([ExitCode::OutOfReach, reason.exit_code()]) {
        ExitCode::OutOfReach => failure,
        _ => failure.because(reason),
    }
}

/// A run whose evidence could not be kept here: nothing is told without it. It ended no better than the operator says.
fn unkept(told: &RunVerdict, why: &str) -> Failure {
    let error = anyhow::anyhow!(
        "the operator says {} ({}), and its evidence could not be kept: {why}",
        told.outcome,
        told.reason_text
    );
    let reason = reason_told(told.exit_code, &told.reason_code);
    let failure = Failure::stopped(error);
    match ExitCode::worst([ExitCode::Stopped, reason.exit_code()]) {
        ExitCode::Stopped => failure.because(ReasonCode::JournalFailed),
        _ => failure.because(reason),
    }
}

/// A record of which the operator said what it proves, with its word: the record is told no better than that, whoever judges it.
/// Where this version finds something else by the evidence, the record says so.
fn settle(spec: &JudgeSpec, mut events: Vec<Event>, told: &RunVerdict) -> Vec<Event> {
    let ours = judge(spec, &events).verdict;
    // The end stays the last event.
    let end = events.iter().position(|event| matches!(event, Event::Finished { .. })).unwrap_or(events.len());
    let mut words = Vec::new();
    if ours.exit_code.code() != told.exit_code {
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
        let at = match events.get(end) {
            Some(Event::Finished { at, .. }) => *at,
            _ => RunTime::default(),
        };
        words.push(Event::Note { at, text });
    }
    words.push(Event::Told {
        exit_code: told.exit_code,
        reason_code: told.reason_code.clone(),
        reason_text: told.reason_text.clone(),
    });
    events.splice(end..end, words);
    events
}

#[cfg(test)]
pub(super) mod tests {
    use chaos_core::record::Started;
    use chaos_core::result::Verdict;
    use jiff::Timestamp;

    use super::super::recorded::{Recorded, experiment_of};
    use super::*;

    pub(in super::super) fn started(tool: &str) -> Started {
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

    fn told(exit_code: u8, reason_code: &str) -> RunVerdict {
        let (outcome, reason_text) = ("told".into(), "by the operator".into());
        RunVerdict { outcome, exit_code, reason_code: reason_code.into(), reason_text }
    }

    #[test]
    fn where_two_verdicts_differ_the_record_says_so_and_the_worse_one_counts() {
        // A record that ends at once is an orphan's.
        let end = Event::Finished { at: RunTime(9), exit_code: 5 };
        let events = vec![Event::Started(Box::new(started("1"))), end.clone()];
        for (word, exit_code, differs) in [
            (told(5, "Interrupted"), ExitCode::Stopped, false),
            (told(0, "HypothesisHeld"), ExitCode::Stopped, true),
            (told(1, "SloRefuted"), ExitCode::Failed, true),
            (told(6, "WindDownIncomplete"), ExitCode::LeftBehind, true),
        ] {
            let settled = settle(&spec(), events.clone(), &word);
            let result = judge(&spec(), &settled);
            assert_eq!(result.verdict.exit_code, exit_code, "{word:?}");
            let says_so = result.notes.iter().any(|note| note.contains("the worse of both counts"));
            assert_eq!(says_so, differs, "{:?}", result.notes);
            assert_eq!((settled.len(), settled.last()), (3 + usize::from(differs), Some(&end)));
        }
    }

    #[tokio::test]
    async fn the_journal_of_a_run_tells_by_itself_what_is_told_of_the_run() {
        let name = "riders-can-request-while-pods-die";
        let begun = Started {
            manifest: include_str!("../../../experiments/riders-can-request-while-pods-die.yaml").into(),
            experiment: name.into(),
            manifest_source: format!("ExperimentRun dispatch/{name}-1a2b3c4d"),
            ..started("1")
        };
        let events = vec![
            Event::Started(Box::new(begun)),
            Event::Note { at: RunTime(1), text: "got bearer abcdefgh".into() },
            Event::Finished { at: RunTime(9), exit_code: 5 },
        ];
        let experiment = experiment_of(&events).unwrap();
        let Verdict { exit_code, reason_code, .. } = judge(&JudgeSpec::from(&experiment), &events).verdict;
        // The operator says the same, or something worse: of what this version does not see the journal must tell as well.
        let (same, worse) = (told(exit_code.code(), &reason_code.to_string()), told(6, "WindDownIncomplete"));
        for (word, ends) in [(same, exit_code), (worse, ExitCode::LeftBehind)] {
            let key = RunKey { namespace: "dispatch".into(), name: format!("{name}-1a2b3c4d"), uid: "u-1".into() };
            let (out, redactor) = (tempfile::tempdir().unwrap(), Redactor::default());
            let fetched = Fetched { key: &key, experiment: &experiment, redactor: &redactor, told: &word, attempt: 3 };
            let (result, folder) = fetched.finish(events.clone(), out.path()).await.unwrap();
            assert_eq!((result.run.experiment.as_str(), result.run.attempt), (name, 3));
            assert_eq!(result.verdict.exit_code, ends);
            assert!(result.notes.iter().any(|note| note.contains("got bearer")), "{:?}", result.notes);
            assert!(!result.notes.iter().any(|note| note.contains("abcdefgh")), "{:?}", result.notes);
            assert_eq!(
                folder,
                out.path().join(format!("{name}-u-1")),
                "called as the file calls it, not as the run is"
            );
            let again = Recorded::read(&folder).unwrap().judge();
            assert_eq!(again, result);
            for path in files::write_reports(out.path(), &again).unwrap() {
                let of_run = folder.join(path.file_name().unwrap());
                assert!(std::fs::read(of_run).unwrap() == std::fs::read(&path).unwrap(), "{} differs", path.display());
            }
        }
    }

    #[tokio::test]
    async fn a_run_whose_evidence_cannot_be_kept_ends_no_better_than_the_operator_says() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let text = include_str!("../../../experiments/riders-can-request-while-pods-die.yaml");
        let experiment = super::super::validate::experiments("e.yaml", text).unwrap().remove(0);
        let key = RunKey { namespace: "dispatch".into(), name: "r".into(), uid: "u-1".into() };
        for (word, reason) in [
            (told(0, "HypothesisHeld"), ReasonCode::JournalFailed),
            (told(1, "SloRefuted"), ReasonCode::SloRefuted),
            (told(6, "WindDownIncomplete"), ReasonCode::WindDownIncomplete),
        ] {
            let redactor = Redactor::default();
            let fetched = Fetched { key: &key, experiment: &experiment, redactor: &redactor, told: &word, attempt: 1 };
            let events = vec![Event::Started(Box::new(started("1")))];
            let failure = fetched.finish(events, &file).await.unwrap_err();
            assert_eq!(failure.reason(), reason);
            assert!(failure.message().contains("by the operator"), "{}", failure.message());
        }
    }

    #[test]
    fn a_record_says_which_attempt_it_was() {
        let end = Event::Finished { at: RunTime(9), exit_code: 5 };
        let mut events = vec![Event::Started(Box::new(started("1"))), end];
        number(&mut events, 3);
        let result = judge(&spec(), &events);
        assert_eq!(result.run.attempt, 3);
        assert!(result.notes.iter().any(|note| note.contains("attempt 3 of the same manifest")), "{:?}", result.notes);
        number(&mut [], 3);
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
