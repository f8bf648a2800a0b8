//! A journal and the experiment that it tells of, for the commands that work on what was recorded.

use std::path::Path;

use anyhow::Context as _;
use chaos_core::model::Experiment;
use chaos_core::record::Event;
use chaos_core::result::RunResult;
use chaos_core::validate;
use chaos_core::verdict::{self, JudgeSpec};
use chaos_engine::journal::{self, Journal};

use crate::exit::Failure;
use crate::{files, output};

/// The experiment that a record tells of: the one of that name in its manifest.
pub(super) fn experiment_of(events: &[Event]) -> Result<Experiment, Failure> {
    let started = events.iter().find_map(|event| match event {
        Event::Started(started) => Some(started),
        _ => None,
    });
    let started = started.context("the journal holds no start of a run").map_err(Failure::invalid)?;
    validate::recorded_experiments(&started.manifest_source, &started.manifest)
        .map_err(|diagnostics| {
            output::laid_out_error(&diagnostics.render(output::is_coloured()));
            Failure::invalid(anyhow::anyhow!("the journal's manifest cannot be read"))
        })?
        .into_iter()
        .find(|experiment| experiment.name == started.experiment)
        .with_context(|| format!("the journal's manifest holds no experiment {:?}", started.experiment))
        .map_err(Failure::invalid)
}

/// What a journal holds.
pub(super) struct Recorded {
    pub(super) journal: Journal,
    pub(super) experiment: Experiment,
}

impl Recorded {
    /// Reads a journal, or that in a run's folder; a torn end is told and left out.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let journal = journal::read(&files::journal(path)).map_err(Failure::invalid)?;
        if let Some(torn) = &journal.torn {
            let (good, dropped) = (torn.offset, torn.dropped);
            output::warn(&format!(
                "the journal is torn: {good} bytes are good, {dropped} bytes behind them are not and are left out"
            ));
        }
        let experiment = experiment_of(&journal.events)?;
        Ok(Self { journal, experiment })
    }

    /// The same of a run that is over: what is recorded of one that goes on has no end either, and is no orphan for that.
    pub(super) fn of_the_past(path: &Path) -> Result<Self, Failure> {
        let journal = files::journal(path);
        // Where that cannot be told, it is read like any other.
        if journal::is_written(&journal).unwrap_or(false) {
            let goes_on = anyhow::anyhow!("the run of {} still goes on", journal.display());
            return Err(Failure::could_not_run(goes_on).hint("it writes its own report when it ends"));
        }
        Self::read(path)
    }

    /// Judges the run anew.
    pub(super) fn judge(&self) -> RunResult {
        verdict::judge(&JudgeSpec::from(&self.experiment), &self.journal.events)
    }
}

#[cfg(test)]
mod tests {
    use chaos_core::record::Started;
    use chaos_engine::journal::JournalWriter;

    use super::*;

    #[test]
    fn a_journal_of_an_older_version_is_read_whatever_that_let_begin() {
        let shipped = include_str!("../../../experiments/riders-can-request-while-pods-die.yaml");
        let untripped = "abort: [{burnRate: {probe: request-ride, factor: 1001, long: 30s, short: 5s}}]";
        let manifest = shipped.replacen("abort: []", untripped, 1);
        assert!(validate::experiment_file("x.yaml", &manifest).is_err());
        let started = Started {
            run_id: "r".into(),
            started_at: jiff::Timestamp::UNIX_EPOCH,
            tool: "0".into(),
            tool_digest: None,
            manifest,
            experiment: "riders-can-request-while-pods-die".into(),
            manifest_source: "x.yaml".into(),
            manifest_digest: String::new(),
            seed: 1,
            attempt: 1,
            cluster: String::new(),
            environment: Vec::new(),
        };
        assert_eq!(experiment_of(&[Event::Started(Box::new(started))]).unwrap().guards.len(), 1);
    }

    #[test]
    fn a_run_that_goes_on_is_no_orphan() {
        let folder = tempfile::tempdir().unwrap();
        let writer = JournalWriter::create(&folder.path().join(files::JOURNAL)).unwrap();
        let told = |path| Recorded::of_the_past(path).err().map(|failure| failure.message()).unwrap_or_default();
        assert!(told(folder.path()).contains("still goes on"));
        drop(writer);
        assert!(told(folder.path()).contains("no start of a run"), "it is read, and nothing stands in it");
    }
}
