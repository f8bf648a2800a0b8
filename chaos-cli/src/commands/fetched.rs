//! A run that the operator made and that is over, once its evidence is here: kept as a journal, judged by the same function, and
//! told as a run from this machine is.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context as _;
use chaos_core::api::RunVerdict;
use chaos_core::model::Experiment;
use chaos_core::record::Event;
use chaos_core::result::RunResult;
use chaos_core::verdict::{JudgeSpec, judge};
use chaos_engine::chunks::RunKey;
use chaos_engine::journal::{JournalWriter, Redactor};
use chaos_engine::recorder::Recorder;
use chaos_engine::run::operated::digest;

use crate::exit::Failure;
use crate::{files, output};

/// What was recorded of a run, both halves in one.
pub(super) struct Fetched<'a> {
    pub(super) key: &'a RunKey,
    pub(super) experiment: &'a Experiment,
    pub(super) events: &'a [Event],
    /// What the operator made of it.
    pub(super) told: &'a RunVerdict,
}

impl Fetched<'_> {
    /// Writes the journal and the reports into a folder of its own below `out`, and says what the run proved.
    pub(super) async fn finish(&self, out: &Path) -> Result<RunResult, Failure> {
        let Self { key, experiment, events, told } = *self;
        let folder = files::run_folder(out, &experiment.name, &key.uid[..key.uid.len().min(12)])?;
        let path = folder.join(files::JOURNAL);
        keep(&path, experiment, events).await?;
        output::say(&format!("journal: {}", path.display()));
        let result = judge(&JudgeSpec::from(experiment), events);
        if result.verdict.exit_code.code() != told.exit_code {
            output::warn(&format!(
                "the operator says {} ({}), the evidence says {} by this version; digest of the evidence: {}",
                told.outcome,
                told.reason_text,
                result.verdict.outcome,
                digest(events)
            ));
        }
        let written = files::write_reports(&folder, &result)?;
        output::verdict(&result, &written);
        Ok(result)
    }
}

/// Writes a journal beside and renames it: half of one has no name that anybody looks for, and what was fetched before is
/// replaced by what the cluster tells now.
async fn keep(path: &Path, experiment: &Experiment, events: &[Event]) -> anyhow::Result<()> {
    let partial = path.with_extension("partial");
    match std::fs::remove_file(&partial) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("failed to remove {}", partial.display()));
        }
        _ => {}
    }
    let journal = JournalWriter::create(&partial).context("failed to start the journal")?;
    let mut redactor = Redactor::default();
    redactor.hide_probes(&experiment.probes);
    let recorder = Recorder::with_journal(journal, redactor);
    for event in events {
        recorder.record_durably(event.clone()).await.context("failed to write the journal")?;
    }
    recorder.close().await.context("failed to close the journal")?;
    std::fs::rename(&partial, path).with_context(|| format!("failed to write {}", path.display()))
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
