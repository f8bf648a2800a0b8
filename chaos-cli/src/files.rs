//! The folder of a run: its journal and what is rendered from it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chaos_core::result::RunResult;
use chaos_engine::report;

use crate::cli::OutputKind;
use crate::exit::Failure;

/// Name of the journal in a run's folder.
pub(crate) const JOURNAL: &str = "run.journal";

/// Every file that a run leaves.
const REPORTS: [(OutputKind, &str); 4] = [
    (OutputKind::Html, "report.html"),
    (OutputKind::Json, "result.json"),
    (OutputKind::Junit, "junit.xml"),
    (OutputKind::Markdown, "summary.md"),
];

/// Makes the folder of a run: `OUT/EXPERIMENT-RUNID`.
pub(crate) fn run_folder(out: &Path, experiment: &str, run_id: &str) -> Result<PathBuf, Failure> {
    let folder = out.join(format!("{experiment}-{run_id}"));
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("failed to make the folder {}", folder.display()))
        .map_err(Failure::could_not_run)?;
    Ok(folder)
}

/// Renders everything into a folder; gives the files in the order in which people look at them.
pub(crate) fn write_reports(folder: &Path, result: &RunResult) -> anyhow::Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for (kind, name) in REPORTS {
        let path = folder.join(name);
        write(kind, &path, result)?;
        written.push(path);
    }
    Ok(written)
}

/// Writes the copies that were asked for.
pub(crate) fn write_copies(copies: &[(OutputKind, PathBuf)], result: &RunResult) -> anyhow::Result<()> {
    copies.iter().try_for_each(|(kind, path)| write(*kind, path, result))
}

fn write(kind: OutputKind, path: &Path, result: &RunResult) -> anyhow::Result<()> {
    let text = match kind {
        OutputKind::Html => report::html::render(result),
        OutputKind::Json => report::json::render(result)?,
        OutputKind::Junit => report::junit::render(result)?,
        OutputKind::Markdown => report::markdown::render(result),
    };
    // Written beside and renamed, so that nobody ever reads half a report.
    let partial = path.with_extension("partial");
    std::fs::write(&partial, text)
        .and_then(|()| std::fs::rename(&partial, path))
        .with_context(|| format!("failed to write {}", path.display()))
}
