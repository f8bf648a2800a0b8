//! `chaos report`: rebuilds every output of a run from its journal alone.

use anyhow::Context as _;
use chaos_core::record::Event;
use chaos_core::verdict;
use chaos_engine::journal;

use crate::cli::ReportArgs;
use crate::exit::{Exit, Failure};
use crate::{files, output};

pub(super) fn report(args: &ReportArgs) -> Result<Exit, Failure> {
    let journal = journal::read(&args.journal).map_err(Failure::invalid)?;
    if let Some(torn) = &journal.torn {
        let (good, dropped) = (torn.offset, torn.dropped);
        output::warn(&format!(
            "the journal is torn: {good} bytes are good, {dropped} bytes behind them are not and are left out"
        ));
    }
    let started = journal.events.iter().find_map(|event| match event {
        Event::Started(started) => Some(started),
        _ => None,
    });
    let started = started.context("the journal holds no start of a run").map_err(Failure::invalid)?;
    let experiment = super::validate::experiments(&started.manifest_source, &started.manifest)?
        .into_iter()
        .find(|experiment| experiment.name == started.experiment)
        .with_context(|| format!("the journal's manifest holds no experiment {:?}", started.experiment))
        .map_err(Failure::invalid)?;
    let result = verdict::judge(&verdict::JudgeSpec::from(&experiment), &journal.events);
    let folder = match &args.out {
        Some(folder) => folder.clone(),
        None => args.journal.parent().map(std::path::Path::to_path_buf).unwrap_or_default(),
    };
    std::fs::create_dir_all(&folder).with_context(|| format!("failed to make the folder {}", folder.display()))?;
    let written = files::write_reports(&folder, &result)?;
    output::verdict(&result, &written);
    Ok(Exit(result.verdict.exit_code.code()))
}
